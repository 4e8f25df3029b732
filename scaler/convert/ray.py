"""Ray Serve's autoscaling_config, in a Serve config, an LLM config or a RayService -> policy ray."""

from collections.abc import Iterator, Mapping

from scaler.convert.plan import Line, Plan, Target, Tree, load_lines
from scaler.convert.words import number, text
from scaler.model.strict_yaml import parse_yaml

POLICY = (
    "look_back_period_s",
    "upscale_delay_s",
    "downscale_delay_s",
    "downscale_to_zero_delay_s",
    "upscaling_factor",
    "downscaling_factor",
    "aggregation_function",
)
OLDER = {
    "target_num_ongoing_requests_per_replica": "target_ongoing_requests",
    "upscale_smoothing_factor": "upscaling_factor",
    "downscale_smoothing_factor": "downscaling_factor",
}
LEFT: Mapping[str, str] = {
    "initial_replicas": "a new workload begins with the replicas of its Deployment",
    "metrics_interval_s": "`interval` of the trigger says how often is measured (5s by default)",
    "policy": "a policy of your own is Python that Ray runs: write it as a formula",
}


def reads(tree: Tree) -> bool:
    """Tell whether there is an autoscaling_config in it."""
    return any(True for _ in _deployments(tree))


def read(trees: list[Tree]) -> list[Plan]:
    """Read every deployment that has an autoscaling_config."""
    return [_plan(tree, *found) for tree in trees for found in _deployments(tree)]


def _deployments(tree: object, name: str = "") -> Iterator[tuple[str, Tree]]:
    """Yield every autoscaling_config below, with the name of what it stands in."""
    if isinstance(tree, list):
        for item in tree:
            yield from _deployments(item, name)
    if not isinstance(tree, Mapping):
        return
    inner = (
        text(tree, "name") or text(tree, "model_loading_config", "model_id") or text(tree, "metadata", "name") or name
    )
    served = tree.get("serveConfigV2")
    if isinstance(served, str):
        yield from _deployments(parse_yaml(served, "serveConfigV2"), inner)
    config = tree.get("autoscaling_config")
    if isinstance(config, Mapping):
        yield inner or "model", config
    elif tree.get("num_replicas") == "auto":
        yield inner or "model", {"min_replicas": 1, "max_replicas": 100}
    elif set(tree) & {"target_ongoing_requests", "target_num_ongoing_requests_per_replica"} and not name:
        yield "model", tree
        return
    for key, value in tree.items():
        if key != "autoscaling_config":
            yield from _deployments(value, inner)


def _plan(tree: Tree, name: str, config: Tree) -> Plan:
    where = f"Ray Serve deployment {name}"
    given = {OLDER.get(key, key): value for key, value in config.items() if value is not None}
    both = given.pop("smoothing_factor", None)
    if both is not None:
        given = {"upscaling_factor": both, "downscaling_factor": both, **given}
    minimum = int(number(given.pop("min_replicas", 1), where, "min_replicas"))
    maximum = int(number(given.pop("max_replicas", max(minimum, 1)), where, "max_replicas"))
    target = number(given.pop("target_ongoing_requests", 2), where, "target_ongoing_requests")
    lines = [Line("kind", "ray", "Ray Serve's algorithm")]
    lines += [Line(key, given.pop(key), key) for key in POLICY if key in given]
    left = [f"{key}: {LEFT.get(key, 'is not read by llm-scaler')}" for key in given]
    left.append("Ray Serve sets its replicas itself: run the engine as a Deployment, or one RayCluster a replica")
    return Plan(
        source=where,
        name=_plain(name),
        namespace=text(tree, "metadata", "namespace") or "default",
        target=Target(_plain(name), why="the engine as a Deployment"),
        minimum=Line("minReplicaCount", minimum, "min_replicas"),
        maximum=Line("maxReplicaCount", maximum, "max_replicas"),
        formula=(*load_lines(Line("target", target, "target_ongoing_requests")), Line("policy", tuple(lines))),
        model=name if "/" in name else "",
        left=tuple(left),
    )


def _plain(name: str) -> str:
    """Make a name that Kubernetes takes: LLMServer:qwen/Qwen2-7B -> llmserver-qwen-qwen2-7b."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
    return plain[:63].strip("-") or "model"
