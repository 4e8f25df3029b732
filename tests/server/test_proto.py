import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

ROOT = Path(__file__).parents[2]

KEDA = {  # KEDA v2.20.2 and main, pkg/scalers/externalscaler/externalscaler.proto
    "ScaledObjectRef": {"name": 1, "namespace": 2, "scalerMetadata": 3},
    "IsActiveResponse": {"result": 1},
    "GetMetricSpecResponse": {"metricSpecs": 1},
    "MetricSpec": {"metricName": 1, "targetSize": 2, "targetSizeFloat": 3},
    "GetMetricsRequest": {"scaledObjectRef": 1, "metricName": 2},
    "GetMetricsResponse": {"metricValues": 1},
    "MetricValue": {"metricName": 1, "metricValue": 2, "metricValueFloat": 3},
}


def test_generated_code_is_what_the_proto_file_gives(tmp_path):
    folder = tmp_path / "scaler" / "server" / "pb"
    folder.mkdir(parents=True)
    recipe = re.search(r"^proto:.*\n\t@?\$\(BIN\)/python (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    recipe = recipe.replace("=proto", f"={ROOT / 'proto'}").replace("out=.", f"out={tmp_path}")
    subprocess.run([sys.executable, *recipe.split()], check=True, cwd=tmp_path)
    fresh = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(fresh) == 3
    assert fresh == {name: (ROOT / "scaler" / "server" / "pb" / name).read_text() for name in fresh}


def test_messages_are_kedas():
    messages = pb.DESCRIPTOR.message_types_by_name
    assert {name: {field.name: field.number for field in of.fields} for name, of in messages.items()} == KEDA
    assert pb.DESCRIPTOR.package == "externalscaler"


def test_calls_are_kedas():
    service = pb.DESCRIPTOR.services_by_name["ExternalScaler"]
    calls = {
        call.name: (call.input_type.name, call.output_type.name, call.server_streaming) for call in service.methods
    }
    assert calls == {
        "IsActive": ("ScaledObjectRef", "IsActiveResponse", False),
        "StreamIsActive": ("ScaledObjectRef", "IsActiveResponse", True),
        "GetMetricSpec": ("ScaledObjectRef", "GetMetricSpecResponse", False),
        "GetMetrics": ("GetMetricsRequest", "GetMetricsResponse", False),
        "StreamMetricSpec": ("ScaledObjectRef", "GetMetricSpecResponse", True),
    }
    assert not any(call.client_streaming for call in service.methods)


def test_package_asks_for_the_libraries_that_the_generated_code_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = {need.name: need.specifier for need in map(Requirement, project["dependencies"])}
    needed = {
        "grpcio": pb_grpc.GRPC_GENERATED_VERSION,
        "protobuf": re.search(r"# Protobuf Python Version: (.+)", Path(pb.__file__).read_text())[1],
    }
    for name, version in needed.items():
        assert min(Version(clause.version) for clause in least[name]) >= Version(version)
        assert Version(importlib.metadata.version(name)) >= Version(version)
