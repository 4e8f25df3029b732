"""The lock installs what it names on any day: with every pip that may be met, whatever was released since."""

import base64
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from uv import find_uv_bin

REPO = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
LOCK = [
    Requirement(line) for line in re.findall(r"^(\w.*) \\$", (REPO / "requirements.lock").read_text(), re.MULTILINE)
]
HERE = [locked for locked in LOCK if locked.marker is None or locked.marker.evaluate()]  # on this system and Python
EXTRAS = {canonicalize_name(locked.name): locked.extras for locked in LOCK}
TOMORROW = "9999"  # a release of each of them that nobody has seen

# pip's own version -> the hash of its wheel.
PIPS = {
    "22.3": "1daab4b8d3b97d1d763caeb01a4640a2250a0ea899e257b1e44b9eded91e15ab",  # of Python 3.11.0
    "23.0.1": "236bcb61156d76c4b8a05821b988c7b8c35bf0da28a4b614e8d6ab5212c25c6f",  # of Debian 12
    "23.2.1": "7ccf472345f20d35bdc9d1841ff5f313260c2c33fe417f48c30ac46cccabf5be",  # of Python 3.11.7 and 3.12.0
    "24.2": "2cd581cf58ab7fcfca4ce8efa6dcacd0de5bf8d0a3eb9ec927e07405f4d9e2a2",  # of Python 3.13.0
    "26.3": "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13",  # the newest of November 2026
}
OLDEST = {(3, 11): "22.3", (3, 12): "23.2.1"}.get(
    sys.version_info[:2], "24.2"
)  # an older one does not run on this Python
OF_THIS_PYTHON = [pip for pip in PIPS if Version(pip) >= Version(OLDEST)]


def wanted(name):
    """What a distribution requires here, with the extras that the lock names."""
    extras = ["", *EXTRAS[canonicalize_name(name)]]
    requirements = [Requirement(line) for line in importlib.metadata.requires(name) or []]
    return [
        requirement
        for requirement in requirements
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def with_all_they_want(names):
    """These distributions, what they require, what that requires, and so on."""
    found, left = set(), [canonicalize_name(name) for name in names]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [canonicalize_name(requirement.name) for requirement in wanted(name)]
    return found


def test_whatever_is_required_with_an_extra_stands_in_the_lock_with_it():
    own = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    own += [Requirement(line) for line in PROJECT["dependency-groups"]["dev"] if isinstance(line, str)]
    required = own + [requirement for locked in HERE for requirement in wanted(locked.name)]
    with_extras = [requirement for requirement in required if requirement.extras]
    assert with_extras, "nothing is required with an extra, so this test says nothing"
    for requirement in with_extras:
        assert requirement.extras <= EXTRAS[canonicalize_name(requirement.name)], requirement


def test_what_builds_the_package_stands_in_the_lock():
    named = [*PROJECT["build-system"]["requires"], *PROJECT["dependency-groups"]["build"]]
    assert {Requirement(line).name for line in named} == {"hatchling", "editables"}  # a plugin would be one more
    for name in with_all_they_want(Requirement(line).name for line in named):
        assert name in EXTRAS


class Index:
    """A package index of two releases of everything: the one in the lock, and a newer one without any code.

    What builds the package is whole, so that it can be built; of the others there is what pip reads, but no code.
    """

    def __init__(self, folder: Path) -> None:
        self.url = (folder / "simple").as_uri()
        self.lock = ""  # the lock, with the hashes of these wheels
        whole = with_all_they_want(["hatchling", "editables"])
        for locked in HERE:
            name = canonicalize_name(locked.name)
            page = folder / "simple" / name
            page.mkdir(parents=True)
            installed = importlib.metadata.distribution(name)
            metadata = installed.read_text("METADATA")
            code = code_of(installed) if name in whole else {}
            wheels = [
                write_wheel(page, name, installed.version, metadata, code),
                write_wheel(
                    page, name, TOMORROW, re.sub("(?m)^Version: .*", f"Version: {TOMORROW}", metadata, count=1), {}
                ),
            ]
            (page / "index.html").write_text("".join(f'<a href="{wheel.name}">{wheel.name}</a>\n' for wheel in wheels))
            self.lock += f"{locked} --hash=sha256:{hashlib.sha256(wheels[0].read_bytes()).hexdigest()}\n"


def code_of(installed):
    """The files of an installed distribution that its wheel had: path -> content."""
    made_by_pip = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "METADATA", "WHEEL"}
    files = [file for file in installed.files if file.parts[0] != ".." and file.name not in made_by_pip]
    return {str(file): file.read_binary() for file in files if file.suffix != ".pyc"}


def write_wheel(folder, name, version, metadata, code):
    """Write a wheel for every Python; return its path."""
    stem = f"{name.replace('-', '_')}-{version}"
    wheel_file = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    about = {f"{stem}.dist-info/METADATA": metadata.encode(), f"{stem}.dist-info/WHEEL": wheel_file.encode()}
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        record = ""
        for file, content in (code | about).items():
            archive.writestr(file, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            record += f"{file},sha256={digest},{len(content)}\n"
        archive.writestr(f"{stem}.dist-info/RECORD", f"{record}{stem}.dist-info/RECORD,,\n")
    return path


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return Index(tmp_path_factory.mktemp("index"))


@pytest.fixture
def clone(tmp_path, index):
    """What `make setup` needs of a clone, in a folder of its own, with the lock of the index."""
    for name in ("scaler", "formulas"):
        shutil.copytree(REPO / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(REPO / name, tmp_path)
    (tmp_path / "requirements.lock").write_text(index.lock)
    return tmp_path


@pytest.fixture
def python(clone, pip):
    """The Python of an empty environment in the clone, with this pip."""
    named = clone / "pip.txt"
    named.write_text(f"pip=={pip} --hash=sha256:{PIPS[pip]}\n")
    uv, place = find_uv_bin(), clone / ".venv"
    run([uv, "venv", "--quiet", "--python", sys.executable, place])
    run([uv, "pip", "install", "--quiet", "--python", place, "--require-hashes", "--requirement", named])
    return place / "bin" / "python"


def run(command, folder=REPO, **variables):
    """Run it to its end; return what it printed."""
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asking(index):
    """Variables with which pip asks this index alone."""
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.url, "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}


def installed(python):
    """What the environment holds, but for pip and the package itself: name -> version."""
    [packages] = python.parents[1].glob("lib/python*/site-packages")
    found = importlib.metadata.distributions(path=[str(packages)])
    versions = {canonicalize_name(distribution.name): distribution.version for distribution in found}
    return {name: version for name, version in versions.items() if name not in {"pip", "keda-llm-scaler"}}


def locked_here():
    return {canonicalize_name(locked.name): str(locked.specifier).removeprefix("==") for locked in HERE}


@pytest.mark.parametrize("pip", OF_THIS_PYTHON)
def test_setup_takes_the_locked_releases_though_there_are_newer_ones(clone, python, index):
    run(["make", "setup", f"PYTHON={python}"], clone, MAKEFLAGS="", **asking(index))
    assert installed(python) == locked_here()
    where = run([python, "-c", "import scaler; print(scaler.__file__)"], "/")
    assert where == f"{clone / 'scaler' / '__init__.py'}\n"  # not the code of where these tests run
    assert python.with_name("llm-scaler").exists()


@pytest.mark.parametrize("pip", [OLDEST])
def test_pip_without_our_makefile_takes_them_too(clone, python, index):
    command = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", "requirements.lock"]
    run(command, clone, **asking(index))
    assert installed(python) == locked_here()


@pytest.mark.parametrize("pip", [OLDEST])
def test_the_index_of_these_tests_does_offer_newer_ones(clone, python, index):
    run([python, "-m", "pip", "install", "--quiet", "coverage"], clone, **asking(index))
    assert installed(python) == {"coverage": TOMORROW}
