"""A Wallaroo deployment configuration, as the builder's Python or as JSON or YAML -> policy wallaroo."""

import ast
from collections.abc import Iterator, Mapping

from scaler.convert.plan import Line, Plan, Target, Term, Tree, load_lines, term_lines
from scaler.convert.words import mapping, number

KEYS = ("scale_up_queue_depth", "scale_down_queue_depth", "autoscaling_window")
CPU = ("autoscale_cpu_utilization", "cpu_utilization")
BOUNDS = {"replica_max": "maximum", "replica_min": "minimum", "maximum": "maximum", "minimum": "minimum"}
CALLS = {*KEYS, *CPU, "replica_autoscale_min_max", "replica_count"}


def reads(tree: Tree) -> bool:
    """Tell whether it has Wallaroo's triggers."""
    return any(True for _ in _settings(tree))


def read(trees: list[Tree]) -> list[Plan]:
    """Read every configuration."""
    return [_plan(name, found) for tree in trees for name, found in _settings(tree)]


def from_python(source: str) -> list[Tree]:
    """Read the calls of `DeploymentConfigBuilder()` in Python source; nothing of it is run.

    >>> from_python("d = wallaroo.DeploymentConfigBuilder().scale_up_queue_depth(5).build()")
    [{'d': {'scale_up_queue_depth': 5}}]
    """
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [{name: found} for name, found in _built(module) if found]


def _built(module: ast.Module) -> Iterator[tuple[str, dict[str, object]]]:
    for statement in ast.walk(module):
        if not isinstance(statement, (ast.Assign, ast.Expr)):
            continue
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        found: dict[str, object] = {}
        for call in calls:
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if name in CALLS:
                found |= _arguments(name, call)
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        yield (target.id if isinstance(target, ast.Name) else "deployment"), found


def _arguments(name: str, call: ast.Call) -> dict[str, object]:
    """Return the arguments of one call of the builder, by the names that its configuration has."""
    values = [one.value for one in call.args if isinstance(one, ast.Constant)]
    named = {one.arg: one.value.value for one in call.keywords if one.arg and isinstance(one.value, ast.Constant)}
    if name == "replica_autoscale_min_max":
        places = dict(zip(("maximum", "minimum"), values, strict=False))
        return {"minimum": 0, **places, **named}
    given = [*values, *named.values()]
    return {name: given[0]} if given else {}


def _settings(tree: object, name: str = "deployment") -> Iterator[tuple[str, Tree]]:
    """Yield every mapping with Wallaroo's words, with the key that it stands under."""
    if not isinstance(tree, Mapping):
        return
    if set(tree) & {*KEYS, *CPU} or ({"replica_max", "maximum"} & set(tree) and not mapping(tree, "metadata")):
        yield name, tree
        return
    for key, inner in tree.items():
        yield from _settings(inner, name if key in {"engine", "autoscale"} else str(key))


def _plan(name: str, given: Tree) -> Plan:
    where = f"Wallaroo deployment {name}"
    bounds = {BOUNDS[key]: int(number(value, where, key)) for key, value in given.items() if key in BOUNDS}
    plain = name.lower().replace("_", "-")
    policy = [Line("kind", "wallaroo", "Wallaroo's autoscale triggers")]
    policy += [Line(key, given[key], key) for key in KEYS if key in given]
    by_depth = "scale_up_queue_depth" in given
    percent = next((given[key] for key in CPU if key in given), None)
    if by_depth:
        formula = load_lines(None)
    else:
        cpu = Term("used", {"prometheus": CPU_QUERY, "unit": "percent"}, 1.0, True, "of the CPU that its pods request")
        policy.append(
            Line("autoscale_cpu_utilization", percent if percent is not None else 50, "autoscale_cpu_utilization")
        )
        lines = term_lines([cpu], declared=True)
        formula = tuple(line for line in lines if line.key != "target")
    left = (
        [] if "maximum" in bounds else ["replica_autoscale_min_max is missing, and the triggers need it: 1 to 5 here"]
    )
    known = {*KEYS, *CPU, *BOUNDS, "type"}
    left += [f"{key}: is not read by llm-scaler" for key in given if key not in known]
    left.append("cpus, memory, gpus and runtimes: they are the Deployment's own, and are not read")
    return Plan(
        source=where,
        name=plain,
        namespace="default",
        target=Target(plain, why="the engine as a Deployment"),
        minimum=Line("minReplicaCount", bounds.get("minimum", 0), "replica_autoscale_min_max"),
        maximum=Line("maxReplicaCount", bounds.get("maximum", 5), "replica_autoscale_min_max"),
        formula=(*formula, Line("policy", tuple(policy))),
        left=tuple(left),
    )


CPU_QUERY = (
    '100 * sum(rate(container_cpu_usage_seconds_total{namespace="$namespace",pod=~"$name-.*",container!=""}[2m])) / '
    'sum(kube_pod_container_resource_requests{namespace="$namespace",pod=~"$name-.*",resource="cpu"})'
)
