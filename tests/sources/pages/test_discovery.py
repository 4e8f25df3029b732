"""Pages behind names: of Services, whose addresses Kubernetes tells, and in DNS."""

import asyncio
import socket

import pytest

from scaler.config.endpoint import DiscoveredPages, Endpoint
from scaler.sources.names import Names
from scaler.sources.pages.discovery import LASTS, RESOLVED, Lists

SERVICE = DiscoveredPages("service", "http://epp.team:9090/metrics", {"namespace": "team"})
DNS = DiscoveredPages("dns", "http://gateway.team:9090/metrics")


@pytest.fixture
def made():
    """Gives a function that makes the lists of an endpoint."""
    names = Names("pages")
    yield lambda *named, addresses=None: Lists(Endpoint("pages", timeout=4.0, named=named), addresses, names)
    names.close()


@pytest.fixture
def zone(monkeypatch):
    """The name service: addresses by host; a host that is not there is not known."""
    known = {}

    def look(host, *_args, **_kwargs):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look)  # the only place where a test cannot have the real thing
    return known


async def told(made, now):
    """The addresses, and what is doubted."""
    listed = await made.pages(now)
    assert listed.incomplete_reason == ""
    return [page.address for page in listed.pages], "; ".join(why for _, why in listed.unsure)


async def settled(made, now):
    """What is known once looking up has come to its end."""
    await made.pages(now)
    await asyncio.gather(*(name._under_way for name in made._names.values()))
    return await told(made, now)


async def test_a_service_has_a_page_at_each_of_its_addresses(made):
    said = {("team", "epp"): (frozenset({"10.0.0.2", "10.0.0.1"}), "")}
    listed = await made(SERVICE, addresses=lambda *key: said[key]).pages(0.0)
    assert [(one.address, dict(one.labels)) for one in listed.pages] == [
        ("10.0.0.1:9090", {"namespace": "team"}),
        ("10.0.0.2:9090", {"namespace": "team"}),
    ]
    assert (listed.unsure, listed.incomplete_reason) == ((), "")


@pytest.mark.parametrize(
    ("addresses", "problem", "doubt"),
    [
        ({"10.0.0.1"}, "Kubernetes was last heard 50s ago", "the addresses of epp.team may be others by now (Kubernetes was last heard 50s ago)"),
        ((), "", "epp.team has nobody ready"),
        ({f"10.0.{at // 250}.{at % 250}" for at in range(1001)}, "", "epp.team has 1001 addresses"),
        ({"127.0.0.1"}, "", "epp.team is at 127.0.0.1, a loopback address, which the endpoint's networks do not name"),
    ],
)  # fmt: skip
async def test_addresses_that_are_old_or_none_are_doubted(made, addresses, problem, doubt):
    listed = await made(SERVICE, addresses=lambda *_: (frozenset(addresses), problem)).pages(0.0)
    [(page, why)] = listed.unsure
    assert (page.url, page.labels, why) == (SERVICE.url, SERVICE.labels, doubt), "it is doubted for its own namespace"


async def test_a_name_is_looked_up_again_and_again_and_follows_its_addresses(made, zone):
    zone["gateway.team"] = ["10.0.0.1", "10.0.0.2"]
    one = made(DNS)
    assert await told(one, 0.0) == (["10.0.0.1:9090", "10.0.0.2:9090"], "")
    zone["gateway.team"] = ["10.0.0.3"]
    assert len((await settled(one, RESOLVED - 1))[0]) == 2
    assert (await settled(one, RESOLVED + 1))[0] == ["10.0.0.3:9090"]


async def test_a_name_that_cannot_be_looked_up_leaves_the_last_addresses_which_are_doubted_in_the_end(made, zone):
    one = made(DNS)
    assert await settled(one, 0.0) == ([], "gateway.team cannot be looked up (Name or service not known)")
    zone["gateway.team"] = ["10.0.0.1"]
    assert (await settled(one, 10.0))[1] == ""
    zone.clear()
    pages, doubt = await settled(one, 10.0 + LASTS)
    assert (len(pages), doubt) == (1, "")
    pages, doubt = await settled(one, 20.0 + LASTS)
    assert len(pages) == 1
    assert doubt == "gateway.team cannot be looked up (Name or service not known) for 1m10s"


async def test_a_real_name_is_looked_up(made):
    made = made(DiscoveredPages("dns", "http://localhost:9090/metrics"))
    assert (await settled(made, 0.0))[1].startswith("localhost is at ")
