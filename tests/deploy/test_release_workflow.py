"""The workflow of a release: it builds with the project's own commands, everything is signed, and nobody holds a key."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / ".github/workflows/release.yml").read_text()
JOBS = yaml.safe_load(TEXT)["jobs"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]


def uses(job, action):
    """What each step of a job that uses an action is given."""
    return [step.get("with", {}) for step in JOBS[job]["steps"] if step.get("uses", "").startswith(f"{action}@")]


def scripts(job):
    return "\n".join(step.get("run", "") for step in JOBS[job]["steps"])


def test_nobody_holds_a_key():
    """What is signed is signed with the run's own identity; no secret is read, and none is in the file."""
    assert "secrets." not in TEXT
    assert "COSIGN_PRIVATE_KEY" not in TEXT
    assert "--key" not in TEXT
    signing = {name for name, step in STEPS if "cosign sign" in step.get("run", "") or "attest" in step.get("uses", "")}
    assert signing == {"image", "chart", "files"}
    for name in (*signing, "python"):
        assert JOBS[name]["permissions"]["id-token"] == "write", name


def test_a_job_may_do_only_what_it_is_for():
    assert yaml.safe_load(TEXT)["permissions"] == {}
    may_write = {
        name: {key for key, value in job["permissions"].items() if value == "write"} for name, job in JOBS.items()
    }
    assert may_write == {
        "build": set(),  # it runs all the code that there is, and can change nothing
        "image": {"packages", "id-token", "attestations"},
        "chart": {"packages", "id-token"},
        "python": {"id-token"},
        "files": {"contents", "id-token", "attestations"},
    }


def test_nothing_is_published_before_it_is_built_twice_and_tested():
    def behind(name):
        needed = JOBS[name].get("needs", [])
        direct = {needed} if isinstance(needed, str) else set(needed)
        return direct.union(*map(behind, direct))

    assert all("build" in behind(name) for name in JOBS if name != "build")
    built = scripts("build")
    assert built.index("make check test") < built.index("make release")
    assert built.count("make release") == 2
    assert "diff first/SHA256SUMS dist/SHA256SUMS" in built


def test_image_chart_packages_and_files_say_where_they_come_from():
    assert "cosign sign" in scripts("image")
    assert "cosign sign" in scripts("chart")
    [provenance], [materials] = uses("image", "actions/attest-build-provenance"), uses("image", "actions/attest-sbom")
    assert provenance["subject-digest"] == materials["subject-digest"] == "${{ steps.push.outputs.digest }}"
    assert materials["sbom-path"] == "dist/sbom.spdx.json"
    [files] = uses("files", "actions/attest-build-provenance")
    assert files == {"subject-checksums": "dist/SHA256SUMS"}
    assert uses("python", "pypa/gh-action-pypi-publish") == [{"packages-dir": "packages"}]


def test_it_calls_what_there_is():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = [word for line in re.findall(r"\bmake (.*)", TEXT.replace("`", "\n")) for word in line.split()]
    assert {word for word in called if word.islower() and word.isidentifier()} <= targets
    arguments = set(re.findall(r"--build-arg (\w+)=", TEXT))
    assert arguments == set(
        re.findall(r"^ARG (BASE|BUILD_BASE|VERSION|REVISION)\b", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    )


@pytest.mark.parametrize("script", [step["run"] for _, step in STEPS if "run" in step])
def test_what_somebody_may_write_goes_into_no_script(script):
    """A tag's name is text of whoever pushed it: it comes as a variable, never as a part of the script."""
    assert "${{" not in script
