"""What the settings say for every workload."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["clamp", "report", "off"]


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
    engine: str = "vllm"
    gateway: str = "llm-d"
    gateway_namespace: str | None = None  # of gateways that serve many namespaces; None: the workload's own
    endpoint: str = "default"
    gateway_endpoint: str | None = None  # of what gateways say; None: the workload's own
    endpoints: tuple[str, ...] = ("default",)  # empty: not known here, so any name is taken


def capacity_mode(raw: object) -> Mode:
    """A mode of capacity; YAML reads a bare `off` as a boolean."""
    if raw is False:
        return "off"
    if raw == "clamp" or raw == "report" or raw == "off":  # noqa: PLR1714 - so that the type is seen
        return raw
    raise ValueError("clamp, report, off")
