"""Real KEDA scales real vLLM on real requests: from none to two replicas and back, and nobody's answer is lost.

The need: that what was built against simulated pages is right for the engine itself: its start, its queue, its end. Our
own clients wake it; then a tool of the field loads it, whose requests are written down on their way.
"""

import time

from engines.client import Clients
from engines.lab import field_tool
from engines.lab.kubelet import Kubelet
from engines.lab.ledger import Ledger
from engines.lab.objects import PORT, START, engine, gateway
from engines.lab.turnstile import Turnstile
from engines.servers import MODEL
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import scaled_object
from laboratory.process import Process
from laboratory.watch import Watch

NAME = "vllm"
SCRAPE = 2.0  # seconds; see laboratory.conftest
LIMIT = 12  # requests of a replica, of which 8 are in its batch and 4 wait in its own queue
TRIGGER = {"formula": "queue-depth", "model": MODEL, "target": "10", "idleFor": "5s"}
FEW = 5  # requests in flight, half of a replica's target
PROMPTS, ANSWER = 60, 300  # requests of the field tool, 20 at a time, and the tokens of an answer


def test_vllm_comes_from_zero_and_goes_back_and_every_request_is_answered(lab: Lab, scaler: LlmScaler):
    with Kubelet(lab) as kubelet:
        lab.apply(gateway(lab.api, "gateway", kubelet.name, NAME, LIMIT))
        lab.apply(engine(lab.home, NAME, kubelet.name))
        lab.apply(scaled_object(NAME, scaler.address, TRIGGER, maxReplicaCount=2))
        lab.wait(lambda: lab.ready("gateway") == 1, 60, "the gateway is ready")
        lab.wait(lambda: scaler.explain(NAME).get("active") is False, 180, "llm-scaler is sure that nothing is there")
        address = f"http://{lab.pods('gateway')[0]['status']['podIP']}:{PORT}"
        saved = lab.home / "field-tool.json"
        with (
            Watch(lab, NAME) as watch,
            Ledger(lambda: scaler.explain(NAME)) as ledger,
            Clients(address, MODEL) as clients,
            Turnstile(address) as turnstile,
        ):
            tool = field_tool.bench_serve(
                *(lab.home, turnstile.url, "--num-prompts", str(PROMPTS), "--max-concurrency", "20"),
                *("--random-input-len", "32", "--random-output-len", str(ANSWER), *field_tool.saving(saved)),
            )

            def working(replicas: int) -> bool:
                """Keep 20 requests in flight; are so many replicas at work?"""
                kubelet.check()
                clients.send(20 - clients.in_flight(), 300)
                return lab.ready(NAME) == replicas

            began = time.monotonic()
            clients.send(FEW, 300)  # enough for one replica, so that it serves alone before the second is there
            lab.wait(lambda: lab.ready(NAME) == 1, START, "the first vLLM is ready")
            cold = time.monotonic() - began
            lab.wait(lambda: read_alone(ledger, clients), 90, "what is in flight at one replica is read")
            lab.wait(lambda: working(2), START, "a second vLLM is ready")
            lab.wait(lambda: scaler.explain(NAME)["starting"]["startupSeconds"], 60, "its cold start has shown")
            told = scaler.explain(NAME)["starting"]["startupSeconds"]
            since = time.monotonic()
            lab.wait(lambda: working(2) and time.monotonic() - since > 30, 90, "both work for half a minute")
            loading = Process(tool, lab.home, lab.home / "logs")
            loading.start()
            lab.wait(lambda: working(2) and turnstile.requests, 300, "the field tool sends")
            lab.wait(lambda: not loading.alive() and clients.in_flight() == 0, 600, "all are answered")
            lab.wait(lambda: lab.replicas(NAME) == 0 and not lab.pods(NAME), 300, "nothing is left")
    sent = clients.requests + turnstile.requests
    problems = [request.problem for request in sent if request.problem]
    assert not problems, f"{len(problems)} of {len(sent)} requests: {problems[0]}"
    assert all(request.tokens == request.asked for request in sent)
    assert len({request.replica for request in sent}) == 2, "both have served"
    assert saved.exists(), loading.tail()
    bench = field_tool.result(saved)
    assert (bench["completed"], len(turnstile.requests)) == (PROMPTS, PROMPTS)
    assert bench["total_output_tokens"] == sum(request.tokens for request in turnstile.requests)
    assert watch.seen(NAME)[0] == watch.seen(NAME)[-1] == 0
    assert max(watch.seen(NAME)) == 2
    wrong = ledger.mismatches(sent, SCRAPE)
    assert not wrong, f"{len(wrong)} of {len(ledger.certain())} certain readings, such as {wrong[0]}"
    loaded = ledger.loaded()
    assert {entry.answered for entry in loaded} >= {1, 2}, "certain readings of one replica and of two"
    assert 10 < told < cold + 60
    lab.say(
        f"vllm: {cold:.0f} s from the first request to the first ready replica, {told:.0f} s of them told as start-up; "
        f"{len(clients.requests)} requests answered, and {PROMPTS} of the field tool's at {bench['output_throughput']:.0f} tokens/s; "
        f"{len(loaded)} certain readings under load, all of them right"
    )


def read_alone(ledger: Ledger, clients: Clients) -> bool:
    """Keep a few requests in flight; was the load of one replica read for certain?"""
    clients.send(FEW - clients.in_flight(), 300)
    return any(entry.answered == 1 for entry in ledger.loaded())
