"""What a pod asks of a node, from what its containers ask for."""

import pytest

from scaler.cluster.pod_requests import completed, greatest, total
from scaler.model.nodes import Container, PodResources


def container(name="engine", kind="main", **requests):
    return Container(tuple(sorted(requests.items())), kind, name)


def test_an_amount_that_one_alone_has_is_the_greatest_though_it_is_nothing():
    assert greatest({"cpu": 2, "gpu": 0}, {"cpu": 1, "memory": 3}) == {"cpu": 2, "gpu": 0, "memory": 3}
    assert greatest({}, {"gpu": 0}) == {"gpu": 0}


def test_nothing_of_a_resource_is_not_asked_for():
    assert total(PodResources((container(cpu=2, gpu=0), container("load", "init", rdma=0)))) == (
        ("cpu", 2),
        ("pods", 1),
    )


def test_an_init_container_has_the_sidecars_before_it_beside_it():
    needs = PodResources((container("mesh", "sidecar", cpu=1), container("load", "init", cpu=8), container(cpu=4)))
    assert dict(total(needs))["cpu"] == 9


@pytest.mark.parametrize(
    ("template", "pod", "overhead"), [((("cpu", 1),), (), 1), ((), (("cpu", 2),), 2), ((("cpu", 1),), (("cpu", 2),), 2)]
)
def test_the_overhead_is_the_pods_or_else_the_templates(template, pod, overhead):
    whole = completed(PodResources((container(),), overhead=template), PodResources((container(),), overhead=pod))
    assert whole.overhead == (("cpu", overhead),)


def test_a_runtime_class_adds_to_what_the_containers_ask_for_and_beside_it():
    """Kata: a virtual machine of its own takes 250 millicores and 160 MiB beside a container that asks for GPUs alone."""
    kata = PodResources((container(gpu=1, memory=1000),), overhead=(("cpu", 250), ("memory", 160)))
    assert dict(total(kata)) == {"cpu": 250, "gpu": 1, "memory": 1160, "pods": 1}
