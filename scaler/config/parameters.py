"""The parameters of a formula file: how they are declared, what a trigger may say for them, how they are put in. Pure.

Worked example: `target: $target` in the file and `target: "8"` in the trigger of a parameter of type number become
`target: 8.0`. Inside PromQL a parameter is a label's value or a number, and is escaped; anywhere else a `$` inside a
longer text is an error.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scaler.config import promql
from scaler.config.metrics import NAME, Scalar
from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import Fields, boolean, choice, duration, number, show, text

REFERENCE = re.compile(rf"\$({NAME})")  # to a parameter, in the template


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a formula file."""

    name: str
    type: str  # text | number | duration | boolean
    default: Scalar | None  # None: the trigger must give it
    example: Scalar | None  # stands in for it where a file is checked without a trigger
    unit: str
    description: str


def declared_parameter(where: str, name: str, tree: object) -> Parameter:
    """Read a parameter as a formula file declares it.

    Raises:
        ConfigError: its name is none, or a wrong value.
    """
    path = f"parameters.{name}"
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            where, path, f"{show(name)} is not a name", "letters, digits and '_', not starting with a digit"
        )
    return read_parameter(Fields(where, {} if tree is None else tree, path), name)


def read_parameter(fields: Fields, name: str) -> Parameter:
    """Read one parameter of a formula file, but for its name."""
    kind = fields.take("type", choice("text", "number", "duration", "boolean"), "text")
    default = fields.take("default", _TYPES[kind], None)
    example = fields.take("example", _TYPES[kind], None)
    unit, description = fields.take("unit", text, ""), fields.take("description", text, "")
    fields.close()
    return Parameter(name, kind, default, example, unit, description)


_TYPES: Mapping[str, Callable[[object], Scalar]] = {
    "text": text,
    "number": number(),
    "duration": duration(),
    "boolean": boolean,
}
_PLACEHOLDERS: Mapping[str, Scalar] = {"text": "placeholder", "number": 1.0, "duration": 60.0, "boolean": True}


def stand_in(parameter: Parameter, usual: Mapping[str, Scalar]) -> Scalar:
    """Choose a value where there is no trigger: the default, the usual one, the example, or one of the type."""
    known = (parameter.default, usual.get(parameter.name), parameter.example, _PLACEHOLDERS[parameter.type])
    return next(value for value in known if value is not None)


def typed(where: str, parameter: Parameter, raw: str) -> Scalar:
    """Read what a trigger says for a parameter.

    Raises:
        ConfigError: it is not of the parameter's type.
    """
    try:
        return _TYPES[parameter.type](raw)
    except ValueError as error:
        raise ConfigError(where, parameter.name, f"{show(raw)} is not allowed", str(error)) from error


def fill(where: str, path: str, value: object, place: Mapping[str, Scalar]) -> object:
    """Put parameters in: a whole value, or inside PromQL where it is escaped; anywhere else `$` is an error."""
    if isinstance(value, Mapping):
        return {key: fill(where, f"{path}.{key}", item, place) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(where, f"{path}[{index}]", item, place) for index, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value
    if path.startswith("metrics.") and path.endswith(".prometheus"):
        return promql.substitute(value, place_for_promql(place), where, path)
    whole_value = REFERENCE.fullmatch(value)
    if whole_value is None:
        name = REFERENCE.search(value)
        hint = (
            f"; a numeric parameter is a plain name here: {name[1]}"
            if name and path in {"formula", "activation"}
            else ""
        )
        raise ConfigError(where, path, f"$ inside {show(value)}{hint}", "$name as the whole value, or inside PromQL")
    if whole_value[1] not in place:
        raise ConfigError(where, path, f"{value} is not a parameter{nearest(whole_value[1], place)}", ", ".join(place))
    return place[whole_value[1]]


def place_for_promql(place: Mapping[str, Scalar]) -> dict[str, str | float]:
    """Write booleans, which have no place in PromQL, as the texts true and false."""
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in place.items()}


def parameter_at(body: object, path: str) -> str:
    """Return the parameter whose value stands at a path of the template as a whole; empty if none does."""
    for key in path.split("."):
        body = body.get(key) if isinstance(body, Mapping) else None
    reference = REFERENCE.fullmatch(body) if isinstance(body, str) else None
    return reference[1] if reference else ""
