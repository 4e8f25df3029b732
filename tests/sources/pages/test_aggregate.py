"""Signals of pages, as far as no HTTP is needed: pods with two pages, own pods, and which answers are whole."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import find
from scaler.model.measurement import MAX_VALUE, Failure, SignalQuery, TargetPods
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.names import wanted
from scaler.sources.pages.pods import PageResult

INF = math.inf
WAITING = SignalQuery("pages", "vllm", "waiting", (("namespace", "demo"), ("model", "m")))
NAME = "vllm:num_requests_waiting"


def visit(url, text, problem="", known=True, **labels):
    samples = {}
    for sample in scan(text.encode(), {NAME}):
        samples.setdefault(sample.name, []).append(sample)
    return PageResult(Page(url, labels), samples, lambda _window: {}, problem, known)


def read(visits, query=WAITING):
    return measure([query], visits, Endpoint("pages").dialect, 50.0, 50.0, "pages")[query]


def test_two_pages_of_one_pod_add_up():
    pages = [visit(f"http://p:{port}/", f'{NAME}{{model_name="m"}} {port}', pod="llama-0") for port in (3, 5)]
    assert (read(pages).value, read(pages).answered) == (8.0, 1)


def test_models_that_a_gateway_writes_in_lower_case_are_each_found_by_their_own_name():
    name = find("dynamo", "queued").metrics[0].name
    samples = list(scan(f'{name}{{model="llama"}} 3\n{name}{{model="qwen"}} 5\n'.encode(), {name}))
    page = PageResult(Page("http://f:1/", {}), {name: samples}, lambda _window: {}, "", known=True)
    models = {"Llama": 3.0, "llama": 3.0, "Qwen": 5.0, "QWEN": 5.0, "other": None}
    queries = {one: SignalQuery("pages", "dynamo", "queued", (("namespace", "demo"), ("model", one))) for one in models}
    found = measure(list(queries.values()), [page], Endpoint("pages").dialect, 50.0, 50.0, "pages")
    assert {one: found[query].value for one, query in queries.items()} == models


def test_the_list_s_labels_stand_over_the_page_s_own():
    pages = [visit("http://p:1/", f'{NAME}{{model_name="m",namespace="demo"}} 7', namespace="other")]
    assert read(pages).value is None


def test_only_the_target_s_own_pods_count_and_its_ready_ones_must_answer():
    pages = [visit(f"http://{pod}:1/", f'{NAME}{{model_name="m"}} 7', pod=pod) for pod in ("a", "b", "stranger")]
    own = TargetPods(frozenset({"a", "b", "c"}), frozenset({"a", "c"}))
    found = read(pages, replace(WAITING, target_pods=own))
    assert (found.value, found.answered, found.expected) == (14.0, 2, 3)
    assert found.incomplete_reason == "1 of 3 pods did not answer"


def test_a_pod_that_answers_without_the_series_is_no_silent_one():
    pages = [visit("http://a:1/", f'{NAME}{{model_name="m"}} 7', pod="a"), visit("http://b:1/", "", pod="b")]
    own = TargetPods(frozenset({"a", "b"}), frozenset({"a", "b"}))
    assert (
        read(pages, replace(WAITING, target_pods=own)).incomplete_reason
        == "1 of 2 pods answered, without such a series"
    )
    assert read(pages[1:], replace(WAITING, target_pods=own)).reason == (
        "1 of 2 pods did not answer; 1 of 2 pods answered, without such a series"
    )


numbers = st.one_of(st.floats().map(repr), st.sampled_from(["+Inf", "-Inf", "NaN", "1e308", "-1e308", "0", "7"]))
times = st.floats(-1e14, 1e14).map(repr)  # milliseconds
SIGNALS = ["waiting", "kv_cache_usage", "generation_tokens_per_second", "prefix_cache_hit_rate", "time_to_first_token"]


@given(st.sampled_from(SIGNALS), st.lists(st.lists(st.tuples(numbers, numbers, times), max_size=3), max_size=3))
def test_no_number_on_a_page_is_an_error_of_the_reader(name, pages):
    """Others' pods are measured in the same breath."""
    signal = find("vllm", name)
    names = wanted([signal])
    visits = []
    for at, lines in enumerate(pages):
        text = "".join(
            f'{one}{{model_name="m",engine="{index}",le="{le}"}} {value} {time}\n'
            for index, (value, le, time) in enumerate(lines)
            for one in names
        )
        samples = {one: [sample for sample in scan(text.encode(), names) if sample.name == one] for one in names}
        rates = {sample.key: sample.value for some in samples.values() for sample in some}
        visits.append(PageResult(Page(f"http://p:{at}/", {}), samples, lambda _window, rates=rates: rates))
    query = replace(WAITING, signal=name, window=signal.window, quantile=signal.quantile)
    found = read(visits, query)
    if isinstance(found, Failure):
        assert "cannot be read" not in found.reason
    else:
        assert found.value is None or abs(found.value) <= MAX_VALUE


def test_what_breaks_one_signal_leaves_the_others_alone(caplog):
    here = replace(visit("http://p:1/", f'{NAME}{{model_name="m"}} 7'), rates=lambda _window: {}["gone"])
    tokens = replace(WAITING, signal="generation_tokens_per_second", window=60.0)
    found = measure([WAITING, tokens], [here], Endpoint("pages").dialect, 50.0, 50.0, "pages")
    assert found[WAITING].value == 7.0
    assert found[tokens].reason == "pages gives numbers that cannot be read (KeyError: 'gone')"
    assert caplog.messages == ["a signal cannot be measured"]


def test_pages_that_do_not_say_whose_they_are_are_not_held_against_the_pods_that_kubernetes_names():
    pages = [visit(f"http://10.0.0.{at}:1/", f'{NAME}{{model_name="m"}} 7') for at in (1, 2)]
    own = TargetPods(frozenset({"a", "b"}), frozenset({"a", "b"}))
    found = read(pages, replace(WAITING, target_pods=own))
    assert (found.value, found.answered, found.expected, found.incomplete_reason) == (14.0, 2, 2, "")


def test_a_page_that_never_answered_is_missing_for_those_it_may_belong_to():
    gone = visit("http://p:1/", "", "p:1 is away", known=False, namespace="demo", pod="b-0")
    here = visit("http://p:2/", f'{NAME}{{model_name="m"}} 7', pod="a-0")
    assert read([here, gone]).incomplete_reason == "1 of 2 pods did not answer: p:1 is away"
    assert read([here, gone], replace(WAITING, pods="a-.*")).incomplete_reason == ""
    assert read([here, gone], replace(WAITING, labels=(("namespace", "other"), ("model", "m")))).incomplete_reason == ""


def test_a_histogram_of_which_a_page_shows_no_bucket_is_not_certain():
    """A client library that keeps a native histogram writes of it no more than this into text."""
    ttft = "vllm:time_to_first_token_seconds_bucket"
    samples = {ttft: scan(f'{ttft}{{model_name="m",le="+Inf"}} 7\n'.encode(), {ttft})}
    rates = {sample.key: 1.0 for sample in samples[ttft]}
    page = PageResult(Page("http://p:1/", {}), samples, lambda _window: rates)
    signal = find("vllm", "time_to_first_token")
    query = replace(WAITING, signal=signal.name, window=signal.window, quantile=signal.quantile)
    found = read([page], query)
    assert found.value is None
    assert found.incomplete_reason == "1 of 1 pods show a histogram without buckets, as text shows a native one"


def test_of_each_pod_only_what_all_of_its_pages_say_is_told():
    """Two pages of pod a, and two of pod b, one of which says that it is no number."""
    pages = [visit(f"http://a:{port}/", f'{NAME}{{model_name="m"}} {port}', pod="a") for port in (1, 2)]
    pages += [
        visit(f"http://b:{port}/", f'{NAME}{{model_name="m"}} {said}', pod="b") for port, said in ((1, 5), (2, "NaN"))
    ]
    assert read(pages).by_pod == (("a", 3.0),)
