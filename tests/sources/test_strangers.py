"""The law of strangers: what others export changes neither the reading nor the answer of the workload beside them.

Everything that a page or an answer of Prometheus can say is made up here: odd numbers, names and labels, the honest
workload's own labels, the same again, histograms, pages that fail. The real Prometheus is tried in
prometheus/test_strangers.py.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.timelines import START, workload

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import find
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.measurement import Inputs, Reading, TargetPods, TargetStatus
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.names import wanted
from scaler.sources.pages.pods import PageResult
from scaler.sources.prometheus.answers import QueryResult, ResultSeries, read_grouped
from scaler.sources.prometheus.batch_query import group
from scaler.sources.prometheus.signal_promql import STATS

SPEC = workload(
    """
name: mine
metrics:
  waiting: {signal: waiting}
  running: {signal: running}
  tokens: {signal: generation_tokens_per_second, window: 1m}
  queued: {signal: queued, onMissing: zero}
formula: queued + waiting + running + tokens / 1000
target: 8
""",
    model="m",
)
PODS = frozenset({"llama-0", "llama-1"})
OWN = TargetPods(PODS, PODS)
LATENCY = replace(SPEC.inputs[0].query, signal="time_to_first_token", window=60.0, quantile=0.9)
QUERIES = [*dict.fromkeys(item.query for item in (*SPEC.inputs, *SPEC.activity_signals)), LATENCY]
SIGNALS = [find(query.engine, query.signal) for query in QUERIES]
NAMES = sorted(name for name in wanted(SIGNALS) if not name.endswith("*"))
DIALECT = Endpoint("default").dialect

numbers = st.one_of(
    st.sampled_from(["NaN", "+Inf", "-Inf", "1e308", "-1e308", "1e16", "-7", "0", "7"]), st.floats().map(repr)
)
odd_labels = st.fixed_dictionaries(
    {},
    optional={
        "model_name": st.sampled_from(["m", "M", ""]),
        "model": st.just("m"),
        "namespace": st.sampled_from(["team", "evil", ""]),
        "exported_namespace": st.just("team"),
        "pod": st.sampled_from(["llama-0", "x"]),
        "target_model_name": st.just("m"),
        "le": st.sampled_from(["0.1", "+Inf", "nonsense", "-1"]),
        "stat": st.sampled_from(["value", "jumping"]),
        "odd": st.just("\u202e"),
    },
)


def own_queries(*, own):
    """What the honest workload asks: of its own pods as Kubernetes names them, or of whoever has its labels."""
    scoped = [find(query.engine, query.signal).scope == "target" for query in QUERIES]
    return [
        replace(query, target_pods=OWN) if own and targets else query
        for query, targets in zip(QUERIES, scoped, strict=True)
    ]


def answer(measured, queries):
    """What the fold makes of readings, said as far as a user sees it."""
    by_query = dict(zip(QUERIES, (measured[query] for query in queries), strict=True))
    inputs = Inputs(
        {item.name: by_query[item.query] for item in SPEC.inputs},
        {item.name: by_query[item.query] for item in SPEC.activity_signals},
        target_status=TargetStatus(current=2, ready=2, starting=0),
    )
    decision = decide(SPEC, State(), inputs, START)[1]
    return decision.replicas, decision.active, decision.certainty, decision.problems


def bare(measured):
    """Readings without the sentence on how many pages or rows there were in all."""
    return {query: replace(one, source="") for query, one in measured.items()}


# ---- pages ---------------------------------------------------------------------------------------------------------------


def visit(url, text, **more):
    labels, problem, known = more.pop("labels"), more.get("problem", ""), more.get("known", True)
    samples = {}
    for sample in scan(text.encode(), set(NAMES)):
        samples.setdefault(sample.name, []).append(sample)
    rates = {sample.key: sample.value for some in samples.values() for sample in some}
    jumping = frozenset(rates) if more.get("jumping") else ()
    unclear = more.get("unclear", "")
    return PageResult(
        Page(url, labels), samples, lambda _window: rates, problem, known, jumping=jumping, unclear=unclear
    )


def line(name, labels, value):
    told = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{told}}} {value}\n"


def honest_page(pod, *, silent):
    text = "".join(line(name, {"model_name": "m", "le": "0.5"}, 3) for name in NAMES if "vllm" in name)
    text += "".join(line(name, {"model_name": "m", "le": "+Inf"}, 4) for name in NAMES if name.endswith("_bucket"))
    more = {"problem": "timed out", "known": False} if silent else {}
    labels = {"namespace": "team", "pod": pod}
    return visit(f"http://10.0.0.{pod[-1]}:8000/metrics", "" if silent else text, labels=labels, **more)


ENGINE_NAMES = [name for name in NAMES if name.startswith("vllm")]


def pages_of(places, names, known):
    """Where a page is of, what is on it, and what has become of it."""
    lines = st.lists(st.builds(line, st.sampled_from([*names, "up", "odd"]), odd_labels, numbers), max_size=6)
    return st.tuples(
        st.sampled_from(places),
        lines,
        st.fixed_dictionaries(
            {},
            optional={
                "problem": st.just("is away"),
                "known": known,
                "jumping": st.booleans(),
                "unclear": st.just("may be the same page again"),
            },
        ),
    )


# A gateway of the workload's own namespace is its own, and a page there that never answered may be that: its neighbours
# there are engines that answered before.
strange_pages = st.lists(
    pages_of([("evil", "llama-0"), ("evil", "llama-1"), ("evil", "x")], NAMES, st.booleans())
    | pages_of([("team", "neighbour-0")], ENGINE_NAMES, st.just(True)),
    max_size=4,
)


@given(strange_pages, st.sets(st.sampled_from(sorted(PODS))), st.randoms())
@settings(max_examples=60)
def test_no_page_of_a_stranger_changes_what_is_read_or_answered(strangers, silent, chance):
    mine = [honest_page(pod, silent=pod in silent) for pod in sorted(PODS)]
    others = [
        visit(f"http://10.1.0.{at}:8000/metrics", "".join(text), labels={"namespace": space, "pod": pod}, **more)
        for at, ((space, pod), text, more) in enumerate(strangers)
    ]
    queries = own_queries(own=True)
    alone = measure(queries, mine, DIALECT, START, START, "default")
    together = [*mine, *others]
    chance.shuffle(together)
    beside = measure(queries, together, DIALECT, START, START, "default")
    assert bare(beside) == bare(alone)
    assert answer(beside, queries) == answer(alone, queries)


# ---- answers of Prometheus -----------------------------------------------------------------------------------------------


def honest_rows(grouped, *, silent):
    """The rows of a query that the honest workload has: a value of each of its pods that answers."""
    pods = sorted(PODS - silent) if grouped.pod else [""]
    for key, pod in ((key, pod) for key in sorted(set(grouped.queries.values())) for pod in pods):
        labels = dict(zip(grouped.by, key, strict=True)) | ({grouped.pod: pod} if pod else {})
        numbers = {"value": 3.0, "per": 2.0, "answered": 1.0 if pod else 2.0, "oldest": START - 5}
        yield from (ResultSeries({**labels, "stat": stat}, {0: value}) for stat, value in numbers.items())


def strange_row(grouped, where, stat, labels, value, histogram):
    """A row of another namespace, or of another pod where rows are of pods."""
    [honest, *_] = grouped.queries.values()
    mine = dict(zip(grouped.by, honest, strict=True))
    if where == "pod" and grouped.pod:
        return ResultSeries({**labels, **mine, grouped.pod: "neighbour-0", "stat": stat}, {0: value}, histogram)
    namespace = grouped.by[0]
    return ResultSeries({**mine, **labels, namespace: "evil", "stat": stat}, {0: value}, histogram)


strange_rows = st.lists(
    st.tuples(
        st.sampled_from(["namespace", "pod"]), st.sampled_from([*STATS, "odd", ""]), odd_labels, st.floats(), st.booleans()
    ),
    max_size=8,
)  # fmt: skip


@given(strange_rows, st.booleans(), st.sets(st.sampled_from(sorted(PODS))), st.randoms())
@settings(max_examples=60)
def test_no_row_of_a_stranger_changes_what_is_read_or_answered(strangers, own, silent, chance):
    queries = own_queries(own=own)
    alone, beside = {}, {}
    for grouped in group(queries, DIALECT):
        mine = list(honest_rows(grouped, silent=silent))
        others = [strange_row(grouped, *one) for one in strangers]
        together = [*mine, *others]
        chance.shuffle(together)
        for read, rows, unclear in ((alone, mine, ()), (beside, together, others)):
            found = read_grouped(
                grouped, QueryResult(rows, [START], "p"), QueryResult(unclear, [START], "p"), stale_after=60
            )
            read.update((query, one) for query, [one] in found.items())
    assert beside == alone
    assert answer(beside, queries) == answer(alone, queries)


def test_the_honest_workload_is_certain_as_long_as_it_is_whole():
    """The laws would hold of a reader that reads nothing, too."""
    queries = own_queries(own=True)
    mine = [honest_page(pod, silent=False) for pod in sorted(PODS)]
    measured = measure(queries, mine, DIALECT, START, START, "default")
    waiting = next(one for query, one in measured.items() if query.signal == "waiting" and query.engine == "vllm")
    assert isinstance(waiting, Reading)
    # Of each pod 3 that wait and 3 that were swapped out.
    assert (waiting.value, waiting.answered, waiting.incomplete_reason) == (12.0, 2, "")
    assert answer(measured, queries)[2] == "certain"
    assert measured[queries[-1]].value == pytest.approx(0.5)
