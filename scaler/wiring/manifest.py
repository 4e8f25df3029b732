"""Manifests before they are applied: what `check` says of ScaledObjects, ScaledJobs and what KServe makes into them.

Each trigger of llm-scaler is bound as the server binds it, and those rules of `doctor` are asked that need nothing but
the manifest itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.model.errors import ScalerError
from scaler.model.measurement import TriggerRef
from scaler.model.objects import Manifest
from scaler.wiring.finding import Finding
from scaler.wiring.picture import Picture, at, is_ours, mapping, name_of, sequence
from scaler.wiring.rules import examine

KEDA_GROUP = "keda.sh/"
KINDS = frozenset({"ScaledObject", "ScaledJob"})
WITHOUT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class CheckedObject:
    """The findings in one object.

    Attributes:
        title: kind and name.
        triggers: how many of its triggers ask us.
        problems: why llm-scaler would refuse them.
        findings: what else `doctor` would say.
    """

    title: str
    triggers: int
    problems: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def good(self) -> bool:
        """Tell whether nothing is wrong; warnings are allowed."""
        return not self.problems and all(finding.severity != "error" for finding in self.findings)


def scaled_in(document: object) -> Manifest | None:
    """Return the ScaledObject or ScaledJob that a document is, or that KServe would make of it; None for any other."""
    if not isinstance(document, Mapping):
        return None
    if str(document.get("apiVersion", "")).startswith(KEDA_GROUP) and document.get("kind") in KINDS:
        return document
    if document.get("kind") == "LLMInferenceService":
        return next(_of_kserve(document), None)
    return None


def _of_kserve(document: Manifest) -> Iterator[Manifest]:
    """Yield what KServe makes of spec.scaling (kserve, llm_inference_service_types.go: ScalingSpec)."""
    for scaling in (mapping(document, "spec", "scaling"), mapping(document, "spec", "prefill", "scaling")):
        keda = mapping(scaling, "keda")
        if not keda:
            continue
        spec: dict[str, Any] = {key: value for key, value in keda.items() if value is not None}
        spec |= {"scaleTargetRef": {"name": f"{name_of(document)}-kserve"}}
        spec |= {"minReplicaCount": scaling.get("minReplicas", 1), "maxReplicaCount": scaling.get("maxReplicas")}
        yield {"kind": "ScaledObject", "metadata": document.get("metadata", {}), "spec": spec}


def check_manifest(scaled: Manifest, catalog: Catalog, defaults: Defaults) -> CheckedObject:
    """Check one ScaledObject or ScaledJob."""
    namespace = str(at(scaled, "metadata", "namespace") or WITHOUT_NAMESPACE)
    name, kind = name_of(scaled), str(scaled.get("kind"))
    ours = [trigger for trigger in sequence(scaled, "spec", "triggers") if is_ours(trigger)]
    problems = [problem for trigger in ours for problem in _refusals(trigger, namespace, name, kind, catalog, defaults)]
    findings: list[Finding] = []
    if kind == "ScaledObject":
        manifest = {**scaled, "metadata": {**mapping(scaled, "metadata"), "namespace": namespace}}
        findings = examine(Picture(namespace, name, 0.0, {"scaledobjects": [manifest]}))
    return CheckedObject(f"{kind} {namespace}/{name}", len(ours), tuple(problems), tuple(findings))


def _refusals(
    trigger: Manifest, namespace: str, name: str, kind: str, catalog: Catalog, defaults: Defaults
) -> Iterator[str]:
    metadata = mapping(trigger, "metadata")
    odd = [key for key, value in metadata.items() if not isinstance(value, str)]
    if odd:
        yield f'trigger: {odd[0]}: {metadata[odd[0]]!r} is no text, as KEDA wants it; allowed: "{metadata[odd[0]]}"'
        return
    try:
        catalog.bind(TriggerRef(namespace, name, tuple(sorted(metadata.items()))), defaults, kind)
    except ScalerError as error:
        yield str(error)


def shown(checked: CheckedObject, file: str) -> str:
    """Show what was found to a person."""
    head = "ok    " if checked.good else "FAILED"
    word = "trigger" if checked.triggers == 1 else "triggers"
    lines = [f"{head}  {file}: {checked.title}: {checked.triggers} {word} of llm-scaler"]
    lines += [f"\n  error    {problem}" for problem in checked.problems]
    for finding in checked.findings:
        lines.append(f"\n  {finding.severity:<8} {finding.what}  [{finding.rule}]")
        lines.append(f"           {finding.evidence}\n           repair   {finding.repair}")
    return "\n".join(lines) + "\n"
