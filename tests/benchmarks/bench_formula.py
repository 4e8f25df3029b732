"""Evaluating a formula that was read once, against simpleeval's own eval of the same text.

    python tests/benchmarks/bench_formula.py

The texts mean the same in both languages. Each figure is the fastest of several rounds, all taken in one run, so the
ratios hold on a noisy machine. The last table is what the most expensive formulas of tests/formula/test_limits.py cost,
read and evaluated (or refused), in CPU time.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from simpleeval import SimpleEval

sys.path.insert(0, str(Path(__file__).parents[1]))

from formula.test_limits import FITTING, GREEDY

from scaler.formula import parse
from scaler.model.errors import EvaluationError

ROUNDS, CALLS = 7, 2000
VALUES = {"waiting": 3.0, "running": 2.0, "queued": 1.0, "tokens": 5000.0, "pods": 4.0}
TEXTS = (
    "waiting + running",
    "queued + waiting + running > 0",
    "(waiting + running) / pods * 2 + queued ** 2",
    "((waiting + running) * 3 - queued / pods) * (tokens - 4000) / (pods + 1) + waiting * running - 2 * queued",
)


def fastest(call: Callable[[], object], calls: int = CALLS) -> float:
    """Microseconds of CPU per call, in the fastest of the rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, time.process_time() - start)
    return best / calls * 1e6


def read_and_evaluate(text: str) -> None:
    """What a stranger's formula costs once, failing or not."""
    program = parse(text)
    with contextlib.suppress(EvaluationError):
        program.evaluate({"a": 1.0})


def main() -> None:
    """Print both tables."""
    print(f"{'simpleeval':>12} {'llm-scaler':>12} {'ratio':>7}   microseconds per evaluation")
    for text in TEXTS:
        program = parse(text, kind="boolean" if ">" in text else "number")
        assert program.evaluate(VALUES) == SimpleEval(names=VALUES).eval(text)
        theirs = fastest(lambda text=text: SimpleEval(names=VALUES).eval(text))
        ours = fastest(lambda program=program: program.evaluate(VALUES))
        print(f"{theirs:12.1f} {ours:12.1f} {theirs / ours:6.1f}x   {text}")
    print(f"\n{'CPU':>12}   milliseconds to read and evaluate once")
    for name, text in {**GREEDY, **FITTING}.items():
        print(f"{fastest(lambda text=text: read_and_evaluate(text), 1) / 1000:12.2f}   {name}")


if __name__ == "__main__":
    main()
