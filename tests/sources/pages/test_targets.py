"""Which pages strangers can make us read: their pods' own, at the port and path that they say, and nothing else."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.config.endpoint import DiscoveredPages, Endpoint, PodPages
from scaler.config.signals import DefaultEndpoint
from scaler.model.measurement import PodAddress
from scaler.sources.pages.targets import MAX_PORTS, named_pages, pod_pages, refused_address

VLLM = DefaultEndpoint(8000, "/metrics")
ENDPOINT = Endpoint("pods", pods=PodPages())
LOOPBACK = (ip_network("127.64.0.0/16"),)


def page(ip="10.0.0.7", usual=VLLM, pods=ENDPOINT.pods, networks=(), **annotations):
    """The URL of a pod's page, or why there is none."""
    ports = (("rank-0", 7000), ("rank-1", 7001))
    place = PodAddress("demo", "llama-0", ip, tuple(sorted(annotations.items())), ports)
    found, problem = pod_pages(place, usual, Endpoint("pods", pods=pods, networks=networks))
    return problem or " ".join(one.url for one in found)


@pytest.mark.parametrize(
    ("annotations", "pods", "usual", "url"),
    [
        ({}, PodPages(), VLLM, "http://10.0.0.7:8000/metrics"),
        ({}, PodPages(9000, "/m", "https"), VLLM, "https://10.0.0.7:9000/m"),
        ({"port": "1"}, PodPages(9000, "/m", "https"), VLLM, "https://10.0.0.7:1/m"),
        ({"port": "65535", "path": "/v1/m", "scheme": "HTTPS", "scrape": "true"}, PodPages(), None, "https://10.0.0.7:65535/v1/m"),
        ({"port": "80", "path": "", "scheme": ""}, PodPages(), None, "http://10.0.0.7:80/metrics"),
        ({"path": "/metrics?model=qwen&x=a/b"}, PodPages(), VLLM, "http://10.0.0.7:8000/metrics?model=qwen&x=a/b"),
        ({"port": "8001, 8000"}, PodPages(), VLLM, "http://10.0.0.7:8001/metrics http://10.0.0.7:8000/metrics"),
        ({"port": "1-2,2,9"}, PodPages(), VLLM, "http://10.0.0.7:1/metrics http://10.0.0.7:2/metrics http://10.0.0.7:9/metrics"),
        ({}, PodPages("rank-0,rank-1"), VLLM, "http://10.0.0.7:7000/metrics http://10.0.0.7:7001/metrics"),
    ],
)  # fmt: skip
def test_annotations_stand_over_the_settings_and_these_over_what_is_usual(annotations, pods, usual, url):
    assert page(usual=usual, pods=pods, **annotations) == url


@pytest.mark.parametrize(
    ("annotations", "problem"),
    [
        ({"port": "0"}, "in prometheus.io/port"),
        ({"port": "65536"}, "in prometheus.io/port"),
        ({"port": "080"}, "in prometheus.io/port"),
        ({"port": "8000@evil"}, "in prometheus.io/port"),
        ({"port": "8000/admin"}, "in prometheus.io/port"),
        ({"port": "-1"}, "in prometheus.io/port"),
        ({"port": "\uff18\uff10"}, "in prometheus.io/port"),  # digits, but not ASCII's
        ({"port": "80\n"}, "in prometheus.io/port"),
        ({"path": "metrics"}, "in prometheus.io/path"),
        ({"path": "//evil.com/"}, "in prometheus.io/path"),
        ({"path": "http://evil.com/"}, "in prometheus.io/path"),
        ({"path": "@evil.com/"}, "in prometheus.io/path"),
        ({"path": "/a\r\nHost: evil.com"}, "in prometheus.io/path"),
        ({"path": "/a\n"}, "in prometheus.io/path"),
        ({"path": "/a b"}, "in prometheus.io/path"),
        ({"path": "/a?b c"}, "says '/a?b c' in prometheus.io/path, where a path, such as /metrics?model=m, may stand"),
        ({"port": "rank-2"}, "says 'rank-2' in prometheus.io/port, where a port, a range such as 8000-8003, "),
        ({"port": "8003-8000"}, "in prometheus.io/port"),
        ({"port": f"1-{MAX_PORTS + 1}"}, "in prometheus.io/port"),
        ({"port": f"1-{MAX_PORTS},999"}, f"has {MAX_PORTS + 1} ports to read, more than {MAX_PORTS}"),
        ({"path": "/a#b"}, "in prometheus.io/path"),
        ({"path": "/" + "x" * 256}, "in prometheus.io/path"),
        ({"scheme": "file"}, "in prometheus.io/scheme"),
        ({"scheme": "gopher"}, "in prometheus.io/scheme"),
        ({"scheme": "https://evil.com"}, "in prometheus.io/scheme"),
        ({"scrape": "false"}, "says no in"),
        ({"scrape": "perhaps"}, "neither true nor false"),
    ],
)
def test_an_annotation_that_says_more_than_where_on_its_pod_is_refused(annotations, problem):
    assert page(**annotations).startswith("llama-0 ")
    assert problem in page(**annotations)


@given(st.dictionaries(st.sampled_from(["port", "path", "scheme"]), st.text(max_size=20), max_size=3))
def test_whatever_annotations_say_only_the_pod_itself_is_read(annotations):
    found = page(**annotations)
    assert found.startswith(("llama-0 says", "http://10.0.0.7:", "https://10.0.0.7:"))
    assert not set(found) & set("\r\n\0#") or found.startswith("llama-0")


@pytest.mark.parametrize(
    ("address", "networks", "problem"),
    [
        ("10.0.0.7", (), ""),
        ("fd00::7", (), ""),
        ("10.0.0.7", ("10.0.0.0/8",), ""),
        ("192.168.0.1", ("10.0.0.0/8",), "in none of the endpoint's networks"),
        ("127.0.0.1", (), "loopback"),
        ("::1", (), "loopback"),
        ("::ffff:127.0.0.1", (), "loopback"),
        ("127.64.0.9", ("127.64.0.0/16",), ""),
        ("169.254.169.254", (), "link-local"),
        ("169.254.169.254", ("0.0.0.0/0",), "link-local"),
        ("::ffff:169.254.169.254", (), "link-local"),
        ("64:ff9b::a9fe:a9fe", (), "169.254.169.254, a link-local"),
        ("2002:a9fe:a9fe::1", ("::/0",), "169.254.169.254, a link-local"),
        ("fe80::1%eth0", (), "link-local"),
        ("fd00:ec2::254", ("::/0",), "metadata service"),
        ("100.100.100.200", (), "metadata service"),
        ("168.63.129.16", (), "metadata service"),
        ("0.0.0.0", ("0.0.0.0/0",), "nobody's"),
        ("224.0.0.1", (), "nobody's"),
        ("10.0.0.7@evil", (), "no IP address"),
        ("evil.com", (), "no IP address"),
        ("", (), "no IP address"),
    ],
)
def test_addresses_that_are_never_read(address, networks, problem):
    reason = refused_address(address, tuple(map(ip_network, networks)))
    assert problem in reason
    assert bool(problem) is bool(reason)
    found = page(ip=address, networks=tuple(map(ip_network, networks)))
    assert found.startswith("http://") is not bool(problem)


@pytest.mark.parametrize(("address", "read"), [("127.0.0.1", True), ("169.254.1.1", False), ("168.63.129.16", False)])
def test_an_address_that_stands_in_the_settings_may_be_this_machine_and_no_metadata_service(address, read):
    assert (refused_address(address, (ip_network("10.0.0.0/8"),), written=True) == "") is read


def test_behind_a_name_every_address_is_a_page_but_those_that_are_never_read():
    named = DiscoveredPages("dns", "http://gateway.team:9090/metrics", {"namespace": "team"})
    pages, problem = named_pages(named, ["10.0.0.2", "fd00::1", "10.0.0.1", "127.0.0.1"], ())
    assert [one.address for one in pages] == ["10.0.0.1:9090", "10.0.0.2:9090", "[fd00::1]:9090"]
    assert {one.url for one in pages} == {named.url}
    assert problem == "gateway.team is at 127.0.0.1, a loopback address, which the endpoint's networks do not name"
