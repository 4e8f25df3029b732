"""Write down which metric names released engine packages contain, in names.json beside this file.

    .venv/bin/python tests/contract/record.py                   the newest release of every package
    .venv/bin/python tests/contract/record.py vllm==0.34.0 ...  these releases

Records add up; run the tests afterwards: they compare the catalogue with the record. Of a wheel only the directory and
the few files with names are read, by range requests; a source archive is read as a stream, and a Go module as a whole.
Nothing is kept on disk, and nothing of a package is run. Where packages come from is uv's and Go's affair.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version
from uv import find_uv_bin

FILE = Path(__file__).with_name("names.json")
Names = dict[str, list[str]]  # name -> the recorded versions that have it


@dataclass(frozen=True, slots=True)
class Package:
    """Where a package writes its metric names."""

    files: (
        str  # a regular expression for paths inside the archive, without the folder that holds all of a source archive
    )
    names: (
        str  # one whose last group is a name, in the text of such a file; one before it names a constant, its beginning
    )
    prefix: str = ""  # what the engine puts before it
    module: str = ""  # of what is not on the package index but a Go module: its path
    package: str = ""  # its name on the package index, where that is not the one that it has here
    source: bool = False  # the names are in the source archive and not in the wheel: those of another language
    release: str = ""  # of a Go module whose releases have other numbers: what to put for `0.` and to take off the rest


PACKAGES: Mapping[str, Package] = {
    "vllm": Package(r"^vllm/(v1|engine)/(.+/)?metrics[^/]*(/[^/]+)?\.py$", r'["\'](vllm:\w+)["\']'),
    "vllm-rust": Package(
        r"^rust/src/metrics/src/[a-z_]+\.rs$", r'^\s*"(vllm:\w+)",$', package="vllm", source=True
    ),  # its other front end, which speaks for the engines itself
    "vllm-omni": Package(
        r"^vllm_omni/metrics/definitions\.py$", r'^[A-Z_0-9]+ = METRIC_PREFIX \+ ["\'](\w+)["\']', "vllm_omni:"
    ),
    "sglang": Package(r"^sglang/srt/.*metrics.*\.py$", r'["\'](sglang:\w+)["\']'),
    "ray": Package(r"^ray/serve/_private/.*\.py$", r'["\'](serve_\w+)["\']', "ray_"),
    "lmdeploy": Package(r"^lmdeploy/metrics/.*\.py$", r'["\'](lmdeploy:\w+)["\']'),
    "litellm": Package(r"^litellm/(.*prometheus.*|proxy/middleware/.*)\.py$", r'["\'](litellm_\w+)["\']'),
    "ai-dynamo-runtime": Package(
        r"^dynamo/prometheus_names\.py$", r'^    [A-Z_]+ = ["\']([a-z]\w+)["\']', "dynamo_frontend_"
    ),
    "smg": Package(r"^model_gateway/src/observability/metrics\.rs$", r'"(smg_\w+)"', source=True),
    "llama-cpp-python": Package(
        r"^vendor/llama\.cpp/(tools|examples)/server/server[^/]*\.cpp$",
        r'^\s*(?:\{"name",\s*)?"([a-z]+_[a-z_]+)",?\}?,?$',
        "llamacpp:",
    ),
    "inference-extension": Package(
        r"^pkg/epp/metrics/metrics\.go$",
        r'Subsystem:\s+(\w+),\s+Name:\s+"(\w+)"',
        module="sigs.k8s.io/gateway-api-inference-extension",
    ),
    "kthena": Package(
        r"^pkg/kthena-router/metrics/metrics\.go$", r'Name:\s+"(kthena_\w+)"', module="github.com/volcano-sh/kthena"
    ),
    "envoy-ai-gateway": Package(
        r"^internal/metrics/genai\.go$",
        r'"(gen_ai\.(?:client|server)[.\w]+)"',
        module="github.com/envoyproxy/ai-gateway",
    ),
    "gen-ai": Package(
        r"^opentelemetry/semconv/_incubating/metrics/gen_ai_metrics\.py$",
        r'"(gen_ai\.(?:client|server)[.\w]+)"',
        package="opentelemetry-semantic-conventions",
    ),
    "knative": Package(
        r"^pkg/activator/handler/[a-z_]+\.go$", r'"(kn\.revision[.\w]+)"', module="knative.dev/serving", release="1. 27"
    ),
    "kube-state-metrics": Package(
        r"^internal/store/[a-z]+\.go$", r'^\s*"(kube_\w+)",$', module="k8s.io/kube-state-metrics/v2"
    ),
}


class Remote(io.RawIOBase):
    """A file behind HTTP, of which only the parts that are read are fetched."""

    def __init__(self, url: str) -> None:
        """Ask for its size."""
        self._url, self._at = url, 0
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
            self._size = int(answer.headers["Content-Length"])

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there; nothing is fetched."""
        self._at = (0, self._at, self._size)[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fetch the next part."""
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        part = urllib.request.Request(self._url, headers={"Range": f"bytes={self._at}-{end - 1}"})
        with urllib.request.urlopen(part, timeout=60) as answer:
            if answer.status != 206:
                sys.exit(f"{self._url} is not to be had in parts")
            data = answer.read()
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def release(requirement: str) -> Mapping[str, Any]:
    """The lock entry of one package: `name`, `version`, `wheels`, `sdist`."""
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-deps", "--python-version", "3.11"]
    command += ["--python-platform", "x86_64-manylinux_2_40", "--format", "pylock.toml", "-"]
    done = subprocess.run(command, input=requirement, text=True, capture_output=True, timeout=300, check=False)
    if done.returncode:
        sys.exit(f"{requirement}: {done.stderr.strip()}")
    entry: Mapping[str, Any] = tomllib.loads(done.stdout)["packages"][0]
    return entry


def module(path: str, version: str, files: str) -> tuple[str, list[str]]:
    """The version of a Go module, and the text of each of its files whose path matches; no version means the newest."""
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "GOMODCACHE": cache, "GOFLAGS": "-modcacherw", "GOWORK": "off"}
        command = ["go", "mod", "download", "-json", f"{path}@{f'v{version}' if version else 'latest'}"]
        done = subprocess.run(command, cwd=cache, env=env, text=True, capture_output=True, timeout=300, check=False)
        entry = json.loads(done.stdout or "{}")
        if "Dir" not in entry:
            sys.exit(f"{path}: {entry.get('Error') or done.stderr.strip()}")
        root = Path(entry["Dir"])
        found = [one for one in root.rglob("*") if one.is_file() and re.search(files, one.relative_to(root).as_posix())]
        return entry["Version"].removeprefix("v"), [one.read_text() for one in found]


def texts(entry: Mapping[str, Any], files: str, *, source: bool = False) -> Iterator[str]:
    """The text of each file of a release whose path matches; of its source archive, or if it has one, of its wheel."""
    if source or not entry.get("wheels"):
        with (
            urllib.request.urlopen(entry["sdist"]["url"], timeout=120) as answer,
            tarfile.open(fileobj=answer, mode="r|gz") as archive,
        ):
            for member in archive:
                if member.isfile() and re.search(files, member.name.partition("/")[2]):
                    yield archive.extractfile(member).read().decode()  # type: ignore[union-attr]
        return
    remote = io.BufferedReader(Remote(entry["wheels"][0]["url"]), 1 << 20)
    with zipfile.ZipFile(remote) as wheel:
        for path in wheel.namelist():
            if re.search(files, path):
                yield wheel.read(path).decode()


def names(package: Package, text: str) -> set[str]:
    """The metric names in one file; OpenTelemetry's dots become what Prometheus makes of them."""
    constants = dict(re.findall(r'^\s*(\w+)\s*=\s*"(\w+)"', text, re.MULTILINE))
    found: set[str] = set()
    for match in re.finditer(package.names, text, re.MULTILINE):
        *beginning, name = match.groups()
        found.add("_".join([*(constants[one] for one in beginning), package.prefix + name.replace(".", "_")]))
    return found


def renumbered(package: Package, version: str, *, back: bool = False) -> str:
    """The number that a module's release has elsewhere: Knative's 0.46.0 is 1.19.0; or `back` from there."""
    if not package.release or not version:
        return version
    major, less = package.release.split()
    _, minor, rest = version.split(".", 2)
    return f"0.{int(minor) + int(less)}.{rest}" if back else f"{major}{int(minor) - int(less)}.{rest}"


def read() -> dict[str, tuple[list[str], Names]]:
    """The record: package -> its recorded versions, and which of them have a name."""
    tree = json.loads(FILE.read_text()) if FILE.exists() else {}
    return {
        package: (
            entry["versions"],
            {name: _expanded(runs, entry["versions"]) for name, runs in entry["names"].items()},
        )
        for package, entry in tree.items()
    }


def write(record: Mapping[str, tuple[list[str], Names]]) -> None:
    """Write the record; consecutive versions become `first..last`."""
    tree = {
        package: {"versions": versions, "names": {name: _runs(known[name], versions) for name in sorted(known)}}
        for package, (versions, known) in sorted(record.items())
    }
    FILE.write_text(json.dumps(tree, indent=1) + "\n")


def _runs(some: Iterable[str], versions: list[str]) -> str:
    runs: list[list[str]] = []
    for at, version in enumerate(versions):
        if version in set(some):
            if runs and runs[-1][-1] == versions[at - 1]:
                runs[-1].append(version)
            else:
                runs.append([version])
    return " ".join(run[0] if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def _expanded(runs: str, versions: list[str]) -> list[str]:
    found = []
    for run in runs.split():
        first, _, last = run.partition("..")
        found += versions[versions.index(first) : versions.index(last or first) + 1]
    return found


def add(record: dict[str, tuple[list[str], Names]], requirement: str) -> str:
    """Look into one release and add it to the record; returns what was found, for people."""
    package, _, wanted = requirement.partition("==")
    kind = PACKAGES[package]
    if kind.module:
        version, written = module(kind.module, renumbered(kind, wanted, back=True), kind.files)
        version = renumbered(kind, version)
    else:
        entry = release(requirement.replace(package, kind.package or package, 1))
        version, written = entry["version"], list(texts(entry, kind.files, source=kind.source))
    found = {name for text in written for name in names(kind, text)}
    if not found:
        sys.exit(f"{package} {version}: no names at all; its files have moved, see PACKAGES")
    versions, known = record.get(package, ([], {}))
    versions = sorted({*versions, version}, key=Version)
    known = {name: [one for one in have if one != version] for name, have in known.items()}
    for name in found:
        known.setdefault(name, []).append(version)
    record[package] = versions, {name: have for name, have in known.items() if have}
    return f"{package} {version}: {len(found)} names"


def main(requirements: list[str]) -> None:
    """Record each; what was recorded before an error stays."""
    record = read()
    for requirement in requirements or PACKAGES:
        print(add(record, requirement), flush=True)
        write(record)


if __name__ == "__main__":
    main(sys.argv[1:])
