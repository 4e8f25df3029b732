"""What the value is, against what the engine catalogue says of the one signal that it is made of."""

from scaler.check.evidence import Evidence, MessagesFound
from scaler.config import signals
from scaler.model.measurement import SignalQuery


def wrong_kind(evidence: Evidence) -> MessagesFound:
    """Find a formula of one signal alone that is each replica's own and taken for a total, or the other way round.

    kv_cache_usage is a mean over the pods: as a total, 0.9 at a target of 0.5 is 2 replicas, however many there are.
    """
    text = evidence.spec.program.text.strip()
    item = next((one for one in evidence.spec.inputs if one.name == text), None)
    if item is None or not isinstance(item.query, SignalQuery):
        return
    signal = signals.offered(item.query.engine, item.query.signal)
    if signal is None:
        return
    adds_up, as_total = signal.aggregation == "sum", evidence.spec.metric_type == "AverageValue"
    if adds_up and not as_total:
        yield f"{item.name} is a total over the replicas, and is multiplied by them again: say `metricKind: total`", ""
    if not adds_up and as_total and signal.scope == "target":
        own = f"{item.name} is each replica's own (its {signal.aggregation}), and is taken for a total"
        kind = "quantile" if signal.aggregation == "quantile" else "ratio"
        yield f"{own}: say `metricKind: {kind}`", ""
