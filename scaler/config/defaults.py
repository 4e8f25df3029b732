"""What the settings say for every workload."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from scaler.model.fields import duration, number

Mode = Literal["clamp", "report", "off"]


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """How fast an answer may fall."""

    percent: float = 10.0  # of the answer in a minute, at least one replica
    window: float | None = None  # seconds: not below the greatest need in it; None: the start-up that was learnt

    def __str__(self) -> str:
        window = "startup" if self.window is None else f"{self.window:g}s"
        return f"{self.percent:g}% {window}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the settings say for every workload that does not say it itself."""

    interval: float = 5.0  # seconds between ticks
    direct_interval: float = 3.0  # the same of who measures on pages alone, where no query has to be paid
    direct: frozenset[str] = frozenset()  # endpoints whose pages are read directly
    hold_for: float = 120.0  # seconds an answer outlives its data
    idle_for: float = 60.0  # seconds of quiet before "inactive"
    capacity: Mode = "report"
    startup: float = 900.0
    scale_down: ScaleDown | None = ScaleDown()  # None: at once
    engine: str = "vllm"
    gateway: str = "llm-d"
    gateway_namespace: str | None = None  # of gateways that serve many namespaces; None: the workload's own
    endpoint: str = "default"
    gateway_endpoint: str | None = None  # of what gateways say; None: the workload's own
    endpoints: tuple[str, ...] = ("default",)  # empty: not known here, so any name is taken
    only_for: Mapping[str, frozenset[str]] = field(default_factory=dict)  # endpoint -> the only namespaces it is for
    enforced: Mapping[str, str] = field(default_factory=dict)  # endpoint -> label of the namespace that its PromQL gets

    def endpoints_for(self, namespace: str) -> tuple[str, ...]:
        """The endpoints that triggers of a namespace may be measured at."""
        return tuple(name for name in self.endpoints if namespace in self.only_for.get(name, {namespace}))


def capacity_mode(raw: object) -> Mode:
    """A mode of capacity; YAML reads a bare `off` as a boolean."""
    if raw is False:
        return "off"
    if raw == "clamp" or raw == "report" or raw == "off":  # noqa: PLR1714 - so that the type is seen
        return raw
    raise ValueError("clamp, report, off")


SCALE_DOWN = "off, or a percentage a minute such as 10% and, after a space, a window such as 5m or startup"
_WRITTEN = re.compile(r"(?P<percent>[\d.]+)\s*%(\s+(?P<window>\S+))?")


def scale_down(raw: object) -> ScaleDown | None:
    """How fast an answer may fall: a mapping of percent and window, or both as a text; None for `off`."""
    if raw is False or raw == "off":
        return None
    if isinstance(raw, str) and (written := _WRITTEN.fullmatch(raw.strip())):
        raw = {key: value for key, value in written.groupdict().items() if value is not None}
    if not isinstance(raw, Mapping) or not raw or not raw.keys() <= {"percent", "window"}:
        raise ValueError(f"{SCALE_DOWN}; in a file also {{percent: 10, window: 5m}}")
    percent = number(0, 100, above=True)(raw.get("percent", 10))
    window = raw.get("window", "startup")
    return ScaleDown(percent, None if window == "startup" else duration(0, 3600)(window))
