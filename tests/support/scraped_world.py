"""Two pods whose pages a real Prometheus scrapes, and the server that reads it, asked again and again."""

import contextlib
import re

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


@contextlib.contextmanager
def scraped_world(tmp_path, start_prometheus, pages):
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
