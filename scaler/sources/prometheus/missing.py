"""What there is instead of a series that is missing: the question, and what its answer says. Pure.

Asked for a few workloads at a time, and not again for a minute, since nobody's answer depends on it. It stays within
the workload's own namespace: what others have is not told.

    asked    vllm:num_requests_waiting{namespace="team", model_name="lama", pod!="", server=""}
    there    vllm:num_requests_waiting{namespace="team", model_name="llama", pod="llm-0"}
    told     vllm:num_requests_waiting: its series have model_name 'llama', and not 'lama'
"""

from collections.abc import Mapping, Sequence

from scaler.config.naming import Naming
from scaler.config.promql import label_name, quote, quote_regex, series_name
from scaler.config.signals import Signal, find, plain_name
from scaler.model.measurement import SignalQuery
from scaler.sources.hints import beginnings, emptied, of_engines

MAX_ROWS = 100  # of one part of the answer
_ABOUT = "about"
_NAMESPACES = (  # what whoever scrapes may call the namespace
    *("exported_namespace", "kubernetes_namespace", "k8s_namespace_name", "k8s_namespace", "kube_namespace"),
)


def question_about(query: SignalQuery, dialect: Naming) -> str:
    """Write the query: the metric's series in the namespace, or with that under another label; the engines' names."""
    signal = find(query.engine, query.signal)
    namespace, here = dialect.label_of(signal, "namespace"), dict(query.labels)["namespace"]
    own = _one_of(_names(signal, dialect))
    starts = "|".join(f"{quote_regex(dialect.metric(word))}.*" for word in sorted(beginnings()))
    respelled = _one_of([name.replace(":", mark) for name in _names(signal, dialect) if ":" in name for mark in "_."])
    starts = f"{respelled}|{starts}" if respelled else starts
    parts = {
        "series": f"topk({MAX_ROWS}, {_select(dialect, own, (namespace, here))})",
        **{label: f"count({_select(dialect, own, (label, here))})" for label in _NAMESPACES if label != namespace},
        "prefixed": f"topk({MAX_ROWS}, count by (__name__) ({_select(dialect, f'.+({own})', (namespace, here))}))",
        "names": f"topk({MAX_ROWS}, count by (__name__) ({_select(dialect, starts, (namespace, here))}))",
    }
    return "\nor ".join(f'label_replace({text}, "{_ABOUT}", "{about}", "", "")' for about, text in parts.items())


def what_there_is(query: SignalQuery, dialect: Naming, rows: Sequence[Mapping[str, str]]) -> str:
    """Say what there is; empty where there is nothing that helps.

    Args:
        query: what was asked for and is not there.
        dialect: what the endpoint calls things.
        rows: the labels of the rows of the answer to `question_about`.
    """
    signal = find(query.engine, query.signal)
    series = [_spelled(row) for row in rows if row.get(_ABOUT) == "series"]
    if series:
        asked = [(label, dialect.label_of(signal, label), value) for label, value in query.labels[1:]]
        why = emptied(signal, asked, dialect.name("pod"), series, query.pods)
        return f"{series[0].get('__name__', '')}: {why}" if why else ""
    found = {row.get(_ABOUT) for row in rows}
    if elsewhere := next((label for label in _NAMESPACES if label in found), ""):
        how = f"say in the settings labels: {{namespace: {elsewhere}}}, and likewise what they call pod"
        honored = "scrape with honorLabels, or " if elsewhere.startswith("exported_") else ""
        return f"its series have this namespace as {elsewhere}: {honored}{how}"
    return of_engines(signal, {row.get("__name__", "") for row in rows if row.get(_ABOUT) in {"names", "prefixed"}})


def _spelled(row: Mapping[str, str]) -> Mapping[str, str]:
    """Return the labels of a series, those with dots also as the catalogue has them."""
    own = {label: value for label, value in row.items() if label != _ABOUT}
    return {plain_name(label): value for label, value in own.items()} | own


def _names(signal: Signal, dialect: Naming) -> list[str]:
    suffix = "_bucket" if signal.takes_quantile else ""
    return [dialect.metric(metric.name + suffix) for metric in signal.metrics]


def _one_of(names: Sequence[str]) -> str:
    return "|".join(map(quote_regex, names))


def _select(dialect: Naming, names: str, *equal: tuple[str, str]) -> str:
    pairs = (*equal, *dialect.matchers.items())
    labels = (f"{label_name(label)}={quote(value)}" for label, value in pairs)
    return series_name("", [f"__name__=~{quote(names)}", *labels])
