"""Which pages strangers can make us read: their pods' own, at the port and path that they say, and nothing else."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.config.endpoint import Endpoint, Named, PodPages
from scaler.config.signals import DefaultEndpoint
from scaler.model.measurement import PodPlace
from scaler.sources.pages.targets import barred, named_pages, pod_page

VLLM = DefaultEndpoint(8000, "/metrics")
ENDPOINT = Endpoint("pods", pods=PodPages())
LOOPBACK = (ip_network("127.64.0.0/16"),)


def page(ip="10.0.0.7", usual=VLLM, pods=ENDPOINT.pods, networks=(), **annotations):
    """The URL of a pod's page, or why there is none."""
    place = PodPlace("demo", "llama-0", ip, tuple(sorted(annotations.items())))
    found, problem = pod_page(place, usual, Endpoint("pods", pods=pods, networks=networks))
    return problem or found.url


@pytest.mark.parametrize(
    ("annotations", "pods", "usual", "url"),
    [
        ({}, PodPages(), VLLM, "http://10.0.0.7:8000/metrics"),
        ({}, PodPages(9000, "/m", "https"), VLLM, "https://10.0.0.7:9000/m"),
        ({"port": "1"}, PodPages(9000, "/m", "https"), VLLM, "https://10.0.0.7:1/m"),
        ({"port": "65535", "path": "/v1/m", "scheme": "HTTPS", "scrape": "true"}, PodPages(), None, "https://10.0.0.7:65535/v1/m"),
        ({"port": "80", "path": "", "scheme": ""}, PodPages(), None, "http://10.0.0.7:80/metrics"),
    ],
)  # fmt: skip
def test_annotations_stand_over_the_settings_and_these_over_what_is_usual(annotations, pods, usual, url):
    assert page(usual=usual, pods=pods, **annotations) == url


@pytest.mark.parametrize(
    ("annotations", "problem"),
    [
        ({"port": "0"}, "no port"),
        ({"port": "65536"}, "no port"),
        ({"port": "080"}, "no port"),
        ({"port": "8000@evil"}, "no port"),
        ({"port": "8000/admin"}, "no port"),
        ({"port": "-1"}, "no port"),
        ({"port": "\uff18\uff10"}, "no port"),  # digits, but not ASCII's
        ({"port": "80\n"}, "no port"),
        ({"path": "metrics"}, "no path"),
        ({"path": "//evil.com/"}, "no path"),
        ({"path": "http://evil.com/"}, "no path"),
        ({"path": "@evil.com/"}, "no path"),
        ({"path": "/a\r\nHost: evil.com"}, "no path"),
        ({"path": "/a\n"}, "no path"),
        ({"path": "/a b"}, "no path"),
        ({"path": "/a?token=x"}, "no path"),
        ({"path": "/a#b"}, "no path"),
        ({"path": "/" + "x" * 256}, "no path"),
        ({"scheme": "file"}, "no scheme"),
        ({"scheme": "gopher"}, "no scheme"),
        ({"scheme": "https://evil.com"}, "no scheme"),
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
    assert found.startswith(("llama-0 has no", "http://10.0.0.7:", "https://10.0.0.7:"))
    assert not set(found) & set("\r\n\0#?") or found.startswith("llama-0")


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
    reason = barred(address, tuple(map(ip_network, networks)))
    assert problem in reason
    assert bool(problem) is bool(reason)
    found = page(ip=address, networks=tuple(map(ip_network, networks)))
    assert found.startswith("http://") is not bool(problem)


@pytest.mark.parametrize(("address", "read"), [("127.0.0.1", True), ("169.254.1.1", False), ("168.63.129.16", False)])
def test_an_address_that_stands_in_the_settings_may_be_this_machine_and_no_metadata_service(address, read):
    assert (barred(address, (ip_network("10.0.0.0/8"),), written=True) == "") is read


def test_behind_a_name_every_address_is_a_page_but_those_that_are_never_read():
    named = Named("dns", "http://gateway.team:9090/metrics", {"namespace": "team"})
    pages, problem = named_pages(named, ["10.0.0.2", "fd00::1", "10.0.0.1", "127.0.0.1"], ())
    assert [one.address for one in pages] == ["10.0.0.1:9090", "10.0.0.2:9090", "[fd00::1]:9090"]
    assert {one.url for one in pages} == {named.url}
    assert problem == "gateway.team is at 127.0.0.1, a loopback address, which the endpoint's networks do not name"
