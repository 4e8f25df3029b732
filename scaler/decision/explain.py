"""A decision as data and as text: why is it 6, down to the HPA's arithmetic.

`as_data` gives what the JSON API serves; `as_text` shows that same data, so the command and the page cannot tell
different stories. The steps of the formula are folded again here, from the values in the decision.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scaler.cluster.hpa import MAX_REPLICAS, HpaSpec, Metric, Reason, Rule
from scaler.cluster.hpa import step as hpa_step
from scaler.config.metrics import NAME, SEE_WORK
from scaler.config.signals import find
from scaler.decision.capacity import Capacity
from scaler.decision.decision import Decision, Fact, Partial
from scaler.decision.own_query import own_query
from scaler.decision.reason import activity
from scaler.decision.starting import Coming
from scaler.formula import Program, Step
from scaler.model.availability import Count
from scaler.model.behavior import NO_BEHAVIOR_WINDOW, Behavior, HpaState, RatePolicy, Rules, Sample
from scaler.model.fields import seconds
from scaler.model.measurement import Ask, GpuAsk, QueryAsk, SignalAsk
from scaler.model.objects import Condition, Job, Scaled

Data = dict[str, Any]
WIDTH = 100
GPUS = {"free": "GPUs free", "pending": "GPUs others wait for", "own": "GPUs of its own"}
NAMED = 3  # pending pods, and Jobs, that are named
NORMAL = {"ScalingDisabled", "TooFewReplicas"}  # of an HPA at 0 replicas, and at its minimum
# Of an HPA that we cannot see nothing is known but the cluster's tolerance: it may move as far as it likes.
UNSEEN = Behavior(*[Rules((RatePolicy("Pods", 1_000_000, 15.0),), window=0.0)] * 2)
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
        "unit": "jobs" if spec.for_jobs else "replicas",
        "certainty": decision.certainty,
        "answeredReplicas": decision.replicas,
        "active": decision.active,
        "reason": decision.reason,
        "inputs": [_fact(fact, item.ask) for fact, item in zip(decision.facts, spec.inputs, strict=True)],
        "activitySignals": [_fact(fact, item.ask) for fact, item in zip(decision.guards, spec.guards, strict=True)],
        "parameters": dict(spec.parameters),
        "value": None if decision.rests_on_nothing else decision.value,
        "steps": _steps(spec.program, decision),
        "partial": _partial(decision.partial),
        "metricType": spec.metric_type,
        "target": decision.target,
        "desiredReplicas": None if decision.rests_on_nothing else decision.asked,
        "limitedReplicas": decision.wanted,
        "starting": _coming(decision.coming),
        "scaleDown": _scale_down(decision),
        "capacity": _capacity(decision.capacity),
        "policy": _policy(decision),
        "activation": {
            "text": f"value > {activation:g}" if isinstance(activation, float) else activation.text,
            "value": decision.condition,
            "steps": [] if isinstance(activation, float) else _steps(activation, decision),
            "message": "" if spec.for_jobs else activity(decision),
        },
        "idle": {
            "quiet": decision.idle.quiet,
            "blockedBy": [*decision.idle.busy, *decision.idle.unread],
            "seconds": decision.idle.seen,
            "needed": decision.idle.needed,
            "noInFlightSignal": _blind(decision),
        },
        "stalled": decision.stalled,
        "cannotWake": decision.cannot_wake,
        "hold": {"seconds": decision.held, "limit": spec.hold_for, "floor": decision.floor},
        "memory": {"seconds": decision.memory_seen, "needed": spec.memory},
        "problems": list(decision.problems),
        "scaleTarget": {
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


def _policy(decision: Decision) -> Data | None:
    algorithm, scaled = decision.spec.algorithm, decision.scaled
    if algorithm is None:
        return None
    cautions = algorithm.cautions(decision.spec.policy, scaled) if scaled else ()
    return {"kind": decision.spec.policy_kind, "message": decision.policy, "cautions": list(cautions)}


def _fact(fact: Fact, ask: Ask | GpuAsk) -> Data:
    return {
        "name": fact.name,
        "value": fact.measured,
        "newest": None if fact.stood_in else fact.newest,
        "countsAs": fact.value if fact.stood_in else None,
        "unit": fact.unit,
        "rule": fact.rule,
        "problem": fact.problem,
        "age": fact.age,
        "answered": fact.answered,
        "expected": fact.expected,
        "ask": _ask(ask),
        "lookedFor": _names(ask) if fact.stood_in and fact.problem else [],
        "source": own_query(fact.source, ask),
    }


def _ask(ask: Ask | GpuAsk) -> str:
    """What was asked, in a few words."""
    if isinstance(ask, SignalAsk):
        pods = (("pods", ask.pods),) if ask.pods is not None else ()
        where = ", ".join(f"{name}={value}" for name, value in (*ask.labels, *pods))
        past = f", {ask.reduce} over {seconds(ask.window)}" if ask.reduce and ask.window else ""
        return f"{ask.engine} {ask.signal} of {where}{past}"
    if isinstance(ask, GpuAsk):
        return f"gpus: {ask.count.replace('_', ' ')}"
    return ask.text if isinstance(ask, QueryAsk) else type(ask).__name__


def _names(ask: Ask | GpuAsk) -> list[str]:
    """Under which names a signal is looked for, and which versions have them."""
    metrics = find(ask.engine, ask.signal).metrics if isinstance(ask, SignalAsk) else ()
    return [f"{metric.name} ({metric.versions})" for metric in metrics]


def _blind(decision: Decision) -> bool:
    """Whether all that is read is signals, and none of them sees a request for as long as it runs."""
    read = zip(decision.facts + decision.guards, decision.spec.inputs + decision.spec.guards, strict=True)
    somebody = decision.known.current != 0  # could hold a request, so that no series is no sight
    return all(
        isinstance(item.ask, SignalAsk) and (item.ask.signal not in SEE_WORK or (fact.stood_in and somebody))
        for fact, item in read
    )


def _partial(partial: Partial | None) -> Data | None:
    if partial is None:
        return None
    return {"value": partial.value, "desiredReplicas": partial.replicas, "without": list(partial.without)}


def _steps(program: Program, decision: Decision) -> list[Data]:
    """The steps on what was measured: an input that was not is no 0, and what does without it is no sum."""
    missing = {fact.name for fact in decision.facts if fact.problem and fact.value is None}
    stand_ins = {fact.name: fact.value for fact in decision.facts if fact.stood_in and fact.value is not None}
    measured = {fact.name for fact in decision.facts} - missing
    return [_without(step, missing, measured, stand_ins) for step in steps_data(program, decision.scope)]


def _without(
    step: Data, missing: Collection[str], measured: Collection[str], stand_ins: Mapping[str, float | None]
) -> Data:
    """One step, which inputs it does without, and for which of them another number stands."""
    names = set(re.findall(NAME, step["text"]))
    without = sorted(names & set(missing))
    counted = {name: stand_ins[name] for name in sorted(names & stand_ins.keys())}
    if without and not names & set(measured):
        return {**step, "value": None, "error": "not measured", "without": without, "countsAs": counted}
    return {**step, "without": without, "countsAs": counted}


def steps_data(program: Program, scope: Mapping[str, float | None]) -> list[Data]:
    """Every step of a formula on these values."""
    return [_step(step) for step in program.trace(scope)[1]]


def _step(step: Step) -> Data:
    value = list(step.value) if isinstance(step.value, tuple) else step.value
    return {"depth": step.depth, "text": step.text, "value": value, "error": step.error}


# ---- what is on its way, and what can be had -------------------------------------------------------------------------


def _coming(coming: Coming | None) -> Data | None:
    if coming is None:
        return None
    return {
        "replicas": coming.replicas,
        "oldest": coming.oldest,
        "overdue": coming.late,
        "startupSeconds": coming.took,
        "limit": coming.limit,
        "creditedLoad": coming.owed,
        "message": coming.says() if coming.owed else "",
    }


def _scale_down(decision: Decision) -> Data | None:
    pace = decision.pace
    if pace is None:
        return None
    return {
        "percent": pace.percent,
        "windowSeconds": pace.window,
        "startupSeconds": pace.took,
        "leastReplicas": pace.least,
        "message": decision.falls_slowly,
    }


def _capacity(capacity: Capacity | None) -> Data | None:
    if capacity is None:
        return None
    seen = capacity.available
    return {
        "mode": capacity.mode,
        "resource": seen.resource,
        "scheduledReplicas": capacity.bound,
        "replicas": {"schedulable": _count(seen.schedulable), "provisionable": _count(seen.provisionable)},
        "gpus": {"free": _count(seen.free), "pending": _count(seen.pending), "own": _count(seen.own)},
        "availableReplicas": capacity.replicas,
        "reason": capacity.reason,
        "limit": capacity.limit,
        "pending": {"replicas": capacity.pending, "seconds": capacity.pending_for},
        "message": capacity.waiting() if capacity.pending else "",
    }


def _count(count: Count) -> Data:
    return {"value": count.value, "bound": count.bound, "most": count.most, "reason": count.reason}


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
        "scalingModifiers": scaled.modifiers,
        "conditions": [_condition(one) for one in scaled.conditions],
        "jobs": None if scaled.jobs is None else [_job(job, at) for job in scaled.jobs[:NAMED]],
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


def _job(job: Job, at: float) -> Data:
    ended = None if job.ended is None else max(at - job.ended, 0.0)
    return {"name": job.name, "state": job.state, "started": max(at - job.created, 0.0), "ended": ended}


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
    known, surge = decision.known, _surge(decision)
    asked = decision.replicas
    there = None if known.current is None else known.current + surge
    around = {1, asked - 1, asked, asked + 1, 2 * asked} if there is None else {there}
    spec = _hpa_spec(decision)
    rows = [
        _row(asked, current, spec, decision)
        for current in sorted(around | {0} if there is None else around)
        if current >= 0
    ]
    down, up = spec.tolerances
    return {
        "value": asked,
        "target": 1,
        "type": "AverageValue",
        "tolerance": {"down": down, "up": up},
        "stabilization": spec.behavior.down.window if spec.behavior else NO_BEHAVIOR_WINDOW,
        "surge": surge,
        "rows": rows,
    }


def _surge(decision: Decision) -> int:
    """Pods above the replicas that are asked of the target: a rollout under way, in which the HPA counts them all.

    Source: Kubernetes 1.37.2, podautoscaler/replica_calculator.go (GetExternalPerPodMetricReplicas): within its
    tolerance the HPA answers status.replicas, and so writes a surge of up to 10 % into spec.replicas.
    """
    scaled, current = decision.scaled, decision.known.current
    pods = None if scaled is None else scaled.count("ready", "unready", "starting", "pending")
    if not pods or not current or (scaled and scaled.template and scaled.template.counted > 1):
        return 0
    return max(pods - current, 0)


def _hpa_spec(decision: Decision) -> HpaSpec:
    """The HPA as it is set, as far as that is known."""
    known, hpa = decision.known, decision.scaled.hpa if decision.scaled else None
    maximum = MAX_REPLICAS if known.maximum is None else known.maximum
    return HpaSpec(max(known.minimum or 1, 1), maximum, hpa.behavior if hpa else UNSEEN)


def _row(asked: int, current: int, spec: HpaSpec, decision: Decision) -> Data:
    """The HPA's next step from `current` replicas."""
    if current == 0:
        word = f"KEDA: active, so {spec.minimum} first" if decision.active else "KEDA: inactive, so it stays 0"
        return {"current": current, "desired": spec.minimum if decision.active else 0, "why": word}
    # As if we had always said the same: what it has read from us before it remembers, and we do not.
    before = HpaState((Sample(asked, decision.at),))
    _, outcome = hpa_step(spec, before, [Metric("replicas", 1.0, float(asked))], current, decision.at)
    why = f"{asked} / {current} = {asked / current:.3g}{''.join(map(_hpa_rule, outcome.reasons))}"
    if decision.active is False:
        why += "; inactive: KEDA takes it to 0 after cooldownPeriod, unless minReplicaCount is above 0"
    return {"current": current, "desired": outcome.replicas, "why": why}


def _hpa_rule(reason: Reason) -> str:
    """One rule of the HPA as it goes on in a sentence."""
    match reason.rule:
        case Rule.PROPOSED:
            return ""
        case Rule.WITHIN_TOLERANCE:
            return ", within the tolerance: no change"
        case Rule.LIMITED:
            policy = reason.policy
            allowed = f"{policy.value} {policy.kind.lower()} in {seconds(policy.period)}" if policy else "no behavior"
            return f"; no further than {reason.replicas} in one step ({allowed})"
        case Rule.TOO_MANY:
            return f"; maxReplicaCount is {reason.replicas}"
        case Rule.TOO_FEW:
            return f"; at least {reason.replicas}"
    return f"; {reason.rule.value}"


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
        [head, *([f"  ! {data['notice']}"] if data["notice"] else []), f"  {data['reason']}"],
        _titled("inputs", [line for fact in data["inputs"] for line in _fact_lines(fact, queries)]),
        _titled("also read", [line for fact in _only_guards(data) for line in _fact_lines(fact, queries)]),
        _titled(_formula_title(data), step_lines(data["steps"])),
        _titled("replicas", _replica_lines(data)),
        _titled("what can be had", _capacity_lines(data)),
        _titled("active", _active_lines(data)),
        _titled("the HPA, given this (reckoned here)", _hpa_lines(data["hpa"])),
        _titled("Kubernetes reports", _report_lines(data["kubernetes"])),
        _titled("not known", [f"{name}: {problem}" for name, problem in data["unknown"].items()]),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _answer(data: Data) -> str:
    if data["answeredReplicas"] is None:
        return "no answer"
    unit = data["unit"] if data["answeredReplicas"] != 1 else data["unit"].removesuffix("s")
    return f"{data['answeredReplicas']} {unit}, {'active' if data['active'] else 'inactive'}"


def _formula_title(data: Data) -> str:
    older = ", as it was before the edit that is not in force" if data["notice"] else ""
    return f"formula {data['formula']}{older}"


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [f"  {title}", *(f"    {line}" for line in lines)] if lines else []


def _only_guards(data: Data) -> list[Data]:
    shown = {fact["ask"] for fact in data["inputs"]}
    return [fact for fact in data["activitySignals"] if fact["ask"] not in shown]


def _fact_lines(fact: Data, queries: bool) -> list[str]:
    counts = "" if fact["countsAs"] is None else f"counts as {number_text(fact['countsAs'])}: "
    notes = [counts + fact["rule"]] if fact["rule"] or counts else []
    if fact["age"] is not None:
        notes.append(f"{seconds(max(fact['age'], 0))} old")
    if fact["answered"]:
        of = f" of {fact['expected']}" if fact["expected"] is not None else ""
        notes.append(f"from {fact['answered']}{of} pods")
    value = "-" if fact["value"] is None else number_text(fact["value"])
    first = f"{fact['name']:<22} {value:>10} {fact['unit']}".rstrip()
    lines = [f"{first}   {', '.join(notes)}".rstrip(), f"  {fact['ask']}"[:WIDTH]]
    lines += [f"  looked for {name}" for name in fact["lookedFor"]]
    if queries and fact["source"]:
        lines.append(f"  {' '.join(fact['source'].split())}")
    return lines + ([f"  ! {fact['problem']}"] if fact["problem"] else [])


def step_lines(steps: Sequence[Data]) -> list[str]:
    """The steps of a formula, one a line, indented as they are nested."""
    lines = []
    for step in steps:
        text = " ".join(step["text"].split())
        indented = "  " * min(step["depth"], 20) + (text if len(text) <= 60 else text[:57] + "...")
        lines.append(f"{indented:<62} {_step_value(step)}")
    return lines


def _step_value(step: Data) -> str:
    if step["error"]:
        return f"! {step['error']}"
    without, counted = ", ".join(step.get("without", ())), step.get("countsAs", {})
    if step["text"] in counted:
        return f"counts as {number_text(step['value'])}"
    stand_ins = ", ".join(f"{number_text(value)} for {name}" for name, value in counted.items())
    notes = [f"without {without}"] if without else []
    notes += [f"with {stand_ins}"] if stand_ins else []
    return f"{number_text(step['value'])} {', '.join(notes)}".rstrip()


def _replica_lines(data: Data) -> list[str]:
    lines = []
    if data["value"] is not None and data["desiredReplicas"] is not None and data["policy"] is None:
        ready = f"{data['scaleTarget']['ready']} ready x " if data["metricType"] == "Value" else ""
        lines.append(
            f"{ready}{number_text(data['value'])} / {number_text(data['target'])} rounded up: {data['desiredReplicas']}"
        )
    lines += _partial_lines(data)
    if data["policy"]:
        lines.append(
            f"policy {data['policy']['kind']}: {data['policy']['message'] or 'not reached'}: {data['desiredReplicas']}"
        )
        lines += [f"! {caution}" for caution in data["policy"]["cautions"]]
    lines += _coming_lines(data["starting"])
    if data["scaleDown"] and data["scaleDown"]["message"]:
        lines.append(f"not yet below {data['scaleDown']['leastReplicas']}: {data['scaleDown']['message']}")
    memory, hold = data["memory"], data["hold"]
    lowers = "start nothing" if data["unit"] == "jobs" else "may raise, not lower"
    if memory["seconds"] < memory["needed"] and data["unit"] == "replicas":
        seen = f"{seconds(memory['seconds'])} of the {seconds(memory['needed'])} that the formula remembers"
        least = "" if hold["floor"] is None else f" below {hold['floor']}"
        lines.append(f"seen {seen}: the answer may rise, and not fall{least}")
    if data["problems"]:
        lines.append(f"uncertain for {seconds(hold['seconds'])} of at most {seconds(hold['limit'])}: {lowers}")
        lines += [f"! {problem}" for problem in data["problems"]]
    lines += [f"! {data['stalled']}"] if data["stalled"] else []
    known = data["scaleTarget"]
    facts = [
        f"{known[fact]} {fact}"
        for fact in ("current", "ready", "starting", "pending", "minimum", "maximum")
        if known[fact] is not None
    ]
    told = f" (told by {known['source']})" if known["source"] else ""
    lines.append(f"scale target: {', '.join(facts) or 'replicas not known'}{told}")
    return lines


def _partial_lines(data: Data) -> list[str]:
    """What the measured part alone asks for, where an input was not measured."""
    partial = data["partial"]
    if partial is None or partial["desiredReplicas"] is None:
        return []
    missing, target = ", ".join(partial["without"]), number_text(data["target"])
    asked = f"{number_text(partial['value'])} / {target} rounded up: at least {partial['desiredReplicas']}"
    return [f"without {missing}, not measured: {asked}"]


def _coming_lines(told: Data | None) -> list[str]:
    """What is on its way, where something is."""
    if told is None:
        return []
    lines = [f"not ordered again: {told['message']}"] if told["message"] else []
    if told["overdue"]:
        took = (
            f"; ready ones took {seconds(round(told['startupSeconds']))}" if told["startupSeconds"] is not None else ""
        )
        lines.append(f"! {told['overdue']} not ready after {seconds(round(told['limit']))}, and not counted on{took}")
    return lines


def _capacity_lines(data: Data) -> list[str]:
    told = data["capacity"]
    if told is None:
        return []
    if told["availableReplicas"] is None and told["replicas"]["schedulable"]["value"] is None:
        wanted = told["mode"] == "clamp" or data["kubernetes"] is not None
        return [f"not known: {told['reason']}"[: 2 * WIDTH]] if wanted else []
    lines = [f"replicas, each with {told['resource']}"] if told["resource"] else []
    lines.append(_count_line("on nodes", {"value": told["scheduledReplicas"], "bound": "exact", "reason": ""}))
    lines += [_count_line(name, count) for name, count in told["replicas"].items()]
    if told["resource"]:
        lines += [_count_line(GPUS[name], count) for name, count in told["gpus"].items()]
    lines.append(_limit_line(told))
    return lines + ([f"! {told['message']}"] if told["message"] else [])


def _count_line(name: str, count: Data) -> str:
    notes = Count(count["value"], count["bound"], count["reason"]).note
    shown = "not known" if count["value"] is None else count["value"]
    return f"{name:<22} {shown:>10}   {notes}".rstrip()[: 2 * WIDTH]


def _limit_line(told: Data) -> str:
    if told["availableReplicas"] is None:
        return f"together not known, so nothing is limited: {told['reason']}"[: 2 * WIDTH]
    limit = f"the answer is at most {told['limit']}" if told["limit"] is not None else "nothing is limited"
    return f"together {told['availableReplicas']}: {limit} (capacity: {told['mode']})"


def _active_lines(data: Data) -> list[str]:
    activation, idle = data["activation"], data["idle"]
    text = " ".join(activation["text"].split())
    value = "not known" if activation["value"] is None else str(activation["value"]).lower()
    lines = [f"{text} is {value}"]
    if not activation["value"] and data["unit"] == "jobs":
        lines += step_lines(activation["steps"][1:])
    if activation["message"]:
        lines.append(activation["message"])
    elif not activation["value"] and data["unit"] == "replicas":
        against = ", ".join(idle["blockedBy"])
        lines.append(against or f"quiet for {seconds(idle['seconds'])} of {seconds(idle['needed'])}")
    if data["cannotWake"]:
        lines.append(f"! nothing can wake it: {data['cannotWake']}")
    if idle["noInFlightSignal"] and data["unit"] == "replicas" and not data["scaleTarget"]["minimum"]:
        longer = f"one that takes longer than {seconds(idle['needed'])} may be ended by a scale to 0"
        lines.append(f"! nothing that is read sees a request while it runs: {longer}")
    return lines


def _hpa_lines(hpa: Data | None) -> list[str]:
    if hpa is None:
        return []
    down, up = hpa["tolerance"]["down"], hpa["tolerance"]["up"]
    tolerance = f"{100 * up:g}%" + ("" if up == down else f" up and {100 * down:g}% down")
    lines = [f"gets {hpa['value']} against a target of {hpa['target']} ({hpa['type']}, tolerance {tolerance})"]
    lines += [f"current {row['current']:>4}  desired {row['desired']:>4}   {row['why']}" for row in hpa["rows"]]
    if hpa["surge"] and any(row["desired"] > hpa["value"] for row in hpa["rows"]):
        lines.append(
            f"! a rollout has {hpa['surge']} pods more, which the HPA counts: within its tolerance it asks for as"
        )
        lines.append("  many as there are, and keeps them; `behavior.scaleUp.tolerance: 0` prevents that")
    if hpa["stabilization"]:
        lines.append(f"and goes down only to the highest that it was asked for in {seconds(hpa['stabilization'])}")
    return lines


def _report_lines(told: Data | None) -> list[str]:
    """What is worth saying: where it hurts, and what else decides."""
    if told is None:
        return []
    lines = [f"{told['target']}: {told['minimum']} to {told['maximum']} replicas"]
    for job in told["jobs"] or ():
        ended = "" if job["ended"] is None else f", {seconds(round(job['ended']))} ago"
        lines.append(f"job {job['name']} started {seconds(round(job['started']))} ago: {job['state']}{ended}")
    if told["paused"]:
        lines.append(f"! paused by the annotation {told['paused']}")
    if told["otherTriggers"]:
        lines.append(f"also triggered by {', '.join(told['otherTriggers'])}: the largest answer of all counts")
    if told["scalingModifiers"]:
        lines.append(f"! scalingModifiers make of our answer: {told['scalingModifiers']}; that is not reckoned here")
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
        if one["status"] != AS_IT_SHOULD_BE.get(one["type"], one["status"]) and one["reason"] not in NORMAL
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
