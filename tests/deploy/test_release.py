"""A release is the same from whoever builds it, wherever and whenever; and what stands in it is what the version says."""

import argparse
import hashlib
import importlib.util
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from scaler import __version__

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("release", ROOT / "deploy/release/release.py")
release = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(release)

OPTIONS = {"helm": None, "image": "registry.example.com/llm-scaler", "base": None, "build_base": None}


def made(out, *, check):
    list(release.release(__version__, "HEAD", out, argparse.Namespace(**OPTIONS, check=check)))
    return {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return made(tmp_path_factory.mktemp("first") / "dist", check=True)


def test_two_builds_are_equal_byte_by_byte(built, tmp_path, monkeypatch):
    """Another folder, time zone, hash seed and umask, and another day as far as the files' times go."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    before = os.umask(0o077)
    try:
        again = made(tmp_path / "a longer path" / "dist", check=False)
    finally:
        os.umask(before)
    digest = lambda files: {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}  # noqa: E731
    assert digest(again) == digest(built)


def test_everything_is_there_and_its_sums_are_right(built):
    version = __version__
    assert set(built) == {
        f"keda_llm_scaler-{version}-py3-none-any.whl",
        f"keda_llm_scaler-{version}.tar.gz",
        f"llm-scaler-{version}.tgz",
        f"llm-scaler-{version}.yaml",
        f"llm-scaler-mutual-tls-{version}.yaml",
        "sbom.spdx.json",
        "RELEASE_NOTES.md",
        "SHA256SUMS",
        "artifacthub/artifacthub-repo.yml",
        *(f"artifacthub/llm-scaler/{version}/{name}" for name in ("artifacthub-pkg.yml", "README.md", "logo.svg")),
    }
    folder = built["SHA256SUMS"].parent
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)


def test_the_chart_is_packed_as_it_is_but_for_what_artifact_hub_reads(built):
    with tarfile.open(built[f"llm-scaler-{__version__}.tgz"]) as tar:
        packed = {name: tar.extractfile(name).read() for name in tar.getnames()}
    folder = ROOT / "deploy/helm/llm-scaler"
    files = {f"llm-scaler/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()}
    assert files - set(packed) == {"llm-scaler/README.md.gotmpl", "llm-scaler/.helmignore"} & (files - set(packed))
    description = yaml.safe_load(packed["llm-scaler/Chart.yaml"])
    annotations = description["annotations"]
    assert annotations["artifacthub.io/license"] == "Apache-2.0"
    [image] = yaml.safe_load(annotations["artifacthub.io/images"])
    assert image["image"] == f"registry.example.com/llm-scaler:{__version__}"
    assert {one["kind"] for one in yaml.safe_load(annotations["artifacthub.io/changes"])} <= set(release.KINDS.values())


def test_artifact_hub_gets_what_a_keda_scaler_must_have(built):
    package = yaml.safe_load(built[f"artifacthub/llm-scaler/{__version__}/artifacthub-pkg.yml"].read_text())
    assert {"version", "name", "displayName", "createdAt", "description"} <= set(package), "what it asks for"
    assert {"install", "changes", "license", "logoPath", "keywords", "recommendations"} <= set(package)
    assert package["version"] == __version__
    assert package["createdAt"].endswith("Z")
    assert all(one["description"] and one["kind"] == "added" for one in package["changes"])


def test_all_that_name_the_version_name_the_same():
    assert set(release.said_version(ROOT).values()) == {__version__}


@pytest.mark.parametrize(
    ("version", "reference", "said"),
    [
        ("9.9.9", "HEAD", "it is to be version 9.9.9, and pyproject.toml says"),
        (__version__, "v0.0.0-never", "there is no v0.0.0-never; git tag --annotate"),
    ],
)
def test_what_is_no_release_is_refused_before_anything_is_built(version, reference, said, tmp_path):
    with pytest.raises(release.ReleaseError, match=said):
        list(release.release(version, reference, tmp_path / "dist", argparse.Namespace(**OPTIONS, check=True)))
    assert list((tmp_path / "dist").iterdir()) == []


def test_the_notes_are_the_versions_own_section():
    changelog = "# Changelog\n\n## Unreleased\n\n### Added\n\n- Not yet.\n\n## 1.2.0 - 2026-12-01\n\n### Fixed\n\n- One\n  thing.\n- Another.\n\n## 1.1.0\n"
    text = release.notes(changelog, "1.2.0")
    assert release.changes(text) == [
        {"kind": "fixed", "description": "One thing."},
        {"kind": "fixed", "description": "Another."},
    ]
    with pytest.raises(release.ReleaseError, match="has no section `## 1.3.0`"):
        release.notes(changelog, "1.3.0")
    assert "Not yet." in release.notes(changelog, "1.3.0", rehearsal=True)


def test_an_archive_is_unpacked_by_a_python_without_filters(tmp_path, monkeypatch):
    (tmp_path / "in").write_text("inside")
    with tarfile.open(tmp_path / "whole.tar", "w") as made:
        made.add(tmp_path / "in", "folder/file")
    if hasattr(tarfile, "data_filter"):  # from 3.11.4 on; Debian 12 has 3.11.2
        extract = tarfile.TarFile.extractall
        without = lambda archive, path: extract(archive, path, filter="fully_trusted")  # noqa: E731
        monkeypatch.setattr(tarfile.TarFile, "extractall", without)
        monkeypatch.delattr(tarfile, "data_filter")
    with tarfile.open(tmp_path / "whole.tar") as archive:
        release.unpack(archive, tmp_path / "unpacked")
    assert (tmp_path / "unpacked/folder/file").read_text() == "inside"


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="Python before 3.11.4 cannot look at that")
def test_nothing_of_an_archive_leads_out_of_the_folder(tmp_path):
    (tmp_path / "in").write_text("inside")
    with tarfile.open(tmp_path / "odd.tar", "w") as made:
        made.add(tmp_path / "in", "../outside")
    with tarfile.open(tmp_path / "odd.tar") as archive, pytest.raises(tarfile.OutsideDestinationError):
        release.unpack(archive, tmp_path / "unpacked")
    assert not (tmp_path / "outside").exists()
