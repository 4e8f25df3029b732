"""The kinds that can be scaled, and what their manifests say of engine and model.

Sources: KEDA 2.21 scales whatever has a scale sub-resource; which kinds have one was read in LeaderWorkerSet 0.7,
Kthena 1.0 (model_serving_types.go), AIBrix 0.7 (stormservice_types.go, rayclusterfleet_types.go), Dynamo 1.6
(dynamographdeploymentscalingadapter_types.go), KServe 0.21 (llm_inference_service_types.go: no /scale, it makes a
ScaledObject of spec.scaling itself) and KubeRay 1.5.0, whose RayCluster and RayService have none.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scaler.model.errors import ConfigError, nearest
from scaler.model.objects import Manifest
from scaler.wiring.picture import at, sequence


@dataclass(frozen=True, slots=True)
class TargetKind:
    """A kind of scale target.

    Attributes:
        kind: as manifests say it.
        version: its apiVersion.
        replica: what one replica of it is.
        refused: why KEDA cannot scale it, and what to do; empty where it can.
        metadata: keys of the trigger that are usual for it.
    """

    kind: str
    version: str
    replica: str = "a pod"
    refused: str = ""
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def by_kserve(self) -> bool:
        """Tell whether KServe makes the ScaledObject, of spec.scaling."""
        return self.kind == "LLMInferenceService"


_NO_RAY = (
    "has no scale sub-resource, so KEDA cannot scale it: Ray scales its own replicas. Scale a Deployment whose pods "
    "run `serve run`, or an AIBrix RayClusterFleet (rayclusterfleet/NAME)"
)
KINDS: Mapping[str, TargetKind] = {
    kind.kind.lower(): kind
    for kind in (
        TargetKind("Deployment", "apps/v1"),
        TargetKind("StatefulSet", "apps/v1"),
        TargetKind("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", "a group: one leader and its workers"),
        TargetKind("LLMInferenceService", "serving.kserve.io/v1alpha1", metadata=(("gateway", "inference-extension"),)),
        TargetKind(
            "ModelServing", "workload.serving.volcano.sh/v1alpha1", "a ServingGroup", metadata=(("gateway", "kthena"),)
        ),
        TargetKind("StormService", "orchestration.aibrix.ai/v1alpha1", "a RoleSet: all its roles"),
        TargetKind(
            "RayClusterFleet", "orchestration.aibrix.ai/v1alpha1", "a Ray cluster", metadata=(("engine", "ray-llm"),)
        ),
        TargetKind(
            "DynamoGraphDeploymentScalingAdapter",
            "nvidia.com/v1beta1",
            "a replica of one service of the graph",
            metadata=(("gateway", "dynamo"),),
        ),
        TargetKind("RayService", "ray.io/v1", refused=_NO_RAY),
        TargetKind("RayCluster", "ray.io/v1", refused=_NO_RAY),
    )
}
SHORT = {
    "deploy": "deployment",
    "sts": "statefulset",
    "lws": "leaderworkerset",
    "llmisvc": "llminferenceservice",
    "dgdsa": "dynamographdeploymentscalingadapter",
    "dynamographdeployment": "dynamographdeploymentscalingadapter",
}
ENGINES = {  # words of a container's image or command -> its engine; the first that is found
    "vllm-omni": "vllm-omni",
    "vllm": "vllm",
    "sglang": "sglang",
    "text-generation-inference": "tgi",
    "text-generation-launcher": "tgi",
    "trtllm-serve": "trtllm-serve",
    "tritonserver": "triton",
    "nvcr.io/nim/": "nim",
    "llama-server": "llama-cpp",
    "llama.cpp": "llama-cpp",
    "lmdeploy": "lmdeploy",
    "rayproject/ray": "ray-llm",
}
_SERVED = ("--served-model-name", "--model-name", "--alias")
_LOADED = ("--model", "--model-path", "--model-id", "--hf-repo")


def kind_of(word: str) -> TargetKind:
    """Look a kind up by the word of a person, such as `deployment`, `lws` or `LeaderWorkerSet`.

    Raises:
        ConfigError: it is not known, or KEDA cannot scale it.
    """
    plain = word.lower().partition(".")[0]
    plain = SHORT.get(plain, plain)
    found = KINDS.get(plain) or KINDS.get(plain.removesuffix("s"))
    if found is None:
        known = ", ".join(sorted(kind.kind for kind in KINDS.values() if not kind.refused))
        raise ConfigError("argument", word, f"is no kind that is known{nearest(plain, KINDS)}", known)
    if found.refused:
        raise ConfigError("argument", word, f"{found.kind} {found.refused}")
    return found


def engine_and_model(manifest: Manifest) -> tuple[str, str]:
    """Return what a manifest says of its engine and of the model that it serves; empty where it does not."""
    named = str(at(manifest, "spec", "model", "name") or "")  # KServe's
    for container in _containers(manifest):
        words = _words(container)
        if engine := _engine_in(words):
            return engine, named or _model(words, container)
    return "", named


def _containers(tree: object) -> Iterator[Manifest]:
    """Yield every container in a manifest, wherever its kind keeps its pods' templates."""
    if isinstance(tree, Mapping):
        yield from sequence(tree, "containers")
        for key, value in tree.items():
            if key not in {"status", "metadata"}:
                yield from _containers(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _containers(item)


def _words(container: Manifest) -> list[str]:
    """Return image, command and arguments; a script of a shell is taken apart."""
    given = [*_list(container, "command"), *_list(container, "args")]
    words = [str(container.get("image") or "")]
    for word in given:
        try:
            words += shlex.split(word) if " " in word else [word]
        except ValueError:
            words += word.split()
    return words


def _engine_in(words: Sequence[str]) -> str:
    """Find the engine whose sign is in any of the words; empty where there is none."""
    for sign, name in ENGINES.items():
        if any(sign in word for word in words):
            return name
    return ""


def _list(container: Manifest, key: str) -> list[str]:
    found = container.get(key)
    return list(map(str, found)) if isinstance(found, list) else []


def _model(words: list[str], container: Manifest) -> str:
    """Return the name under which requests ask for the model, or else what is loaded, which is then its name."""
    for flags in (_SERVED, _LOADED):
        for index, word in enumerate(words):
            flag, equals, value = word.partition("=")
            if flag in flags:
                return value if equals else next(iter(words[index + 1 : index + 2]), "")
    served = next((words[index + 1] for index, word in enumerate(words[:-1]) if word == "serve"), "")
    if served and not served.startswith("-"):
        return served
    variables = {str(one.get("name")): str(one.get("value") or "") for one in sequence(container, "env")}
    found = variables.get("SERVED_MODEL_NAME") or variables.get("MODEL_ID") or ""
    return "" if re.search(r"\$[({]", found) else found
