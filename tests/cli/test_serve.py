"""The whole service against a real Prometheus that scrapes real pages: whatever happens to it, the answer never falls."""

import json

import pytest
from support.scraped_world import never_lower, page, scraped_world, watch


@pytest.fixture
def world(tmp_path, start_prometheus, pages):
    with scraped_world(tmp_path, start_prometheus, pages) as made:
        yield made


@pytest.mark.real
@pytest.mark.timeout(180)
def test_the_answer_never_falls_whatever_happens_to_prometheus(world):
    server, prometheus, pages, _ = world
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

    assert server.stop() == 0
