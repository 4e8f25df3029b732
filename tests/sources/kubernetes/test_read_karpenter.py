"""Objects of Karpenter as it writes them; tests/cluster/test_karpenter.py reads whole ones."""

from scaler.sources.kubernetes.read_karpenter import read_buffer, read_claim, read_overlay, read_pool, read_shortage


def test_objects_of_karpenter_that_say_little():
    pool = read_pool({"metadata": {"name": "p"}, "spec": {"template": {"spec": {}}}})
    assert (pool.limits, pool.used, pool.replicas, pool.provider, pool.problem) == ({}, {}, None, "", "")
    claim = read_claim({"metadata": {"name": "p-1"}, "spec": {}})
    assert (claim.pool, claim.allocatable, claim.launched, claim.initialized) == ("", {}, None, False)
    assert read_shortage({"metadata": {"name": "e"}, "involvedObject": {"kind": "NodeClaim", "name": "p-1"}}) is None
    overlay = read_overlay({"metadata": {"name": "o"}, "spec": {"requirements": []}})
    assert (overlay.requirements, overlay.capacity, overlay.valid) == ((), {}, None)
    assert read_buffer({"metadata": {"namespace": "team", "name": "b"}, "spec": {}}) is None
