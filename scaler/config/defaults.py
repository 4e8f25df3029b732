"""What the settings say for every workload, and the keys by which a formula file or a trigger says otherwise.

Each key is declared once: its name, its reader, its default, and a sentence. From that come the reading of formula
files and triggers, `defaults.KEY` of the settings, the tables of the reference, and the JSON Schemas for editors.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scaler.config.keys import Key, declared, setting
from scaler.config.schedule import Window, schedule
from scaler.model.fields import REQUIRED, duration, number, schema_of, takes, text

Mode = Literal["clamp", "report", "off"]


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """The pace at which an answer may fall."""

    percent: float = 10.0  # of the answer in a minute, at least one replica
    window: float | None = None  # seconds: not below the greatest need in it; None: the start-up that was learnt

    def __str__(self) -> str:
        window = "startup" if self.window is None else f"{self.window:g}s"
        return f"{self.percent:g}% {window}"


@takes(enum=["clamp", "report", "off", False])
def capacity_mode(raw: object) -> Mode:
    """Read a mode of capacity; YAML reads a bare `off` as a boolean."""
    if raw is False:
        return "off"
    if raw == "clamp" or raw == "report" or raw == "off":  # noqa: PLR1714 - so that the type is seen
        return raw
    raise ValueError("clamp, report, off")


SCALE_DOWN = "off, or a percentage a minute such as 10% and, after a space, a window such as 5m or startup"
_WRITTEN = re.compile(r"(?P<percent>[\d.]+)\s*%(\s+(?P<window>\S+))?")


_IN_A_FILE = {"percent": schema_of(number(0, 100)), "window": {"type": ["number", "string"]}}


@takes(
    anyOf=[
        {"enum": ["off", False]},
        {"type": "string", "pattern": r"^\s*[\d.]+\s*%(\s+\S+)?\s*$"},
        {"type": "object", "properties": _IN_A_FILE, "additionalProperties": False, "minProperties": 1},
    ]
)
def scale_down(raw: object) -> ScaleDown | None:
    """Read how fast an answer may fall: a mapping of percent and window, or both as a text; None for `off`."""
    if raw is False or raw == "off":
        return None
    if isinstance(raw, str) and (written := _WRITTEN.fullmatch(raw.strip())):
        raw = {key: value for key, value in written.groupdict().items() if value is not None}
    if not isinstance(raw, Mapping) or not raw or not raw.keys() <= {"percent", "window"}:
        raise ValueError(f"{SCALE_DOWN}; in a file also {{percent: 10, window: 5m}}")
    percent = number(0, 100, above=True)(raw.get("percent", 10))
    window = raw.get("window", "startup")
    return ScaleDown(percent, None if window == "startup" else duration(0, 3600)(window))


@takes(type=["string", "boolean"])
def condition(raw: object) -> str:
    """Read a condition as text; YAML reads a bare `true` as a boolean."""
    return str(raw).lower() if isinstance(raw, bool) else text(raw)


TARGET: Key[float] = Key("target", number(0, above=True), REQUIRED, "what one replica takes of the formula's value")
ACTIVATION: Key[str] = Key("activation", condition, REQUIRED, "a condition that says whether there is work at all")
ACTIVATION_TARGET = Key("activationTarget", number(), 0.0, "the same as a number that the value must exceed")
ENDPOINT: Key[str] = Key("endpoint", text, REQUIRED, "the endpoint of the settings that is asked")
INTERVAL = Key("interval", duration(1, 600), 5.0, "seconds between decisions of a workload")
HOLD_FOR = Key("holdFor", duration(0, 3600), 120.0, "how long an answer outlives its data")
IDLE_FOR = Key("idleFor", duration(0, 3600), 60.0, "how long it must be quiet before inactive is said")
_CAPACITY: Mode = "report"
CAPACITY = Key("capacity", capacity_mode, _CAPACITY, "what is made of replicas that cannot be had: clamp, report, off")
STARTUP = Key(
    "startup", duration(0, 7200), 900.0, "how long a replica that is not ready counts as on its way; 0s: never"
)
_PACE: ScaleDown | None = ScaleDown()
SCALE_DOWN_KEY = Key("scaleDown", scale_down, _PACE, "how fast an answer may fall in a minute, and its window; or off")
_ALWAYS: tuple[Window, ...] = ()
SCHEDULE = Key("schedule", schedule, _ALWAYS, "windows of time with a floor or a ceiling of replicas")
DIRECT_INTERVAL = Key("directInterval", duration(1, 600), 3.0, "the same of a workload that measures on pages alone")
WORKLOAD_KEYS: tuple[Key[Any], ...] = (  # of a formula file, and of a trigger in its place
    TARGET, ACTIVATION, ACTIVATION_TARGET, ENDPOINT, INTERVAL, HOLD_FOR, IDLE_FOR, CAPACITY, STARTUP, SCALE_DOWN_KEY,
    SCHEDULE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Defaults:
    """The values that the settings give to every workload that does not say its own."""

    interval: float = declared(INTERVAL, INTERVAL.default)
    direct_interval: float = declared(DIRECT_INTERVAL, DIRECT_INTERVAL.default)
    hold_for: float = declared(HOLD_FOR, HOLD_FOR.default)
    idle_for: float = declared(IDLE_FOR, IDLE_FOR.default)
    capacity: Mode = declared(CAPACITY, CAPACITY.default)
    startup: float = declared(STARTUP, STARTUP.default)
    scale_down: ScaleDown | None = declared(SCALE_DOWN_KEY, SCALE_DOWN_KEY.default)  # None: at once
    engine: str = setting(text, "vllm", "engine of triggers that name none")
    gateway: str = setting(text, "llm-d", "gateway of triggers that name none")
    gateway_namespace: str | None = setting(
        text, None, "where gateways run that serve many namespaces; else the workload's"
    )
    endpoint: str = declared(
        Key("endpoint", text, None, "endpoint of triggers that name none; `default`, or where none is, `pods`"),
        "default",
    )
    gateway_endpoint: str | None = setting(text, None, "endpoint of what gateways say; the trigger's when not given")
    direct: frozenset[str] = frozenset()  # endpoints whose pages are read directly
    endpoints: tuple[str, ...] = ("default",)  # empty: not known here, so any name is taken
    only_for: Mapping[str, frozenset[str]] = field(default_factory=dict)  # endpoint -> the only namespaces it is for
    enforced: Mapping[str, str] = field(default_factory=dict)  # endpoint -> label of the namespace that its PromQL gets

    def endpoints_for(self, namespace: str) -> tuple[str, ...]:
        """List the endpoints that triggers of a namespace may be measured at."""
        return tuple(name for name in self.endpoints if namespace in self.only_for.get(name, {namespace}))
