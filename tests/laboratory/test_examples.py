"""The examples of deploy/examples on a real API server: each is taken as it stands, and KEDA scales a kind that it knows by /scale alone.

Of others' kinds there are stubs here: a definition with the same name and the same scale sub-resource, and nothing behind it.
"""

from pathlib import Path

import yaml
from laboratory.fleet import Load
from laboratory.lab import Lab, condition
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model

from scaler.wiring.targets import KINDS, TargetKind

EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples"
FILES = sorted([*EXAMPLES.glob("engines/*.yaml"), *EXAMPLES.glob("systems/*.yaml")])
STUBS = [kind for kind in KINDS.values() if not kind.refused and not kind.version.startswith("apps/")]


def stub(kind: TargetKind) -> dict:
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


# Of each system of the seeds: its example, the policy that it has, and what is shortened of it, since nobody waits five minutes here.
SEEDS = {
    "wallaroo": ("wallaroo", {"autoscaling_window": 60}),
    "ray-serve": ("ray", {"upscale_delay_s": 5, "downscale_delay_s": 10}),
    "knative": ("kpa", {}),
    "aibrix": ("aibrix-kpa", {}),
    "kthena": ("kthena", {}),
    "llm-d": (None, {}),
}
MODEL = "llama-3-8b"
POD = {"ray-serve": {"engine": "vllm"}}  # pods and gateway of the laboratory are vLLM's and the inference extension's


def test_the_example_of_each_system_of_the_seeds_scales_a_deployment_by_its_policy(lab: Lab, scaler: LlmScaler):
    lab.fleet.load = Load(model=MODEL)
    lab.fleet.queued[MODEL] = 0
    for name, (kind, shorter) in SEEDS.items():
        if kind:
            tree = yaml.safe_load((EXAMPLES / "formulas" / f"{name}.yaml").read_text())
            assert tree["policy"]["kind"] == kind
            tree["policy"] |= shorter
            (scaler.formulas / f"{name}.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        lab.apply(model(name, lab.fleet.port, gpus=0, replicas=1))
        lab.apply(_of_seed(name, scaler.address))
    lab.wait(lambda: all(scaler.explain(name).get("problems") == [] for name in SEEDS), 120, "all are measured")
    lab.fleet.queued[MODEL] = 8
    lab.fleet.load = Load(model=MODEL, waiting=12, running=4, kv_usage=0.9)
    lab.wait(lambda: all(lab.replicas(name) > 1 for name in SEEDS), 180, "each grows by its own policy")
    told = {name: scaler.explain(name).get("policy") for name in SEEDS}
    assert {name: policy and policy["kind"] for name, policy in told.items()} == {
        name: kind for name, (kind, _) in SEEDS.items()
    }
    assert not any(policy["cautions"] for policy in told.values() if policy), "the HPA stands aside"
    lab.say(
        f"examples of the seeds: { ({name: lab.replicas(name) for name in SEEDS}) } replicas; {scaler.reason('knative')}"
    )


def _of_seed(name: str, address: str) -> dict:
    """The ScaledObject of a system's example, for a Deployment of the laboratory."""
    documents = list(yaml.safe_load_all((EXAMPLES / "systems" / f"{name}.yaml").read_text()))
    [scaled] = [one for one in documents if one["kind"] == "ScaledObject"]
    scaled["metadata"] = {"name": name, "namespace": "default"}
    spec = scaled["spec"]
    spec |= {"scaleTargetRef": {"name": name}, "pollingInterval": 5}
    [trigger] = spec["triggers"]
    trigger["metadata"] |= {"scalerAddress": address, **POD.get(name, {})}
    for key in ("gateway", "route"):
        trigger["metadata"].pop(key, None)
    return scaled


def _replicas(lab: Lab, kind: str) -> int:
    found = lab.get(kind, "fleet")
    return int(found["spec"]["replicas"]) if found else 0


def _established(lab: Lab) -> set[str]:
    stored = lab.api.items("CustomResourceDefinition")
    return {item["metadata"]["name"] for item in stored if condition(item, "Established")}
