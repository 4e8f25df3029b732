"""A plan -> the text of a formula file and of a ScaledObject, with the reason beside each line.

A value that is out of a range of ours is not changed here: reading the file says so, by key and range.
"""

from collections.abc import Mapping, Sequence

import yaml

from scaler.convert.plan import Line, Plan

ADDRESS = "llm-scaler.keda:6000"


def formula_file(plan: Plan) -> str:
    """Write the formula file."""
    parameters: dict[str, object] = {
        "model": {"description": "the served model name", "example": plan.model or "llama-3-8b"}
    }
    if plan.engine:
        parameters["engine"] = {"default": plan.engine}
    head = (
        Line("name", plan.name, "the file's own name, without .yaml"),
        Line("description", f"As {plan.source} has it."),
        Line("parameters", parameters),
    )
    return written((*head, *plan.formula))


def scaled_object(plan: Plan, behavior: Mapping[str, object]) -> str:
    """Write the ScaledObject.

    Args:
        plan: what was read.
        behavior: of the HPA, where the plan keeps none: what a formula like this needs.
    """
    model = Line("model", plan.model or "MODEL", "the served model name" + ("" if plan.model else ": set it"))
    metadata = (
        Line("scalerAddress", ADDRESS, "where llm-scaler answers"),
        Line("formula", plan.name, "the file above, in llm-scaler's folder of formulas"),
        model,
    )
    trigger = (Line("- type", "external", "external-push wakes from 0 without waiting for a poll"),)
    beside = tuple(Line("-", one, "as it was; the trigger that wants most counts") for one in plan.beside)
    own = Line("behavior", behavior, "the policy owns the timing, so the HPA stands aside" if plan.with_policy else "")
    kept = plan.behavior or own
    advanced = (Line("horizontalPodAutoscalerConfig", (kept,)),) if kept.value else ()
    named = {line.key for line in plan.spec}
    fallback = {
        "failureThreshold": 3,
        "replicas": max(_whole(plan.minimum.value), 1),
        "behavior": "currentReplicasIfHigher",
    }
    spec = (
        Line("scaleTargetRef", _reference(plan), plan.target.why),
        plan.minimum,
        plan.maximum,
        *plan.spec,
        *(
            ()
            if "fallback" in named
            else (Line("fallback", fallback, "while nothing can be said, nothing is lowered"),)
        ),
        *((Line("advanced", advanced),) if advanced else ()),
    )
    head = (
        Line("apiVersion", "keda.sh/v1alpha1"),
        Line("kind", "ScaledObject"),
        Line("metadata", {"name": plan.name, "namespace": plan.namespace}),
        Line("spec", spec),
    )
    triggers = written((Line("triggers", ()),), 2) + written(trigger, 2) + "    metadata:\n" + written(metadata, 6)
    return written(head) + triggers + written(beside, 2)


def document(plan: Plan, behavior: Mapping[str, object]) -> str:
    """Write both, one YAML document each, and what could not be carried over as comments."""
    lost = "".join(f"# - {sentence}\n" for sentence in plan.left)
    left = f"#\n# Not carried over:\n{lost}" if lost else ""
    first = f"# {plan.source} -> formulas/{plan.name}.yaml, and the ScaledObject below it\n{left}"
    return f"{first}---\n{formula_file(plan)}---\n{scaled_object(plan, behavior)}"


def written(lines: Sequence[Line], indent: int = 0) -> str:
    r"""Write lines of YAML.

    >>> written((Line("target", 70.0, "100 x 70 %"), Line("spec", (Line("a", {"b": 1}),))))
    'target: 70  # 100 x 70 %\nspec:\n  a: {b: 1}\n'
    """
    text = ""
    for line in lines:
        why = f"  # {line.why}" if line.why else ""
        head = " " * indent + ("-" if line.key == "-" else f"{line.key}:")
        if isinstance(line.value, tuple):
            text += f"{head}{why}\n" + written(line.value, indent + 2)
        else:
            text += f"{head} {flow(line.value)}{why}\n"
    return text


def flow(value: object) -> str:
    """Write a value on one line."""
    dumped = yaml.safe_dump(
        _plain(value), default_flow_style=True, width=1_000_000, sort_keys=False, allow_unicode=True
    )
    return dumped.removesuffix("\n").removesuffix("\n...").rstrip()


def _plain(value: object) -> object:
    """Make whole floats whole numbers, and any mapping one that YAML knows."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _reference(plan: Plan) -> dict[str, object]:
    reference: dict[str, object] = {"name": plan.target.name}
    if (plan.target.api_version, plan.target.kind) != ("apps/v1", "Deployment"):
        return {"apiVersion": plan.target.api_version, "kind": plan.target.kind, **reference}
    return reference


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 1
