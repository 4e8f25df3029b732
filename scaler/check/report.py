"""What `check` has to say of one formula file, as a value and as text."""

from collections.abc import Iterator
from dataclasses import dataclass

from scaler.check.fold import Mismatch
from scaler.check.rules import Finding
from scaler.decision.decision import Decision, InputValue
from scaler.decision.explain import steps_of
from scaler.decision.render import number_text, step_lines
from scaler.model.fields import seconds

MAX_STEPS = 12  # of a formula, shown below a test that failed


@dataclass(frozen=True, slots=True)
class Report:
    """The findings in one formula file."""

    file: str
    tests: int  # that were run
    problems: tuple[str, ...] = ()  # the file, or a test of it, cannot be read
    failures: tuple[Mismatch, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def good(self) -> bool:
        """Tell whether nothing is wrong: warnings and notes are allowed."""
        return not (self.problems or self.failures or any(item.severity == "error" for item in self.findings))


def render(report: Report) -> str:
    """Show a report to a person."""
    noun = "test" if report.tests == 1 else "tests"
    word = "ok    " if report.good else "FAILED"
    lines = [f"{word}  {report.file}: {report.tests} {noun}"]
    for problem in report.problems:
        lines += ["", *_block("error", problem.removeprefix(f"{report.file}: "))]
    for failure in report.failures:
        lines += ["", *_failure(failure)]
    for finding in report.findings:
        example = [f"for example  {finding.example}"] if finding.example else []
        lines += ["", *_block(finding.severity, "\n".join([f"{finding.message}  [{finding.rule}]", *example]))]
    return "\n".join(lines) + "\n"


def _block(head: str, text: str) -> list[str]:
    first, *rest = text.split("\n")
    return [f"  {head:<8} {first}", *(f"  {'':<8} {line}" for line in rest)]


def _failure(failure: Mismatch) -> list[str]:
    decision = failure.decision
    wanted = ", ".join(f"{item.word} {_shown(item.wanted)}" for item in failure.differences)
    came = ", ".join(f"{item.word} {_shown(item.actual)}" for item in failure.differences)
    lines = [
        *_block("failed", f"{failure.test} at {seconds(failure.at)}"),
        *_block("", f"expected  {wanted}"),
        *_block("", f"came      {came}"),
        *_block("", f"because   {decision.reason}"),
        *_block("", f"given     {', '.join(_given(decision))}"),
    ]
    head = "steps"
    for step in _steps(decision, {item.word for item in failure.differences}):
        lines += _block("", f"{head:<9} {step}")
        head = ""
    return lines


def _shown(value: object) -> str:
    if value is None or value == "":
        return "none"
    return number_text(value) if isinstance(value, (bool, float)) else str(value)


def _given(decision: Decision) -> Iterator[str]:
    """Yield what was measured at that time, and how it was taken."""
    inputs = {fact.name for fact in decision.input_values}
    for fact in (*decision.input_values, *(guard for guard in decision.activity_signals if guard.name not in inputs)):
        yield f"{fact.name} {_fact(fact)}"
    known = decision.target_status
    counts = {"replicas": known.current, "ready": known.ready, "starting": known.starting}
    for name, count in counts.items():
        shown = "unknown" if count is None else count
        yield f"{name} {shown}"


def _fact(fact: InputValue) -> str:
    note = fact.problem or fact.rule
    counts = "not measured, counts as " if fact.substituted and fact.value is not None else ""
    return counts + number_text(fact.value) + (f" ({note})" if note else "")


def _steps(decision: Decision, words: set[str]) -> list[str]:
    """List the steps of the formula, or of the activation where only that came out otherwise; names alone left out."""
    activation = decision.spec.activation
    program = activation if words == {"active"} and not isinstance(activation, float) else decision.spec.program
    steps = [step for step in steps_of(program, decision.scope) if step.text not in decision.scope]
    lines = step_lines(steps[:MAX_STEPS])
    return lines + ([f"... and {len(steps) - MAX_STEPS} more"] if len(steps) > MAX_STEPS else [])
