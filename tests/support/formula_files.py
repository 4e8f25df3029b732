"""Formula files as text, for the tests of `check`."""

from scaler.check import check_file
from scaler.config.bind import parse_file
from scaler.config.defaults import Defaults
from scaler.model.strict_yaml import parse_yaml

QUEUE = """
name: queue
parameters:
  model: {example: llama}
  target: {type: number, default: 8, unit: requests per replica}
metrics:
  waiting: {signal: waiting}
  running: {signal: running}
  queued: {signal: queued, onMissing: zero}
formula: queued + waiting + running
target: $target
activation: queued + waiting + running > 0
"""


def read(text):
    return parse_file(parse_yaml(text, "mine.yaml"), "mine.yaml")


def check(text):
    return check_file(read(text), Defaults())


def with_tests(*tests, text=QUEUE):
    """A formula file with tests, each a line of YAML."""
    return text + "tests:\n" + "".join(f"- {test}\n" for test in tests)


def rules(text):
    """What is found in a formula file, as (severity, rule)."""
    return {(finding.severity, finding.rule) for finding in check(text).findings}
