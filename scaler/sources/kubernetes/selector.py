"""Label selectors in the form that a scale sub-resource reports them: `app=llama,role in (leader),!canary`.

Source of the form: Kubernetes 1.35, apimachinery/pkg/labels/selector.go (Requirement.String).
"""

import re
from collections.abc import Callable

from scaler.model.objects import Metadata

Selector = Callable[[Metadata], bool]

_REQUIREMENT = re.compile(
    r"(?P<absent>!)?(?P<key>[\w./-]+)"
    r"(?:(?P<equal>==?|!=)(?P<value>[\w.-]*)| (?P<set>in|notin) \((?P<values>[\w.,-]*)\))?"
)


def selects(selector: str) -> Selector | None:
    """Read a selector; None for one that is empty or cannot be read, which matches nobody knows what."""
    requirements = []
    for part in re.split(r",(?![^(]*\))", selector):
        found = _REQUIREMENT.fullmatch(part)
        if not found or (found["absent"] and (found["equal"] or found["set"])):
            return None
        requirements.append(_requirement(found))
    return lambda labels: all(fits(dict(labels)) for fits in requirements)


def _requirement(found: re.Match[str]) -> Callable[[dict[str, str]], bool]:
    key = found["key"]
    if found["equal"] or found["set"]:
        values = (found["values"] if found["set"] else found["value"]).split(",")
        wanted = found["equal"] in {"=", "=="} or found["set"] == "in"
        return lambda own: (own.get(key) in values) is wanted
    return lambda own: (key in own) is not bool(found["absent"])
