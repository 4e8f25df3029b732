r"""Read requirements.lock: what is needed to run, and the bill of materials (SPDX 2.3). Needs Python alone.

    python3 lock.py runtime < requirements.lock                 the part of the lock that a running llm-scaler needs
    python3 lock.py only uv < requirements.lock                 the part of one package
    python3 lock.py spdx pyproject.toml < requirements.lock     the bill of materials of the first part, as JSON

The lock is what `uv pip compile` writes: a requirement, its hashes, and after `# via` who wants it.

    aiosignal==1.4.0 \
        --hash=sha256:053243f8b92b990551949e63930a839ff0cf0b0ebbe0597b0f3fb19e1a0fe82e \
        --hash=sha256:f47eecd9468083c2029cc99945502cb7707b082c232f9aca65da147db157b3c7
        # via aiohttp
"""

import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = "keda-llm-scaler (pyproject.toml)"  # how the lock calls who wants what is needed to run


@dataclass(frozen=True, slots=True)
class Locked:
    """One entry of the lock; a package has several where no release is for all versions of Python."""

    name: str
    version: str
    wanted_by: frozenset[str]
    text: str

    @property
    def hashes(self) -> list[str]:
        """The SHA-256 of every file that may be installed."""
        return re.findall(r"--hash=sha256:([0-9a-f]{64})", self.text)


def read_lock(text: str) -> list[Locked]:
    """Read every entry of a lock.

    Raises:
        ValueError: a line that is not understood.
    """
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return [_entry(entry) for entry in entries if entry.strip()]


def _entry(text: str) -> Locked:
    head = re.match(r"([A-Za-z0-9._-]+?)(?:\[[\w,-]+\])?==([^\s;\\]+)", text)
    if head is None:
        raise ValueError(f"not a line of a lock: {text.splitlines()[0]!r}")
    _, _, wanted = text.partition("# via")
    names = (line.strip(" #") for line in wanted.splitlines())
    return Locked(head[1], head[2], frozenset(filter(None, names)), text)


def runtime(locked: Collection[Locked]) -> list[Locked]:
    """Return the entries that a running llm-scaler needs: what the project wants, what that wants, and so on."""
    needed: set[str] = {PROJECT}
    while True:
        more = {entry.name for entry in locked if entry.wanted_by & needed} - needed
        if not more:
            return [entry for entry in locked if entry.name in needed]
        needed |= more


def spdx(locked: Collection[Locked], name: str, version: str, license_: str) -> dict[str, object]:
    """Return the bill of materials of `name`, which wants these entries.

    Checksums are those of the files that may be installed, so no file outside of the lock matches one. It is named
    after its content, and dated to the epoch: two builds of one lock make the same document.
    """
    digest = hashlib.sha256("".join(entry.text for entry in locked).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{name}-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{version}-{digest}",
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": [f"Tool: {name}-{version}"]},
        "packages": [_package(name, version, license_), *(_package_of(entry) for entry in locked)],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", _reference(name, version)),
            *_dependencies(locked, _reference(name, version)),
        ],
    }


def _package(name: str, version: str, license_: str) -> dict[str, object]:
    return {
        "SPDXID": _reference(name, version),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseDeclared": license_,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:pypi/{name}@{version}",
            }
        ],
    }


def _package_of(entry: Locked) -> dict[str, object]:
    checksums = [{"algorithm": "SHA256", "checksumValue": digest} for digest in entry.hashes]
    return {**_package(entry.name, entry.version, "NOASSERTION"), "checksums": checksums}


def _dependencies(locked: Collection[Locked], project: str) -> Iterator[dict[str, str]]:
    references = {entry.name: _reference(entry.name, entry.version) for entry in locked} | {PROJECT: project}
    for entry in locked:
        for wanting in sorted(entry.wanted_by & references.keys()):
            yield _relation(references[wanting], "DEPENDS_ON", _reference(entry.name, entry.version))


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _reference(name: str, version: str) -> str:
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{name}-{version}")


def main(arguments: list[str]) -> None:
    """Do what the arguments say, from the lock on standard input to standard output."""
    locked = read_lock(sys.stdin.read())
    match arguments:
        case ["runtime"]:
            sys.stdout.writelines(entry.text for entry in runtime(locked))
        case ["only", name]:
            sys.stdout.writelines(entry.text for entry in locked if entry.name == name)
        case ["spdx", path]:
            project = tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"]
            document = spdx(runtime(locked), project["name"], project["version"], project["license"])
            json.dump(document, sys.stdout, indent=1)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
