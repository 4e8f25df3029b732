"""Whether llm-scaler takes the trigger, and has its formula."""

import re

from scaler.wiring.finding import Found
from scaler.wiring.picture import Picture, at, last_seen, mapping
from scaler.wiring.rules.reach import FRESH

REFUSALS = re.compile(r"(trigger: .*|no formula '.*|formula '.*' could not be read: .*|.* is not supported yet.*)")
CODES = ("InvalidArgument", "NotFound", "Unimplemented", "INVALID_ARGUMENT", "NOT_FOUND")


def metric_type(picture: Picture) -> Found | None:
    """The HPA multiplies our answer."""
    for trigger in picture.triggers:
        kind = trigger.get("metricType")
        if kind not in {None, "AverageValue"}:
            what = "the HPA multiplies our number of replicas by those that there are, up to maxReplicaCount"
            if kind == "Utilization":
                what = "KEDA refuses metricType Utilization for an external trigger"
            line = "leave metricType of the trigger out: AverageValue is its default"
            return Found(f"metricType is {kind}: {what}", f"triggers[].metricType: {kind}", line)
    return None


def formula_file(picture: Picture) -> Found | None:
    """The file of its formula cannot be read."""
    used = {str(mapping(trigger, "metadata").get("formula", "")) for trigger in picture.triggers}
    for line in picture.warnings:
        found = re.match(r"\[!\] formula file (\S+): (.*)", line)
        if found and re.sub(r"\.ya?ml$", "", found[1]) in used:
            return Found(
                f"its formula file {found[1]} is not in service as it stands",
                found[2],
                f"llm-scaler check {found[1]}",
            )
    return None


def refused(picture: Picture) -> Found | None:
    """llm-scaler refuses the trigger."""
    for said in (_own_words(picture), *_events(picture)):
        found = REFUSALS.search(said)
        if found:
            return Found(
                "llm-scaler refuses the trigger",
                found[1],
                f"kubectl -n {picture.namespace} edit scaledobject {picture.name}: the message says what is allowed",
            )
    return None


def _own_words(picture: Picture) -> str:
    return picture.refused if "was refused" in picture.refused else ""


def _events(picture: Picture) -> list[str]:
    if picture.decisions:
        return []  # it has a decision: whatever was refused before is mended
    events = picture.events("ScaledObject", picture.name, "KEDAScalerFailed")
    fresh = [str(event.get("message")) for event in events if picture.now - last_seen(event) < FRESH]
    return [text for text in fresh if _has_code(text)]


def _has_code(text: str) -> bool:
    return any(code in text for code in CODES)


def stale_formula(picture: Picture) -> Found | None:
    """An edited formula does not fit the trigger, which goes on with the older one."""
    for decision in picture.decisions or ():
        if decision.get("notice"):
            return Found(
                "it goes on with an older version of its formula",
                str(decision["notice"]),
                f"kubectl -n {picture.namespace} edit scaledobject {picture.name}, or undo the edit of the formula",
                "warning",
            )
    return None


def not_asked(picture: Picture) -> Found | None:
    """llm-scaler has never been asked for it."""
    if picture.decisions is None or picture.decisions or not picture.refused or "was refused" in picture.refused:
        return None
    active = at(picture.condition("Ready"), "status")
    return Found(
        "llm-scaler has never been asked for it: scalerAddress is another one's, or KEDA does not poll it",
        picture.refused + (f"; KEDA says Ready is {active}" if active else ""),
        "kubectl -n keda logs deploy/keda-operator --tail=100 | grep scaler",
    )
