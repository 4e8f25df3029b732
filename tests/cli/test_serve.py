"""The whole service against a real Prometheus that scrapes real pages: whatever happens to it, the answer never falls."""

import json
import re

import pytest
from support.process import serving
from support.prometheus_server import until

FORMULA = """
name: load
parameters: {model: {example: m}}
metrics: {waiting: {signal: waiting}, running: {signal: running}, queued: {signal: queued, onMissing: zero}}
formula: queued + waiting + running
target: 8
interval: 1s
holdFor: 6s
idleFor: 4s
scaleDown: off
"""


def page(waiting, running):
    return (
        f'vllm:num_requests_waiting{{model_name="m",engine="0"}} {waiting}\n'
        f'vllm:num_requests_running{{model_name="m",engine="0"}} {running}\n'
    )


def job(pages, name):
    target = {"targets": [f"127.0.0.1:{pages.port}"], "labels": {"namespace": "demo", "pod": name}}
    return {"job_name": name, "metrics_path": f"/{name}/metrics", "static_configs": [target]}


@pytest.fixture
def world(tmp_path, start_prometheus, pages):
    """Two pods with 46 requests, a Prometheus that scrapes them, and the server that reads it."""
    (tmp_path / "formulas").mkdir()
    (tmp_path / "formulas" / "load.yaml").write_text(FORMULA)
    pages.pages.update(a=page(15, 8), b=page(15, 8))
    prometheus = start_prometheus()
    prometheus.scrape([job(pages, "a"), job(pages, "b")])
    with serving(tmp_path, prometheus.url, "--formulas", str(tmp_path / "formulas")) as server:
        yield server, prometheus, pages, tmp_path / "formulas" / "load.yaml"


def replicas(server):
    """What GetMetrics says: a number, or the text of the error."""
    line = server.ask(formula="load", model="m")[1]
    found = re.search(r"so (\d+) replicas", line)
    return int(found[1]) if found else line


def watch(server, done, tries=400):
    """Ask again and again until `done`; returns every answer."""
    answers = []

    def look():
        answers.append(replicas(server))
        return done(answers[-1])

    until(look, tries=tries, pause=0.1)
    return answers


def never_lower(answers, than):
    return all(isinstance(answer, str) or answer >= than for answer in answers)


@pytest.mark.real
@pytest.mark.timeout(180)
def test_the_answer_never_falls_whatever_happens_to_prometheus(world):
    server, prometheus, pages, formula = world
    watch(server, lambda answer: answer == 6)
    decision = json.loads(server.get("/api/v1/explain/demo/llama"))["decisions"][0]
    assert decision["reason"] == "6 replicas: queued + waiting + running = 46, at 8 a replica"
    assert [(fact["name"], fact["value"], fact["answered"]) for fact in decision["inputs"][:2]] == [
        ("waiting", 30, 2), ("running", 16, 2),
    ]  # fmt: skip

    prometheus.kill()
    held = watch(server, lambda answer: "cannot be reached" in str(answer))
    assert set(held[:-1]) == {6}, "held first, then an error with the reason"
    assert "no certain answer for" in held[-1]
    prometheus.start()
    assert never_lower(watch(server, lambda answer: answer == 6), 6)

    prometheus.pause()
    held = watch(server, lambda answer: isinstance(answer, str))
    assert set(held[:-1]) == {6}
    assert "gives no answer within" in held[-1]
    prometheus.resume()
    assert never_lower(watch(server, lambda answer: answer == 6), 6)

    del pages.pages["b"]
    held = watch(server, lambda answer: isinstance(answer, str))
    assert set(held[:-1]) == {6}
    assert "pods cannot be scraped" in held[-1]
    pages.pages["b"] = page(15, 8)
    assert never_lower(watch(server, lambda answer: answer == 6), 6)

    prometheus.restart_empty()
    pages.pages.update(a=page(1, 1), b=page(1, 1))
    answers = watch(server, lambda answer: answer == 1)
    assert set(answers) - {6, 1} == {text for text in answers if isinstance(text, str)}
    fell_at = answers.index(1)
    assert any("older than 6s" in str(answer) or answer == 6 for answer in answers[:fell_at])

    formula.write_text(FORMULA.replace("target: 8", "target: 2"))
    watch(server, lambda answer: answer == 2)
    formula.write_text("name: load\nformla: oops\n")
    until(lambda: "formla" in server.get("/readyz?verbose"))
    assert replicas(server) == 2
    assert "formla" in server.log.read_text()

    pages.pages.update(a=page(0, 0), b=page(0, 0))
    lines = []
    until(lambda: lines.append(server.ask(formula="load", model="m")) or "false" in lines[-1][2], tries=200, pause=0.1)
    assert [line[2].split()[-1] for line in lines] == ["true"] * (len(lines) - 1) + ["false"]

    assert server.stop() == 0


@pytest.mark.real
def test_a_restarted_server_knows_the_past_from_prometheus(tmp_path, start_prometheus, pages):
    """Its formula remembers 10 s; the second process has seen them as soon as it is asked."""
    (tmp_path / "load.yaml").write_text(FORMULA.replace("running}", "running, over: 10s}"))
    pages.pages.update(a=page(15, 8), b=page(15, 8))
    prometheus = start_prometheus()
    prometheus.scrape([job(pages, "a"), job(pages, "b")])
    with serving(tmp_path, prometheus.url, "--formulas", str(tmp_path)) as server:
        first = watch(server, lambda answer: answer == 6)
        assert any(
            "seen" in str(answer) or "older" in str(answer) or "no series" in str(answer) for answer in first[:-1]
        )
        assert server.stop() == 0
    with serving(tmp_path, prometheus.url, "--formulas", str(tmp_path)) as server:
        assert replicas(server) == 6
