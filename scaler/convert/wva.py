"""llm-d's VariantAutoscaling -> a formula of the same saturation thresholds."""

from scaler.convert.plan import ACTIVITY, Line, Plan, Target, Tree
from scaler.convert.words import bounds, mapping, name_of, text

KV_THRESHOLD, KV_SPARE = 0.80, 0.10  # its saturation scaling: full from here, and what has to be spare
QUEUE_THRESHOLD, QUEUE_SPARE = 5.0, 3.0


def reads(tree: Tree) -> bool:
    """Tell whether it is a VariantAutoscaling."""
    return text(tree, "kind") == "VariantAutoscaling"


def read(trees: list[Tree]) -> list[Plan]:
    """Read every VariantAutoscaling."""
    return [_plan(tree) for tree in trees if reads(tree)]


def _plan(tree: Tree) -> Plan:
    name, namespace = name_of(tree, "VariantAutoscaling")
    spec = mapping(tree, "spec")
    reference = mapping(spec, "scaleTargetRef")
    where, model = f"VariantAutoscaling {name}", text(spec, "modelID")
    kv, queue = KV_THRESHOLD - KV_SPARE, QUEUE_THRESHOLD - QUEUE_SPARE
    metrics = (
        Line("kv", {"signal": "kv_cache_usage"}, "mean over the replicas"),
        *(Line(metric, tree, why) for metric, tree, why in ACTIVITY),
    )
    left = ["the optimiser moves load between variants of a model by cost; each ScaledObject here is for one variant"]
    if "variantCost" in spec:
        left.append(
            f"variantCost {spec['variantCost']}: cost is weighed between the variants of one formula file"
            " (docs/groups.md, variants), for which it has to be known what a replica of each carries"
        )
    if text(spec, "sloClassRef", "name"):
        left.append("sloClassRef: its objectives are parameters of the formula llm-d-slo")
    if mapping(spec, "modelProfile"):
        left.append(
            "modelProfile: measured performance is not read; thresholds alone decide, as by its default analyzer"
        )
    minimum, maximum = bounds(spec, where, ("minReplicas", "maxReplicas"), (1, 10))
    return Plan(
        source=where,
        name=name,
        namespace=namespace,
        target=Target(
            text(reference, "name") or name,
            text(reference, "kind") or "Deployment",
            text(reference, "apiVersion") or "apps/v1",
            "scaleTargetRef" if reference else "it scales the Deployment of its own name",
        ),
        minimum=minimum,
        maximum=maximum,
        formula=(
            Line("metrics", metrics),
            Line(
                "formula",
                f"max(ready * (kv ?? 0) / {kv:g}, (queued + waiting) / {queue:g})",
                f"full from {KV_THRESHOLD:g} and {QUEUE_THRESHOLD:g}, less {KV_SPARE:g} and {QUEUE_SPARE:g}",
            ),
            Line("target", 1, "the formula is in replicas already"),
            Line("activation", "queued + waiting + running > 0", "what waits wakes it; what runs keeps it awake"),
        ),
        model=model,
        left=tuple(left),
    )
