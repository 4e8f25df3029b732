"""Checking formula files before they are served: their tests are run, and mistakes that users make are looked for.

series.py     promtool's notation of a series
timeline.py   what a test says: what is measured when, and what has to be answered
fold.py       the tests, folded by the same `decide` that serves
meaning.py    what a metric stands for: demand, throughput, room, size
probe.py      a formula tried on many moments
rules.py      the mistakes, one table
report.py     the result, as a value and as text
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from scaler.check.evidence import gather
from scaler.check.fold import Difference, Mismatch, mismatches
from scaler.check.report import Report, render
from scaler.check.rules import RULES, Finding, findings
from scaler.check.timeline import MAX_TICKS, FormulaTimeline, read_timeline
from scaler.config.bind import bind_example
from scaler.config.catalog import formula_paths, read_formula
from scaler.config.defaults import Defaults
from scaler.config.formula_file import FormulaFile, output_of
from scaler.model.errors import ConfigError

__all__ = ["RULES", "Difference", "Finding", "Mismatch", "Report", "check_file", "check_paths", "render"]


_NOTHING: Mapping[str, str] = MappingProxyType({})


def check_file(file: FormulaFile, defaults: Defaults, given: Mapping[str, str] = _NOTHING) -> Report:
    """Run the tests of a formula file and look for mistakes in its formula. Pure, and bounded whatever the file says.

    A test that cannot be read is a problem of its own; the others are run all the same.

    Args:
        file: as it was read.
        defaults: what the settings say.
        given: what a trigger says: mistakes are looked for in what it makes of the file. The tests know nothing of it.
    """
    timelines, problems = _timelines(file, defaults)
    failures = tuple(mismatch for timeline in timelines for mismatch in mismatches(timeline))
    try:
        found = tuple(_findings(file, given, defaults))
    except ConfigError as error:
        return Report(file.where, len(timelines), (*problems, str(error)), failures)
    return Report(file.where, len(timelines), problems, failures, found)


def _findings(file: FormulaFile, given: Mapping[str, str], defaults: Defaults) -> Iterator[Finding]:
    """Look for mistakes in the formula; of several outputs in all, or in the one that the trigger names.

    A parameter that one output reads and another does not is no mistake.
    """
    named = (output_of(file, given),) if "output" in given else file.parts
    of_each = [tuple(findings(gather(part, bind_example(part, given, defaults)))) for part in file.parts]
    of_all = set(of_each[0]).intersection(*of_each)
    for part, found in zip(file.parts, of_each, strict=True):
        whose = f"output {part.output.name}: " if part.output else ""
        for finding in found if part in named else ():
            if finding.rule != "unused-parameter":
                yield replace(finding, message=f"{whose}{finding.message}")
    yield from (finding for finding in of_each[0] if finding.rule == "unused-parameter" and finding in of_all)


def _timelines(file: FormulaFile, defaults: Defaults) -> tuple[list[FormulaTimeline], tuple[str, ...]]:
    timelines: list[FormulaTimeline] = []
    problems = []
    for index in range(len(file.tests)):
        try:
            timeline = read_timeline(file, index, defaults)
            ticks = timeline.ticks + sum(item.ticks for item in timelines)
            if ticks > MAX_TICKS:
                problem = f"brings the tests of this file to {ticks:,} decisions"
                raise ConfigError(file.where, f"tests[{index}]", problem, f"at most {MAX_TICKS:,}")
            timelines.append(timeline)
        except ConfigError as error:
            problems.append(str(error))
    return timelines, tuple(problems)


def check_paths(paths: Iterable[Path], given: Mapping[str, str] = _NOTHING) -> tuple[str, bool]:
    """Check formula files, and all of a folder; returns what to print, and whether nothing is wrong."""
    reports = [_check_path(path, given) for path in _files(paths)]
    return "\n".join(render(report) for report in reports), all(report.good for report in reports)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from (formula_paths(path) if path.is_dir() else []) or [path]


def _check_path(path: Path, given: Mapping[str, str]) -> Report:
    if path.is_dir():
        return Report(str(path), 0, (f"no formula files in {path}; allowed: *.yaml and *.yml directly in it",))
    try:
        return check_file(read_formula(path), Defaults(endpoints=()), given)
    except ConfigError as error:
        return Report(str(path), 0, (str(error),))
