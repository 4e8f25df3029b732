"""Helm and what judges its output, built from their Go modules into .cache/deploy; and the chart, rendered.

python tests/deploy/chart/helm.py          write what is generated: the chart's README.md and its copies, and deploy/manifests
python tests/deploy/chart/helm.py build    build the programs alone
"""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm" / "llm-scaler"
MANIFESTS = ROOT / "deploy" / "manifests"
DASHBOARDS = ROOT / "deploy" / "dashboards"
COPIES = {  # Helm reads no other folder than the chart's
    CHART / "files" / "alerts.yaml": ROOT / "deploy" / "alerts" / "llm-scaler.rules.yaml",
    **{CHART / "files" / "dashboards" / path.name: path for path in sorted(DASHBOARDS.glob("*.json"))},
}
TOOLS = ROOT / "tests" / "deploy" / "tools"
CACHE = ROOT / ".cache" / "deploy"
KUBERNETES = "1.37.0"  # what is rendered for; an install asks the server

Object = dict[str, Any]
Values = Mapping[str, Any]

PROGRAMS = {
    "helm": "helm.sh/helm/v3/cmd/helm",
    "helm-docs": "github.com/norwoodj/helm-docs/cmd/helm-docs",
    "operator": ".",
}

# The plain manifests: for an install beside KEDA without Helm, and the same with mutual TLS by cert-manager.
PLAIN: Mapping[str, Values] = {
    "llm-scaler": {},
    "llm-scaler-mutual-tls": {"certificates": {"certManager": {"enabled": True}}},
}


class HelmError(Exception):
    """Helm refused; the message is its own."""


@cache
def tool(name: str) -> Path:
    """Build one of PROGRAMS, unless it is there as its go.mod pins it, and return where it is."""
    CACHE.mkdir(parents=True, exist_ok=True)
    sources = (path for path in sorted((TOOLS / name).iterdir()) if path.suffix in {".mod", ".sum", ".go"})
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
    program, stamp = CACHE / name, CACHE / f"{name}.stamp"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists() or not stamp.exists() or stamp.read_text() != digest:
            flags = ["-mod=readonly", "-buildvcs=false", "-ldflags=-s -w", "-o", str(program)]
            _run(  # not to go on when nobody waits for it
                ["setpriv", "--pdeathsig", "TERM", "--", "nice", "go", "build", *flags, PROGRAMS[name]],
                cwd=TOOLS / name,
                env={"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "auto"},
            )
            stamp.write_text(digest)
    return program


@cache
def module(folder: Path, path: str) -> Path:
    """Return where the Go module `path` is, at the version that FOLDER/go.mod requires; its sources are read, nothing is built."""
    found = _run(["go", "mod", "download", "-json", path], cwd=folder, env={"GOWORK": "off", "GOFLAGS": "-mod=mod"})
    return Path(json.loads(found)["Dir"])


def render(
    values: Values | None = None, release: str = "llm-scaler", namespace: str = "keda", *, hooks: bool = True
) -> list[Object]:
    """Render the chart for a release.

    Raises:
        HelmError: the values are refused.
    """
    text = _template(yaml.safe_dump(dict(values or {})), release, namespace, hooks)
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@cache  # many tests look at the same
def _template(values: str, release: str, namespace: str, hooks: bool) -> str:
    with written(yaml.safe_load(values)) as file:
        options = ["--namespace", namespace, "--kube-version", KUBERNETES, "--values", file]
        chosen = [] if hooks else ["--no-hooks"]
        return _run([str(tool("helm")), "template", release, str(CHART), *options, *chosen])


def lint(values: Values) -> None:
    """Let Helm look for mistakes of the chart.

    Raises:
        HelmError: it found some.
    """
    with written(values) as file:
        _run([str(tool("helm")), "lint", "--strict", "--kube-version", KUBERNETES, "--values", file, str(CHART)])


@contextlib.contextmanager
def written(values: Values) -> Iterator[str]:
    """Values as a file, for the length of a block."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(dict(values), file)
        file.flush()
        yield file.name


def documented() -> str:
    """Return the README that the comments of values.yaml make."""
    command = [
        str(tool("helm-docs")),
        "--chart-search-root",
        str(CHART),
        "--dry-run",
        "--log-level",
        "warning",
        "--sort-values-order",
        "file",
    ]
    return _run(command).strip() + "\n"


def plain(name: str) -> str:
    """Return a file of plain manifests: what the chart renders, without what only Helm needs."""
    objects = render({**PLAIN[name], "check": {"enabled": False}})
    for item in objects:
        for head in (item["metadata"], item.get("spec", {}).get("template", {}).get("metadata", {})):
            for label in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
                head.get("labels", {}).pop(label, None)
    head = "# Written by `make chart` from deploy/helm/llm-scaler, whose values say what can be set. Apply it beside KEDA: kubectl apply -f\n"
    return head + yaml.safe_dump_all(objects, sort_keys=False, width=1000)


def _run(command: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HelmError(f"{Path(command[0]).name} {command[1]}: {done.stderr.strip()[-3000:] or done.stdout[-3000:]}")
    return done.stdout


def generate() -> None:
    """Write everything that is generated from the chart."""
    for copy, source in COPIES.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(source.read_text())
    (CHART / "README.md").write_text(documented())
    MANIFESTS.mkdir(exist_ok=True)
    for name in PLAIN:
        (MANIFESTS / f"{name}.yaml").write_text(plain(name))


def build(say: Callable[[str], None]) -> None:
    """Build every program that is missing or of another version."""
    for name in PROGRAMS:
        began = time.monotonic()
        tool(name)
        say(f"chart: {name} is there after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["build"]:
            build(partial(print, flush=True))
        else:
            generate()
    except HelmError as error:
        sys.exit(str(error))
