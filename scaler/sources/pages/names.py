"""The names under which signals are looked for on a page: those that a client library writes. Pure.

Worked example: vLLM's time_to_first_token is vllm:time_to_first_token_seconds_bucket, since a quantile is read of
buckets; gen_ai.client.token.usage_sum is gen_ai_client_token_usage_sum, since a dot is an underscore on a page.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from scaler.config.signals import Metric, Signal, plain_name


def wanted(signals: Iterable[Signal]) -> frozenset[str]:
    """Return the names of all samples that the signals are measured by."""
    return frozenset(name for signal in signals for name in _names(signal))


def counted(signals: Iterable[Signal]) -> frozenset[str]:
    """Return those of them that are counters: what a rate is taken of."""
    flows = [signal for signal in signals if signal.takes_window]
    return frozenset(suffixed(signal, metric) for signal in flows for metric in _metrics(signal))


def counted_from_birth(signals: Iterable[Signal]) -> frozenset[str]:
    """Return the counters of which a series that is new was 0 before."""
    return counted(signal for signal in signals if signal.counts_from_birth)


def _metrics(signal: Signal) -> tuple[Metric, ...]:
    """List the metrics of a signal under the names that a page is read with: a dot is an underscore there."""
    return plain((*signal.metrics, *signal.plus, *signal.divided_by))


@lru_cache(maxsize=4096)
def plain(metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    """Return the metrics as a page names them, each once."""
    return tuple(dict.fromkeys(metric.plain() for metric in metrics))


def _names(signal: Signal) -> Iterator[str]:
    yield from map(plain_name, signal.watched_family)
    for metric in _metrics(signal):
        yield suffixed(signal, metric)
        if metric.info_join:
            yield metric.info_join.info


def is_of(name: str, member: str) -> bool:
    """Tell whether a name is of a family: the same, or with the beginning that stands before a `*`."""
    member = plain_name(member)
    return name.startswith(member[:-1]) if member.endswith("*") else name == member


def suffixed(signal: Signal, metric: Metric) -> str:
    """Return the name of a metric's samples: of a histogram, those of its buckets."""
    return metric.name + ("_bucket" if signal.takes_quantile else "")
