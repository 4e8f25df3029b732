"""The laboratory, but for its controllers: what judges the chart is the API server, and it is up in seconds."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from laboratory import build, parts
from laboratory.lab import Lab


class Server(Lab):
    """etcd and the API server, with KEDA's definitions; nobody acts on objects."""

    def _start(self) -> None:
        self.run(parts.etcd(self.site))
        self.run(parts.apiserver(self.site))
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": parts.SYSTEM}})
        folder = self.judges.source("keda", "github.com/kedacore/keda/v2") / "config" / "crd" / "bases"
        definitions = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted(folder.glob("*.yaml"))]
        self.apply(definitions)
        names = {definition["metadata"]["name"] for definition in definitions}
        self.wait(lambda: names <= self._established(), 60, "KEDA's custom resources are established")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    build.CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build.CACHE, prefix="test-") as made:
        yield Path(made)
