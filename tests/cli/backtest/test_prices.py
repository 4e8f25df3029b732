"""What a GPU costs, by the machines that the pods run on."""

import pytest
from support.manifest_server import ManifestServer

from scaler.cli.backtest.prices import CAPACITY, TYPE, ZONE, given, gpu_price, read
from scaler.model.errors import ConfigError
from scaler.sources.kubernetes.api import ApiServer
from scaler.sources.kubernetes.read_karpenter import read_claim

PODS = "llama-[a-z0-9]+-[a-z0-9]{5}"


def claim(node, type_="p4d.24xlarge", gpus="8", capacity="on-demand"):
    labels = {TYPE: type_, CAPACITY: capacity, ZONE: "a"}
    status = {"nodeName": node, "capacity": {"cpu": "96", "nvidia.com/gpu": gpus} if gpus else {"cpu": "4"}}
    return {"metadata": {"name": f"claim-{node}", "labels": labels}, "spec": {}, "status": status}


def price(*claims, nodes=("n1", "n2"), **prices):
    offers = {tuple(name.split("/")): money for name, money in prices.items()}
    return gpu_price([read_claim(one) for one in claims], frozenset(nodes), offers)


def test_the_worked_example():
    found = gpu_price([read_claim(claim("n1"))], frozenset({"n1"}), given(["p4d.24xlarge=32.80"]))
    assert found.gpu_hour == pytest.approx(4.10)
    assert str(found) == "A GPU-hour costs 4.10, by 1 NodeClaim that its pods run on: p4d.24xlarge."


def test_machines_count_by_their_gpus_and_those_of_others_do_not():
    claims = (claim("n1"), claim("n2", "g5.xlarge", "1"), claim("n3", "g5.xlarge", "1"), claim("n2", "m5", ""))
    found = price(*claims, **{"p4d.24xlarge//": 32.0, "g5.xlarge//": 4.0, "m5//": 1.0})
    assert found.gpu_hour == pytest.approx(36 / 9)
    assert (found.machines, found.types) == (2, ("g5.xlarge", "p4d.24xlarge"))


def test_a_price_is_of_the_very_offer_unless_it_was_said_of_the_type():
    estimates = {"p4d.24xlarge/spot/a": 8.0, "p4d.24xlarge/on-demand/a": 32.0}
    assert price(claim("n1", capacity="spot"), **estimates).gpu_hour == 1.0
    assert price(claim("n1", capacity="spot"), **estimates, **{"p4d.24xlarge//": 16.0}).gpu_hour == 2.0
    assert price(claim("n1", capacity="reserved"), **estimates) is None


@pytest.mark.parametrize("word", ["p4d.24xlarge", "p4d.24xlarge=much"])
def test_what_is_no_price_is_refused(word):
    with pytest.raises(ConfigError, match="is no price of a machine"):
        given([word])


def test_it_is_read_from_the_cluster(tmp_path):
    def pod(name, node):
        return {"metadata": {"name": name}, "spec": {"nodeName": node}}

    server = ManifestServer({})
    try:
        api = ApiServer(server.kubeconfig(tmp_path))
        said = given(["p4d.24xlarge=32.80", "g5.xlarge=1"])
        assert read(api, "demo", PODS, None, said, 0.0) is None, "a cluster without Karpenter"
        server.answers["/apis/karpenter.sh/v1/nodeclaims"] = (
            200,
            {"items": [claim("n1"), claim("n2", "g5.xlarge", "1")]},
        )
        pods = [
            pod("llama-7d4b9c-abcde", "n1"),
            pod("other-7d4b9c-abcde", "n2"),
            {"metadata": {"name": "x"}, "spec": {}},
        ]
        server.answers["/api/v1/namespaces/demo/pods"] = 200, {"items": pods}
        assert read(api, "demo", PODS, None, said, 0.0).gpu_hour == pytest.approx(4.10)
        api.close()
    finally:
        server.close()
