"""`outputs:` of a formula file: several workloads that are decided together, each of which one trigger names.

    outputs:                                   trigger of one ScaledObject: output: prefill
      prefill: {formula: queued, target: 4}    of another one:              output: decode
      decode:
        formula: running
        target: 16
        ratios: {prefill: {least: 2, most: 4}}   # 2 to 4 replicas of decode for each of prefill
    order: [prefill, decode]                     # optional: decode waits until prefill is ready
    budget: {most: 16}                           # optional: GPUs of all outputs together

A key of an output stands in place of the same key of the file. What the file measures for all of them, an output has
where it names it. Members of one group are the workloads of one namespace with the same formula file and the same
`group` in their triggers. `variants:` (variants.py) is the other way to write outputs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from scaler.config import variants
from scaler.config.keys import Key
from scaler.config.variants import MixRules, MixText, read_mix, read_variants
from scaler.formula import Program
from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import REQUIRED, Fields, listed, matching, number, show, text
from scaler.policy.group import Band, Budget, keepable

OUTPUT_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
MAX_OUTPUTS = 16
OF_FILE = (  # that an output cannot say itself
    *("name", "description", "parameters", "outputs", "order", "budget", "tests"),
    *variants.KEYS,
)

LEAST: Key[float] = Key("least", number(0, 1_000_000), REQUIRED, "the fewest replicas for each of the other output")
MOST: Key[float] = Key("most", number(0, 1_000_000, above=True), REQUIRED, "the most replicas for each of the other")
_AT_ONCE: tuple[str, ...] = ()
ORDER = Key("order", listed(text), _AT_ONCE, "outputs that wait for those before them to be ready")
GPUS = Key("gpus", number(0, 10_000, above=True), 1.0, "of one replica, for the budget")
BUDGET_LEAST = Key("least", number(0, 1_000_000), 0.0, "GPUs that all outputs together have while there is work")
BUDGET_MOST: Key[float] = Key(
    "most", number(0, 1_000_000, above=True), REQUIRED, "GPUs that all outputs together have at any time"
)
OUTPUT: Key[str] = Key("output", text, REQUIRED, "which output of the formula file this ScaledObject is")
_GROUP = matching(r"[\w.-]{1,63}", "1 to 63 letters, digits, '.', '_' and '-'")
GROUP = Key("group", _GROUP, "", "tells groups of one namespace and one formula file apart")
MEMBER_KEYS = (OUTPUT, GROUP)  # of a trigger
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Member:
    """The part of a group that a workload is, and what holds between the parts.

    Attributes:
        group: the trigger's `group`; empty where it has none.
        output: its own.
        outputs: of the whole group, in the order of the file.
        bands: the ratios to keep.
        order: outputs that wait for those before them to be ready; empty: all at once.
        budget: GPUs of all of them together; None: any number.
        mix: what the cheapest mix goes by, where the outputs are variants of one model; None: they are not.
        demand: formulas of the kinds of request that it measures, by kind.
    """

    group: str
    output: str
    outputs: tuple[str, ...]
    bands: tuple[Band, ...]
    order: tuple[str, ...]
    budget: Budget | None = None
    mix: MixRules | None = None
    demand: Mapping[str, Program] = field(default_factory=dict)

    @property
    def rules(self) -> tuple[object, ...]:
        """Return what has to be the same for all members of a group."""
        return self.outputs, self.bands, self.order, self.budget, self.mix


@dataclass(frozen=True, slots=True)
class Output:
    """One of the outputs of a formula file, as written.

    Attributes:
        name: its own.
        keys: that it says itself, and not the file for all.
        ratios: of every output that has some, parameters not filled in.
        order: of the file, parameters not filled in.
        budget: of the file, parameters not filled in.
        gpus: of one replica of every output that says it, parameters not filled in.
        names: of all outputs.
        mix: of a file with variants, parameters not filled in.
    """

    name: str
    keys: frozenset[str]
    ratios: Mapping[str, object]
    order: object
    budget: object
    gpus: Mapping[str, object]
    names: tuple[str, ...]
    mix: MixText | None = None

    @property
    def tree(self) -> dict[str, object]:
        """The keys that hold between the outputs, for parameters to be filled in."""
        gpus = {name: {GPUS.path: raw} for name, raw in self.gpus.items()}
        return {"ratios": self.ratios, "order": self.order, "budget": self.budget, "outputs": gpus}

    def place(self, key: str) -> str:
        """Return where in the file a key of this output stands: formula -> outputs.prefill.formula."""
        if self.mix and key == "formula":
            return "demand"
        section = "variants" if self.mix else "outputs"
        return f"{section}.{self.name}.{key}" if key.split(".", maxsplit=1)[0] in self.keys else key


def read_outputs(where: str, body: Mapping[str, object]) -> dict[str, tuple[Output, dict[str, object]]]:
    """Part a formula file with `outputs` into one template for each.

    Args:
        where: the file, for messages.
        body: its keys.

    Returns:
        By name: the output, and its template; nothing where the file has no outputs.

    Raises:
        ConfigError: it has `order` and no outputs, an odd name, or what it measures is read by none of them.
    """
    fields = Fields(where, body)
    section = "variants" if fields.has("variants") else "outputs"
    if not fields.has(section):
        for key in ("order", "budget", *variants.KEYS):
            if fields.has(key):
                wanted = "variants" if key in variants.KEYS else "outputs"
                raise fields.error(key, f"is for a file with several {wanted}", f"{wanted}, or leave it out")
        return {}
    if section == "variants" and any(fields.has(key) for key in ("outputs", "order", "budget")):
        problem = "and outputs, order or budget are both given"
        raise fields.error("variants", problem, "variants alone: each is an output")
    written = Fields(where, body).inside(section).rest()
    if not 2 <= len(written) <= MAX_OUTPUTS:
        raise fields.error(section, f"has {len(written)}", f"2 to {MAX_OUTPUTS}")
    for name in written:
        if not re.fullmatch(OUTPUT_NAME, name):
            raise fields.error(section, f"{show(name)} is no name", "lower-case letters, digits and '-', at most 63")
    own = {name: Fields(where, raw, f"{section}.{name}").rest() for name, raw in written.items()}
    for name, keys in own.items():
        for key in sorted(set(OF_FILE) & keys.keys()):
            raise ConfigError(where, f"{section}.{name}.{key}", "is of the whole file", "the same key at the top")
    mix = None
    if section == "variants":
        mix, own = read_variants(where, body)
    ratios = {name: keys.pop("ratios") for name, keys in own.items() if keys.get("ratios") is not None}
    gpus = {name: keys.pop(GPUS.path) for name, keys in own.items() if keys.get(GPUS.path) is not None}
    between = ("outputs", "order", "budget", *variants.KEYS)
    shared = {key: value for key, value in body.items() if key not in between}
    parts = {}
    for name, keys in own.items():
        budget, order = body.get("budget"), body.get("order")
        output = Output(name, frozenset(keys), ratios, order, budget, gpus, tuple(own), mix)
        parts[name] = output, _template(shared, keys)
    _all_read(where, shared.get("metrics"), [template for _, template in parts.values()])
    return parts


def _template(shared: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Join what one output says with what the file says for all; of the file's metrics, those that it names."""
    template = {**shared, **own}
    for_all, for_this = shared.get("metrics"), own.get("metrics")
    if not isinstance(for_all, Mapping) or not isinstance(for_this or {}, Mapping):
        return template
    says = {key: value for key, value in template.items() if key != "metrics"}
    words = set(_WORD.findall(str(says)))
    named = {name: raw for name, raw in for_all.items() if name in words}
    return {**template, "metrics": {**named, **(for_this if isinstance(for_this, Mapping) else {})}}


def _all_read(where: str, metrics: object, templates: list[dict[str, object]]) -> None:
    """Refuse a metric of the file that is in none of the outputs: nobody would ever measure it."""
    for name in metrics if isinstance(metrics, Mapping) else ():
        if not any(name in _names(template) for template in templates):
            raise ConfigError(where, f"metrics.{name}", "no output names it", "a metric that an output reads")


def _names(template: Mapping[str, object]) -> Mapping[object, object]:
    metrics = template.get("metrics")
    return metrics if isinstance(metrics, Mapping) else {}


def read_member(where: str, output: Output, filled: Mapping[str, object], group: str) -> Member:
    """Read what holds between the outputs.

    Args:
        where: the file, for messages.
        output: whose workload it is.
        filled: ratios by output, order, and what the mix goes by, parameters filled in.
        group: the trigger's.

    Raises:
        ConfigError: another output that there is not, a band of nothing, or bands that no numbers keep.
    """
    if output.mix:
        return Member(group, output.name, output.names, (), (), mix=read_mix(where, output.mix, filled))
    ratios = Fields(where, filled, "").inside("ratios").rest()
    bands = [band for name, raw in ratios.items() for band in _bands(where, name, raw, output.names)]
    if bands and not keepable(output.names, bands):
        raise ConfigError(where, "outputs", "no numbers of replicas keep all of its ratios", "wider ratios")
    return Member(
        group,
        output.name,
        output.names,
        tuple(bands),
        _order(where, filled.get("order"), output.names),
        _budget(where, filled, output.names),
    )


def _bands(where: str, name: str, raw: object, names: tuple[str, ...]) -> list[Band]:
    fields = Fields(where, raw, f"outputs.{name}.ratios")
    others = tuple(other for other in names if other != name)
    bands = []
    for other in fields.rest():
        if other not in others:
            problem = f"{show(other)} is no other output{nearest(other, others)}"
            raise ConfigError(where, f"outputs.{name}.ratios", problem, ", ".join(others))
        inner = Fields(where, raw, f"outputs.{name}.ratios").inside(other)
        least, most = LEAST.take(inner, LEAST.default), MOST.take(inner, MOST.default)
        inner.close()
        if least > most:
            raise inner.error("least", f"{least:g} is more than most, {most:g}", "at most as much as most")
        bands.append(Band(name, other, least, most))
    return bands


def _budget(where: str, filled: Mapping[str, object], names: tuple[str, ...]) -> Budget | None:
    """Read the GPUs of all outputs together; None where there is no budget."""
    fields = Fields(where, filled)
    if not fields.has("budget"):
        return None
    inner = fields.inside("budget")
    least, most = BUDGET_LEAST.take(inner, BUDGET_LEAST.default), BUDGET_MOST.take(inner, BUDGET_MOST.default)
    inner.close()
    if least > most:
        raise inner.error("least", f"{least:g} is more than most, {most:g}", "at most as much as most")
    outputs = fields.inside("outputs")
    each = tuple((name, GPUS.take(outputs.inside(name), GPUS.default)) for name in names)
    fewest = sum(gpus for _, gpus in each)
    if fewest > most:
        raise inner.error("most", f"{most:g} is less than one replica of each output needs", f"{fewest:g} or more")
    return Budget(least, most, each)


def _order(where: str, raw: object, names: tuple[str, ...]) -> tuple[str, ...]:
    order = ORDER.take(Fields(where, {"order": raw}), ORDER.default)
    unknown = [name for name in order if name not in names]
    if unknown:
        problem = f"{show(unknown[0])} is not an output{nearest(unknown[0], names)}"
        raise ConfigError(where, "order", problem, ", ".join(names))
    if order and (len(order) < 2 or len(set(order)) < len(order)):
        raise ConfigError(where, "order", f"{show(list(order))} is no order", "two or more outputs, each once")
    return order
