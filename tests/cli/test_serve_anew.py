"""The whole service where its Prometheus, its formula or itself begins anew: nothing falls before the data says so."""

import pytest
from support.process import serving
from support.prometheus_server import until
from support.scraped_world import FORMULA, job, page, replicas, scraped_world, watch


@pytest.fixture
def world(tmp_path, start_prometheus, pages):
    with scraped_world(tmp_path, start_prometheus, pages) as made:
        yield made


@pytest.mark.real
@pytest.mark.timeout(180)
def test_an_empty_prometheus_an_edit_and_a_quiet_time_lower_the_answer_each_for_its_reason(world):
    server, prometheus, pages, formula = world
    watch(server, lambda answer: answer == 6)
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
