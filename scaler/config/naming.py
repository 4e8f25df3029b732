"""What one endpoint calls things, and whether the catalogue has what is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaler.config.signals import Signal, find
from scaler.model.errors import ConfigError
from scaler.model.fields import show
from scaler.model.measurement import SignalAsk


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one endpoint calls things."""

    labels: Mapping[str, str] = field(default_factory=dict)  # our name, also "pod", "job", "instance" -> its name
    matchers: Mapping[str, str] = field(default_factory=dict)  # constant matchers of every selector
    up_selector: str = "up"  # a selector: 1 for every target that could be scraped, 0 for one that could not
    recent: float = 90.0  # seconds for which a pod whose scrape fails counts as missing; later it counts as gone
    metric_name_colons: bool = True  # False: it has `_` where engines write a colon into their metrics' names

    def name(self, label: str) -> str:
        """The endpoint's name of a label of the scrape."""
        return self.labels.get(label, label)

    def label_of(self, signal: Signal, label: str) -> str:
        """The endpoint's name of a label of a signal; a namespace that the gateway itself writes keeps its own."""
        exported = dict(signal.label_names)[label]
        return exported if label == "namespace" != exported else self.labels.get(label, exported)


def check(ask: SignalAsk) -> None:
    """Refuse an ask for what the catalogue does not have.

    Raises:
        ConfigError: no such engine, signal or label.
    """
    signal = find(ask.engine, ask.signal)
    for label, _ in ask.labels:
        if label not in signal.labels:
            raise ConfigError(
                "signals", ask.signal, f"{ask.engine} has no label {show(label)}", ", ".join(signal.labels)
            )
