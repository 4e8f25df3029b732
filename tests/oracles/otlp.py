"""Metrics as OpenTelemetry sends them, into a real Prometheus 3: dotted names, resources, both kinds of histograms."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from laboratory.build import judges
from support.prometheus_server import REPO, Prometheus

TOOLS = REPO / "tests" / "laboratory" / "tools" / "prometheus"
RESOURCE = ("k8s.namespace.name", "k8s.pod.name")
CUMULATIVE = 2
SCALE = 3  # of native histograms: 8 buckets from each power of two to the next

Json = dict[str, Any]


def prometheus_3() -> Path:
    """The laboratory's Prometheus, or the same built by itself."""
    made = judges().program("prometheus")
    if made.exists():
        return made
    built = REPO / ".cache" / "prometheus3" / "prometheus"
    if not built.exists():
        go = shutil.which("go") or "/usr/local/go/bin/go"
        command = [go, "build", "-mod=readonly", "-tags", "remove_all_sd", "-o", str(built)]
        subprocess.run([*command, "github.com/prometheus/prometheus/cmd/prometheus"], cwd=TOOLS, check=True)
    return built


class Receiver(Prometheus):
    """A Prometheus 3 that is sent metrics, and writes their names as `strategy` says."""

    def __init__(self, folder: Path, strategy: str) -> None:
        super().__init__(folder, ["--web.enable-otlp-receiver"])
        self._prometheus = prometheus_3()
        self._strategy = strategy

    def _configure(self) -> None:
        named = {"translation_strategy": self._strategy, "promote_resource_attributes": list(RESOURCE)}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump({"otlp": named}))

    def send(self, namespace: str, pod: str, metrics: Iterable[Json]) -> None:
        """Send all metrics of one pod."""
        resource = {"k8s.namespace.name": namespace, "k8s.pod.name": pod, "service.name": "llm"}
        scope = {"metrics": list(metrics)}
        one = {"resource": {"attributes": _pairs(resource | {"service.instance.id": pod})}, "scopeMetrics": [scope]}
        request = urllib.request.Request(
            f"{self.url}/api/v1/otlp/v1/metrics",
            data=json.dumps({"resourceMetrics": [one]}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200


def moments(count: int, *, until: float = 0.0, step: float = 15.0) -> list[float]:
    """So many times, the last of them `until` seconds ago: a receiver takes nothing that is old."""
    last = time.time() - until
    return [last - step * (count - 1 - index) for index in range(count)]


def gauge(name: str, value: float, at: Iterable[float], **labels: str) -> Json:
    return {"name": name, "gauge": {"dataPoints": [{**_at(when, labels), "asDouble": value} for when in at]}}


def counter(name: str, each: float, at: list[float], **labels: str) -> Json:
    """A counter that grows by `each` from one time to the next."""
    points = [{**_at(when, labels, at[0]), "asDouble": each * index} for index, when in enumerate(at)]
    return {"name": name, "sum": {"dataPoints": points, "isMonotonic": True, "aggregationTemporality": CUMULATIVE}}


def classic(name: str, bounds: list[float], each: list[int], at: list[float], **labels: str) -> Json:
    """A histogram of which each bucket grows by `each`; the last one has no end."""
    points = []
    for index, when in enumerate(at):
        counts = [count * index for count in each]
        point = {"count": sum(counts), "sum": 1.0 * index, "bucketCounts": counts, "explicitBounds": bounds}
        points.append({**_at(when, labels, at[0]), **point})
    return {"name": name, "histogram": {"dataPoints": points, "aggregationTemporality": CUMULATIVE}}


def native(name: str, bucket: int, each: int, at: list[float], **labels: str) -> Json:
    """A native histogram all of whose observations are in one bucket: above 2**(bucket/8), up to 2**((bucket+1)/8)."""
    points = []
    for index, when in enumerate(at):
        count = each * index
        positive = {"offset": bucket, "bucketCounts": [count]}
        point = {"count": count, "sum": 1.0 * count, "scale": SCALE, "zeroCount": 0, "positive": positive}
        points.append({**_at(when, labels, at[0]), **point})
    return {"name": name, "exponentialHistogram": {"dataPoints": points, "aggregationTemporality": CUMULATIVE}}


def _at(when: float, labels: Mapping[str, str], began: float | None = None) -> Json:
    start = {} if began is None else {"startTimeUnixNano": _nano(began)}
    return {"timeUnixNano": _nano(when), "attributes": _pairs(labels), **start}


def _pairs(labels: Mapping[str, str]) -> list[Json]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in labels.items()]


def _nano(at: float) -> str:
    return str(round(at * 1e9))
