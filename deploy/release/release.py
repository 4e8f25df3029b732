"""Build a release from a tag into one folder, and check it: `make release VERSION=0.1.0`.

    keda_llm_scaler-0.1.0-py3-none-any.whl, keda_llm_scaler-0.1.0.tar.gz     for Python
    llm-scaler-0.1.0.tgz                                                     the Helm chart
    llm-scaler-0.1.0.yaml, llm-scaler-mutual-tls-0.1.0.yaml                  the plain manifests
    sbom.spdx.json                                                           what is in it (SPDX)
    artifacthub/                                                             what Artifact Hub reads of the KEDA scaler
    RELEASE_NOTES.md, SHA256SUMS
    llm-scaler-0.1.0.image.tar                                               where an image builder and bases are given

Only what is committed goes in: everything is built from `git archive`. Nothing depends on the day, the machine or the
folder, so two builds of one commit are equal, byte by byte; tests/deploy/test_release.py builds twice. (The image is as
equal as its builder makes it.)
"""

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = Path("deploy/helm/llm-scaler")
RELEASE = Path("deploy/release")
MANIFESTS = Path("deploy/manifests")
KINDS = {
    "Added": "added",
    "Changed": "changed",
    "Deprecated": "deprecated",
    "Removed": "removed",
    "Fixed": "fixed",
    "Security": "security",
}


class ReleaseError(Exception):
    """Something is not as a release must have it; the message says what, and what to do."""


# ---- what is released ----


def checkout(reference: str, into: Path) -> int:
    """Write what `reference` has committed into a folder, and return when that was, in seconds.

    Raises:
        ReleaseError: there is no such commit.
    """
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct", reference, "--"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode or not done.stdout.strip():
        advice = f"git tag --annotate {reference} makes it, or REF=HEAD tries without"
        raise ReleaseError(f"there is no {reference}; {advice}")
    archive = subprocess.run(
        ["git", "-c", "tar.umask=0022", "archive", reference], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        unpack(tar, into)
    return int(done.stdout)


def unpack(archive: tarfile.TarFile, into: Path) -> None:
    """Unpack an archive, nothing of it outside the folder; a Python before 3.11.4 (Debian 12) cannot look at that."""
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    archive.extractall(into)


def said_version(tree: Path) -> dict[str, str]:
    """Return where the version stands in a tree, and what it says there."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((tree / CHART / "Chart.yaml").read_text())
    [package] = re.findall(r'^__version__ = "(.*)"$', (tree / "scaler/__init__.py").read_text(), re.M)
    return {
        "pyproject.toml": project["version"],
        "scaler/__init__.py": package,
        f"{CHART}/Chart.yaml: version": str(chart["version"]),
        f"{CHART}/Chart.yaml: appVersion": str(chart["appVersion"]),
    }


def notes(changelog: str, version: str, *, rehearsal: bool = False) -> str:
    """Return the section of a version in the changelog; in a rehearsal, what is unreleased will do.

    Raises:
        ReleaseError: there is none.
    """
    sections = dict(re.findall(r"^## (\S+).*?\n(.*?)(?=^## |\Z)", changelog, re.M | re.S))
    found = sections.get(version) or (sections.get("Unreleased") if rehearsal else None)
    if not found:
        raise ReleaseError(f"CHANGELOG.md has no section `## {version}`; what is under `## Unreleased` belongs there")
    return found.strip() + "\n"


def changes(text: str) -> list[dict[str, str]]:
    """Return release notes as Artifact Hub wants them: [{kind: added, description: ...}]."""
    found: list[dict[str, str]] = []
    for heading, body in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", text, re.M | re.S):
        entries = re.findall(r"^- (.*?)(?=^- |\Z)", body, re.M | re.S)
        found += [{"kind": KINDS[heading], "description": " ".join(entry.split())} for entry in entries]
    return found


# ---- its parts ----


def python_packages(tree: Path, out: Path, epoch: int) -> None:
    """Build the wheel and the sdist."""
    _hatchling(tree, out, epoch, "wheel", "sdist")


def _hatchling(tree: Path, out: Path, epoch: int, *targets: str) -> None:
    options = [argument for target in targets for argument in ("--target", target)]
    _run(
        [sys.executable, "-m", "hatchling", "build", *options, "--directory", str(out)],
        tree,
        SOURCE_DATE_EPOCH=str(epoch),
    )


def chart(tree: Path, out: Path, epoch: int, annotations: Mapping[str, str]) -> Path:
    """Pack the chart, with annotations for Artifact Hub. (Helm itself writes the time of day into every entry.)"""
    folder = tree / CHART
    description = yaml.safe_load((folder / "Chart.yaml").read_text())
    description["annotations"] |= annotations
    ignored = set((folder / ".helmignore").read_text().split())
    package = out / f"{description['name']}-{description['version']}.tgz"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(one for one in folder.rglob("*") if one.is_file() and one.name not in ignored):
            named = path.relative_to(folder)
            content = (
                yaml.safe_dump(description, sort_keys=False, width=1000).encode()
                if named == Path("Chart.yaml")
                else path.read_bytes()
            )
            entry = tarfile.TarInfo(f"{description['name']}/{named}")
            entry.size, entry.mtime, entry.mode = len(content), epoch, 0o644
            tar.addfile(entry, io.BytesIO(content))
    package.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
    return package


def bill_of_materials(tree: Path, out: Path) -> None:
    """Write the SPDX document of what the lock installs to run."""
    lock = (tree / "requirements.lock").read_bytes()
    script = tree / "deploy/image/lock.py"
    done = subprocess.run(
        [sys.executable, str(script), "spdx", "pyproject.toml"], cwd=tree, input=lock, capture_output=True, check=True
    )
    (out / "sbom.spdx.json").write_bytes(done.stdout)


def artifact_hub(tree: Path, out: Path, version: str, created: str, text: str) -> None:
    """Write the folder that Artifact Hub reads: the package as a KEDA scaler, its README, who owns the repository."""
    package: dict[str, Any] = yaml.safe_load((tree / RELEASE / "artifacthub-pkg.yml").read_text())
    package = {"version": version, **package, "createdAt": created, "changes": changes(text)}
    place = out / "artifacthub" / "llm-scaler" / version
    place.mkdir(parents=True)
    (place / "artifacthub-pkg.yml").write_text(yaml.safe_dump(package, sort_keys=False, width=1000))
    for name, source in (("README.md", tree / "README.md"), ("logo.svg", tree / RELEASE / "logo.svg")):
        shutil.copyfile(source, place / name)
    shutil.copyfile(tree / RELEASE / "artifacthub-repo.yml", out / "artifacthub" / "artifacthub-repo.yml")


def image(tree: Path, out: Path, version: str, built: argparse.Namespace) -> None:
    """Build the image with the builder that was given, and save it beside the rest."""
    name = f"{built.image}:{version}"
    arguments = {"BASE": built.base, "BUILD_BASE": built.build_base, "VERSION": version, "REVISION": built.revision}
    options = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    _run([built.builder, "build", "--tag", name, *options, "."], tree)
    archive = out / f"llm-scaler-{version}.image.tar"
    push = Path(built.builder).name == "buildah"
    _run(
        [built.builder, "push", name, f"oci-archive:{archive}"]
        if push
        else [built.builder, "save", "--output", str(archive), name],
        tree,
    )


# ---- whether it is good ----


def try_python_packages(out: Path, version: str, epoch: int) -> None:
    """Run the wheel: it says its version, and its formulas pass their own tests. The sdist must build the same wheel.

    Raises:
        ReleaseError: it says another version, it fails, or it is another wheel.
    """
    [wheel], [sdist] = out.glob("*.whl"), out.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        said = _run([sys.executable, "-m", "scaler", "--version"], Path(folder), PYTHONPATH=folder).strip()
        if said != f"llm-scaler {version}":
            raise ReleaseError(f"{wheel.name} says that it is {said}")
        _run([sys.executable, "-m", "scaler", "check"], Path(folder), PYTHONPATH=folder)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as tar:
        unpack(tar, Path(folder))
        [unpacked] = Path(folder).iterdir()
        _hatchling(unpacked, Path(folder), epoch, "wheel")
        if (Path(folder) / wheel.name).read_bytes() != wheel.read_bytes():
            raise ReleaseError(f"{sdist.name} builds another {wheel.name}")


def try_chart(package: Path, helm: str) -> None:
    """Let Helm judge the packed chart.

    Raises:
        ReleaseError: it finds a fault.
    """
    _run([helm, "lint", "--strict", str(package)], package.parent)
    _run([helm, "template", "llm-scaler", str(package), "--kube-version", "1.37.0"], package.parent)


def checksums(out: Path) -> None:
    """Write SHA256SUMS of everything there is, as sha256sum reads it."""
    paths = sorted(path for path in out.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(out)}\n" for path in paths]
    (out / "SHA256SUMS").write_text("".join(lines))


def _run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


# ---- all of it ----


def release(version: str, reference: str, out: Path, options: argparse.Namespace) -> Iterator[str]:
    """Build and check a release into `out`, which is made anew, and say each part when it is done.

    Raises:
        ReleaseError: something is missing, or does not pass its check.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        epoch = checkout(reference, tree)
        wrong = {place: said for place, said in said_version(tree).items() if said != version}
        if wrong:
            told = ", ".join(f"{place} says {said}" for place, said in wrong.items())
            raise ReleaseError(f"it is to be version {version}, and {told}")
        text = notes((tree / "CHANGELOG.md").read_text(), version, rehearsal=reference != f"v{version}")
        (out / "RELEASE_NOTES.md").write_text(f"# llm-scaler {version}\n\n{text}")
        python_packages(tree, out, epoch)
        if options.check:
            try_python_packages(out, version, epoch)
        yield "wheel and sdist: built, run, the wheel of the sdist is the same"
        package = chart(tree, out, epoch, _annotations(options.image, version, text))
        if options.helm:
            try_chart(package, options.helm)
        yield f"chart: packed{', passes helm lint and template' if options.helm else '; HELM=helm would try it'}"
        for manifest in (tree / MANIFESTS).glob("*.yaml"):
            shutil.copyfile(manifest, out / f"{manifest.stem}-{version}.yaml")
        bill_of_materials(tree, out)
        artifact_hub(tree, out, version, _date(epoch), text)
        yield "manifests, bill of materials, Artifact Hub: written"
        if options.base and options.build_base:
            image(tree, out, version, options)
            yield f"image: built by {options.builder}"
        else:
            yield "image: not built; BUILDER, BASE and BUILD_BASE would say how"
    checksums(out)
    yield f"SHA256SUMS: {len(list(out.rglob('*'))) - 1} files in {out}"


def _annotations(image_name: str, version: str, text: str) -> dict[str, str]:
    images = [{"name": "llm-scaler", "image": f"{image_name}:{version}", "platforms": ["linux/amd64", "linux/arm64"]}]
    return {
        "artifacthub.io/images": yaml.safe_dump(images, sort_keys=False),
        "artifacthub.io/changes": yaml.safe_dump(changes(text), sort_keys=False, width=1000),
    }


def _date(epoch: int) -> str:
    """Seconds as Artifact Hub writes a time."""
    done = subprocess.run(
        ["date", "--utc", "--date", f"@{epoch}", "+%Y-%m-%dT%H:%M:%SZ"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def main() -> int:
    """Read the arguments, release, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version")
    parser.add_argument("--ref", help="instead of the tag vVERSION, to rehearse")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--helm", default=shutil.which("helm"), help="to try the chart with")
    parser.add_argument("--builder", default="docker", help="docker, podman or buildah")
    parser.add_argument("--image", default="llm-scaler", help="name of the image, with its registry")
    parser.add_argument("--base", help="what the image runs on, by digest")
    parser.add_argument("--build-base", help="what it is built on, by digest")
    options = parser.parse_args()
    reference = options.ref or f"v{options.version}"
    options.revision, options.check = reference, True
    try:
        for said in release(options.version, reference, options.output.resolve(), options):
            print(f"release: {said}")
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
