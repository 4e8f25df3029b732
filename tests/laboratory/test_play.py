"""What `make lab` offers: everything that can be typed does what it says, and what is printed leads somewhere."""

import shlex
import subprocess

import pytest
from laboratory.lab import Lab
from laboratory.play import HELP, NAME, Console, playing
from laboratory.process import LabError


def typed(console: Console, line: str) -> str:
    return console.obey(shlex.split(line))


def explained(console: Console) -> str:
    return typed(console, "explain")


def printed(command: str) -> str:
    run = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True, timeout=30)
    return run.stdout


def test_a_load_is_raised_prometheus_killed_and_a_node_cordoned_and_explain_tells_of_it(lab: Lab):
    with playing(lab) as console:
        assert console.state() == "replicas 0, ready 0; requests at the gateway 0, waiting 0, running 0"
        typed(console, "3")
        lab.wait(lambda: lab.replicas(NAME) >= 1, 60, "a load wakes the model")
        assert f"default/{NAME}  " in explained(console)
        assert "requests at the gateway 0" not in console.state(), "the model is loading"

        typed(console, "kill prometheus")
        lab.wait(lambda: "Connection refused" in explained(console), 30, "explain says what is down")
        with pytest.raises(KeyError, match="nobody"):
            typed(console, "kill nobody")
        assert typed(console, "start prometheus") == "start prometheus: done"
        with pytest.raises(LabError, match="prometheus is already running"):
            typed(console, "start prometheus")
        lab.wait(lambda: "Connection refused" not in explained(console).partition("inputs")[0], 30, "it is back")

        places = lambda: [pod["spec"]["nodeName"] for pod in lab.pods(NAME) if "nodeName" in pod["spec"]]  # noqa: E731
        node = lab.wait(places, 60, "a machine for the model")[0]
        typed(console, f"cordon {node}")
        assert [line.split()[1] for line in typed(console, "nodes").splitlines() if node in line] == [
            "Ready,SchedulingDisabled"
        ]
        lab.wait(lambda: "cordoned" in explained(console), 30, "explain says why there are fewer places")
        typed(console, f"uncordon {node}")
        for wrong in ("-5", "1e9"):
            with pytest.raises(ValueError, match="requests per second is not between 0 and 1000"):
                typed(console, wrong)
        with pytest.raises(ValueError, match="'kill' is not understood"):
            typed(console, "kill")
        assert typed(console, "help") == HELP

        told = console.places()
        assert "llama-" in printed(f"{told['kubectl']} get pods")
        assert f"default/{NAME}  " in printed(told["explain"].removesuffix(" --watch"))
    lab.say(f"make lab: {console.state()}")
