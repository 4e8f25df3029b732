"""deploy/rbac.yaml grants what scaler/sources/kubernetes/cache.py asks for, no more and no less."""

from pathlib import Path

import yaml

from scaler.sources.kubernetes.cache import RESOURCES

FILE = Path(__file__).parents[2] / "deploy" / "rbac.yaml"


def granted():
    documents = yaml.safe_load_all(FILE.read_text())
    roles = [document for document in documents if document["kind"] in {"ClusterRole", "Role"}]
    return [
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def test_what_is_granted_is_what_is_asked_for():
    asked = {(resource.group, resource.plural, verb) for resource in RESOURCES for verb in resource.verbs}
    assert set(granted()) == asked
    assert len(granted()) == len(asked), "once"


def test_nothing_is_ever_written():
    assert {verb for _, _, verb in granted()} <= {"get", "list", "watch"}
