"""The examples of deploy/examples on a real API server: each is taken as it stands, and KEDA scales a kind that it knows by /scale alone.

Of others' kinds there are stubs here: a definition with the same name and the same scale sub-resource, and nothing behind it.
"""

from pathlib import Path

import yaml
from laboratory.lab import Lab, condition
from laboratory.llm_scaler import LlmScaler

from scaler.wiring.targets import KINDS, Kind

EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples"
FILES = sorted([*EXAMPLES.glob("engines/*.yaml"), *EXAMPLES.glob("systems/*.yaml")])
STUBS = [kind for kind in KINDS.values() if not kind.refused and not kind.version.startswith("apps/")]


def stub(kind: Kind) -> dict:
    """The definition of a kind; of KServe's, which has no scale, without."""
    group, _, version = kind.version.partition("/")
    plural = f"{kind.kind.lower()}s"
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
        "subresources": {"status": {}} | ({} if kind.by_kserve else {"scale": scale}),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind.kind, "plural": plural, "singular": kind.kind.lower()},
            "versions": [served],
        },
    }


def test_every_example_is_taken_and_a_kind_of_others_is_scaled(lab: Lab, scaler: LlmScaler):
    lab.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}, *map(stub, STUBS)])
    names = {stub(kind)["metadata"]["name"] for kind in STUBS}
    lab.wait(lambda: names <= _established(lab), 30, "the stubs are established")
    lab.api = type(lab.api)(lab.api.url, *lab.api.files)  # which kinds there are is asked anew
    for file in FILES:
        lab.kubectl("apply", "--server-side", "--validate=strict", "--dry-run=server", "-n", "demo", "-f", str(file))
    lab.say(f"{len(FILES)} examples taken by KEDA's definitions, strictly")

    scaled = yaml.safe_load((EXAMPLES / "systems" / "aibrix-ray.yaml").read_text())
    scaled["metadata"]["namespace"] = "default"
    scaled["metadata"]["name"] = scaled["spec"]["scaleTargetRef"]["name"] = "fleet"
    metadata = scaled["spec"]["triggers"][0]["metadata"]
    metadata |= {"scalerAddress": scaler.address, "expression": "queued", "target": "1", "model": "fleet"}
    metadata.pop("formula")
    metadata.pop("engine")
    ref = scaled["spec"]["scaleTargetRef"]
    lab.fleet.queued["fleet"] = 3
    target = {
        "apiVersion": ref["apiVersion"],
        "kind": ref["kind"],
        "metadata": {"name": "fleet", "namespace": "default"},
        "spec": {"replicas": 1},
        "status": {"replicas": 1, "selector": "app=fleet"},
    }
    lab.apply(target)
    lab.api.patch(ref["kind"], "fleet", {"status": target["status"]}, subresource="status")
    lab.apply(scaled)
    lab.wait(lambda: _replicas(lab, ref["kind"]) == 3, 90, "KEDA and the HPA scale it through /scale")
    lab.say(f"{ref['kind']}: 1 -> 3 through /scale")
    lab.api.delete(ref["kind"], "fleet")


def _replicas(lab: Lab, kind: str) -> int:
    found = lab.get(kind, "fleet")
    return int(found["spec"]["replicas"]) if found else 0


def _established(lab: Lab) -> set[str]:
    stored = lab.api.items("CustomResourceDefinition")
    return {item["metadata"]["name"] for item in stored if condition(item, "Established")}
