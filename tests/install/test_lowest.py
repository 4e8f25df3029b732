"""Lower bounds are true: `make test-lowest` installs the oldest that pyproject.toml allows, and this runs there alone."""

import importlib.metadata
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
DEPENDENCIES = [Requirement(line) for line in PROJECT["dependencies"]]


@pytest.mark.parametrize("requirement", DEPENDENCIES, ids=lambda requirement: requirement.name)
def test_the_oldest_that_is_allowed_is_the_one_installed(requirement):
    [bound] = requirement.specifier
    assert bound.operator == ">="
    assert Version(importlib.metadata.version(requirement.name)) == Version(bound.version)
