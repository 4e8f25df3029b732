"""What readers share: looking into manifests that strangers wrote, and the names of metrics."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from scaler.config.signals import engines
from scaler.convert.plan import Line, Plan, Target, Term, Tree
from scaler.model.errors import ConfigError
from scaler.model.fields import Fields, show

T = TypeVar("T")

SIGNALS: Mapping[str, str] = {  # names that AIBrix and Kthena have for every engine alike
    "num_requests_waiting": "waiting",
    "num_requests_running": "running",
    "gpu_cache_usage_perc": "kv_cache_usage",
    "kv_cache_usage_perc": "kv_cache_usage",
    "generation_tokens_total": "generation_tokens_per_second",
    "avg_generation_throughput_toks_per_s": "generation_tokens_per_second",
    "prompt_tokens_total": "prompt_tokens_per_second",
    "avg_prompt_throughput_toks_per_s": "prompt_tokens_per_second",
    "request_success_total": "requests_per_second",
    "time_to_first_token_seconds": "time_to_first_token",
    "time_per_output_token_seconds": "inter_token_latency",
    "inter_token_latency_seconds": "inter_token_latency",
    "e2e_request_latency_seconds": "end_to_end_latency",
}
EACH = frozenset({"kv_cache_usage", "time_to_first_token", "inter_token_latency", "end_to_end_latency"})
_NEUTRAL = re.compile(r"^(kthena|aibrix):")  # of names that stand for any engine's
_PREFIX = re.compile(r"^(vllm|sglang|kthena|aibrix|trtllm)[:_]")


def mapping(tree: object, *path: str) -> Tree:
    """Return the mapping at a path; empty where there is none."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree if isinstance(tree, Mapping) else {}


def sequence(tree: object, *path: str) -> Sequence[Tree]:
    """Return the mappings of the list at a path; empty where there is none."""
    inner = mapping(tree, *path[:-1]).get(path[-1])
    if not isinstance(inner, list):
        return []
    return [item for item in inner if isinstance(item, Mapping)]


def text(tree: object, *path: str) -> str:
    """Return the text at a path; empty where there is none."""
    value = mapping(tree, *path[:-1]).get(path[-1])
    return "" if value is None or isinstance(value, (Mapping, list)) else str(value)


def value(tree: Tree, where: str, key: str, read: Callable[[object], T], default: T) -> T:
    """Read one value of a manifest, or return the original's default.

    Raises:
        ConfigError: it is out of the range that the original has.
    """
    return Fields(where, {key: tree[key]} if key in tree else {}).take(key, read, default)


def name_of(tree: Tree, kind: str) -> tuple[str, str]:
    """Return the name and namespace of an object.

    Raises:
        ConfigError: it has no name.
    """
    name = text(tree, "metadata", "name")
    if not name:
        raise ConfigError(kind, "metadata.name", "is missing")
    return name, text(tree, "metadata", "namespace") or "default"


def referenced(spec: Tree) -> Target:
    """Return the target that scaleTargetRef names."""
    reference = mapping(spec, "scaleTargetRef")
    kind, version = text(reference, "kind") or "Deployment", text(reference, "apiVersion") or "apps/v1"
    return Target(text(reference, "name"), kind, version, "scaleTargetRef")


def bounds(tree: Tree, where: str, keys: tuple[str, str], usual: tuple[int, int]) -> tuple[Line, Line]:
    """Read minReplicaCount and maxReplicaCount, of the original's keys and defaults."""
    least, most = (int(number(tree.get(key, default), where, key)) for key, default in zip(keys, usual, strict=True))
    return Line("minReplicaCount", least, keys[0]), Line("maxReplicaCount", most, keys[1])


def planned(tree: Tree, where: str, keys: tuple[str, str], usual: tuple[int, int], terms: Sequence[Term] = ()) -> Plan:
    """Plan what all originals have in common that name their target in scaleTargetRef; the formula is still empty.

    Args:
        tree: the original.
        where: what it is, for messages.
        keys: of its spec, for the least and the most replicas.
        usual: their defaults.
        terms: what it measures, which may say the engine.
    """
    name, namespace = name_of(tree, where)
    spec = mapping(tree, "spec")
    least, most = bounds(spec, where, keys, usual)
    return Plan(where, name, namespace, referenced(spec), least, most, (), engine=engine_of(terms))


def identifier(name: str) -> str:
    """Make a name that a formula can read: vllm:num_requests_waiting -> num_requests_waiting.

    >>> identifier("my-metric.p95")
    'my_metric_p95'
    """
    plain = re.sub(r"\W", "_", _PREFIX.sub("", name)).strip("_")
    return plain[:63] if plain and not plain[0].isdigit() else f"m_{plain}"[:63]


def signal_of(metric: str) -> tuple[str, str]:
    """Find the engine and the signal that a metric is; two empty texts where the catalogue does not know it.

    >>> signal_of("sglang:num_queue_reqs"), signal_of("num_requests_waiting"), signal_of("up")
    (('sglang', 'waiting'), ('', 'waiting'), ('', ''))
    """
    shared = SIGNALS.get(_NEUTRAL.sub("", metric), "")
    if shared:
        return "", shared
    for engine, offered in engines().items():
        for name, signal in offered.items():
            if any(one.name == metric for one in signal.metrics) and signal.scope == "target":
                return engine, name
    return "", ""


def term(metric: str, target: float, *, each: bool, taken: Sequence[Term] = ()) -> Term:
    """Make a metric of pods: a signal of the catalogue where that knows it, else PromQL.

    A signal that adds up over replicas (waiting) is measured as a total, which is the same: a mean of 5 over 4
    replicas at a target of 10 is a total of 20 at 10 each.
    """
    engine, signal = signal_of(metric)
    name = unique(signal or identifier(metric), [one.name for one in taken])
    if signal:
        why = f"{metric}, under its name in every version"
        return Term(name, {"signal": signal}, target, signal in EACH, why, engine)
    reduce = "avg" if each else "sum"
    return Term(name, {"prometheus": f"{reduce}({_selector(metric)})"}, target, each, metric)


def requests_that_wait(why: str = "what waits at the engines") -> Term:
    """Return what stands in where no metric can be read: the requests that wait, 8 for each replica."""
    return Term("waiting", {"signal": "waiting"}, 8.0, False, why)


def engine_of(terms: Sequence[Term]) -> str:
    """Find the engine whose metrics they are; empty where nothing says it."""
    return next((term.engine for term in terms if term.engine), "")


def unique(name: str, taken: Sequence[str]) -> str:
    """Return the name, with a number behind it if it is taken."""
    candidates = [name, *(f"{name}_{count}" for count in range(2, len(taken) + 3))]
    return next(one for one in candidates if one not in taken)


def number(raw: object, where: str, key: str) -> float:
    """Read a quantity as Kubernetes writes it: "500m" is 0.5, "1k" is 1000.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(m|k|M|G|Ki|Mi|Gi|%)?\s*", str(raw))
    if not found:
        raise ConfigError(where, key, f"{show(raw)} is not a number")
    units = {"m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1024.0, "Mi": 1024.0**2, "Gi": 1024.0**3}
    return float(found[1]) * units.get(found[2] or "", 1.0)


def _selector(metric: str) -> str:
    """Write a metric of the ScaledObject's own namespace in PromQL."""
    if re.fullmatch(r"[A-Za-z_:][\w:]*", metric):
        return f'{metric}{{namespace="$namespace"}}'
    return f'{{__name__="{metric}",namespace="$namespace"}}'
