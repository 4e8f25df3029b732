"""Write the pages of this folder from the code; `make docs` does, and tests/docs holds that they are up to date."""

import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from scaler.config.bind import OVERRIDES, SIGNAL_PARAMETERS, parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.defaults import WORKLOAD_KEYS
from scaler.config.formula_file import FormulaFile
from scaler.config.keys import Key
from scaler.config.outputs import MEMBER_KEYS
from scaler.config.parameters import Parameter
from scaler.config.schema import SCHEMAS, default_text
from scaler.config.settings import KEYS, as_tree, flag, read_settings, variable
from scaler.config.trigger import KEDA_KEYS
from scaler.formula import parse
from scaler.formula.builtins import BUILTINS, FOREIGN
from scaler.model import errors
from scaler.model.fields import seconds
from scaler.model.strict_yaml import parse_yaml
from scaler.server.metrics import METRICS, WORKLOAD

HERE = Path(__file__).resolve().parent
WRITTEN = "*Written from the code by `make docs`.*"

# What a function does, and an example; what the example gives is evaluated.
FUNCTIONS: Mapping[str, tuple[str, str]] = {
    "abs": ("A number without its sign.", "abs(-2.5)"),
    "ceil": ("Up to the next whole number.", "ceil(1.2)"),
    "floor": ("Down to the next whole number.", "floor(1.8)"),
    "round": ("To the nearest whole number; halves go away from zero.", "round(2.5)"),
    "int": ("A whole number, towards zero.", "int(-1.8)"),
    "float": ("A number with a fraction.", "float(3)"),
    "max": ("The greatest of numbers and of what is in arrays.", "max(1, [4, 2])"),
    "min": ("The least of numbers and of what is in arrays.", "min(1, [4, 2])"),
    "mean": ("The mean of all numbers; 0 of none.", "mean([1, 2, 6])"),
    "median": ("The middle of all numbers; 0 of none.", "median([1, 2, 6])"),
    "len": ("How many elements.", "len([5, 6])"),
    "first": ("The first element, or nil.", "first([5, 6])"),
    "last": ("The last element, or nil.", "last([5, 6])"),
    "get": ("The element at a place, counted from 0, or nil where there is none.", "get([5, 6], 7) ?? -1"),
    "take": ("The first so many elements.", "sum(take([5, 6, 7], 2))"),
    "reverse": ("The elements, last first.", "first(reverse([5, 6]))"),
    "uniq": ("The elements, each once.", "len(uniq([5, 5, 6]))"),
    "flatten": ("The elements of an array and of the arrays in it.", "len(flatten([[5, 6], [7]]))"),
    "concat": ("All elements of all arrays.", "len(concat([5], [6, 7]))"),
    "sort": ('The elements in order, "asc" or "desc".', 'first(sort([5, 7, 6], "desc"))'),
    "all": ("Whether every element passes; `#` is the element.", "all([5, 6], # > 4) ? 1 : 0"),
    "any": ("Whether an element passes.", "any([5, 6], # > 5) ? 1 : 0"),
    "none": ("Whether no element passes.", "none([5, 6], # > 6) ? 1 : 0"),
    "one": ("Whether exactly one element passes.", "one([5, 6], # > 5) ? 1 : 0"),
    "filter": ("The elements that pass.", "sum(filter([5, 6, 7], # > 5))"),
    "find": ("The first element that passes, or nil.", "find([5, 6, 7], # > 5)"),
    "findIndex": ("Where the first element that passes is, or nil.", "findIndex([5, 6, 7], # > 5)"),
    "findLast": ("The last element that passes, or nil.", "findLast([5, 6, 7], # < 7)"),
    "findLastIndex": ("Where the last element that passes is, or nil.", "findLastIndex([5, 6, 7], # < 7)"),
    "count": ("How many elements pass.", "count([5, 6, 7], # > 5)"),
    "map": ("What the closure makes of each element; `#index` is its place.", "sum(map([5, 6], # * 2 + #index))"),
    "sum": ("The sum of the elements, or of what a closure makes of them.", "sum([5, 6], # * 2)"),
    "sortBy": ('The elements in the order of their keys, "asc" or "desc".', "first(sortBy([5, 7, 6], -#))"),
    "reduce": ("The elements folded into `#acc`.", "reduce([5, 6, 7], #acc * # , 1)"),
}


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Return a table in Markdown; a bar inside a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in cells)


def page(title: str, *parts: str) -> str:
    """Return a page."""
    return "\n\n".join([f"# {title}", WRITTEN, *parts]) + "\n"


def settings() -> str:
    """Return the page of all settings, in the order of the file."""
    tree: dict[str, Any] = as_tree(read_settings({}, "settings", {}, {}))

    def default(path: str) -> str:
        found: Any = tree
        for name in path.split("."):
            found = found[name]
        return "" if found in (None, []) else f"`{str(found).lower() if isinstance(found, bool) else found}`"

    rows = (
        (f"`{key.path}`", default(key.path), f"`{variable(key.path)}`<br>`{flag(key.path)}`", key.meaning)
        for key in KEYS
    )
    introduction = (
        "The file says it as YAML, over it the variable, over that the flag; [The settings](../settings.md) has an"
        " example, and the endpoints, which only the file can name. `serve --print-settings` shows what is in force."
    )
    return page("Settings", introduction, table(("key", "default", "variable and flag", "meaning"), rows))


def metrics() -> str:
    """Return the page of our own metrics."""
    workload = ", ".join(WORKLOAD)
    rows = ((f"`{one.name}`", one.type, ", ".join(one.labels).replace(workload, "*w*"), one.help) for one in METRICS)
    return page(
        "Metrics",
        f"*w* is {workload}. No metric has a pod for a label.",
        table(("metric", "type", "labels", "meaning"), rows),
    )


def functions() -> str:
    """Return the page of the formula language's functions.

    Raises:
        KeyError: a function has no row in FUNCTIONS.
    """
    rows = (_function(name) for name in BUILTINS)
    introduction = (
        "The language is [expr-lang](https://expr-lang.org) as KEDA's `scalingModifiers` has it: numbers, comparisons,"
        " `&&`, `||`, `!`, `? :`, `??` for what was not measured, `let`, `if`, arrays and these functions."
        " `llm-scaler eval` tries a formula."
    )
    foreign = ", ".join(sorted(FOREIGN))
    left_out = f"Functions of expr-lang over texts, dates, bits and maps are refused by name: {foreign}."
    return page("Formula functions", introduction, table(("function", "gives", "example", "which is"), rows), left_out)


def _function(name: str) -> tuple[str, ...]:
    meaning, example = FUNCTIONS[name]
    value = parse(example, ()).evaluate({})
    return f"`{name}`", meaning, f"`{example}`", f"`{value:g}`"


def error_codes() -> str:
    """Return the page of what KEDA can be told instead of a number."""
    rows = (
        (f"`{kind.code}`", f"`{kind.__name__}`", (kind.__doc__ or "").split("\n\n")[0].replace("\n    ", " "))
        for kind in _kinds(errors.ScalerError)
        if kind is not errors.ScalerError
    )
    introduction = (
        "KEDA gets the gRPC status, and the sentence that goes with it stands in the events of the ScaledObject: what,"
        " where, the value, and what is allowed. `INTERNAL` is a fault of ours, with the reason in the log."
        " `GetMetricSpec` answers whatever happens."
    )
    return page("Errors", introduction, table(("status", "kind", "meaning"), rows))


def _kinds(kind: type[errors.ScalerError]) -> Iterator[type[errors.ScalerError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:  # others are a room's own, and there once somebody imports it
            yield from _kinds(below)


def formulas() -> str:
    """Return the page of the shipped formulas with their parameters."""
    files = [parse_file(parse_yaml(path.read_text(), path.name), path.name, path.stem) for path in _formula_paths()]
    introduction = "Each is a name for `formula:` in a trigger; its parameters are keys of that trigger."
    return page("Shipped formulas", introduction, *map(_formula, files))


def _formula_paths() -> list[Path]:
    return sorted(shipped_formulas().glob("*.yaml"))


def _formula(file: FormulaFile) -> str:
    def row(one: Parameter) -> tuple[str, ...]:
        default = "" if one.default is None else f"`{_written(one)}`"
        described = ", ".join(filter(None, [one.description, one.unit]))
        return f"`{one.name}`", one.type, default, described

    source = f"[Its file](../../formulas/{file.name}.yaml), with its tests."
    parameters = table(("parameter", "type", "default", "meaning"), map(row, file.parameters))
    return "\n\n".join([f"## {file.name}", file.description.strip(), parameters, source])


def _written(one: Parameter) -> str:
    """A parameter's default as a trigger would say it."""
    if isinstance(one.default, float):
        return seconds(one.default) if one.type == "duration" else f"{one.default:g}"
    return str(one.default)


def trigger_keys() -> str:
    """Return the page of the keys of a trigger by who reads them."""
    parts = [
        ("what is evaluated, one of the two", ("formula", "expression")),
        ("whose signals are meant; parameters of every formula", SIGNAL_PARAMETERS),
        ("in place of what the formula file says", OVERRIDES),
        ("which part of a group a ScaledObject is", tuple(key.path for key in MEMBER_KEYS)),
        ("what KEDA's call does not tell apart", ("kind", "id")),
        ("KEDA's own, which llm-scaler leaves to KEDA", tuple(sorted(KEDA_KEYS))),
    ]
    rows = ((meaning, ", ".join(f"`{key}`" for key in keys)) for meaning, keys in parts)
    own = ((f"`{key.path}`", _default(key), key.meaning) for key in WORKLOAD_KEYS)
    of_group = ((f"`{key.path}`", key.meaning) for key in MEMBER_KEYS)
    introduction = (
        "Any other key is a parameter of the formula ([shipped formulas](formulas.md)), or refused with the name of the"
        " nearest known one. [The trigger](../trigger.md) says what each means. `xFromEnv` is read as `x`; an empty"
        " value is one that is not given."
    )
    of_workload = "These a formula file may say, and a trigger in its place; the defaults are the settings'."
    keys = table(("key", "default", "meaning"), own)
    of_outputs = "These are for a formula file with several `outputs`; [groups](../groups.md) tells of them."
    members = table(("key", "meaning"), of_group)
    return page(
        "Trigger keys", introduction, table(("what it says", "keys"), rows), of_workload, keys, of_outputs, members
    )


def _default(key: Key[Any]) -> str:
    default = default_text(key)
    return f"`{default}`" if default else ""


def schema(of: str) -> str:
    """Return a JSON Schema for editors."""
    return json.dumps(SCHEMAS[of](), indent=2) + "\n"


PAGES = {
    "settings.md": settings,
    "metrics.md": metrics,
    "functions.md": functions,
    "errors.md": error_codes,
    "formulas.md": formulas,
    "trigger-keys.md": trigger_keys,
    "formula.schema.json": partial(schema, "formula"),
    "settings.schema.json": partial(schema, "settings"),
}


def main() -> None:
    """Write them all; a page that is as it should be is not touched."""
    for name, made in PAGES.items():
        text, path = made(), HERE / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            sys.stdout.write(f"wrote {path.relative_to(HERE.parents[1])}\n")


if __name__ == "__main__":
    main()
