"""A formula file: its name, its parameters, its template, its tests, and one such file for each of its outputs. Pure.

The template is every key but these; `$name` in it stands for a parameter of the trigger (parameters.py). What is in it
is read when it is bound to a trigger (bind.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scaler.config.metrics import FORMULA_NAME
from scaler.config.outputs import Output, read_outputs
from scaler.config.parameters import Parameter, declared_parameter
from scaler.config.trigger import TRIGGER
from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import Fields, listed, matching, show, text


@dataclass(frozen=True, slots=True)
class FormulaFile:
    """A formula file that was read; whether it is valid, shows when it is bound."""

    name: str
    where: str
    description: str
    parameters: tuple[Parameter, ...]
    body: Mapping[str, object]  # the template: every key but name, description, parameters, tests
    tests: tuple[object, ...]  # as written; `check` reads them
    outputs: Mapping[str, "FormulaFile"] = field(default_factory=dict)  # one for each of `outputs`, without tests
    output: Output | None = None  # which of these it is; None: a whole file

    @property
    def parts(self) -> tuple["FormulaFile", ...]:
        """Its outputs, each as a file of its own; the file itself where it has none."""
        return tuple(self.outputs.values()) or (self,)


def read_file(tree: object, where: str, stem: str | None = None) -> FormulaFile:
    """Read a formula file.

    Args:
        tree: the YAML as read.
        where: the file's path, for messages.
        stem: the file's name without its ending, which `name` must equal; None to allow any.

    Raises:
        ConfigError: a wrong name, parameter or output.
    """
    fields = Fields(where, tree)
    name = fields.take("name", matching(FORMULA_NAME, "lower-case letters, digits and '-', at most 63"))
    if stem is not None and name != stem:
        raise fields.error("name", f"{show(name)} is not the file's own name", stem)
    description = fields.take("description", text, "")
    declared = fields.inside("parameters")
    parameters = tuple(declared_parameter(where, key, raw) for key, raw in declared.rest().items())
    no_tests: tuple[object, ...] = ()
    tests = fields.take("tests", listed(lambda raw: raw), no_tests)
    return _parted(FormulaFile(name, where, description, parameters, fields.rest(), tests))


def _parted(file: FormulaFile) -> FormulaFile:
    """Give a file with `outputs` one file for each of them."""
    parts = read_outputs(file.where, file.body)
    of_each = {name: replace(file, body=body, tests=(), output=output) for name, (output, body) in parts.items()}
    return replace(file, outputs=of_each)


def output_of(file: FormulaFile, given: Mapping[str, str]) -> FormulaFile:
    """Return the part of a formula file that `output` names; the file itself where it has no outputs.

    Raises:
        ConfigError: it names none of them, or one where there are none.
    """
    named = given.get("output")
    if not file.outputs:
        return file
    allowed = ", ".join(file.outputs)
    if named is None:
        raise ConfigError(TRIGGER, "output", f"is missing: {file.name} has several outputs", allowed)
    if named not in file.outputs:
        problem = f"{show(named)} is not an output of {file.name}{nearest(named, file.outputs)}"
        raise ConfigError(TRIGGER, "output", problem, allowed)
    return file.outputs[named]
