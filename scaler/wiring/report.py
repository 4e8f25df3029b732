"""What `doctor` has to say of one ScaledObject, as text and as data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from scaler.wiring.finding import Finding
from scaler.wiring.picture import Picture

NEEDED = {  # what is worth a word when it could not be looked at, and what goes unseen then
    "kedadeployments": "KEDA's version and health",
    "apiservices": "whether the HPA reaches KEDA",
    "services": "where scalerAddress leads",
    "endpointslices": "whether somebody answers there",
    "horizontalpodautoscalers": "what the HPA says",
    "scaletarget": "whether the target is there",
    "pods": "what its pods do",
    "events": "what KEDA and the scheduler said",
    "servicemonitors": "whether Prometheus scrapes the pods (no Prometheus Operator here?)",
    "secrets": "whether the Secrets of TLS are there",
    "resourcequotas": "what quotas leave",
    "warnings": "what llm-scaler warns of (for whoever may get the ScaledObjects of all namespaces)",
}


def as_text(picture: Picture, findings: Sequence[Finding]) -> str:
    """Show the findings of one ScaledObject to a person."""
    head = f"{picture.namespace}/{picture.name}"
    errors = [finding for finding in findings if finding.severity == "error"]
    unseen = not_looked_at(picture)
    lines = [f"{head}  {_summary(errors, findings, unseen)}", ""]
    for finding in findings:
        lines += [
            f"  {finding.severity:<8} {finding.what}  [{finding.rule}]",
            f"  {'':<8} because  {finding.evidence}",
            f"  {'':<8} repair   {finding.repair}",
            "",
        ]
    if unseen:
        lines += ["  not looked at", *(f"    {what}: {why}" for what, why in unseen.items()), ""]
    return "\n".join(lines)


def _summary(errors: Sequence[Finding], findings: Sequence[Finding], unseen: Mapping[str, str]) -> str:
    if errors:
        return f"does not scale as it should: {errors[0].what}"
    if findings:
        return f"scales; {len(findings)} warnings"
    return "nothing wrong was found in what could be looked at" if unseen else "nothing wrong was found"


def as_data(picture: Picture, findings: Sequence[Finding]) -> Mapping[str, Any]:
    """Return the same as JSON-ready data."""
    return {
        "namespace": picture.namespace,
        "name": picture.name,
        "healthy": not findings,
        "findings": [asdict(finding) for finding in findings],
        "notLookedAt": not_looked_at(picture),
    }


def not_looked_at(picture: Picture) -> dict[str, str]:
    """Say what could not be looked at, and why."""
    unseen = {
        NEEDED[name]: why for name, why in picture.unread.items() if name in NEEDED and not _is_a_finding(name, why)
    }
    if picture.decisions is None:
        unseen["what llm-scaler decides"] = picture.not_explained or "it was not asked"
    return unseen


def _is_a_finding(name: str, why: str) -> bool:
    return name == "scaletarget" and why.startswith("404")
