"""What `.ci/run` hands to make, and when; make, Go, openssl and unshare are played, since the real makes take most of an hour."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.prometheus_server import until

REPO = Path(__file__).parents[2]
MAKE = """#!/bin/sh
[ "$1" = --version ] && exec echo GNU Make 4.3
echo "$@" >> "$LOG"
env >> "$LOG.env"
case "$1" in
  programs) echo $$ > "$LOG.programs"; exec sleep "$BUILD" ;;
  "$BROKEN") exit 2 ;;
esac
"""
GO = """#!/bin/sh
case "$1" in version) echo go version go1.26.8 linux/amd64 ;; esac
"""
OPENSSL = """#!/bin/sh
echo OpenSSL 3.0.0
"""  # else it would be installed where it is missing
UNSHARE = """#!/bin/sh
[ "$PERMITTED" = yes ] || { echo unshare: unshare failed: Operation not permitted >&2; exit 1; }
"""


@pytest.fixture
def ci(tmp_path):
    """Run it in a clone of nothing else: its end and what it printed, the makes in their order, what they had as environment."""
    clone, tools = tmp_path / "clone", tmp_path / "tools"
    tools.mkdir()
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(REPO / ".ci" / "run", clone / ".ci")
    me = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "--quiet"), ("add", "."), (*me, "commit", "--quiet", "--message=all")):
        subprocess.run(["git", *command], cwd=clone, check=True)
    for name, script in (("make", MAKE), ("go", GO), ("openssl", OPENSSL), ("unshare", UNSHARE)):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)

    def call(**variables):
        log = tmp_path / "log"
        own = {"PATH": f"{tools}:{os.environ['PATH']}", "LOG": str(log), "BUILD": "0", "BROKEN": "none"}
        own["PERMITTED"] = "yes"
        done = subprocess.run(
            [clone / ".ci" / "run"],
            env=os.environ | own | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done, log.read_text().splitlines(), Path(f"{log}.env").read_text()

    return call


def test_what_is_cheap_to_find_comes_first_and_the_programs_are_there_before_they_are_needed(ci):
    done, makes, _ = ci()
    assert done.returncode == 0, done.stderr
    assert makes[:2] == ["setup", "check"]
    assert set(makes[2:6]) == {"programs", "test", "test-wheel", "test-lowest"}
    assert makes[6:] == ["test-oracles ORACLES=expr hpa prometheus", "test-cluster", "test-chart", "test-image"]


def test_where_a_machine_permits_no_namespaces_the_image_is_left_out_and_that_is_said(ci):
    done, makes, _ = ci(PERMITTED="no")
    assert done.returncode == 0, done.stderr
    assert makes[-1] == "test-chart"
    assert (
        "LEAVES OUT make test-image: this machine permits no mount, pid, ipc and uts namespaces (unshare" in done.stdout
    )


def test_it_says_what_it_found(ci):
    said = ci()[0].stdout
    assert re.search(r"Python 3\.\d+\.\d+ with pip \d+\.\d+", said)
    for words in (
        "go version go1.26.8",
        "git version",
        "GNU Make 4.3",
        "OpenSSL",
        "made earlier in this clone: nothing",
    ):
        assert words in said


def test_caches_of_another_day_are_not_used(ci, tmp_path):
    old = tmp_path / "another-day"
    names = "GOCACHE GOMODCACHE GOPATH GOBIN PIP_CACHE_DIR UV_CACHE_DIR XDG_CACHE_HOME VIRTUAL_ENV PYTHONPATH".split()
    _, _, environment = ci(**{name: str(old / name) for name in names})
    assert str(old) not in environment
    for name in ("GOCACHE", "GOPATH", "PIP_CACHE_DIR", "UV_CACHE_DIR", "XDG_CACHE_HOME"):
        assert f"\n{name}={tmp_path}/clone/.cache/" in environment


def test_the_first_that_fails_ends_it_and_the_build_beside_it(ci, tmp_path):
    done, makes, _ = ci(BROKEN="test-wheel", BUILD="50")
    assert done.returncode == 2
    assert [make for make in makes if make != "programs"][-1] == "test-wheel"  # the build begins at its own time
    assert "all is well" not in done.stdout
    began = tmp_path / "log.programs"  # not there where it was ended before it had begun
    until(lambda: not began.exists() or not Path("/proc", began.read_text().strip() or "self").exists())


def test_a_build_that_fails_fails_it(ci):
    done, makes, _ = ci(BROKEN="programs", BUILD="fails")
    assert done.returncode != 0
    assert "test-cluster" not in makes


def test_a_make_that_is_ended_ends_the_build_too(tmp_path):
    shutil.copy(REPO / "Makefile", tmp_path)
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "python").write_text('#!/bin/sh\necho $$ > "$LOG"\nexec sleep 50\n')
    (tools / "python").chmod(0o755)
    for name in ("requirements.lock", "pyproject.toml", ".venv/ready"):
        (tmp_path / name).touch()
    pid = tmp_path / "pid"
    make = subprocess.Popen(["make", "programs"], cwd=tmp_path, env=os.environ | {"LOG": str(pid), "MAKEFLAGS": ""})
    until(lambda: pid.exists() and pid.read_text().strip())
    make.terminate()
    make.wait(30)
    until(lambda: not Path("/proc", pid.read_text().strip()).exists())
