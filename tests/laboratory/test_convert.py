"""`llm-scaler convert NAMESPACE/NAME`: what other autoscalers' users have in their cluster, read of a real API server.

HPA and ScaledObject are the real ones; of others' kinds there are stubs: a definition with the same name, and nothing behind it.
"""

import subprocess
import sys
from pathlib import Path

import yaml
from laboratory.lab import Lab, condition

ORIGINALS = Path(__file__).resolve().parents[1] / "convert" / "originals"
FILES = ("hpa", "keda", "keda-vllm", "knative", "kserve-annotations", "aibrix", "kthena", "kthena-roles", "wva", "ray")
REAL = {"HorizontalPodAutoscaler", "ScaledObject"}
NAMESPACE = "convert"


def originals(name: str) -> list[dict]:
    """The objects of a file, in the scenario's namespace."""
    trees = [tree for tree in yaml.safe_load_all((ORIGINALS / f"{name}.yaml").read_text()) if tree]
    for tree in trees:
        tree["metadata"]["namespace"] = NAMESPACE
    return trees


def plural(kind: str) -> str:
    """The name of a kind's folder."""
    return kind.lower()[:-1] + "ies" if kind.endswith("y") else f"{kind.lower()}s"


def stub(version: str, kind: str) -> dict:
    """The definition of a kind that takes anything."""
    group, _, served = version.partition("/")
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}}
    names = {"kind": kind, "plural": plural(kind), "singular": kind.lower()}
    spec = {"group": group, "scope": "Namespaced", "names": names}
    spec["versions"] = [{"name": served, "served": True, "storage": True, "schema": schema}]
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return head | {"metadata": {"name": f"{plural(kind)}.{group}"}, "spec": spec}


def established(lab: Lab) -> set[str]:
    """The definitions that the API server serves."""
    return {
        one["metadata"]["name"] for one in lab.api.items("CustomResourceDefinition") if condition(one, "Established")
    }


def filled_in(scaled: dict) -> dict:
    """A ScaledObject without what the API server writes its defaults into where an original is stored."""
    return scaled | {
        "spec": {key: value for key, value in scaled["spec"].items() if key not in {"advanced", "fallback"}}
    }


def convert(*words: str, text: str | None = None) -> list[dict]:
    """What the command prints, as documents."""
    command = [sys.executable, "-m", "scaler", "convert", *words]
    run = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return [tree for tree in yaml.safe_load_all(run.stdout) if tree]


def test_an_object_of_the_cluster_is_converted_as_its_file_is_and_the_server_takes_what_is_printed(
    lab: Lab, tmp_path: Path
):
    objects = {name: originals(name) for name in FILES}
    every = [tree for trees in objects.values() for tree in trees]
    kinds = {(tree["apiVersion"], tree["kind"]) for tree in every if tree["kind"] not in REAL}
    stubs = [stub(version, kind) for version, kind in sorted(kinds)]
    lab.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, *stubs])
    wanted = {one["metadata"]["name"] for one in stubs}
    lab.wait(lambda: wanted <= established(lab), 60, "the stubs are established")
    lab.api = type(lab.api)(lab.api.url, *lab.api.files)  # which kinds there are is asked anew
    printed = 0
    for name, trees in objects.items():
        given = tmp_path / "originals.yaml"  # by kubectl, which tells Knative's Service from Kubernetes'
        given.write_text(yaml.safe_dump_all(trees))
        lab.kubectl("apply", "-f", str(given))
        bound = trees[-1]["metadata"]["name"]
        of_cluster = convert(f"{NAMESPACE}/{bound}", "--kubeconfig", str(lab.site.kubeconfig))
        of_file = convert("-", text=yaml.safe_dump_all(trees))
        assert of_cluster[0::2] == of_file[0::2], "the same formulas"
        if trees[0]["kind"] in REAL:
            of_cluster[1::2], of_file[1::2] = (list(map(filled_in, one[1::2])) for one in (of_cluster, of_file))
        assert of_cluster == of_file, name
        lab.kubectl("delete", "-f", str(given))
        for scaled in of_cluster[1::2]:
            file = tmp_path / f"{name}.yaml"
            file.write_text(yaml.safe_dump(scaled))
            lab.kubectl("apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", str(file))
            printed += 1
    lab.say(
        f"convert: {len(every)} objects of {len(kinds) + len(REAL)} kinds read of the API server, {printed} ScaledObjects taken"
    )
