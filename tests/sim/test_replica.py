"""One replica against a scheduler that takes every step by itself, written down as plainly as possible."""

import math
import random
from dataclasses import replace

import pytest

from scaler.model.errors import ConfigError
from scaler.sim.fleet import Fleet, FleetSpec
from scaler.sim.hardware import SEQUENCE, hardware
from scaler.sim.histogram import ITL, TTFT
from scaler.sim.replica import VLLM, EngineArgs
from scaler.sim.trace import Arrival

A100 = hardware("a100-8b-bf16")


def step_by_step(gpu, limits, arrivals):
    """Times of first and last tokens by request, preemptions, first-token waits, gaps between tokens."""
    now, waiting, running, todo = 0.0, [], [], list(enumerate(arrivals))
    ends, preemptions, gaps = {}, 0, []
    while todo or waiting or running:
        if not waiting and not running:
            now = max(now, todo[0][1].at)
        while todo and todo[0][1].at <= now:
            number, arrival = todo.pop(0)
            waiting.append({"number": number, "of": arrival, "out": 0, "needs": arrival.prompt, "left": arrival.prompt})
        held = sum(s["needs"] if s["left"] else s["of"].prompt + s["out"] - 1 for s in running)
        decoding = [s for s in running if not s["left"]]
        preempted = False
        while held + len(decoding) > gpu.kv_tokens:
            youngest = running.pop()
            held -= youngest["needs"] if youngest["left"] else youngest["of"].prompt + youngest["out"] - 1
            decoding = [s for s in running if not s["left"]]
            youngest["needs"] = youngest["left"] = youngest["of"].prompt + youngest["out"]
            waiting.insert(0, youngest)
            preemptions, preempted = preemptions + 1, True
        budget = limits.max_num_batched_tokens - len(decoding)
        chunks = []
        for s in [s for s in running if s["left"]]:
            chunks.append((s, min(s["left"], budget)))
            budget -= chunks[-1][1]
        while waiting and not preempted and budget > 0 and len(running) < limits.max_num_seqs:
            if held + len(decoding) + waiting[0]["needs"] > gpu.kv_tokens:
                break
            s = waiting.pop(0)
            running.append(s)
            held += s["needs"]
            chunks.append((s, min(s["left"], budget)))
            budget -= chunks[-1][1]
        chunks = [(s, chunk) for s, chunk in chunks if chunk]
        computed = len(decoding) + sum(chunk for _, chunk in chunks)
        now += gpu.overhead + (gpu.weights**4 + (gpu.token * computed) ** 4) ** 0.25
        now += SEQUENCE * (len(decoding) + len(chunks))
        now += gpu.kv * sum(s["of"].prompt + s["out"] - 1 for s in decoding)
        now += gpu.prefill * sum(chunk * (s["needs"] - s["left"] + chunk / 2) for s, chunk in chunks)
        for s, chunk in chunks:
            s["left"] -= chunk
        for s in decoding + [s for s, _ in chunks if not s["left"]]:
            s["out"] += 1
            gaps += [now - s["last"]] if "last" in s else []
            s["last"] = now
            s.setdefault("first", now)
            if s["out"] == s["of"].output:
                running.remove(s)
                ends[s["number"]] = (s["first"], now)
    return ends, preemptions, gaps


def some_requests(chance, count=60):
    at, arrivals = 0.0, []
    for _ in range(count):
        at += chance.expovariate(chance.choice([1, 20]))
        arrivals.append(Arrival(at, chance.randint(1, 900), chance.choice([1, chance.randint(1, 400)])))
    return arrivals


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_step_by_step_scheduler(seed):
    chance = random.Random(seed)
    gpu = replace(A100, kv_tokens=chance.choice([1500, 4000, 400_000]))  # the small ones preempt
    limits = EngineArgs(*chance.choice([(3, 64), (16, 16), (64, 64), (256, 512), (256, 2048)]))
    arrivals = some_requests(chance)
    fleet = Fleet(FleetSpec(gpu, limits), ready=1)
    fleet.play(arrivals)
    fleet.advance(1e5)
    ends, preemptions, gaps = step_by_step(gpu, limits, arrivals)
    served = {arrivals.index(done.arrival): done for done in fleet.collect()}
    assert {number: (done.first, done.end) for number, done in served.items()} == {
        number: pytest.approx(times, abs=1e-6) for number, times in ends.items()
    }
    (seen,) = fleet.snapshot().replicas
    assert seen.preemptions == preemptions
    assert seen.generation_tokens == sum(arrival.output for arrival in arrivals)
    assert seen.prompt_tokens == sum(arrival.prompt for arrival in arrivals)
    assert (seen.itl.count, seen.itl.sum) == (len(gaps), pytest.approx(sum(gaps)))
    assert seen.itl.cumulative == tuple(sum(gap <= bound for gap in gaps) for bound in ITL)
    waits = [done.first - done.arrival.at for done in served.values()]
    assert seen.ttft.cumulative == tuple(sum(wait <= bound for wait in waits) for bound in TTFT)


def test_the_small_caches_do_preempt():
    gpu = replace(A100, kv_tokens=1500)
    assert step_by_step(gpu, VLLM, some_requests(random.Random(1)))[1] > 0


def test_a_lone_request_by_hand():
    fleet = Fleet(FleetSpec(A100), ready=1)
    fleet.arrive(Arrival(10.0, 1000, 3))
    fleet.advance(20.0)
    (done,) = fleet.collect()
    prefill = 3.12e-3 + (10.55e-3**4 + (59.1e-6 * 1000) ** 4) ** 0.25 + 8e-6 + 3471e-12 * 1000 * 500
    assert done.ttft == pytest.approx(prefill)
    token = 3.12e-3 + (10.55e-3**4 + 59.1e-6**4) ** 0.25 + 8e-6
    assert done.end - done.first == pytest.approx(2 * token + 84.7e-9 * (1000 + 1001))


def test_a_long_prompt_is_taken_in_chunks_beside_the_decoding():
    fleet = Fleet(FleetSpec(A100, EngineArgs(max_num_seqs=100, max_num_batched_tokens=100)), ready=1)
    fleet.play([Arrival(0.0, 10, 500), Arrival(1.0, 990, 1)])
    fleet.advance(1.0)
    before = fleet.snapshot().generation_tokens
    fleet.advance(100.0)
    long = next(done for done in fleet.collect() if done.arrival.prompt == 990)
    assert before > 10
    # 99 tokens a step beside one decoding sequence: ten steps, during which the other one goes on
    assert long.first - long.arrival.at == pytest.approx(11 * (3.12e-3 + 10.6e-3), rel=0.15)


def test_looking_between_two_steps_shows_the_tokens_so_far():
    fleet = Fleet(FleetSpec(A100), ready=1)
    fleet.arrive(Arrival(0.0, 100, 1000))
    seen = []
    for at in (0.001, 0.5, 1.0, 5.0):
        fleet.advance(at)
        (replica,) = fleet.snapshot().replicas
        seen.append(replica.generation_tokens)
        assert replica.itl.count == max(replica.generation_tokens - 1, 0)
        assert replica.kv_usage == pytest.approx((100 + max(replica.generation_tokens - 1, 0)) / A100.kv_tokens)
        assert (replica.running, replica.waiting) == (1, 0)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[2] == pytest.approx(2 * seen[1], rel=0.05)


def test_more_sequences_than_max_num_seqs_wait():
    fleet = Fleet(FleetSpec(A100, EngineArgs(max_num_seqs=2)), ready=1)
    fleet.play([Arrival(0.0, 10, 100) for _ in range(5)])
    fleet.advance(0.2)
    assert (fleet.snapshot().running, fleet.snapshot().waiting) == (2, 3)
    fleet.advance(60.0)
    assert len(fleet.collect()) == 5


def test_a_step_without_room_for_every_sequence_is_refused():
    with pytest.raises(ConfigError, match="max_num_seqs: 9 is not between 1 and max_num_batched_tokens, 8"):
        EngineArgs(9, 8)


def test_a_request_without_a_token_has_no_time_to_it():
    fleet = Fleet(FleetSpec(replace(A100, kv_tokens=100)), ready=1)
    fleet.arrive(Arrival(0.0, 90, 20))
    (done,) = fleet.collect()
    assert (done.ttft, done.lost) == (math.inf, "longer than the KV cache")
