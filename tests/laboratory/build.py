"""Build the laboratory's programs, once, from ordinary Go modules.

Each folder below tools/ is a module that names programs with `tool` directives; go.mod and go.sum pin every byte. A part is built
again when one of the two, or a flag, has changed. Programs go to .cache/lab/bin; an interrupted build loses at most the package
being compiled, since Go's own build cache keeps the rest.

Who judges is one of two sets: `today`, the newest releases, and `before`, the KEDA, Kubernetes and Karpenter that came before them.
They share the programs that are the same in both.

    python tests/laboratory/build.py                    build what is missing (about 15 minutes on 2 cores the first time)
    JUDGES=before python tests/laboratory/build.py      the same of the other set
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE / "tools"
CACHE = HERE.parents[1] / ".cache" / "lab"
BIN = CACHE / "bin"

NEEDED = {"go": "Go 1.26 or later", "setpriv": "util-linux", "openssl": "openssl 3"}

_K8S = "k8s.io/kubernetes"
_K8S_VERSION = "k8s.io/component-base/version.git"
_KEDA = "github.com/kedacore/keda/v2"


class BuildError(Exception):
    """A part could not be built, or a set of judges is not known; the message names it and the reason."""


@dataclass(frozen=True, eq=False)  # a part is itself, in whichever set
class Part:
    """A module below tools/ and the programs built from it."""

    folder: str  # below tools/, and its programs' below BIN
    module: str  # that the programs are in, or the most important of them
    programs: Mapping[str, str]  # file name -> Go package
    seconds: Mapping[str, int]  # file name -> what a cold build took on 2 cores, in the order of `programs`
    tags: str = ""
    stamp: Callable[[str], str] = lambda version: ""
    env: Mapping[str, str] = field(default_factory=lambda: {"CGO_ENABLED": "0"})  # no C compiler needed

    @property
    def name(self) -> str:
        """What the part is called, whichever set it is of."""
        return self.folder.rpartition("/")[2]

    @cached_property
    def version(self) -> str:
        """The version that its go.mod pins, such as 2.21.0."""
        pinned = re.search(rf"^(?:require)?\s+{re.escape(self.module)} v(\S+)", self._file("go.mod"), re.MULTILINE)
        if not pinned:
            raise BuildError(f"tools/{self.folder}/go.mod does not require {self.module}")
        return pinned[1]

    @property
    def link(self) -> str:
        """The linker's flags."""
        return f"-s -w {self.stamp(self.version)}".rstrip()

    def digest(self) -> str:
        """What the binaries depend on, as one word."""
        recipe = repr((sorted(self.programs.items()), self.tags, self.link, sorted(self.env.items())))
        files = [self._file(name) for name in ("go.mod", "go.sum")]
        return hashlib.sha256("\0".join([*files, recipe]).encode()).hexdigest()[:16]

    def _file(self, name: str) -> str:
        return (TOOLS / self.folder / name).read_text()


@dataclass(frozen=True)
class Judges:
    """A set of programs that the laboratory runs."""

    name: str
    parts: tuple[Part, ...]

    def program(self, name: str) -> Path:
        """Return where a program is, once it is built."""
        return next(BIN / part.folder / name for part in self.parts if name in part.programs)

    def version(self, name: str) -> tuple[int, ...]:
        """Return the version of a part, such as (2, 21, 0)."""
        return tuple(map(int, self._part(name).version.split(".")))

    def source(self, name: str, module: str) -> Path:
        """Return the folder of `module`'s source as the part `name` pins it; CRDs and kwok stages are read from there."""
        return _source(self._part(name).folder, module)

    def _part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)


def _kubernetes_stamp(version: str) -> str:
    """Without a version the API server reports v0.0.0, and clients that compare versions refuse it."""
    major, minor, _ = version.split(".")
    told = {"Version": f"v{version}", "Major": major, "Minor": minor}
    return " ".join(f"-X {_K8S_VERSION}{name}={value}" for name, value in told.items())


def _keda_stamp(version: str) -> str:
    return f"-X {_KEDA}/version.Version={version}"


def _kubernetes(folder: str, seconds: Mapping[str, int]) -> Part:
    return Part(folder, _K8S, {name: f"{_K8S}/cmd/{name}" for name in seconds}, seconds, stamp=_kubernetes_stamp)


def _karpenter(folder: str, seconds: int) -> Part:
    module = "sigs.k8s.io/karpenter"
    return Part(folder, module, {"karpenter": f"{module}/kwok"}, {"karpenter": seconds})


def _keda(folder: str, operator: int, adapter: int) -> Part:
    programs = {"keda-operator": f"{_KEDA}/cmd/operator", "keda-adapter": f"{_KEDA}/cmd/adapter"}
    return Part(folder, _KEDA, programs, {"keda-operator": operator, "keda-adapter": adapter}, stamp=_keda_stamp)


ETCD = Part("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}, {"etcd": 25})
KWOK = Part("kwok", "sigs.k8s.io/kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, {"kwok": 60})
KUBE_STATE_METRICS = Part(
    "kube-state-metrics",
    "k8s.io/kube-state-metrics/v2",
    {"kube-state-metrics": "k8s.io/kube-state-metrics/v2"},
    {"kube-state-metrics": 60},
)
PROMETHEUS = Part(
    "prometheus",
    "github.com/prometheus/prometheus",
    {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
    {"prometheus": 120},
    tags="remove_all_sd,enable_kubernetes_sd",
)
_SHARED = (ETCD, KWOK, KUBE_STATE_METRICS, PROMETHEUS)
_SECONDS = {"kube-apiserver": 150, "kube-controller-manager": 60, "kube-scheduler": 20, "kubectl": 20}
TODAY = Judges(
    "today", (*_SHARED, _kubernetes("kubernetes", _SECONDS), _karpenter("karpenter", 80), _keda("keda", 250, 45))
)
BEFORE = Judges(
    "before",
    (
        *_SHARED,
        _kubernetes("before/kubernetes", _SECONDS),
        _karpenter("before/karpenter", 80),
        _keda("before/keda", 250, 45),
    ),
)


def judges() -> Judges:
    """Return the set that the environment's JUDGES names; `today` unless it names one.

    Raises:
        BuildError: there is no such set.
    """
    sets = {one.name: one for one in (TODAY, BEFORE)}
    name = os.environ.get("JUDGES") or TODAY.name
    if name not in sets:
        raise BuildError(f"JUDGES is {name!r}; it may be {' or '.join(sets)}")
    return sets[name]


def build(say: Callable[[str], None] = print) -> Judges:
    """Build whatever is missing or out of date of the set that was chosen, and return the set.

    Args:
        say: is given one line before and after each program; silent when nothing is to be done.
    Raises:
        BuildError: something is not installed, or a program does not build.
    """
    chosen = judges()
    for needed, of in NEEDED.items():
        if not shutil.which(needed):
            raise BuildError(f"{needed} is not installed; the laboratory needs {of}")
    if not _due(chosen, _read_stamps()):
        return chosen  # also while the other set is being built
    BIN.mkdir(parents=True, exist_ok=True)
    with (CACHE / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two sessions in one checkout build one after the other
        stamps = _read_stamps()
        due = _due(chosen, stamps)
        left = sum(sum(part.seconds.values()) for part in due)
        for part in due:
            for program, package in part.programs.items():
                say(
                    f"lab: building {program} {part.version}, about {part.seconds[program]} s cold (all that is left: {left} s)"
                )
                say(f"lab: built {program} in {_build_one(part, program, package):.0f} s")
                left -= part.seconds[program]
            stamps[part.folder] = part.digest()
            (CACHE / "stamps.json").write_text(json.dumps(stamps, indent=1))
    return chosen


@cache
def _source(folder: str, module: str) -> Path:
    return Path(_go(folder, "list", "-m", "-f", "{{.Dir}}", module).strip())


def _due(judges: Judges, stamps: Mapping[str, str]) -> list[Part]:
    """Return the parts that are missing or out of date."""
    return [part for part in judges.parts if not _fresh(part, stamps)]


def _fresh(part: Part, stamps: Mapping[str, str]) -> bool:
    there = all((BIN / part.folder / name).exists() for name in part.programs)
    return there and stamps.get(part.folder) == part.digest()


def _read_stamps() -> dict[str, str]:
    try:
        return dict(json.loads((CACHE / "stamps.json").read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _build_one(part: Part, program: str, package: str) -> float:
    """Build one program beside its place and move it there whole; return the seconds it took."""
    began = time.monotonic()
    place = BIN / part.folder / program
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{program}")
    _go(
        part.folder,
        "build",
        f"-tags={part.tags}",
        f"-ldflags={part.link}",
        "-o",
        str(unfinished),
        package,
        env=part.env,
    )
    unfinished.replace(place)
    return time.monotonic() - began


def _go(folder: str, *args: str, env: Mapping[str, str] | None = None) -> str:
    # -mod=readonly: a build must never edit the pins. -buildvcs=false: our own history is no part of their programs.
    # GOTOOLCHAIN=auto: Go fetches the newer Go that a go.mod asks for, also where its packager has switched that off.
    settings = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", "GOTOOLCHAIN": "auto"}
    environment = {**os.environ, **settings, **(env or {})}
    command = ["setpriv", "--pdeathsig", "TERM", "--", "nice", "go", *args]  # not to go on when nobody waits for it
    run = subprocess.run(command, cwd=TOOLS / folder, env=environment, text=True, capture_output=True, check=False)
    if run.returncode:
        raise BuildError(f"go {args[0]} in tools/{folder} failed:\n{run.stderr[-4000:]}")
    return run.stdout


if __name__ == "__main__":
    try:
        build(partial(print, flush=True))  # also where nobody but a log looks on
    except BuildError as error:
        sys.exit(f"lab: {error}")
    except KeyboardInterrupt:
        sys.exit("lab: interrupted; run it again, nothing is lost")
