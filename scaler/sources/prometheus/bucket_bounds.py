"""Pods whose buckets do not end alike, such as two releases of an engine beside each other, in PromQL. Pure.

Buckets are added up by where they end, so what one pod counts up to 0.25 s is missing in what others count up to 0.5 s,
and the sum is no histogram any more. A quantile is then read of the buckets alone that all pods have, and not certain:

    pod a   0.1: 5, 0.5: 10, +Inf: 10             the sum of both          0.1: 5, 0.25: 9, 0.5: 10, +Inf: 20
    pod b   0.25: 9, +Inf: 10                     of buckets that all have +Inf: 20

A share is of each page's own largest bucket that ends low enough, and not certain where some pages have none.

So it is too with a page whose buckets ended otherwise within the window, as those of an engine that was replaced.
Clients write the same end as 1 or as 1.0.
"""

from collections.abc import Callable

from scaler.config.signals import Metric
from scaler.sources.prometheus.selectors import joined, listed, of_stat
from scaler.sources.prometheus.signal_promql import SignalPromql

BOUND = "bound"  # label: where a bucket ends, however it was written
MOST_TOLD = 60  # of each workload: rows of an answer that say what differs


def count_bounds(promql: SignalPromql) -> str:
    """Count the bounds that not all pages have, or that a page has had; of a share, the pages with none low enough."""
    return f"count by ({listed(promql.by)}) ({_differing(promql)})"


def what_differs(promql: SignalPromql) -> str:
    """Write the query for the bounds that not all pages have, by pod, and for pods at all; and the value without them.

    Its rows have the `stat` bounds or common.
    """
    by, pod = listed(promql.by), listed(promql.pod)
    all_bounds = _buckets(promql)
    not_all = f"({all_bounds}) and on ({by}, {BOUND}) ({_of_some(promql)})"
    bounds = f"topk by ({by}) ({MOST_TOLD}, group by ({pod}, {BOUND}) ({not_all}))"
    pods = f"topk by ({by}) ({MOST_TOLD}, group by ({pod}) ({all_bounds}))"
    value = promql.now() if promql.query.at_most is not None else _of_common_bounds(promql)
    texts = (("bounds", bounds), ("bounds", pods), ("common", value))
    return joined(of_stat(stat, text) for stat, text in texts)


def _differing(promql: SignalPromql) -> str:
    page = listed(promql.page)
    rates = _by_bound(promql, promql.rate_or_gauge)
    ended = f"group by ({page}, {BOUND}) ({rates}) unless on ({page}, {BOUND}) {_buckets(promql)}"
    if promql.query.at_most is None:
        return f"{_of_some(promql)} or ({ended})"
    low_ones = _buckets(promql.low(promql.query.at_most / promql.signal.scale))
    by, low = listed(promql.by), f"group by ({page}) ({low_ones})"
    none = f"group by ({page}) ({_buckets(promql)}) unless on ({page}) {low}"
    return f"({none}) and on ({by}) {low} or ({ended})"


def _of_some(promql: SignalPromql) -> str:
    """Write the bounds that not all pages have."""
    by, buckets = listed(promql.by), _buckets(promql)
    pages = f"count by ({by}) (group by ({listed(promql.page)}) ({buckets}))"
    return f"(count by ({by}, {BOUND}) ({buckets}) < on ({by}) group_left () {pages})"


def _of_common_bounds(promql: SignalPromql) -> str:
    """Write the quantile of the buckets that all pages have."""
    by = listed(promql.by)
    page = listed(promql.page)
    written = f"group by ({page}, le) ({promql.newest(promql.signal.metrics, lambda one: _select(promql, one))})"
    pages = f"count by ({by}) (group by ({page}) ({written}))"
    everywhere = f"count by ({by}, le) ({written}) == on ({by}) group_left () {pages}"
    common = f"{promql.total(promql.signal.metrics)} and on ({by}, le) ({everywhere})"
    return f"histogram_quantile({promql.query.quantile!r}, {common}) * {promql.signal.scale!r}"


def _buckets(promql: SignalPromql) -> str:
    """Write where the buckets of each page end."""
    series = _by_bound(promql, lambda one: _select(promql, one))
    return f"group by ({listed(promql.page)}, {BOUND}) ({series})"


def _by_bound(promql: SignalPromql, series: Callable[[Metric], str]) -> str:
    def labelled(metric: Metric) -> str:
        return f'label_replace({series(metric)}, "{BOUND}", "$1", "le", "(.+?)(\\\\.0+)?")'

    return promql.newest(promql.signal.metrics, labelled)


def _select(promql: SignalPromql, metric: Metric) -> str:
    return promql.select(metric, "_bucket")
