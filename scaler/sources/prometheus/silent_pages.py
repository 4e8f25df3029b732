"""Pages that had a signal and have none of it now, though somebody still scrapes them, in PromQL. Pure.

A series ends with its pod, and then its load is gone. It ends too when a page fails or is empty, and then its load is
not known. The target tells which it is: that of a pod that is gone is scraped no more.

    instance     up        vllm:num_requests_waiting
    10.0.0.7:1   1         3                          it counts
    10.0.0.7:2   0         30, ten minutes ago        silent: nothing is certain as long as it is scraped
    10.0.0.7:3   1         30, ten minutes ago        empty: the same
    10.0.0.7:4   (none)    30, ten minutes ago        gone
    10.0.0.7:5   0         never                      no page of an engine: it counts nowhere

Empty is not a page on which another model has taken the place, nor one of a process that began after the last sample
and makes its series when they are needed: that one is idle. Where a page does not say when its process began, it is new
if the page has failed meanwhile.

To look back is dear. So the batch query says of which pods a target has nothing, where others of the same pod or job
have something; and only of these pods, as long as they can be named, a day is read.
"""

from collections.abc import Collection
from dataclasses import replace

from scaler.sources.pages.counters import PROCESS
from scaler.sources.prometheus.selectors import joined, listed, of_stat, span
from scaler.sources.prometheus.signal_promql import SignalPromql

MOST_PODS = 100  # that are named; where there are more, all pods are read, and less far back
PAST = 86_400.0  # seconds
PAST_OF_ALL = 3_600.0  # seconds, where pods are not named
_LOOKS = 15.0  # seconds from one look at the past to the next, where it is asked when something was


def pods_with_quiet_targets(promql: SignalPromql) -> str:
    """Write the pods of targets without the signal, where others of their pod or their job have it.

    Where Kubernetes names the target's own pods, it says which must answer, and only their other pages are looked at.
    """
    reporting, pod = promql.reporting("{}"), listed([promql.dialect.name("pod")])
    present = f"{reporting} or on ({listed(promql.pod)}) {promql.family()}" if promql.signal.idles else reporting
    of_target = promql.signal.scope == "target"
    labels = [pod] if of_target else []  # whose series all have a pod
    if promql.query.target_pods is None or not of_target or promql.signal.idles:
        labels.append(listed([promql.job]))

    def near(targets: str) -> str:
        return " or ".join(f"{targets} and on ({label}) ({present})" for label in labels)

    return f"topk({MOST_PODS + 1}, group by ({pod}) ({promql.targets_without(reporting, near)}))"


def silent_pages(promql: SignalPromql, pods: Collection[str]) -> str:
    """Write the query for the pages that are silent or empty; `stat` says which of the two.

    Args:
        promql: the signal.
        pods: to look at; those that `pods_with_quiet_targets` found.
    """
    named = len(pods) <= MOST_PODS and "" not in pods
    some = replace(promql, only=tuple(sorted(pods))) if named else promql
    back = span(PAST if named else PAST_OF_ALL)
    past, up = some.reporting(f"last_over_time({{}}[{back}])"), some.dialect.up_selector
    page = listed(dict.fromkeys((*some.page, *some.target)))
    texts = {"silent": some.at_targets(past, up, "{} == 0".format)}
    if some.signal.scope == "target":
        texts["emptied"] = f"({some.at_targets(past, up, '{} > 0'.format)}){_but_for(some, back)}"
    now = some.reporting("{}")
    silent_now = f"unless on ({listed(some.page)}) ({now})"
    return joined(of_stat(stat, f"group by ({page}) ({text}) {silent_now}") for stat, text in texts.items())


def _but_for(promql: SignalPromql, back: str) -> str:
    """Leave out pages with the signal of another model, and those of a process that is new and idle."""
    anybody = replace(promql, named={label: promql.named[label] for label in promql.by[:1] if label in promql.named})
    place = (promql.by[0], *(label for label in promql.page if label not in promql.by))
    text = f" unless on ({listed(place)}) ({anybody.reporting('{}')})"
    if not promql.signal.idles:
        return text
    target, looks = listed(promql.target), f"[{back}:{span(_LOOKS)}]"
    last = f"max by ({target}) (max_over_time(timestamp({promql.reporting('{}')}){looks}))"
    began = f"max by ({target}) ({promql.of_workloads(PROCESS)})"
    failed = f"max by ({target}) (max_over_time(timestamp({promql.heartbeat} == 0){looks}))"
    fresh = f"({began} > on ({target}) {last} or ({failed} > on ({target}) {last}) unless on ({target}) {began})"
    return f"{text} unless on ({target}) ({promql.family()} and on ({target}) {fresh})"
