"""deploy/image/lock.py reads the lock right: what it calls needed to run is what the installed packages say they need."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("lock", ROOT / "deploy" / "image" / "lock.py")
lock = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lock)

LOCK = lock.read_lock((ROOT / "requirements.lock").read_text())


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def needed():
    """What llm-scaler needs here, and what that needs, by the packages' own metadata."""
    found, open_ = set(), {"keda-llm-scaler"}
    while open_:
        name = open_.pop()
        requirements = map(Requirement, importlib.metadata.requires(name) or ())
        wanted = {plain(one.name) for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})}
        open_ |= wanted - found
        found |= wanted
    return found


def test_what_is_needed_to_run_is_all_of_it_and_nothing_else():
    here = {entry.name for entry in lock.runtime(LOCK)}
    assert needed() <= here
    elsewhere = here - needed()  # on other machines, or through extras
    assert len(elsewhere) < 6, elsewhere
    assert {"pytest", "ruff", "mypy", "uv", "grpcio-tools"}.isdisjoint(here)


def test_every_entry_has_hashes_and_somebody_who_wants_it():
    for entry in LOCK:
        assert entry.hashes, entry.name
        assert entry.wanted_by, entry.name


def test_a_line_that_is_no_lock_is_refused():
    with pytest.raises(ValueError, match="aiohttp>=3"):
        lock.read_lock("aiohttp>=3\n    # via x\n")


def test_the_bill_of_materials_relates_what_it_names():
    entries = lock.runtime(LOCK)
    document = lock.spdx(entries, "keda-llm-scaler", "0.1.0", "Apache-2.0")
    named = {package["SPDXID"] for package in document["packages"]} | {"SPDXRef-DOCUMENT"}
    ends = {end for one in document["relationships"] for end in (one["spdxElementId"], one["relatedSpdxElement"])}
    assert ends == named
    assert document == lock.spdx(entries, "keda-llm-scaler", "0.1.0", "Apache-2.0"), "of one lock there is one document"
    aiohttp = next(package for package in document["packages"] if package["name"] == "aiohttp")
    locked = next(entry for entry in LOCK if entry.name == "aiohttp")
    assert [one["checksumValue"] for one in aiohttp["checksums"]] == locked.hashes
