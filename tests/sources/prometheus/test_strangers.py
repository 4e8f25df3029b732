"""What one namespace exports or writes into its triggers, against the queries that it shares with another: on a real
Prometheus the neighbour's readings stay what they are and whole, and what is broken is broken for the culprit alone."""

import dataclasses
import json
import random
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from support.prometheus_server import series, until

from scaler.config import signals
from scaler.config.endpoint import Endpoint
from scaler.model.measurement import Failure, Reading, SignalQuery, TargetPods
from scaler.sources.prometheus.apart import MAX_PLACES, REMEMBERED, Apart
from scaler.sources.prometheus.source import PrometheusSource

pytestmark = pytest.mark.real

NAMED = {"model": "llama", "route": "r", "hpa": "keda-hpa-x", "workload": "x"}
GOOD = (
    'vllm:num_requests_waiting{{model_name="{model}"}} {waiting}\nvllm:num_requests_running{{model_name="{model}"}} 1\n'
)
ODD_VALUES = ("NaN", "+Inf", "-Inf", "-1e300", "1e300", "1e16")
ODD_LABELS = (
    {"stat": "value"}, {"stat": "age"}, {"workload": "1"}, {"model": "a"}, {"model_name": "llama"}, {"namespace": "demo"},
    {"pod": "d-0"}, {"job": "demo"}, {"instance": "x"}, {"le": "nonsense"}, {"le": "-1"}, {"deployment": "x"},
    {"statefulset": "x"},
    {"exported_namespace": "demo"},
    {"odd": "\ufffd"},
)  # fmt: skip


def job(pages, pod, namespace):
    target = {"targets": [f"127.0.0.1:{pages.port}"], "labels": {"namespace": namespace, "pod": pod}}
    return {"job_name": pod, "metrics_path": f"/{pod}/metrics", "static_configs": [target]}


@pytest.fixture(scope="module")
def prometheus(start_prometheus, pages):
    pages.pages |= {"d-0": GOOD.format(model="llama", waiting=3), "e-0": GOOD.format(model="mine", waiting=1)}
    return start_prometheus(jobs=[job(pages, "d-0", "demo"), job(pages, "e-0", "evil")])


@pytest.fixture
def source(prometheus, request):
    made = PrometheusSource(Endpoint("default", prometheus.url, **getattr(request, "param", {})))
    yield made
    made.close()


def waiting(namespace, model, **more):
    return SignalQuery("default", "vllm", "waiting", (("namespace", namespace), ("model", model)), **more)


HONEST = waiting("demo", "llama")
START = 1_790_000_000.0


def exported(prometheus, query):
    """The number that Prometheus itself has for a query, to see that a page was taken in."""
    told = prometheus.url + "/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(told, timeout=10) as answer:
        result = json.load(answer)["data"]["result"]
    return float(result[0]["value"][1]) if result else 0.0


def scraped(source, query, value):
    return lambda: getattr(source.fetch([query], [time.time() - 0.5])[query][0], "value", None) == value


def whole(measured, value=3.0):
    return isinstance(measured, Reading) and measured.value == value and not measured.incomplete_reason


# ---- what is written into a trigger ------------------------------------------------------------------------------------

RUNES = [
    "", "\x00", "\n", "\r", "\\", '"', "'", "`", "$", "()[]{}", "*+?|^.", "\\E\\Q", "(?i)", "a{1001}", "\uffff", "\ufffe",
    "\ufffd", "\x80", "\x7f", "\U0010ffff", "\u202e", "%", "#", "//", "a" * 999, "a" * 1001, "\u00e9" * 1001, "x" * 8192,
    ".*", "a|b", "\ud800",
]  # fmt: skip


def test_no_text_of_one_spoils_the_query_of_another(source):
    until(scraped(source, HONEST, 3.0))
    chance = random.Random(12)
    for number in range(60):
        odd = [RUNES[number]] if number < len(RUNES) else chance.sample(RUNES, 5)
        strangers = [waiting(chance.choice(["demo", "evil"]), value) for value in odd]
        measured = source.fetch([*strangers, HONEST], [time.time() - 0.5])
        assert whole(measured[HONEST][0]), (odd, measured[HONEST])
        assert set(measured) == {HONEST, *strangers}


def test_nobody_makes_a_neighbour_s_target_fail_by_calling_his_own_like_it(start_prometheus):
    """A relabelling of one's own scrape chooses job and instance, and many workloads leave no room for namespaces."""
    honest = {"job": "llm", "instance": "10.0.0.1:8000", "namespace": "demo", "pod": "d-0"}
    named_alike = {**honest, "namespace": "evil", "pod": "e-0"}
    written = [
        line for at in (honest, named_alike) for line in series("up", at, "1x40" if at is honest else "0x40", START)
    ]
    written += series("vllm:num_requests_waiting", {**honest, "model_name": "llama"}, "3x40", START)
    turns = " ".join("1000" if at % 2 else "5000" for at in range(41))
    written += series("process_start_time_seconds", named_alike, turns, START)
    source = PrometheusSource(Endpoint("default", start_prometheus(written).url, timeout=20))
    crowd = [waiting(f"namespace-{number}-of-a-crowd", "llama") for number in range(100)]
    for others in ([], crowd):
        found = source.fetch([HONEST, *others], [START + 600])[HONEST][0]
        assert (found.value, found.answered, found.expected, found.incomplete_reason) == (3.0, 1, 1, "")
    source.close()


# ---- what is exported --------------------------------------------------------------------------------------------------


def line(name, labels, value):
    return name + "{" + ",".join(f'{key}="{text}"' for key, text in sorted(labels.items())) + f"}} {value}"


def series_of(signal):
    """Name, labels and value of all series of a signal, of one workload."""
    for metric in (*signal.metrics, *signal.divided_by):
        if metric.is_dotted:
            continue  # the text format has no such names
        own = dict(metric.label_names)
        labels = {own.get(name, name): NAMED[key] for key, name in signal.label_names if key != "namespace"}
        labels |= {key: value for key, value in (*signal.where, *metric.where) if value}
        if metric.info_join:
            join = metric.info_join
            points_at = {join.label: "x", "horizontalpodautoscaler": "keda-hpa-x", "scaletargetref_name": "x"}
            yield join.info, {**dict(join.where), **points_at}, 1
            labels[join.names] = "x"
        if signal.type == "histogram":
            yield from ((f"{metric.name}_bucket", {**labels, "le": le}, n) for le, n in (("0.1", 5), ("+Inf", 10)))
            yield f"{metric.name}_count", labels, 10
            yield f"{metric.name}_sum", labels, 4
        else:
            yield metric.name, labels, 3


def page(hostile):
    """Every metric of the catalogue, and where it is hostile, everything odd beside it."""
    lines = {}
    for signal in (one for own in signals.engines().values() for one in own.values()):
        for name, labels, value in series_of(signal):
            lines[line(name, labels, "")] = value
            for more in ODD_LABELS if hostile else ():
                odd = random.Random(f"{name}{more}").choice(ODD_VALUES)
                lines[line(name, {**labels, **more}, "")] = odd
                lines[line(name, {**labels, **more, "odd": "yes"}, "")] = value
    ordered = sorted(lines.items())
    if hostile:  # and the objects' own values, which nobody expects to be anything but 1
        ordered = [(text, "-Inf" if text.startswith("kube_horizontalpodautoscaler_info") else n) for text, n in ordered]
    return "\n".join(f"{text}{value}" for text, value in ordered) + "\n"


def queries_of_both():
    """Of every shape of query in the catalogue, that of the honest workload, and the stranger's that shares its query."""
    for signal in (one for own in signals.engines().values() for one in own.values()):
        for pods in (False, True) if signal.scope == "target" and signal.quantile is None else (False,):
            yield tuple(
                SignalQuery(
                    "default",
                    signal.engine,
                    signal.name,
                    tuple((key, space if key == "namespace" else NAMED[key]) for key in signal.labels),
                    window=signal.window,
                    quantile=signal.quantile,
                    target_pods=TargetPods(frozenset({pod}), frozenset({pod})) if pods else None,
                )
                for space, pod in (("demo", "d-0"), ("evil", "e-0"))
            )


def told(measured, signal):
    """What is said, but for what time alone changes."""
    if isinstance(measured, Failure):
        return measured.reason
    rate = signal.endswith("_per_second") or measured.value is None
    return measured.value is None, None if rate else measured.value, measured.incomplete_reason


@pytest.mark.timeout(300)
@pytest.mark.parametrize("source", [{"timeout": 30.0}], indirect=True)
def test_nothing_that_one_exports_changes_what_another_reads(prometheus, source, pages):
    pages.pages |= {"d-0": page(hostile=False), "e-0": page(hostile=False)}
    pairs = list(queries_of_both())
    everything = [query for pair in pairs for query in pair]
    until(scraped(source, waiting("evil", "llama"), 3.0))
    time.sleep(3)  # until every rate has a second sample

    def measure():
        measured = source.fetch(everything, [time.time() - 0.5])
        return {honest: told(measured[honest][0], honest.signal) for honest, _ in pairs}

    before = measure()
    pages.pages["e-0"] = page(hostile=True)
    until(lambda: exported(prometheus, 'count({namespace="evil",odd="yes"})') > 1000)
    after = measure()
    spoilt = {query: (before[query], after[query]) for query in before if before[query] != after[query]}
    assert not spoilt
    assert sum(isinstance(one, tuple) and not one[0] for one in before.values()) > 60, "there was something to spoil"
    pages.pages |= {"d-0": GOOD.format(model="llama", waiting=3), "e-0": GOOD.format(model="mine", waiting=1)}


def test_a_query_that_the_server_refuses_is_refused_for_the_culprit_alone(start_prometheus, pages, caplog):
    """The server takes no query that reads many samples, and a stranger has as many as it likes."""
    many = "".join(f'vllm:num_requests_waiting{{model_name="m{number}"}} 1\n' for number in range(1500))
    pages.pages |= {"d-0": GOOD.format(model="llama", waiting=3), "e-0": many}
    jobs = [job(pages, "d-0", "demo"), job(pages, "e-0", "evil")]
    server = start_prometheus(jobs=jobs, flags=["--query.max-samples=2000"])
    source = PrometheusSource(Endpoint("default", server.url))
    culprit, others = waiting("evil", "y" * 1200), [waiting(f"n{number}", "llama") for number in range(20)]
    until(lambda: exported(server, 'scrape_samples_scraped{namespace="evil"}') == 1500)
    until(scraped(source, HONEST, 3.0))
    for _ in range(3):
        measured = source.fetch([culprit, *others, HONEST], [time.time() - 0.5])
        assert whole(measured[HONEST][0]), measured[HONEST]
        assert all(isinstance(measured[query][0], Reading) for query in others)
    said = [record for record in caplog.records if "a shared query is broken" in record.message]
    assert {record.labels["namespace"] for record in said} <= {"evil"}
    source.close()
    pages.pages["e-0"] = GOOD.format(model="mine", waiting=1)


@pytest.mark.parametrize("source", [{"max_series": 500}], indirect=True)
def test_too_many_series_of_one_are_too_many_for_it_alone(source, pages):
    many = "".join(f'vllm:num_requests_waiting{{model_name="m{number}"}} 1\n' for number in range(2000))
    long = waiting("evil", "x" * 1001)  # a list of values that is left out of the query, so that all are read
    until(scraped(source, HONEST, 3.0))
    pages.pages["e-0"] = many
    until(scraped(source, waiting("evil", "m1999"), 1.0))
    strangers = [long, *(waiting("evil", "y" * 900 + str(number)) for number in range(5))]
    for _ in range(3):
        measured = source.fetch([*strangers, HONEST], [time.time() - 0.5])
        assert whole(measured[HONEST][0]), measured[HONEST]
    pages.pages["e-0"] = GOOD.format(model="mine", waiting=1)


# ---- who is asked about apart ------------------------------------------------------------------------------------------


def cut_until_alone(apart, queries, culprit, at=0.0):
    """As the source does it: every part that holds the culprit fails."""
    rounds = 0
    while True:
        failing = next(part for part in apart.parts(queries, at).values() if culprit in part)
        if not apart.halve(failing, "odd", at):
            return rounds, apart.parts(queries, at)
        rounds += 1


@pytest.mark.parametrize("count", [2, 3, 17, 500])
def test_the_culprit_is_alone_after_as_many_cuts_as_halves_take(count, caplog):
    queries = [waiting(f"n{number % 50:02}", f"m{number}") for number in range(count)]
    apart, culprit = Apart(), queries[count // 2]
    rounds, parts = cut_until_alone(apart, queries, culprit)
    assert rounds <= count.bit_length()
    assert [culprit] in parts.values()
    assert sorted(query.labels for part in parts.values() for query in part) == sorted(
        query.labels for query in queries
    )
    assert apart.blamed([culprit])
    assert sum(apart.blamed([query]) for query in queries) == 1
    [said] = caplog.records
    assert said.labels == dict(culprit.labels)


def test_a_namespace_is_cut_in_two_only_once_it_is_alone():
    """So that nobody needs to wait until all of another's are told apart."""
    queries = [*(waiting("aaa", f"m{number}") for number in range(1000)), waiting("demo", "llama")]
    apart = Apart()
    apart.halve(queries, "odd", 0.0)
    assert [len(part) for part in apart.parts(queries, 0.0).values()] == [1000, 1]


def test_of_those_that_are_slow_one_has_a_turn_at_a_time_until_it_is_in_time():
    queries = [waiting(f"n{number}", "m") for number in range(3)]
    apart = Apart()
    for query in queries:
        apart.slow([query], "slow", 0.0)
        assert not apart.resting(queries, 0.0), "once may be for the server"
        apart.slow([query], "slow", 0.0)
        apart.in_time([query])
    for query in queries:
        apart.slow([query], "slow", 0.0)
    assert apart.resting(queries, 1.0) == set(queries)
    turns = [set(queries) - apart.resting(queries, 6.0 * number) for number in (1, 2, 3, 4)]
    assert [len(turn) for turn in turns] == [1, 1, 1, 1]
    assert set.union(*turns[:3]) == set(queries)
    assert apart.resting(queries, 25.0) == set(queries)
    assert not apart.resting(queries, 60.0), "it may have been for the server"
    assert not apart.resting(queries, 0.0), "the clock was set back"


def test_the_cuts_are_forgotten_after_a_while_and_when_the_clock_is_set():
    queries = [waiting("a", "m"), waiting("b", "m")]
    for later in (REMEMBERED + 1, -3600):
        apart = Apart()
        cut_until_alone(apart, queries, queries[0])
        assert len(apart.parts(queries, 0.0)) == 2
        assert list(apart.parts(queries, REMEMBERED + later)) == [""]


def test_pods_that_come_and_go_leave_an_ask_in_its_part():
    queries = [waiting("a", "m"), waiting("b", "m")]
    apart = Apart()
    cut_until_alone(apart, queries, queries[0])
    moved = [dataclasses.replace(query, target_pods=TargetPods(frozenset({"p"}), frozenset())) for query in queries]
    assert sorted(len(part) for part in apart.parts(moved, 0.0).values()) == [1, 1]


def test_there_are_never_more_parts_than_a_few_hundred():
    queries = [waiting(f"n{number}", "m") for number in range(2 * MAX_PLACES)]
    apart = Apart()
    for _ in range(20):
        for part in apart.parts(queries, 0.0).values():
            apart.halve(part, "all fail", 0.0)
    assert len(apart.parts(queries, 0.0)) <= MAX_PLACES + 1


# ---- a server that hangs -----------------------------------------------------------------------------------------------


def held():
    """Count the threads and the open files of this process."""
    return threading.active_count() + len(list(Path("/proc/self/fd").iterdir()))


def test_a_server_that_hangs_and_comes_back_again_and_again_leaves_nothing_behind(start_prometheus, pages):
    pages.pages["d-0"] = GOOD.format(model="llama", waiting=3)
    server = start_prometheus(jobs=[job(pages, "d-0", "demo")])
    source = PrometheusSource(Endpoint("default", server.url, timeout=0.5))
    queries = [HONEST, *(waiting("demo", "llama", pods=f"d-{number}") for number in range(8))]
    until(scraped(source, HONEST, 3.0))

    def hang_and_come_back():
        server.pause()
        for _ in range(2):
            told = source.fetch(queries, [time.time()])
            assert all(isinstance(one, Failure) for (one,) in told.values())
        server.resume()
        until(scraped(source, HONEST, 3.0))

    hang_and_come_back()  # the first one starts what is kept: threads of the pool, connections of the pages
    before = held()
    for _ in range(3):
        hang_and_come_back()
    until(lambda: held() <= before + 3)  # six more requests timed out: if each left one behind, that would be six
    assert list(source._apart.parts([HONEST], time.time())) == [""], "nobody was blamed for a server that hangs"
    source.close()
