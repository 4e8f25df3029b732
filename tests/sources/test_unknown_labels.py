"""The law of labels that nobody knows: load is the sum over what they tell apart, copies count once, or it is said.

The worlds are made up: pods with one page or two, series with labels that are in no catalogue, and scrapes of the same
page by several jobs and by a pair of Prometheus. They are read on the pages themselves and through a real Prometheus,
and both say the same. test_what_adds_up.py has the single cases.
"""

import random
from dataclasses import dataclass
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint, Page
from scaler.model.measurement import SignalQuery
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.pods import PageResult
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600
NAME = "vllm:num_requests_waiting"
QUERY = SignalQuery("p", "vllm", "waiting", (("namespace", "demo"), ("model", "m")))
UNKNOWN = ("shard", "lane", "tenant", "zone_of_it", "dp_group")
WORLDS = 60  # that a real Prometheus is asked about


@dataclass(frozen=True)
class Scraped:
    """One page of one pod: its series, labels -> load, and who scrapes it."""

    pod: str
    port: int
    loads: dict[tuple[tuple[str, str], ...], int]
    jobs: tuple[str, ...]

    @property
    def text(self):
        rows = (
            (",".join(['model_name="m"', *(f'{k}="{v}"' for k, v in told)]), load) for told, load in self.loads.items()
        )
        return "".join(f"{NAME}{{{labels}}} {load}\n" for labels, load in rows)


def made_up(chance):
    """A world: the pages of up to three pods, and the names of the Prometheus that are not merged."""
    known = chance.sample(UNKNOWN, chance.randint(0, 3))
    pages = [page(chance, f"pod-{pod}", port, known) for pod in range(chance.randint(1, 3)) for port in ports(chance)]
    return pages, chance.choice([("",), ("a", "b")])


def ports(chance):
    return range(8000, 8000 + chance.randint(1, 2))


def page(chance, pod, port, known):
    labels = [tuple((name, chance.choice(["0", "1", "x"])) for name in known) for _ in range(chance.randint(1, 4))]
    # Some series lack a label that others have.
    told = {pairs[chance.randint(0, 1) :] for pairs in labels}
    jobs = tuple(sorted({chance.choice(["engines", "again"]) for _ in range(2)}))
    return Scraped(pod, port, {pairs: chance.randint(0, 9) for pairs in sorted(told)}, jobs)


def truth(pages):
    return sum(load for page in pages for load in page.loads.values())


def unclear(pages):
    """The pods whose pages no job scrapes all: one engine twice, or several?"""
    by_pod = {page.pod: [set(one.jobs) for one in pages if one.pod == page.pod] for page in pages}
    return {pod for pod, jobs in by_pod.items() if not set.intersection(*jobs)}


# ---- on the pages themselves -----------------------------------------------------------------------------------------


def visited(page):
    samples = {NAME: list(scan(page.text.encode(), {NAME}))}
    url = f"http://{page.pod}:{page.port}/metrics"
    return PageResult(Page(url, {"namespace": "demo", "pod": page.pod}), samples, lambda _window: {})


def directly(visits):
    return measure([QUERY], visits, Endpoint("p").dialect, AT, AT, "p")[QUERY]


@given(st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_on_pages_load_is_the_sum_and_the_same_page_again_counts_once(chance):
    pages, _ = made_up(chance)
    visits = list(map(visited, pages))
    again = [*visits, *chance.choices(visits, k=2)]
    chance.shuffle(again)
    for reading in (directly(visits), directly(again)):
        assert (reading.value, reading.incomplete_reason) == (truth(pages), "")
        assert reading.answered == len({page.pod for page in pages})


# ---- through a real Prometheus ---------------------------------------------------------------------------------------


def stored(number, pages, pair):
    """What a Prometheus keeps of a world, which it can tell from the others by a label of its own."""
    written = []
    for page in pages:
        for job, replica in ((job, replica) for job in page.jobs for replica in pair):
            target = {"world": str(number), "job": job, "instance": f"{page.pod}:{page.port}", "pod": page.pod}
            target |= {"namespace": "demo"} | ({"prometheus_replica": replica} if replica else {})
            written += series("up", target, "1x40", START)
            written += chain.from_iterable(
                series(NAME, {"model_name": "m", **dict(told), **target}, f"{load}x40", START)
                for told, load in page.loads.items()
            )
    return written


@pytest.mark.real
def test_through_prometheus_it_is_the_same_or_the_sentence_names_the_labels(start_prometheus):
    chance = random.Random(12)
    worlds = [made_up(chance) for _ in range(WORLDS)]
    server = start_prometheus([line for number, world in enumerate(worlds) for line in stored(number, *world)])
    doubtful = 0
    for number, (pages, _) in enumerate(worlds):
        source = PrometheusSource(Endpoint("p", server.url, timeout=20, matchers={"world": str(number)}))
        [reading] = source.fetch([QUERY], [AT])[QUERY]
        source.close()
        assert (reading.value, reading.answered) == (truth(pages), directly(list(map(visited, pages))).answered), pages
        told = reading.incomplete_reason
        assert bool(told) == bool(unclear(pages)), (pages, told)
        if told:
            doubtful += 1
            assert 'instance="' in told
            assert 'job="' in told
            assert any(pod in told for pod in unclear(pages))
    assert 0 < doubtful < WORLDS
