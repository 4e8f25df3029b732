"""Build the laboratory's programs, once, from ordinary Go modules.

Each folder below tools/ is a module that names programs with `tool` directives; go.mod and go.sum pin every byte. A part is built
again when one of the two, or a flag, has changed. Programs go to .cache/lab/bin; an interrupted build loses at most the package
being compiled, since Go's own build cache keeps the rest.

    python tests/cluster/build.py             build what is missing (about 15 minutes on 2 cores the first time)
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE / "tools"
CACHE = HERE.parents[1] / ".cache" / "lab"
BIN = CACHE / "bin"

NEEDED = {"go": "Go 1.26.5 or later", "setpriv": "util-linux", "openssl": "openssl 3"}

_K8S = "k8s.io/kubernetes/cmd"
_K8S_VERSION = "k8s.io/component-base/version.git"
_KEDA = "github.com/kedacore/keda/v2"


class BuildError(Exception):
    """A part could not be built; the message names it and the reason."""


@dataclass(frozen=True, slots=True)
class Part:
    """A module below tools/ and the programs built from it."""

    name: str  # folder below tools/
    programs: Mapping[str, str]  # file name in BIN -> Go package
    seconds: Mapping[str, int]  # file name -> what a cold build took on 2 cores, in the order of `programs`
    tags: str = ""
    link: str = "-s -w"
    env: Mapping[str, str] = field(default_factory=lambda: {"CGO_ENABLED": "0"})  # no C compiler needed

    def digest(self) -> str:
        """What the binaries depend on, as one word."""
        files = [(TOOLS / self.name / name).read_bytes() for name in ("go.mod", "go.sum")]
        recipe = repr((sorted(self.programs.items()), self.tags, self.link, sorted(self.env.items())))
        return hashlib.sha256(b"\0".join([*files, recipe.encode()])).hexdigest()[:16]


PARTS = (
    Part("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, {"etcd": 25}),
    Part("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, {"kwok": 60}),
    Part(
        "kubernetes",
        {name: f"{_K8S}/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")},
        {"kube-apiserver": 150, "kube-controller-manager": 60, "kube-scheduler": 20, "kubectl": 20},
        # Without a version the API server reports v0.0.0, and clients that compare versions refuse it.
        link=f"-s -w -X {_K8S_VERSION}Version=v1.35.4 -X {_K8S_VERSION}Major=1 -X {_K8S_VERSION}Minor=35",
    ),
    Part(
        "kube-state-metrics",
        {"kube-state-metrics": "k8s.io/kube-state-metrics/v2"},
        {"kube-state-metrics": 60},
    ),
    Part("karpenter", {"karpenter": "sigs.k8s.io/karpenter/kwok"}, {"karpenter": 80}),
    Part(
        "prometheus",
        {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
        {"prometheus": 120},
        tags="remove_all_sd,enable_kubernetes_sd",
    ),
    Part(
        "keda",
        {"keda-operator": f"{_KEDA}/cmd/operator", "keda-adapter": f"{_KEDA}/cmd/adapter"},
        {"keda-operator": 250, "keda-adapter": 45},
        link=f"-s -w -X {_KEDA}/version.Version=2.20.2",
    ),
)


def build(say: Callable[[str], None] = print) -> Path:
    """Build whatever is missing or out of date and return the folder of programs.

    Args:
        say: is given one line before and after each program; silent when nothing is to be done.
    Raises:
        BuildError: something is not installed, or a program does not build.
    """
    for needed, of in NEEDED.items():
        if not shutil.which(needed):
            raise BuildError(f"{needed} is not installed; the laboratory needs {of}")
    BIN.mkdir(parents=True, exist_ok=True)
    with (CACHE / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two sessions in one checkout build one after the other
        stamps = _read_stamps()
        due = [part for part in PARTS if not _fresh(part, stamps)]
        left = sum(sum(part.seconds.values()) for part in due)
        for part in due:
            for program, package in part.programs.items():
                say(f"lab: building {program}, about {part.seconds[program]} s cold (all that is left: {left} s)")
                say(f"lab: built {program} in {_build_one(part, program, package):.0f} s")
                left -= part.seconds[program]
            stamps[part.name] = part.digest()
            (CACHE / "stamps.json").write_text(json.dumps(stamps, indent=1))
    return BIN


@cache
def module_dir(part: str, module: str) -> Path:
    """Return the folder of `module`'s source as tools/`part` pins it; CRDs and kwok stages are read from there."""
    return Path(_go(part, "list", "-m", "-f", "{{.Dir}}", module).strip())


def _fresh(part: Part, stamps: Mapping[str, str]) -> bool:
    return stamps.get(part.name) == part.digest() and all((BIN / name).exists() for name in part.programs)


def _read_stamps() -> dict[str, str]:
    try:
        return dict(json.loads((CACHE / "stamps.json").read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _build_one(part: Part, program: str, package: str) -> float:
    """Build one program beside its place and move it there whole; return the seconds it took."""
    began = time.monotonic()
    unfinished = BIN / f".{program}"
    _go(part.name, "build", f"-tags={part.tags}", f"-ldflags={part.link}", "-o", str(unfinished), package, env=part.env)
    unfinished.replace(BIN / program)
    return time.monotonic() - began


def _go(part: str, *args: str, env: Mapping[str, str] | None = None) -> str:
    # -mod=readonly: a build must never edit the pins. -buildvcs=false: our own history is no part of their programs.
    environment = {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", **(env or {})}
    command = ["setpriv", "--pdeathsig", "TERM", "--", "nice", "go", *args]  # not to go on when nobody waits for it
    run = subprocess.run(command, cwd=TOOLS / part, env=environment, text=True, capture_output=True, check=False)
    if run.returncode:
        raise BuildError(f"go {args[0]} in tools/{part} failed:\n{run.stderr[-4000:]}")
    return run.stdout


if __name__ == "__main__":
    try:
        build(partial(print, flush=True))  # also where nobody but a log looks on
    except BuildError as error:
        sys.exit(f"lab: {error}")
    except KeyboardInterrupt:
        sys.exit("lab: interrupted; run it again, nothing is lost")
