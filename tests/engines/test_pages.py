"""What llm-scaler reads of pages that released engines gave is what the clients that loaded them know.

The pages are recorded (record.py), each under a load that is written beside it; they are read here as those of a pod.
"""

import bisect
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from sources.web import Web

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import Signal, find, names
from scaler.model.measurement import Reading, SignalQuery
from scaler.sources.pages.source import ScrapeSource

PAGES = Path(__file__).with_name("pages")
RECORDED = sorted(path.name for path in PAGES.iterdir())


class Recorded:
    """One recording, read page after page."""

    def __init__(self, name: str, web: Web) -> None:
        self.load: dict[str, Any] = yaml.safe_load((PAGES / name / "load.yaml").read_text())
        self.signals = {signal: find(self.load["engine"], signal) for signal in names(self.load["engine"])}
        self.now = 1000.0
        self._name = name
        self._web = web
        page = Page(web.url("/metrics"), {"namespace": "demo", "pod": "engine-0"})
        self._source = ScrapeSource(Endpoint("pages", timeout=30.0, pages=(page,)), lambda: self.now)

    def text(self, moment: str) -> str:
        return (PAGES / self._name / f"{moment}.txt").read_text()

    def read(self, moment: str, *signals: str, window: float | None = None) -> dict[str, Reading]:
        """Read a page, a second after the last one unless the clock was set on."""
        self.now += 1.0
        self._web.paths["/metrics"] = self.text(moment)
        queries = {name: self._ask(self.signals[name], window) for name in signals}
        found = self._source.fetch(queries.values(), [self.now])
        return {name: found[query][-1] for name, query in queries.items()}

    def close(self) -> None:
        self._source.close()

    def _ask(self, signal: Signal, window: float | None) -> SignalQuery:
        known = {"namespace": "demo", **self.load["labels"]}
        labels = tuple((label, known[label]) for label in signal.labels if label in known)
        query = SignalQuery("pages", signal.engine, signal.name, labels)
        if not signal.takes_window:
            return query
        return replace(query, window=window, quantile=0.95 if signal.takes_quantile else None)


@pytest.fixture(params=RECORDED)
def recorded(request):
    web = Web()
    recording = Recorded(request.param, web)
    yield recording
    recording.close()
    web.close()


def gauges(recorded):
    return [
        name for name, signal in recorded.signals.items() if signal.type == "gauge" and name in recorded.load["busy"]
    ]


def test_what_is_in_flight_is_read_while_it_is_and_not_any_more_when_it_is_answered_or_aborted(recorded):
    asked = gauges(recorded)
    busy = recorded.read("busy", *asked)
    assert {name: reading.value for name, reading in busy.items()} == {
        name: recorded.load["busy"][name] for name in asked
    }
    for moment, left in {"before": "idle", "after": "idle", "aborted": "aborted"}.items():
        idle = recorded.read(moment, *asked)
        assert {name: reading.value for name, reading in idle.items()} == dict.fromkeys(asked, recorded.load[left]), (
            moment
        )
        assert {reading.incomplete_reason for reading in idle.values()} <= {""}


def test_before_the_first_request_nothing_is_in_flight_or_nothing_is_said_of_it(recorded):
    asked = gauges(recorded)
    fresh = recorded.read("fresh", *asked)
    assert {name: reading.value for name, reading in fresh.items()} == dict.fromkeys(
        asked, None if recorded.load["silent"] else recorded.load["idle"]
    )


def test_rates_and_ratios_are_those_of_the_answers_between_two_pages(recorded):
    between = recorded.load["between"]
    seconds = between["seconds"]
    expected = {
        "prompt_tokens_per_second": between["prompt_tokens"] / seconds,
        "generation_tokens_per_second": between["generation_tokens"] / seconds,
        "requests_per_second": between["requests"] / seconds,
        "arrivals_per_second": between["requests"] / seconds,
        "preemptions_per_second": 0.0,
        "refused": 0.0,
        "prefix_cache_hit_rate": between["prompt_tokens_seen_before"] / between["prompt_tokens"],
    }
    counted = [name for name in there(recorded) if recorded.signals[name].type == "counter"]
    found = passed(recorded, counted)
    if recorded.load["uncached"]:  # how many of the tokens each of its slots had seen before only it knows
        new = between["prompt_tokens"] - between["prompt_tokens_seen_before"]
        prompts = "prompt_tokens_per_second"
        assert new / seconds <= found[prompts].value <= expected[prompts]
        counted.remove(prompts)
        del found[prompts]
    assert {name: reading.value for name, reading in found.items()} == pytest.approx(
        {name: expected[name] for name in counted}, rel=0.001
    )


def test_quantiles_are_those_of_the_answers_between_two_pages_but_for_a_bucket(recorded):
    known = recorded.load["between"]  # recordings of before do not tell of all of them
    timed = [name for name in there(recorded) if recorded.signals[name].takes_quantile and name in known]
    found = passed(recorded, timed)
    for name in timed:
        true, measured = known[name], found[name].value
        bounds = buckets(recorded, name)
        assert measured is not None
        apart = bisect.bisect_left(bounds, true) - bisect.bisect_left(bounds, measured)
        assert abs(apart) <= 1, f"{name}: {measured} was read, {true} is true, buckets end at {bounds}"


def test_the_share_of_the_cache_in_use_is_that_of_the_tokens_that_are_in_it(recorded):
    infos = re.findall(r"cache_config_info\{.*\}", recorded.text("busy"))
    if "kv_cache_usage" not in there(recorded) or len(infos) != 1:
        pytest.skip("it has no cache, does not say how large it is, or has one for each rank")
    size, blocks = (int(re.search(rf'\b{key}="(\d+)"', infos[0])[1]) for key in ("block_size", "num_gpu_blocks"))
    common = 0  # blocks that all requests share
    if "prefix_cache_hit_rate" in there(recorded):
        common = recorded.load["between"]["prompt_tokens_seen_before"] // recorded.load["between"]["requests"] // size
    used = common + sum(math.ceil(tokens / size) - common for tokens in recorded.load["busy"]["tokens_in_cache"])
    value = recorded.read("busy", "kv_cache_usage")["kv_cache_usage"].value
    batch = recorded.load["busy"]["running"]
    assert value * blocks == pytest.approx(used, abs=batch), "each request may have begun another block meanwhile"


def test_what_a_recording_lacks_is_not_on_its_page_either(recorded):
    asked = [name for name in recorded.load["absent"] if name in recorded.signals]
    found = passed(recorded, asked)
    assert {name: reading.value for name, reading in found.items()} == dict.fromkeys(asked)


def there(recorded):
    """All signals of the catalogue, but for those that the recording says are absent."""
    return [name for name in recorded.signals if name not in recorded.load["absent"]]


def passed(recorded, signals):
    """Read the page before the load and then the one after it."""
    seconds = recorded.load["between"]["seconds"]
    window = seconds + 1.0
    recorded.read("before", *signals, window=window)
    recorded.now += seconds - 1.0
    return recorded.read("after", *signals, window=window)


def buckets(recorded, signal):
    """The bounds of a histogram, in the signal's unit."""
    scale = recorded.signals[signal].scale
    for metric in recorded.signals[signal].metrics:
        found = re.findall(rf'^{re.escape(metric.name)}_bucket\{{.*le="([^"]+)"', recorded.text("after"), re.MULTILINE)
        if found:
            return sorted({float(bound) * scale for bound in found if bound != "+Inf"})
    raise AssertionError(f"{signal} is not on the page")
