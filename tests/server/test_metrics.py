"""The metrics page as Prometheus reads it."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server.pages import get, pages
from server.world import asking, catalog, client, ref, refused, world
from support.timelines import START, fold, workload

from scaler.config.catalog import Catalog
from scaler.engine.limits import Limits
from scaler.model.measurement import Reading, TargetStatus
from scaler.server import metrics

CHAT = {"namespace": "models", "scaled_object": "chat", "formula": "queue"}


async def scrape(url):
    """Every sample of the page: (name, labels) -> value."""
    families = text_string_to_metric_families((await get(f"{url}/metrics")).text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for of in families for sample in of.samples}


def value(samples, name, **labels):
    """The one sample of that name that has these labels among its own; None when there is none."""
    found = [value for (of, has), value in samples.items() if of == name and labels.items() <= dict(has).items()]
    assert len(found) <= 1, found
    return found[0] if found else None


async def test_a_decision_is_on_the_page():
    async with world({"waiting": 5.0}) as w, client(w.address) as stub, pages(w) as url:
        await stub.GetMetrics(asking())
        samples = await scrape(url)
        for name, expected in (
            ("replicas", 3),
            ("active", 1),
            ("value", 5),
            ("target", 2),
            ("certain", 1),
            ("held_seconds", 0),
            ("decision_timestamp_seconds", w.clock.now),
        ):
            assert value(samples, f"llm_scaler_{name}", **CHAT) == expected
        assert value(samples, "llm_scaler_input_value", input="waiting") == 5
        assert value(samples, "llm_scaler_workloads", state="certain") == 1


async def test_what_cannot_be_said_is_absent_and_not_zero():
    async with world() as w, client(w.address) as stub, pages(w) as url:
        w.source.values = {}
        await refused(stub.GetMetrics(asking()))
        samples = await scrape(url)
        assert value(samples, "llm_scaler_replicas") is None
        assert value(samples, "llm_scaler_active") is None
        assert value(samples, "llm_scaler_certain", **CHAT) == 0
        assert value(samples, "llm_scaler_workloads", state="unknown") == 1


async def test_what_was_not_measured_is_exported_nowhere_as_zero():
    async with world({"waiting": 5.0, "running": 1.0}) as w, client(w.address) as stub, pages(w) as url:
        await stub.GetMetrics(asking())
        await w.at(5, running=None)
        samples = await scrape(url)
        assert value(samples, "llm_scaler_replicas", **CHAT) == 3, "it is held"
        assert value(samples, "llm_scaler_value") is None, "5 would be the sum with a 0 that nobody measured"
        assert value(samples, "llm_scaler_desired_replicas") is None
        assert value(samples, "llm_scaler_input_value", input="waiting") == 5
        assert value(samples, "llm_scaler_input_value", input="running") is None


async def test_two_triggers_of_one_object_and_formula_have_series_of_their_own():
    async with world() as w, client(w.address) as stub, pages(w) as url:
        for identity in ("a", "b"):
            await stub.IsActive(ref(id=identity))
        samples = await scrape(url)
        assert [value(samples, "llm_scaler_target", trigger=identity) for identity in ("a", "b")] == [2, 2]


async def test_above_the_limit_workloads_are_counted_and_not_exported():
    async with world() as w, client(w.address) as stub, pages(w, max_workloads=2) as url:
        for number in range(5):
            await stub.IsActive(ref(name=f"chat-{number}"))
        samples = await scrape(url)
        exported = {dict(has)["scaled_object"] for (name, has), _ in samples.items() if name == "llm_scaler_target"}
        assert exported == {"chat-0", "chat-1"}
        assert value(samples, "llm_scaler_workloads_unexported") == 3


async def test_metadata_is_never_a_label():
    async with world() as w, client(w.address) as stub, pages(w) as url:
        await stub.IsActive(ref(model="hunter2"))
        assert "hunter2" not in (await get(f"{url}/metrics")).text


async def test_calls_are_counted_by_method_and_status():
    async with world(observed=True) as w, client(w.address) as stub, pages(w) as url:
        await stub.IsActive(ref())
        for _ in range(2):
            await refused(stub.GetMetrics(asking("other")))
        stream = stub.StreamIsActive(ref())
        await stream.read()
        samples = await scrape(url)
        assert value(samples, "llm_scaler_calls_total", method="IsActive", code="OK") == 1
        assert value(samples, "llm_scaler_calls_total", method="GetMetrics", code="NOT_FOUND") == 2
        assert value(samples, "llm_scaler_call_seconds_count", method="GetMetrics") == 2
        assert value(samples, "llm_scaler_streams") == 1
        stream.cancel()
        while value(samples, "llm_scaler_calls_total", method="StreamIsActive", code="CANCELLED") != 1:
            samples = await scrape(url)
        assert value(samples, "llm_scaler_call_seconds_count", method="StreamIsActive") is None


async def test_sources_and_formulas_are_counted():
    async with world() as w, client(w.address) as stub, pages(w) as url:
        await stub.IsActive(ref())
        del w.source.values["waiting"]
        await w.at(5)
        w.engine.update_catalog(Catalog(catalog().formulas, {"queue.yaml": "is not YAML"}))
        samples = await scrape(url)
        assert value(samples, "llm_scaler_source_answers_total", endpoint="default", outcome="answered") > 0
        assert value(samples, "llm_scaler_source_answers_total", endpoint="default", outcome="failed") > 0
        assert value(samples, "llm_scaler_formulas") == 1
        assert value(samples, "llm_scaler_formula_file_invalid", file="queue.yaml") == 1
        assert value(samples, "llm_scaler_build_info") == 1


async def test_every_metric_on_the_page_is_in_the_table_and_the_other_way_round():
    async with world({"waiting": 1.0}, observed=True) as w, client(w.address) as stub, pages(w) as url:
        await stub.IsActive(ref())
        w.engine.update_catalog(Catalog(catalog().formulas, {"other.yaml": "is not YAML"}))
        page = (await get(f"{url}/metrics")).text
        heads = {line.split()[2]: line.split()[3] for line in page.splitlines() if line.startswith("# TYPE llm_scaler")}
        heads = {name: kind for name, kind in heads.items() if not name.endswith("_created")}
        listed = {own.name: own.type for own in metrics.METRICS}
        assert set(listed) - set(heads) <= {
            "llm_scaler_input_age_seconds",  # this source knows no age
            "llm_scaler_available_replicas",  # nor does anybody know of Kubernetes
            "llm_scaler_pending_replicas",
            "llm_scaler_silent_pods",  # nor does it count pods
            "llm_scaler_certificate_expiration_timestamp_seconds",  # and there is no TLS
        }
        assert heads == {name: kind for name, kind in listed.items() if name in heads}


async def test_open_metrics_is_spoken_to_who_asks_for_it():
    async with world() as w, client(w.address) as stub, pages(w) as url:
        await stub.IsActive(ref())
        page = await get(f"{url}/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert page.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert page.text.endswith("# EOF\n")


async def test_many_workloads_do_not_hold_up_the_loop_while_the_page_is_written():
    async with world(limits=Limits(budget=25)) as w, client(w.address) as stub, pages(w) as url:
        await asyncio.gather(*(stub.IsActive(ref(name=f"chat-{number}")) for number in range(200)))
        page, turns = asyncio.ensure_future(get(f"{url}/metrics")), 0
        while not page.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 10
        assert page.result().text.count("llm_scaler_target{") == 200


# ---- ready pods that nobody measures ----

OWN = "name: own\nmetrics: {running: {signal: running}, queued: {signal: queued, onMissing: zero}}\n" + (
    "formula: running + queued\ntarget: 8\nactivation: running > 0\n"
)
THREE = TargetStatus(3, 3, 0, 0, 10, "Kubernetes")


@pytest.mark.parametrize(
    ("running", "known", "expected"),
    [
        (Reading(9, START, answered=3, expected=3), THREE, 0),
        (Reading(9, START, answered=2, expected=3), THREE, 1),
        (Reading(9, START, answered=1, expected=2), THREE, 2),  # Kubernetes knows one more that is ready
        (Reading(9, START, answered=3, expected=None), TargetStatus(3), None),
        (Reading(9, START, answered=4, expected=3), THREE, 0),  # one that is going away answers still
        (None, THREE, 3),
        (None, TargetStatus(0, 0, 0, 0, 10, "Kubernetes"), None),
        ("endpoint `default` cannot be reached", THREE, None),  # the source's fault, which is told elsewhere
        (Reading(9, START), THREE, None),  # nobody counts pods there
    ],
)
def test_ready_pods_that_are_not_measured_are_counted(running, known, expected):
    row = {"running": running, "queued": None, "guards": {"running": running}, "replicas": known}
    assert metrics.silent_pods(fold(workload(OWN), [row] * 2)[1][-1]) == expected
