"""The examples: each is what its first line's command prints, the server takes it, and none is missing."""

import shlex
from pathlib import Path

import pytest

from scaler.cli.main import main
from scaler.config.signals import engines

REPO = Path(__file__).parents[2]
EXAMPLES = REPO / "deploy" / "examples"
FILES = sorted([*EXAMPLES.glob("engines/*.yaml"), *EXAMPLES.glob("systems/*.yaml")])
SYSTEMS = ["wallaroo", "ray-serve", "knative", "aibrix", "kthena", "llm-d", "kserve", "dynamo", "leaderworkerset"]
ROUTERS = {"ray-serve"}  # in the catalogue with signals of its own pods too, and a system here


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(REPO)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_what_its_command_prints(file, capsys):
    command, _, text = file.read_text().partition("\n")
    words = shlex.split(command.removeprefix("# llm-scaler "))
    assert main(words) == 0
    assert capsys.readouterr().out == text


def test_all_of_them_pass_the_check(capsys):
    folders = [str(EXAMPLES / "engines"), str(EXAMPLES / "systems")]
    assert main(["check", "--formulas", str(EXAMPLES / "formulas"), *folders]) == 0
    assert capsys.readouterr().out.count("1 trigger of llm-scaler") == len(FILES)
    assert main(["check", str(EXAMPLES / "formulas")]) == 0


def test_every_engine_and_every_system_has_one():
    names = {file.stem for file in FILES}
    own = {name for name, signals in engines().items() if any(signal.scope == "target" for signal in signals.values())}
    assert own - ROUTERS - {"kubernetes"} <= names
    assert set(SYSTEMS) <= names


def test_the_page_names_every_file():
    page = (EXAMPLES / "README.md").read_text()
    for file in [*FILES, *EXAMPLES.glob("formulas/*.yaml")]:
        assert f"({file.parent.name}/{file.name})" in page
