"""What is granted is what scaler/sources/kubernetes/resources.py asks for, no more and no less, in every file that grants it."""

from pathlib import Path

import pytest
import yaml

from scaler.sources.kubernetes.resources import RESOURCES

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ("rbac.yaml", "manifests/llm-scaler.yaml", "manifests/llm-scaler-mutual-tls.yaml")


def granted(file):
    documents = yaml.safe_load_all((DEPLOY / file).read_text())
    roles = [document for document in documents if document["kind"] in {"ClusterRole", "Role"}]
    return [
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


@pytest.mark.parametrize("file", FILES)
def test_what_is_granted_is_what_is_asked_for(file):
    asked = {(resource.group, resource.plural, verb) for resource in RESOURCES for verb in resource.verbs}
    assert set(granted(file)) == asked, (
        "the manifests: mend deploy/helm/llm-scaler/templates/rbac.yaml, and run `make chart`"
    )
    assert len(granted(file)) == len(asked), "once"


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_ever_written(file):
    assert {verb for _, _, verb in granted(file)} <= {"get", "list", "watch"}
