"""JSON Schemas of a formula file and of the settings, for editors, from the code that reads them and nothing else.

    readers and tables of keys ──▶ `llm-scaler schema formula`  ──▶ docs/reference/formula.schema.json
                                   `llm-scaler schema settings` ──▶ docs/reference/settings.schema.json

A schema refuses unknown keys, and values that no reader takes. What hangs on other keys, or on the engine catalogue, it
leaves to `llm-scaler check`: every file that is right is valid, and not every valid file is right.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaler.config import bind, endpoint, outputs, parameters, read_workload, signals, variants
from scaler.config.defaults import WORKLOAD_KEYS, Defaults
from scaler.config.keys import Key
from scaler.config.metrics import FORMULA_NAME, NAME, MetricContext, read_input
from scaler.config.settings import KEYS
from scaler.model.availability import GPU_COUNTS
from scaler.model.errors import ScalerError
from scaler.model.fields import REQUIRED, KeyRecorder, boolean, schema_of, seconds, text
from scaler.policy import POLICIES

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PARAMETER = {"type": "string", "pattern": rf"^\${NAME}$"}  # stands for any value of a formula file
A_PARAMETER = {"$ref": "#/$defs/parameter"}
SCALAR = {"type": ["string", "number", "boolean"]}  # of the parameter's own type


def formula_schema() -> Schema:
    """Return the schema of a formula file."""
    metrics = {"type": "object", "propertyNames": {"pattern": rf"^{NAME}$"}, "additionalProperties": _metric()}
    parameters = {"type": "object", "propertyNames": {"pattern": rf"^{NAME}$"}, "additionalProperties": _parameter()}
    keys: Schema = {
        "name": {"type": "string", "pattern": rf"^{FORMULA_NAME}$", "description": "the file's name without .yaml"},
        "description": {"type": "string"},
        "parameters": _or_nothing(parameters),
        "metrics": metrics,
        "formula": schema_of(text) | {"description": "what is evaluated, in the language of expr-lang"},
        "metricType": _templated(schema_of(read_workload.METRIC_TYPE)),
        "metricKind": _templated(schema_of(read_workload.METRIC_KIND)),
        "policy": {"oneOf": [_policy(kind) for kind in POLICIES]},
        "tests": {"type": "array", "items": {"type": "object"}},
    }
    keys |= {key.path: _templated(_of_key(key)) for key in WORKLOAD_KEYS}
    own = dict(keys)
    keys |= {"outputs": _outputs(own), outputs.ORDER.path: _of_key(outputs.ORDER)}
    keys |= {"budget": _budget()}
    keys |= {"demand": _demand(), "variants": _variants(own)}
    keys |= {key.path: _templated(_of_key(key)) for key in (variants.SWITCHING, variants.SLICES)}
    top = {"$schema": DIALECT, "title": "llm-scaler formula file", "$defs": {"parameter": PARAMETER}}
    ways = (["formula"], ["outputs"], ["variants", "demand"])
    one_of_each = {"anyOf": [{"required": way} for way in ways]}
    return top | _object(keys, {"name"}) | one_of_each


def settings_schema() -> Schema:
    """Return the schema of the settings file."""
    top: Schema = {"$schema": DIALECT, "title": "llm-scaler settings", **_object({}, ())}
    for key in KEYS:
        *sections, name = key.path.split(".")
        place = top
        for section in sections:
            place = place["properties"].setdefault(section, _object({}, ()))
        place["properties"][name] = _of_key(key)
    names = {"pattern": f"^{endpoint.ENDPOINT_NAME}$"}
    top["properties"]["endpoints"] = {"type": "object", "propertyNames": names, "additionalProperties": _endpoint()}
    return top


SCHEMAS: Mapping[str, Callable[[], Schema]] = {"formula": formula_schema, "settings": settings_schema}


def default_text(key: Key[Any]) -> str:
    """Return a key's default as a file would say it; empty where there is none."""
    if key.default is REQUIRED or key.default in (None, ()):
        return ""
    if key.read in DURATIONS and isinstance(key.default, float):
        return seconds(key.default)
    return str(key.default).lower() if isinstance(key.default, bool) else str(key.default)


DURATIONS = frozenset(key.read for key in (*KEYS, *WORKLOAD_KEYS) if isinstance(key.default, float))


# ---- parts -----------------------------------------------------------------------------------------------------------


def _of_key(key: Key[Any]) -> Schema:
    default = default_text(key)
    return schema_of(key.read) | {"description": key.meaning} | ({"default": default} if default else {})


def _object(keys: Mapping[str, object], required: Iterable[str]) -> Schema:
    needed = sorted(required)
    return {
        "type": "object",
        "properties": dict(keys),
        "additionalProperties": False,
        **({"required": needed} if needed else {}),
    }


def _templated(schema: Schema) -> Schema:
    """Return a schema that takes a parameter in the value's place too."""
    about: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    return {"anyOf": [{key: value for key, value in schema.items() if key not in about}, A_PARAMETER], **about}


def _or_nothing(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _recorded(read: Callable[[KeyRecorder], object], *, curious: bool = False, **given: object) -> KeyRecorder:
    """Let code read a mapping that could be any; what it refuses in the end, it has taken before."""
    recorder = KeyRecorder(given, curious=curious)
    with contextlib.suppress(ScalerError):
        read(recorder)
    return recorder


def _keys(recorders: Iterable[KeyRecorder], make: Callable[[Schema], Schema]) -> Schema:
    """Return the schemas of all keys that were taken, of sections too."""
    keys: Schema = {}
    for recorder in recorders:
        keys |= {key: make(schema_of(read)) for key, read in recorder.readers.items()}
        keys |= {key: _section(section, make) for key, section in recorder.sections.items()}
    return keys


def _section(recorder: KeyRecorder, make: Callable[[Schema], Schema]) -> Schema:
    section = _object(_keys([recorder], make), recorder.required)
    return section | ({"additionalProperties": make(schema_of(text))} if recorder.open else {})


def _as_it_is(schema: Schema) -> Schema:
    return schema


def _outputs(keys: Schema) -> Schema:
    """Return what `outputs` may say: for each, keys of the file in its place, and ratios to others."""
    band = _object({key.path: _templated(_of_key(key)) for key in (outputs.LEAST, outputs.MOST)}, {"least", "most"})
    names = {"pattern": f"^{outputs.OUTPUT_NAME}$"}
    ratios = {"type": "object", "propertyNames": names, "additionalProperties": band}
    own = {key: {"$ref": f"#/properties/{key}"} for key in keys if key not in outputs.OF_FILE}
    each = _object(own | {"ratios": ratios, outputs.GPUS.path: _templated(_of_key(outputs.GPUS))}, ())
    count = {"minProperties": 2, "maxProperties": outputs.MAX_OUTPUTS}
    return {"type": "object", "propertyNames": names, "additionalProperties": each, **count}


def _budget() -> Schema:
    """Return what `budget` may say."""
    bounds = (outputs.BUDGET_LEAST, outputs.BUDGET_MOST)
    return _object({key.path: _templated(_of_key(key)) for key in bounds}, {"most"})


def _demand() -> Schema:
    """Return what `demand` may say: a formula for each kind of request."""
    names, count = {"pattern": f"^{variants.KIND_NAME}$"}, {"minProperties": 1, "maxProperties": variants.MAX_KINDS}
    return {"type": "object", "propertyNames": names, "additionalProperties": schema_of(text), **count}


def _variants(keys: Schema) -> Schema:
    """Return what `variants` may say: for each cost and rates, and keys of the file in its place."""
    rates = {"type": "object", "additionalProperties": _templated(_of_key(variants.CARRIES)), "minProperties": 1}
    left_out = {*outputs.OF_FILE, *variants.WRITTEN_FOR_IT}
    own = {key: {"$ref": f"#/properties/{key}"} for key in keys if key not in left_out}
    each = _object(own | {"cost": _templated(_of_key(variants.COST)), "carries": rates}, {"cost", "carries"})
    names, count = {"pattern": f"^{outputs.OUTPUT_NAME}$"}, {"minProperties": 2, "maxProperties": outputs.MAX_OUTPUTS}
    return {"type": "object", "propertyNames": names, "additionalProperties": each, **count}


def _parameter() -> Schema:
    recorder = _recorded(lambda fields: parameters.read_parameter(fields, "name"))
    return _or_nothing(_object(_keys([recorder], _as_it_is) | {"default": SCALAR, "example": SCALAR}, ()))


def _policy(kind: str) -> Schema:
    reads = POLICIES[kind].parse
    recorders = [_recorded(reads), _recorded(reads, curious=True)]
    keys = {"kind": {"const": kind}} | _keys(recorders, _templated)
    return _object(keys, {"kind"} | recorders[0].required)


def _metric() -> Schema:
    """Return what a metric may say: of a signal the keys that any signal of the catalogue has."""
    scope = MetricContext(bind.EXAMPLE, {}, Defaults(endpoints=()), "default")
    written = [(one.engine, one.name) for own in signals.engines().values() for one in own.values()]

    def read(fields: KeyRecorder) -> object:
        return read_input(fields, "name", scope)

    of_signals = [_recorded(read, engine=engine, signal=signal) for engine, signal in written]
    optional = {"optional": _templated(schema_of(boolean))}
    forms = [
        _object(_keys(of_signals, _templated) | optional, {"signal"}),
        _object(_keys([_recorded(read, prometheus="load")], _as_it_is), {"prometheus"}),
        _object(_keys([_recorded(read, gpus=next(iter(GPU_COUNTS)))], _templated), {"gpus"}),
    ]
    return {"oneOf": forms}


def _endpoint() -> Schema:
    """Return what an endpoint may say: a Prometheus, or pages."""

    def read(fields: KeyRecorder) -> object:
        return endpoint.read_place(fields, "name")

    of_pages = [_recorded(read, pods={}), _recorded(read, pages=[]), _recorded(read, pagesFile="pages.yaml")]
    forms = [
        _object(_keys([_recorded(read, url="http://prometheus:9090")], _as_it_is), {"url"}),
        _object(_keys(of_pages, _as_it_is), ()),
    ]
    return {"anyOf": forms}
