"""Where metrics pages are: what the settings, Kubernetes and the name service say, and how much of it is believed.

A pod's annotations are strangers' words: they choose port, path and scheme of the pod's own address, and nothing else.
An address that was found, and not written in the settings, is never that of this machine or of a cloud's metadata
service; what the settings name as networks may be narrower, or take loopback in. Pure.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

from scaler.config.endpoint import PAGE_PATH, DiscoveredPages, Endpoint, Network, Page, PodPages, host_and_port
from scaler.config.signals import DefaultEndpoint
from scaler.model.measurement import PodAddress
from scaler.model.objects import FALSE_WORDS, TRUE_WORDS

# Of metadata services that are not link-local: AWS over IPv6, Alibaba, Oracle, and Azure's WireServer.
METADATA = frozenset(map(ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")))

_NAT64 = ip_network("64:ff9b::/96")
LAST_PORT = 65535
MAX_PORTS = 64  # of one pod
MAX_TRIED = 16  # of these, ports that nobody calls a page's


def refused_address(address: str, networks: tuple[Network, ...] = (), *, written: bool = False) -> str:
    """Say why an address is not read; empty: it may be.

    Args:
        address: an IP address.
        networks: of the endpoint.
        written: the settings themselves give the host, so that networks and loopback are their affair.
    """
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return "has no IP address"
    ip = _inner(ip) if isinstance(ip, IPv6Address) else ip
    rules = (  # the first that holds
        (ip.is_link_local, "a link-local address, which is never read"),
        (ip in METADATA, "the address of a metadata service, which is never read"),
        (ip.is_multicast or ip.is_unspecified, "nobody's address"),
        (written or any(ip in network for network in networks), ""),
        (bool(networks), "in none of the endpoint's networks"),
        (ip.is_loopback, "a loopback address, which the endpoint's networks do not name"),
    )
    reason = next((reason for holds, reason in rules if holds), "")
    return f"is at {ip}, {reason}" if reason else ""


def _inner(ip: IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that a network makes of an IPv6 one: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056)."""
    return IPv4Address(ip.packed[-4:]) if ip in _NAT64 else ip.ipv4_mapped or ip.sixtofour or ip


def pod_pages(place: PodAddress, usual: DefaultEndpoint | None, endpoint: Endpoint) -> tuple[tuple[Page, ...], str]:
    """Find the pages of one of the target's own pods, one at each port, and why they are not read.

    `prometheus.io/port` may be one port or several, with commas between them: a number, a range such as 8000-8003, or
    the name of a container's port.

    Args:
        place: where the pod is, with its annotations, which come first.
        usual: where the engine has its page.
        endpoint: with `pods`, which stands between the two.
    """
    name = endpoint.dialect.name
    labels = MappingProxyType({name("namespace"): place.namespace, name("pod"): place.name})
    given, own, usual = (
        dict(place.prometheus_annotations),
        endpoint.pods or PodPages(),
        usual or DefaultEndpoint(0, "/metrics"),
    )
    path = given.get("path") or own.path or usual.path
    scheme = given.get("scheme", "").lower() or own.scheme
    named = {port_name: port for port_name, port in place.ports if port_name}
    ports, no_port = _ports(given.get("port") or str(own.port or usual.port or ""), named)
    checks = (  # the first that says something
        _opted_out(given.get("scrape", "")),
        refused_address(place.ip, endpoint.networks),
        no_port,
        "" if re.fullmatch(PAGE_PATH, path) else _unfit("path", path, "a path, such as /metrics?model=m"),
        "" if scheme in {"http", "https"} else _unfit("scheme", scheme, "http or https"),
    )
    problem = next(filter(None, checks), "")
    if problem:
        return (Page("", labels, of_pod=True),), f"{place.name} {problem}"
    hosts = (host_and_port(place.ip, port) for port in ports)
    return tuple(Page(f"{scheme}://{host}{path}", labels, place.ip, of_pod=True) for host in hosts), ""


def other_pages(place: PodAddress, listed: Collection[Page], endpoint: Endpoint) -> tuple[Page, ...]:
    """Name the pages to try at the other ports that a pod's containers declare, where a single port is listed.

    Args:
        place: where the pod is.
        listed: its page, as `pod_pages` found it; of several it is known that they are all.
        endpoint: with `pods`.
    """
    if len(listed) != 1 or (endpoint.pods or PodPages()).other_ports == "ignore":
        return ()
    (page,) = listed
    split = urlsplit(page.url)
    ports = dict.fromkeys(port for _, port in place.ports if 0 < port <= LAST_PORT and port != split.port)
    urls = (urlunsplit(split._replace(netloc=host_and_port(place.ip, port))) for port in list(ports)[:MAX_TRIED])
    return tuple(replace(page, url=url, tried=True) for url in urls)


def _ports(written: str, named: Mapping[str, int]) -> tuple[tuple[int, ...], str]:
    """Read the ports of a pod's pages; and why they cannot be read.

    Args:
        written: by the annotation, the settings or the engine, with commas between them.
        named: the container's ports by their name.
    """
    allowed = "a port, a range such as 8000-8003, the name of a container's port, or several with commas between"
    if not written:
        return (), "has no port to read: annotate prometheus.io/port, or set it"
    found: dict[int, None] = {}
    for item in (one.strip(" ") for one in written.split(",")):
        bounds = re.fullmatch(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?", item)
        first, last = (int(bounds[1]), int(bounds[2] or bounds[1])) if bounds else (named.get(item, 0),) * 2
        if not 0 < first <= last <= LAST_PORT or last - first >= MAX_PORTS:
            return (), _unfit("port", written, allowed)
        found.update(dict.fromkeys(range(first, last + 1)))
    too_many = f"has {len(found)} ports to read, more than {MAX_PORTS}" if len(found) > MAX_PORTS else ""
    return tuple(found), too_many


def _unfit(key: str, said: str, allowed: str) -> str:
    return f"says {said[:60]!r} in prometheus.io/{key}, where {allowed}, may stand"


def _opted_out(scrape: str) -> str:
    if scrape.lower() in {"", *TRUE_WORDS}:
        return ""
    word = "no" if scrape.lower() in FALSE_WORDS else "neither true nor false"
    return f"says {word} in prometheus.io/scrape"


def named_pages(
    named: DiscoveredPages, addresses: Iterable[str], networks: tuple[Network, ...]
) -> tuple[list[Page], str]:
    """List the pages behind a name, and why some are left out."""
    pages, problem = [], ""
    for address in sorted(addresses):
        reason = refused_address(address, networks)
        problem = problem or (f"{host_of(named)} {reason}" if reason else "")
        if not reason:
            pages.append(Page(named.url, named.labels, address))
    return pages, problem


def host_of(named: DiscoveredPages) -> str:
    """Return the host that a name is of."""
    return urlsplit(named.url).hostname or ""
