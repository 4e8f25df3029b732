"""A decision as data and as text: why is it 6, down to the HPA's arithmetic.

`as_data` gives what the JSON API serves; `as_text` shows that same data, so the command and the page cannot tell
different stories. The steps of the formula are folded again here, from the values in the decision.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scaler.cluster import Condition, Scaled
from scaler.decide import Decision, Fact
from scaler.fields import seconds
from scaler.formula import Program, Step
from scaler.hpa import replicas_for_average_value
from scaler.model import Ask, QueryAsk, SignalAsk

Data = dict[str, Any]
WIDTH = 100
TOLERANCE = 0.1  # the HPA's own, where `behavior` sets none
NAMED = 3  # pending pods that are named
AS_IT_SHOULD_BE = {"Ready": "True", "AbleToScale": "True", "ScalingActive": "True", "ScalingLimited": "False"} | {
    "Fallback": "False",
    "Paused": "False",
}


def as_data(decision: Decision, notice: str = "", unknown: Mapping[str, str] | None = None) -> Data:
    """Return a decision as JSON-ready data.

    Args:
        decision: what was decided.
        notice: why an edit of the formula is not in force, if so.
        unknown: what Kubernetes does not tell, and why.
    """
    spec, known = decision.spec, decision.known
    activation = spec.activation
    return {
        "workload": {
            "namespace": decision.key.namespace,
            "name": decision.key.name,
            "kind": decision.key.kind,
            "trigger": decision.key.trigger,
        },
        "at": decision.at,
        "formula": spec.formula,
        "notice": notice,
        "certainty": decision.certainty,
        "replicas": decision.replicas,
        "active": decision.active,
        "reason": decision.reason,
        "inputs": [_fact(fact, item.ask) for fact, item in zip(decision.facts, spec.inputs, strict=True)],
        "guards": [_fact(fact, item.ask) for fact, item in zip(decision.guards, spec.guards, strict=True)],
        "parameters": dict(spec.parameters),
        "value": decision.value,
        "steps": steps_data(spec.program, decision.scope),
        "metricType": spec.metric_type,
        "target": decision.target,
        "asked": decision.asked,
        "policy": {"kind": spec.policy_kind, "says": decision.policy} if spec.policy_kind else None,
        "activation": {
            "text": f"value > {activation:g}" if isinstance(activation, float) else activation.text,
            "value": decision.wake,
            "steps": [] if isinstance(activation, float) else steps_data(activation, decision.scope),
        },
        "idle": {
            "quiet": decision.idle.quiet,
            "against": [*decision.idle.busy, *decision.idle.unread],
            "seconds": decision.idle.seen,
            "needed": decision.idle.needed,
        },
        "hold": {"seconds": decision.held, "limit": spec.hold_for, "floor": decision.floor},
        "memory": {"seconds": decision.memory_seen, "needed": spec.memory},
        "problems": list(decision.problems),
        "target_known": {
            "current": known.current,
            "ready": known.ready,
            "starting": known.starting,
            "minimum": known.minimum,
            "maximum": known.maximum,
            "pending": known.pending,
            "source": known.source,
            "doubt": known.doubt,
        },
        "kubernetes": _kubernetes(decision.scaled, decision.at),
        "unknown": dict(unknown or {}),
        "hpa": _hpa(decision),
    }


def _fact(fact: Fact, ask: Ask) -> Data:
    return {
        "name": fact.name,
        "value": fact.value,
        "newest": fact.newest,
        "unit": fact.unit,
        "rule": fact.rule,
        "problem": fact.problem,
        "age": fact.age,
        "answered": fact.answered,
        "expected": fact.expected,
        "ask": _ask(ask),
        "source": fact.source,
    }


def _ask(ask: Ask) -> str:
    """What was asked, in a few words."""
    if isinstance(ask, SignalAsk):
        where = ", ".join(f"{name}={value}" for name, value in ask.labels)
        return f"{ask.engine} {ask.signal} of {where}"
    return ask.text if isinstance(ask, QueryAsk) else type(ask).__name__


def steps_data(program: Program, scope: Mapping[str, float | None]) -> list[Data]:
    """Every step of a formula on these values."""
    return [_step(step) for step in program.trace(scope)[1]]


def _step(step: Step) -> Data:
    value = list(step.value) if isinstance(step.value, tuple) else step.value
    return {"depth": step.depth, "text": step.text, "value": value, "error": step.error}


# ---- what Kubernetes reports ----------------------------------------------------------------------------------------


def _kubernetes(scaled: Scaled | None, at: float) -> Data | None:
    if scaled is None:
        return None
    pending = [pod for pod in scaled.pods or () if pod.state == "pending"]
    hpa = scaled.hpa
    return {
        "uid": scaled.uid,
        "generation": scaled.generation,
        "target": scaled.target,
        "minimum": scaled.minimum,
        "maximum": scaled.maximum,
        "idle": scaled.idle,
        "paused": scaled.paused,
        "fallback": scaled.fallback,
        "otherTriggers": list(scaled.others),
        "conditions": [_condition(one) for one in scaled.conditions],
        "pods": None if scaled.pods is None else {pod.name: pod.state for pod in scaled.pods},
        "pending": [
            {"pod": pod.name, "seconds": None if pod.since is None else max(at - pod.since, 0.0), "reason": pod.reason}
            for pod in pending
        ],
        "hpa": hpa
        and {
            "name": hpa.name,
            "current": hpa.current,
            "desired": hpa.desired,
            "minimum": hpa.minimum,
            "maximum": hpa.maximum,
            "conditions": [_condition(one) for one in hpa.conditions],
        },
    }


def _condition(condition: Condition) -> Data:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
    }


# ---- the HPA's arithmetic ------------------------------------------------------------------------------------------


def _hpa(decision: Decision) -> Data | None:
    """What the HPA makes of the answer: for the current replicas where known, else a table around the answer."""
    if decision.replicas is None or decision.key.kind != "ScaledObject":
        return None
    known = decision.known
    asked = decision.replicas
    around = {1, asked - 1, asked, asked + 1, 2 * asked} if known.current is None else {known.current}
    rows = [_row(asked, current, decision) for current in sorted(around | {0} if known.current is None else around)]
    return {
        "value": asked,
        "target": 1,
        "type": "AverageValue",
        "tolerance": TOLERANCE,
        "rows": [row for row in rows if row["current"] >= 0],
    }


def _row(asked: int, current: int, decision: Decision) -> Data:
    if current <= 0:
        minimum = max(decision.known.minimum or 1, 1)
        word = f"KEDA: active, so {minimum} first" if decision.active else "KEDA: inactive, so it stays 0"
        return {"current": current, "desired": minimum if decision.active else 0, "why": word}
    desired, within = replicas_for_average_value(float(asked), 1.0, current, TOLERANCE)
    ratio = asked / current
    why = f"{asked} / {current} = {ratio:.3g}" + (", within the tolerance: no change" if within else "")
    bounded = desired
    if decision.known.maximum is not None and desired > decision.known.maximum:
        bounded, why = decision.known.maximum, f"{why}; maxReplicaCount is {decision.known.maximum}"
    minimum = decision.known.minimum or 1
    if bounded < minimum:
        bounded, why = minimum, f"{why}; at least {minimum}"
    if decision.active is False:
        why += "; inactive: KEDA takes it to 0 after cooldownPeriod, unless minReplicaCount is above 0"
    return {"current": current, "desired": bounded, "why": why}


# ---- text ----------------------------------------------------------------------------------------------------------


def as_text(data: Data, *, queries: bool = False) -> str:
    """Show the data of one decision to a person, in lines of about 100 characters.

    Args:
        data: what `as_data` gave.
        queries: whether the very query behind every input is shown too; they are long.
    """
    who = data["workload"]
    when = datetime.fromtimestamp(data["at"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    head = f"{who['namespace']}/{who['name']}  {_answer(data)}  ({data['certainty']}, {when})"
    blocks = [
        [head, f"  {data['reason']}"] + ([f"  note: {data['notice']}"] if data["notice"] else []),
        _titled("inputs", [line for fact in data["inputs"] for line in _fact_lines(fact, queries)]),
        _titled("also read", [line for fact in _only_guards(data) for line in _fact_lines(fact, queries)]),
        _titled(f"formula {data['formula']}", step_lines(data["steps"])),
        _titled("replicas", _replica_lines(data)),
        _titled("active", _active_lines(data)),
        _titled("the HPA, given this (reckoned here)", _hpa_lines(data["hpa"])),
        _titled("Kubernetes reports", _report_lines(data["kubernetes"])),
        _titled("not known", [f"{name}: {problem}" for name, problem in data["unknown"].items()]),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _answer(data: Data) -> str:
    if data["replicas"] is None:
        return "no answer"
    return f"{data['replicas']} replicas, {'active' if data['active'] else 'inactive'}"


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [f"  {title}", *(f"    {line}" for line in lines)] if lines else []


def _only_guards(data: Data) -> list[Data]:
    shown = {fact["ask"] for fact in data["inputs"]}
    return [fact for fact in data["guards"] if fact["ask"] not in shown]


def _fact_lines(fact: Data, queries: bool) -> list[str]:
    notes = [fact["rule"]] if fact["rule"] else []
    if fact["age"] is not None:
        notes.append(f"{seconds(max(fact['age'], 0))} old")
    if fact["answered"]:
        of = f" of {fact['expected']}" if fact["expected"] is not None else ""
        notes.append(f"from {fact['answered']}{of} pods")
    first = f"{fact['name']:<22} {number_text(fact['value']):>10} {fact['unit']}".rstrip()
    lines = [f"{first}   {', '.join(notes)}".rstrip(), f"  {fact['ask']}"[:WIDTH]]
    if queries and fact["source"]:
        lines.append(f"  {' '.join(fact['source'].split())}")
    return lines + ([f"  ! {fact['problem']}"] if fact["problem"] else [])


def step_lines(steps: Sequence[Data]) -> list[str]:
    """The steps of a formula, one a line, indented as they are nested."""
    lines = []
    for step in steps:
        text = " ".join(step["text"].split())
        indented = "  " * min(step["depth"], 20) + (text if len(text) <= 60 else text[:57] + "...")
        lines.append(f"{indented:<62} {'! ' + step['error'] if step['error'] else number_text(step['value'])}")
    return lines


def _replica_lines(data: Data) -> list[str]:
    lines = []
    if data["value"] is not None and data["asked"] is not None and data["policy"] is None:
        ready = f"{data['target_known']['ready']} ready x " if data["metricType"] == "Value" else ""
        lines.append(f"{ready}{number_text(data['value'])} / {number_text(data['target'])} rounded up: {data['asked']}")
    if data["policy"]:
        lines.append(f"policy {data['policy']['kind']}: {data['policy']['says'] or 'not reached'}: {data['asked']}")
    memory, hold = data["memory"], data["hold"]
    if memory["seconds"] < memory["needed"]:
        seen = f"{seconds(memory['seconds'])} of the {seconds(memory['needed'])} that the formula remembers"
        lines.append(f"seen {seen}: may raise, not lower (floor {number_text(hold['floor'])})")
    if data["problems"]:
        lines.append(
            f"uncertain for {seconds(hold['seconds'])} of at most {seconds(hold['limit'])}: may raise, not lower"
        )
        lines += [f"! {problem}" for problem in data["problems"]]
    known = data["target_known"]
    facts = [
        f"{known[fact]} {fact}"
        for fact in ("current", "ready", "starting", "pending", "minimum", "maximum")
        if known[fact] is not None
    ]
    told = f" (told by {known['source']})" if known["source"] else ""
    lines.append(f"scale target: {', '.join(facts) or 'replicas not known'}{told}")
    return lines


def _active_lines(data: Data) -> list[str]:
    activation, idle = data["activation"], data["idle"]
    lines = [f"{' '.join(activation['text'].split())[:80]} is {str(activation['value']).lower()}"]
    if not activation["value"]:
        against = ", ".join(idle["against"])
        lines.append(against or f"quiet for {seconds(idle['seconds'])} of {seconds(idle['needed'])}")
    return lines


def _hpa_lines(hpa: Data | None) -> list[str]:
    if hpa is None:
        return []
    lines = [
        f"gets {hpa['value']} against a target of {hpa['target']} ({hpa['type']}, tolerance {hpa['tolerance']:.0%})"
    ]
    lines += [f"current {row['current']:>4}  desired {row['desired']:>4}   {row['why']}" for row in hpa["rows"]]
    return lines


def _report_lines(told: Data | None) -> list[str]:
    """What is worth saying: where it hurts, and what else decides."""
    if told is None:
        return []
    lines = [f"{told['target']}: {told['minimum']} to {told['maximum']} replicas"]
    if told["paused"]:
        lines.append(f"! paused by the annotation {told['paused']}")
    if told["otherTriggers"]:
        lines.append(f"also triggered by {', '.join(told['otherTriggers'])}: the largest answer of all counts")
    if told["fallback"]:
        lines.append(f"fallback: {told['fallback']}")
    for one in told["pending"][:NAMED]:
        since = "" if one["seconds"] is None else f" for {seconds(round(one['seconds']))}"
        lines.append(f"! {one['pod']} is pending{since}{': ' if one['reason'] else ''}{one['reason']}"[: 2 * WIDTH])
    if len(told["pending"]) > NAMED:
        lines.append(f"! and {len(told['pending']) - NAMED} more are pending")
    lines += _condition_lines(told["conditions"])
    hpa = told["hpa"]
    if hpa:
        lines.append(f"HPA {hpa['name']}: current {hpa['current']}, desired {hpa['desired']}")
        lines += _condition_lines(hpa["conditions"])
    return lines


def _condition_lines(conditions: Sequence[Data]) -> list[str]:
    """Conditions that are not as they should be."""
    return [
        f"! {one['type']} is {one['status']}: {one['reason']}: {one['message']}"[: 2 * WIDTH]
        for one in conditions
        if one["status"] != AS_IT_SHOULD_BE.get(one["type"], one["status"])
    ]


def number_text(value: float | Sequence[Any] | None) -> str:
    """A value of the formula language as a person reads it."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:.6g}"
    return f"[{', '.join(number_text(item) for item in value[:8])}{', ...' if len(value) > 8 else ''}]"
