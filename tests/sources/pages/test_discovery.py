"""Pages behind names: of Services, whose addresses Kubernetes tells, and in DNS."""

import socket

import pytest

from scaler.config.endpoint import Endpoint, Named
from scaler.sources.pages import discovery
from scaler.sources.pages.discovery import LASTS, RESOLVED, Lists

SERVICE = Named("service", "http://epp.team:9090/metrics", {"namespace": "team"})
DNS = Named("dns", "http://gateway.team:9090/metrics")


@pytest.fixture
def made():
    """Gives a function that makes the lists of an endpoint."""
    open_ = []

    def make(*named, addresses=None):
        open_.append(Lists(Endpoint("pages", timeout=4.0, named=named), addresses))
        return open_[-1]

    yield make
    for one in open_:
        one.close()


@pytest.fixture
def zone(monkeypatch):
    """The name service: addresses by host; a host that is not there is not known."""
    known = {}

    def look(host, *_args, **_kwargs):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(discovery.socket, "getaddrinfo", look)  # the only place where a test cannot have the real thing
    return known


def told(made, now):
    """The addresses, and what is doubted."""
    listed = made.pages(now)
    assert listed.doubt == ""
    return [page.address for page in listed.pages], "; ".join(why for _, why in listed.unsure)


def settled(made, now):
    """What is known once looking up has come to its end."""
    made.pages(now)
    for name in made._names.values():
        name._under_way.result()
    return told(made, now)


def test_a_service_has_a_page_at_each_of_its_addresses(made):
    said = {("team", "epp"): (frozenset({"10.0.0.2", "10.0.0.1"}), "")}
    listed = made(SERVICE, addresses=lambda *key: said[key]).pages(0.0)
    assert [(one.address, dict(one.labels)) for one in listed.pages] == [
        ("10.0.0.1:9090", {"namespace": "team"}),
        ("10.0.0.2:9090", {"namespace": "team"}),
    ]
    assert (listed.unsure, listed.doubt) == ((), "")


@pytest.mark.parametrize(
    ("addresses", "problem", "doubt"),
    [
        ({"10.0.0.1"}, "Kubernetes was last heard 50s ago", "the addresses of epp.team may be others by now (Kubernetes was last heard 50s ago)"),
        ((), "", "epp.team has nobody ready"),
        ({f"10.0.{at // 250}.{at % 250}" for at in range(1001)}, "", "epp.team has 1001 addresses"),
        ({"127.0.0.1"}, "", "epp.team is at 127.0.0.1, a loopback address, which the endpoint's networks do not name"),
    ],
)  # fmt: skip
def test_addresses_that_are_old_or_none_are_doubted(made, addresses, problem, doubt):
    [(page, why)] = made(SERVICE, addresses=lambda *_: (frozenset(addresses), problem)).pages(0.0).unsure
    assert (page.url, page.labels, why) == (SERVICE.url, SERVICE.labels, doubt), "it is doubted for its own namespace"


def test_a_name_is_looked_up_again_and_again_and_follows_its_addresses(made, zone):
    zone["gateway.team"] = ["10.0.0.1", "10.0.0.2"]
    one = made(DNS)
    assert told(one, 0.0) == (["10.0.0.1:9090", "10.0.0.2:9090"], "")
    zone["gateway.team"] = ["10.0.0.3"]
    assert len(settled(one, RESOLVED - 1)[0]) == 2
    assert settled(one, RESOLVED + 1)[0] == ["10.0.0.3:9090"]


def test_a_name_that_cannot_be_looked_up_leaves_the_last_addresses_which_are_doubted_in_the_end(made, zone):
    one = made(DNS)
    assert settled(one, 0.0) == ([], "gateway.team cannot be looked up (Name or service not known)")
    zone["gateway.team"] = ["10.0.0.1"]
    assert settled(one, 10.0)[1] == ""
    zone.clear()
    pages, doubt = settled(one, 10.0 + LASTS)
    assert (len(pages), doubt) == (1, "")
    pages, doubt = settled(one, 20.0 + LASTS)
    assert len(pages) == 1
    assert doubt == "gateway.team cannot be looked up (Name or service not known) for 1m10s"


def test_a_real_name_is_looked_up(made):
    made = made(Named("dns", "http://localhost:9090/metrics"))
    assert settled(made, 0.0)[1].startswith("localhost is at ")
