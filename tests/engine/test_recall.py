"""The days before: asked for after the first answer, a day at a time, and folded with the next tick."""

import asyncio

import pytest
from support.prometheus_server import series

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog, shipped_formulas
from scaler.config.defaults import Defaults
from scaler.config.endpoint import Endpoint
from scaler.engine import recall
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.engine.recall import RETRY
from scaler.model.measurement import NO_NAMESPACES, Failure, HistoryProbe, Reading, TriggerRef
from scaler.model.strict_yaml import parse_yaml
from scaler.policy.recall import DAYS, PIECE
from scaler.sources.prometheus.source import PrometheusSource

START = 20 * 86_400.0 + 8.5 * 3600.0
SIGNALS = {
    "running": 100.0,
    "requests_per_second": 20.0,
    "prompt_tokens_per_second": 20_000.0,
    "generation_tokens_per_second": 4_000.0,
    "time_to_first_token": 1.0,
    "time_per_output_token": 1.0,
}


class World:
    """A source that knows three times the load from nine to five, on each day; counts the days it was asked for."""

    def __init__(self):
        self.days = []
        self.broken = False

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        long_ago = len(times) > 1 and times[1] - times[0] == PIECE
        if long_ago:
            self.days.append((len(queries), times[-1]))
        if long_ago and self.broken:
            return {query: [Failure("out of memory", at) for at in times] for query in queries}
        return {query: [self.measure(query, at) for at in times] for query in queries}

    @staticmethod
    def measure(query, at):
        if isinstance(query, HistoryProbe):
            return Reading(1.0, at)
        signal = getattr(query, "signal", "")
        if not signal:
            return Reading(6.0, at)
        value = SIGNALS.get(signal, 0.0)
        busy = 9 <= at % 86_400 / 3600 - 1e-6 < 17 and "per_second" in signal
        return Reading(value * (3 if busy else 1), at)


def catalog():
    path = shipped_formulas() / "slo.yaml"
    return Catalog({"slo": parse_file(parse_yaml(path.read_text(), "slo.yaml"), "slo.yaml")})


def request(name):
    metadata = {"formula": "slo", "model": name, "interval": "15s"}
    return TriggerRef("team", name, tuple(sorted(metadata.items())))


def play(scenario):
    asyncio.run(asyncio.wait_for(scenario, 30))


async def begun(engine, clock, names):
    """Let workloads be known, and their first ticks be folded."""
    reads = [asyncio.ensure_future(engine.read(request(name))) for name in names]
    await asyncio.sleep(0)
    for _ in range(4):
        await ticked(engine, clock)
    await asyncio.gather(*reads, return_exceptions=True)


async def ticked(engine, clock, span=15.0):
    clock[0] += span
    await engine.tick(clock[0])
    if engine._recalling is not None:
        await engine._recalling


def engine_of(world, clock, **more):
    return Engine({"default": world}, catalog(), Defaults(endpoints=("default",)), lambda: clock[0], Limits(**more))


def test_the_days_come_one_at_a_time_after_the_first_answer_and_are_folded():
    async def scenario():
        world, clock = World(), [START]
        engine = engine_of(world, clock)
        await begun(engine, clock, ["llama"])
        for _ in range(DAYS + 2):
            await ticked(engine, clock)
        assert len(world.days) == DAYS
        ends = [end for _, end in world.days]
        assert ends == pytest.approx([ends[0] - 86_400 * day for day in range(DAYS)])
        item = engine.registry.workloads[request("llama")]
        assert item.days.past == ()
        season = item.state.policy.season
        assert season.use is not None
        assert (season.use.way, season.use.off < 0.1 < season.use.naive) == ("day", True)
        await engine.close()

    play(scenario())


def test_many_workloads_are_asked_about_together_and_no_question_grows_without_bound(monkeypatch):
    monkeypatch.setattr(recall, "AT_ONCE", 2)

    async def scenario():
        world, clock = World(), [START]
        engine = engine_of(world, clock)
        names = [f"llama-{number}" for number in range(3)]
        await begun(engine, clock, names)
        for _ in range(6):
            await ticked(engine, clock)
        assert max(count for count, _ in world.days) == 2 * 2
        days = [engine.registry.workloads[request(name)].days.asked for name in names]
        assert max(days) - min(days) <= 1
        await engine.close()

    play(scenario())


def test_a_source_that_cannot_tell_the_days_is_left_alone_for_an_hour():
    async def scenario():
        world, clock = World(), [START]
        world.broken = True
        engine = engine_of(world, clock)
        await begun(engine, clock, ["llama"])
        for _ in range(5):
            await ticked(engine, clock)
        assert len(world.days) == 1
        decision = await engine.read(request("llama"))
        assert decision.replicas is not None
        world.broken = False
        await ticked(engine, clock, RETRY)
        await ticked(engine, clock)
        assert len(world.days) > 1
        await engine.close()

    play(scenario())


def test_pages_that_are_read_directly_are_not_asked_for_days():
    async def scenario():
        world, clock = World(), [START]
        engine = engine_of(world, clock, direct=frozenset({"default"}))
        await begun(engine, clock, ["llama"])
        for _ in range(3):
            await ticked(engine, clock)
        assert world.days == []
        await engine.close()

    play(scenario())


def counted(pod, first, last):
    """The counters of one pod over some days, every minute: 20 requests/s by night, 60 from nine to five."""
    lines = []
    for name, size in {"vllm:prompt_tokens_total": 1000, "vllm:generation_tokens_total": 200}.items():
        total, words = 0, []
        for minutes, rate in ((540, 20), (480, 60), (420, 20)) * (last - first):
            words.append(f"{total}+{rate * size * 60}x{minutes - 1}")
            total += rate * size * 60 * minutes
        labels = {"namespace": "team", "pod": pod, "model_name": "llama"}
        lines += series(name, labels, " ".join(words), REAL + first * 86_400, 60.0)
    return lines


REAL = 1_795_046_400.0  # a midnight


@pytest.mark.real
def test_a_real_prometheus_tells_the_days_of_pods_that_are_gone(start_prometheus):
    server = start_prometheus([*counted("llama-old", 0, 3), *counted("llama-new", 3, 6)])

    async def scenario():
        clock = [REAL + 5 * 86_400 + 8.5 * 3600]
        engine = engine_of(PrometheusSource(Endpoint("default", server.url, timeout=20)), clock, patience=20.0)
        await begun(engine, clock, ["llama"])
        for _ in range(7):
            await ticked(engine, clock)
        use = engine.registry.workloads[request("llama")].state.policy.season.use
        assert (use.way, use.rise) == ("day", 1.1)
        assert use.off < 0.01
        assert use.naive > 0.8
        await engine.close()

    play(scenario())
