"""Is an object what Kubernetes takes? By Kubernetes' own OpenAPI and by the definitions (CRDs) of others, read strictly:
a field that they do not know is a mistake, as it is for `kubectl apply --validate=strict`.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from chart.helm import ROOT, TOOLS, Object, module

Schema = dict[str, Any]
LAB = ROOT / "tests" / "laboratory" / "tools"  # the versions of the laboratory


def problems(item: Object) -> list[str]:
    """What is wrong with an object; empty if nothing is."""
    validator = _validator(item["apiVersion"], item["kind"])
    found = validator.iter_errors(item)
    return [f"{item['kind']} {item['metadata']['name']}: {error.json_path}: {error.message[:300]}" for error in found]


@cache
def _validator(version: str, kind: str) -> jsonschema.Draft202012Validator:
    group, _, plain = version.rpartition("/")
    schema = _own(group, plain, kind) or _defined().get((group, plain, kind))
    if schema is None:
        raise LookupError(f"nobody defines {kind} of {version}")
    return jsonschema.Draft202012Validator(schema)


def _own(group: str, version: str, kind: str) -> Schema | None:
    """What Kubernetes itself says of a kind."""
    folder = module(LAB / "kubernetes", "k8s.io/kubernetes") / "api" / "openapi-spec" / "v3"
    file = folder / (f"apis__{group}__{version}_openapi.json" if group else f"api__{version}_openapi.json")
    if not file.exists():
        return None
    document = json.loads(file.read_text())
    wanted = {"group": group, "version": version, "kind": kind}
    for name, schema in document["components"]["schemas"].items():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            components = {key: _strict(part) for key, part in document["components"]["schemas"].items()}
            return {"$ref": f"#/components/schemas/{name}", "components": {"schemas": components}}
    return None


@cache
def _defined() -> dict[tuple[str, str, str], Schema]:
    """What KEDA and cert-manager say of their kinds."""
    return {
        (spec["group"], version["name"], spec["names"]["kind"]): _whole(version["schema"]["openAPIV3Schema"])
        for spec in _definitions()
        for version in spec["versions"]
    }


def _definitions() -> Iterator[Schema]:
    keda = module(LAB / "keda", "github.com/kedacore/keda/v2") / "config" / "crd" / "bases"
    manager = module(TOOLS / "cert-manager", "github.com/cert-manager/cert-manager") / "deploy" / "crds"
    for folder in (keda, manager):
        for path in sorted(folder.glob("*.yaml")):
            yield from _specs(path)


def _specs(path: Path) -> Iterator[Schema]:
    for document in yaml.load_all(path.read_text(), yaml.CSafeLoader):
        if document and document["kind"] == "CustomResourceDefinition":
            yield document["spec"]


def _whole(schema: Schema) -> Schema:
    """The schema of a custom resource, whose head is everybody's."""
    strict = _strict(schema)
    strict["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
    return strict


def _strict(schema: Any) -> Any:
    """The same schema, in which no field is allowed that it does not name."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(part) for key, part in schema.items() if key != "default"}
    opens = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & closed.keys()
    if isinstance(closed.get("properties"), dict) and not opens:
        closed["additionalProperties"] = False
    if closed.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed
