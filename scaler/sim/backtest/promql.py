"""A small part of PromQL over a simulated fleet, so that KEDA's prometheus trigger can be played on one.

What is understood: the metrics of sim/pages.py, numbers, + - * /, sum avg max min count (also by pod), rate, increase,
and the *_over_time of a selector; ceil, floor, clamp_min, clamp_max, scalar, vector, `or`. Matchers are not looked at:
all series of the fleet are the workload's. Anything else is refused, with a sentence, before anything is played.

    sum(vllm:num_requests_waiting{model_name="llama"}) / 2     5 waiting on one replica and 3 on another: 4
"""

import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import promql_parser

from scaler.model.errors import ConfigError
from scaler.model.fields import show
from scaler.sim.fleet import Snapshot
from scaler.sim.replica import ReplicaFacts

ValueByPod = dict[str, float]  # by pod; "" where the pods were added up
PromqlValue = ValueByPod | float

METRICS: Mapping[str, Callable[[ReplicaFacts], float]] = {
    "vllm:num_requests_waiting": lambda replica: replica.waiting,
    "vllm:num_requests_running": lambda replica: replica.running,
    "vllm:kv_cache_usage_perc": lambda replica: replica.kv_usage,
    "vllm:gpu_cache_usage_perc": lambda replica: replica.kv_usage,
    "vllm:prompt_tokens_total": lambda replica: replica.prompt_tokens,
    "vllm:generation_tokens_total": lambda replica: replica.generation_tokens,
    "vllm:num_preemptions_total": lambda replica: replica.preemptions,
    "vllm:request_success_total": lambda replica: replica.finished,
}
QUEUE = "llm_d_epp_flow_control_queue_size"
_AGGREGATIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
    "count": lambda values: float(len(values)),
}
_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else math.nan,
}
_OVER_TIME: Mapping[str, Callable[[Sequence[float]], float]] = {
    "avg_over_time": lambda values: sum(values) / len(values),
    "max_over_time": max,
    "min_over_time": min,
    "sum_over_time": sum,
    "last_over_time": lambda values: values[-1],
}
_ROUNDING: Mapping[str, Callable[[float], float]] = {"ceil": math.ceil, "floor": math.floor}
_CLAMPS: Mapping[str, Callable[[float, float], float]] = {"clamp_min": max, "clamp_max": min}


def check(text: str) -> None:
    """Refuse a query that a simulated fleet cannot answer.

    Raises:
        ConfigError: naming the part that is not understood.
    """
    value(text, ())


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    try:
        return promql_parser.parse(text)
    except ValueError as error:
        raise ConfigError("query", show(text), f"is not PromQL ({error})") from error


def longest_window(text: str) -> float:
    """Return the seconds of the longest range selector of a query."""
    return max(_windows(_parsed(text)), default=0.0)


def _windows(node: Any) -> Iterator[float]:
    if type(node).__name__ == "MatrixSelector":
        yield node.range.total_seconds()
    for name in ("expr", "lhs", "rhs"):
        inner = getattr(node, name, None)
        if inner is not None:
            yield from _windows(inner)
    for inner in getattr(node, "args", None) or ():
        yield from _windows(inner)


def value(text: str, history: Sequence[Snapshot]) -> float | None:
    """Evaluate a query.

    Args:
        text: the query.
        history: what was scraped so far, the newest last.

    Returns:
        Its one number; None where it has none.

    Raises:
        ConfigError: a part of it is not understood, or it gives a series for each pod.
    """
    result = _Evaluation(text, history).of(_parsed(text))
    if isinstance(result, float):
        return result
    if len(result) > 1 or any(pod for pod in result):
        raise ConfigError("query", show(text), "gives a series for each pod", "one number: sum(...)")
    return next((one for one in result.values() if math.isfinite(one)), None)


class _Evaluation:
    """One query over one history."""

    def __init__(self, text: str, history: Sequence[Snapshot]) -> None:
        self._text = text
        self._history = history

    def of(self, node: Any) -> PromqlValue:
        """Evaluate one part; parts are looked at whether or not there is any series."""
        kind = type(node).__name__
        readers: Mapping[str, Callable[[Any], PromqlValue]] = {
            "NumberLiteral": lambda number: float(number.val),
            "ParenExpr": lambda inner: self.of(inner.expr),
            "UnaryExpr": lambda inner: _each(self.of(inner.expr), operator.neg),
            "VectorSelector": self._newest,
            "AggregateExpr": self._aggregate,
            "BinaryExpr": self._binary,
            "Call": self._call,
        }
        if kind not in readers:
            raise self._refuse(node)
        return readers[kind](node)

    def _refuse(self, node: Any) -> ConfigError:
        problem = f"{show(str(node))} cannot be answered by a simulated fleet"
        known = f"{', '.join((*METRICS, QUEUE))}; {', '.join((*_AGGREGATIONS, 'rate', 'increase', *_OVER_TIME))}"
        return ConfigError("query", show(self._text), problem, known)

    def _newest(self, node: Any) -> ValueByPod:
        if node.offset is not None or node.at is not None:
            raise self._refuse(node)
        read = self._reader(node)
        return read(self._history[-1]) if self._history else {}

    def _reader(self, node: Any) -> Callable[[Snapshot], ValueByPod]:
        if node.name == QUEUE:
            return lambda seen: {"": float(seen.queued)}
        if node.name not in METRICS:
            raise self._refuse(node)
        metric = METRICS[node.name]
        return lambda seen: {
            str(replica.serial): float(metric(replica)) for replica in seen.replicas if replica.phase != "starting"
        }

    def _aggregate(self, node: Any) -> ValueByPod:
        if str(node.op) not in _AGGREGATIONS or node.param is not None:
            raise self._refuse(node)
        inner = self.of(node.expr)
        if isinstance(inner, float):
            raise self._refuse(node)
        modifier = str(node.modifier or "")
        if "pod" in modifier and "without" not in modifier:
            return inner
        values = list(inner.values())
        return {"": float(_AGGREGATIONS[str(node.op)](values))} if values else {}

    def _binary(self, node: Any) -> PromqlValue:
        left, right, word = self.of(node.lhs), self.of(node.rhs), str(node.op)
        if word == "or" and not isinstance(left, float) and not isinstance(right, float):
            return {**right, **left} if set(left) == set(right) or not left else left
        if word not in _OPERATORS:
            raise self._refuse(node)
        apply = _OPERATORS[word]
        if isinstance(left, float) and isinstance(right, float):
            return apply(left, right)
        if isinstance(left, float):
            series = {} if isinstance(right, float) else right
            return {pod: apply(left, one) for pod, one in series.items()}
        if isinstance(right, float):
            return {pod: apply(one, right) for pod, one in left.items()}
        return {pod: apply(left[pod], right[pod]) for pod in left.keys() & right.keys()}

    def _call(self, node: Any) -> PromqlValue:
        name, arguments = node.func.name, list(node.args)
        if name in {"rate", "increase"} or name in _OVER_TIME:
            return self._over_window(node, name, arguments[0])
        if name in _ROUNDING:
            return _each(self.of(arguments[0]), _ROUNDING[name])
        if name in _CLAMPS:
            bound = self.of(arguments[1])
            if isinstance(bound, float):
                return _each(self.of(arguments[0]), lambda one: _CLAMPS[name](one, bound))
        if name == "vector":
            inner = self.of(arguments[0])
            return {"": inner} if isinstance(inner, float) else inner
        if name == "scalar":
            inner = self.of(arguments[0])
            return inner if isinstance(inner, float) else next(iter(inner.values()), math.nan)
        raise self._refuse(node)

    def _over_window(self, node: Any, name: str, selector: Any) -> ValueByPod:
        if type(selector).__name__ != "MatrixSelector":
            raise self._refuse(node)
        read = self._reader(selector.vector_selector)
        if not self._history:
            return {}
        span = selector.range.total_seconds()
        now = self._history[-1].at
        window = [seen for seen in self._history if seen.at > now - span]
        series: dict[str, list[tuple[float, float]]] = {}
        for seen in window:
            for pod, one in read(seen).items():
                series.setdefault(pod, []).append((seen.at, one))
        alive = {pod: points for pod, points in series.items() if points[-1][0] > now - span}
        if name in _OVER_TIME:
            reduce = _OVER_TIME[name]
            return {pod: reduce(_numbers(points)) for pod, points in alive.items()}
        rates = {pod: _rate(points, span, now) for pod, points in alive.items() if len(points) > 1}
        return {pod: rate * span if name == "increase" else rate for pod, rate in rates.items()}


def _numbers(points: Sequence[tuple[float, float]]) -> list[float]:
    return [number for _, number in points]


def _rate(points: Sequence[tuple[float, float]], span: float, now: float) -> float:
    """Return the rate of a counter as Prometheus extrapolates it to its window.

    Source: Prometheus 3, promql/functions.go (extrapolatedRate): to the window's ends where these are near, else half
    the distance between samples further; and never to below zero.
    """
    (first, low), (last, high) = points[0], points[-1]
    sampled = last - first
    gap = sampled / (len(points) - 1)
    before, after = first - (now - span), now - last
    growth = high - low
    if growth > 0 and low >= 0:
        before = min(before, sampled * (low / growth))
    before = before if before < gap * 1.1 else gap / 2
    after = after if after < gap * 1.1 else gap / 2
    return growth * ((sampled + before + after) / sampled) / span


def _each(result: PromqlValue, apply: Callable[[float], float]) -> PromqlValue:
    if isinstance(result, float):
        return float(apply(result))
    return {pod: float(apply(one)) for pod, one in result.items()}
