"""Endpoints: named places to measure, of two kinds. A server speaks Prometheus' query API; pages are read directly.

Pages are listed one by one, in a file, or behind a name (a Service, a DNS name); or they are the target's own pods.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast
from urllib.parse import urlsplit, urlunsplit

from scaler.config.naming import Naming, PodPagesMeaning
from scaler.model.errors import ConfigError
from scaler.model.fields import Fields, boolean, choice, duration, listed, matching, seconds, show, takes, text, whole

Network = IPv4Network | IPv6Network
NameKind = Literal["service", "dns"]
OtherPorts = Literal["try", "ignore"]
Colons = bool | Literal["dots"]  # whether names of metrics have the colons that engines write

MAX_PAGES = 2_000
MAX_NAMED = 50
POD_SERIES = 5_000  # that are wanted of one pod's page, whose owner nobody knows
_PATH_LETTERS = r"[A-Za-z0-9_.~!$&'()*+,;=:@%/-]"
PAGE_PATH = rf"(?=.{{1,256}}\Z)(?!//)/{_PATH_LETTERS}*(\?({_PATH_LETTERS}|\?)*)?"  # of a pod's page, with its query
PAGE_PORT = r"\d{1,5}(-\d{1,5})?|[a-z0-9-]{1,15}"  # a port, several in a row, or a named one of the container's

_PLACES = ("url", "pages", "pagesFile")  # not more than one of them
_OF_PROMETHEUS = ("matchers", "upSelector", "metricNameColons", "scrapeLabels", "podPages", "enforceNamespace")
_KINDS: tuple[NameKind, ...] = ("service", "dns")
_LABEL_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
ENDPOINT_NAME = _NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_QUOTED_NAME = rf"{_LABEL_NAME}([.:/][A-Za-z0-9_.:/-]{{0,200}})?"  # of a label in Prometheus 3, such as k8s.pod.name


@dataclass(frozen=True, slots=True)
class Page:
    """A metrics page that is read directly. Pages are told apart by their address."""

    url: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)  # of all its series; they win over its own
    ip: str = ""  # where the host of the URL was found; empty: the name service says it
    of_pod: bool = False  # a pod's own, which strangers may have named: it gets no credentials
    tried: bool = False  # at a port that the pod declares and nobody calls a page's: it may have none

    @property
    def address(self) -> str:
        """HOST:PORT, with the path where it is not the usual one: what its pod is called when nothing says it."""
        parts = urlsplit(self.url)
        place = host_and_port(self.ip, parts.port) if self.ip else parts.netloc
        query = f"?{parts.query}" if parts.query else ""
        return place + parts.path.removesuffix("/metrics") + query


@dataclass(frozen=True, slots=True)
class DiscoveredPages:
    """Pages behind one name: the same URL at every address that the name has."""

    kind: NameKind
    url: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def service(self) -> tuple[str, str]:
        """Namespace and name of the Service."""
        name, namespace, *_ = (urlsplit(self.url).hostname or "").split(".")
        return namespace, name


@dataclass(frozen=True, slots=True)
class PodPages:
    """The place of the pages of a target's own pods, as far as their annotations do not say it."""

    port: int | str | None = None  # one, or several as in an annotation; None: the engine's usual one
    path: str | None = None  # likewise
    scheme: str = "http"
    other_ports: OtherPorts = "try"  # whether pages are looked for at other ports that the containers declare


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A named place to measure: a server that speaks Prometheus' query API, or metrics pages that are read directly.

    Files of secrets are read at each use, so that they may be rotated; a file of pages whenever it changes.
    """

    name: str
    url: str = ""  # of the server, without /api/v1; empty where there are pages
    timeout: float = 2.0  # seconds for everything that one tick asks; of pages, for one page
    bearer_token_file: Path | None = None
    username: str | None = None  # of basic auth, with password_file
    password_file: Path | None = None
    ca_file: Path | None = None  # None: the system's certificates
    cert_file: Path | None = None  # the client's certificate, with key_file
    key_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # such as X-Scope-OrgID; may hold secrets
    matchers: Mapping[str, str] = field(default_factory=dict)  # added to every selector, such as cluster -> eu-1
    labels: Mapping[str, str] = field(default_factory=dict)  # our name of a label -> the endpoint's; see Naming
    metric_name_colons: Colons = True  # in the names of metrics; False: underscores in their place; dots: dots
    metric_name_prefix: str = ""  # what a scrape writes before the names of engines' and gateways' metrics
    up_selector: str = "up"  # a selector of what is there whenever the endpoint works; 0 for targets that fail
    scrape_labels: tuple[str, ...] = ()  # more labels that tell two scrapes of one page apart; see Naming
    pod_pages: PodPagesMeaning | None = None  # what the pages of one pod are to each other; see Naming
    stale_after: float = 90.0  # seconds; older samples are not certain, and pods silent for longer are gone
    max_series: int = 20_000  # of one answer
    max_bytes: int = 8 * 1024 * 1024  # of one answer, unpacked
    pages: tuple[Page, ...] = ()
    pages_file: Path | None = None
    named: tuple[DiscoveredPages, ...] = ()  # more pages, by name
    pods: PodPages | None = None  # the target's own pods are read, wherever Kubernetes says that they are
    networks: tuple[Network, ...] = ()  # what was found must lie in one of them; empty: anywhere but on loopback
    namespaces: tuple[str, ...] = ()  # the only ones whose triggers may be measured here; empty: all
    enforce_namespace: bool = False  # PromQL of formula files gets the trigger's namespace into every selector

    @property
    def dialect(self) -> Naming:
        """The endpoint's names for things."""
        on_pages = {ours: _as_on_pages(name) for ours, name in self.labels.items()}
        return Naming(
            labels=on_pages if self.direct else self.labels,
            matchers=self.matchers,
            up_selector=self.up_selector,
            recent=self.stale_after,
            colon="." if self.metric_name_colons == "dots" else ":" if self.metric_name_colons else "_",
            prefix=self.metric_name_prefix,
            scrape=self.scrape_labels,
            pod_pages=self.pod_pages,
        )

    @property
    def direct(self) -> bool:
        """Tell whether it is read page by page."""
        return not self.url

    @property
    def address(self) -> str:
        """The address for people: the URL without user and password, or its pages."""
        if self.direct:
            listed = f"pages of {self.pages_file}" if self.pages_file else f"{len(self.pages) + len(self.named)} pages"
            own = "the target's pods" if self.pods else ""
            return " and ".join(filter(None, (own, "" if own and listed == "0 pages" else listed)))
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")).rstrip("/")

    def __hash__(self) -> int:
        """Hash by the name, which tells endpoints apart."""
        return hash(self.name)


def host_and_port(ip: str, port: int | None) -> str:
    """Write an address and a port as a URL has them."""
    host = f"[{ip}]" if ":" in ip else ip
    return host if port is None else f"{host}:{port}"


PODS = Endpoint("pods", pods=PodPages(), max_series=POD_SERIES)  # is there without being named, wherever Kubernetes is


# ---- as they are written ---------------------------------------------------------------------------------------------


def read_endpoint(where: str, name: str, tree: object) -> Endpoint:
    """Read one endpoint of the settings.

    Raises:
        ConfigError: naming the key that is wrong.
    """
    path = f"endpoints.{name}"
    if not re.fullmatch(ENDPOINT_NAME, name):
        raise ConfigError(where, path, f"{name!r} cannot name an endpoint", "lower-case letters, digits and '-'")
    return read_place(Fields(where, tree, path), name)


def read_place(fields: Fields, name: str) -> Endpoint:
    """Read one endpoint, but for its name."""
    username, password = _basic_auth(fields)
    direct = _is_direct(fields)
    no_pages: object = []
    pages, named = _listed(fields.take("pages", _pages, no_pages), fields.where, f"{fields.path}.pages")
    pods = _pods(fields.inside("pods")) if fields.has("pods") else None
    endpoint = Endpoint(
        name=name,
        url="" if direct else fields.take("url", server_url),
        pages=pages,
        pages_file=fields.take("pagesFile", _file, None),
        named=named,
        pods=pods,
        networks=fields.take("networks", _networks, ()),
        namespaces=fields.take("namespaces", listed(matching(_NAMESPACE, "the name of a namespace")), ()),
        enforce_namespace=fields.take("enforceNamespace", boolean, False),
        timeout=fields.take("timeout", duration(0.1, 30 if direct else 4), 2.0),
        bearer_token_file=fields.take("bearerTokenFile", _file, None),
        username=username,
        password_file=password,
        ca_file=fields.take("caFile", _file, None),
        cert_file=fields.take("certFile", _file, None),
        key_file=fields.take("keyFile", _file, None),
        headers=_texts(fields, "headers", r"[A-Za-z0-9-]+"),
        matchers=_texts(fields, "matchers", _QUOTED_NAME),
        labels=_labels(fields),
        metric_name_colons=fields.take("metricNameColons", _colons, True),
        metric_name_prefix=_prefix(fields, direct=direct),
        up_selector=fields.take("upSelector", matching(r"[^$]{1,500}", "a PromQL selector"), "up"),
        scrape_labels=fields.take("scrapeLabels", listed(matching(_QUOTED_NAME, "a label's name")), ()),
        pod_pages=cast("PodPagesMeaning | None", fields.take("podPages", choice("sum", "same"), None)),
        stale_after=fields.take("staleAfter", duration(1, 3600), 90.0),
        max_series=fields.take("maxSeries", whole(1, 1_000_000), POD_SERIES if pods else 20_000),
        max_bytes=fields.take("maxBytes", whole(1024, 1 << 30), 8 * 1024 * 1024),
    )
    fields.close()
    return endpoint


def _basic_auth(fields: Fields) -> tuple[str | None, Path | None]:
    """Read the user and the file with the password: both, or neither."""
    basic = fields.inside("basicAuth")
    username = basic.take("username", text, None)
    password = basic.take("passwordFile", _file, None)
    basic.close()
    if (username is None) != (password is None):
        raise fields.error("basicAuth", "has only one of username and passwordFile", "both or neither")
    return username, password


def _is_direct(fields: Fields) -> bool:
    """Tell whether pages are read and not a Prometheus; refuse keys that are of the other, or of two places."""
    if sum(fields.has(key) for key in _PLACES) > 1:
        raise ConfigError(fields.where, fields.path, f"has more than one of {', '.join(_PLACES)}", "one of them")
    direct = any(fields.has(key) for key in ("pages", "pagesFile", "pods"))
    if direct and fields.has("url"):
        raise fields.error("pods", "stands beside url", "one of them")
    for key in _OF_PROMETHEUS if direct else ("networks",):
        if fields.has(key):
            raise fields.error(key, "is for a Prometheus, not for pages" if direct else "is for pages")
    return direct


def _pods(fields: Fields) -> PodPages:
    pods = PodPages(
        port=fields.take("port", _ports, None),
        path=fields.take("path", matching(PAGE_PATH, "a path, such as /metrics"), None),
        scheme=fields.take("scheme", choice("http", "https"), "http"),
        other_ports=cast("OtherPorts", fields.take("otherPorts", choice("try", "ignore"), "try")),
    )
    fields.close()
    return pods


@takes(type=["integer", "string", "array"])
def _ports(raw: object) -> int | str:
    """Read a port, or a list of ports, ranges of ports, and names of container ports."""
    if isinstance(raw, int):
        return whole(1, 65535)(raw)
    written = ",".join(map(str, raw)) if isinstance(raw, list) else str(raw)
    if not all(re.fullmatch(PAGE_PORT, item.strip()) for item in written.split(",")):
        raise ValueError("a port, the name of a container's port, a range such as 8000-8003, or a list of these")
    return written


@takes(type="array", items={"type": "string"})
def _networks(raw: object) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(text(one)) for one in listed(_as_it_is)(raw))
    except ValueError:
        raise ValueError("a list of networks, such as [10.0.0.0/8]") from None


def read_pages(tree: object, where: str) -> tuple[Page, ...]:
    """Read a list of metrics pages: addresses, or mappings of `url` and labels such as `namespace` and `pod`.

    Raises:
        ConfigError: naming the item that is wrong.
    """
    pages, named = _listed(tree, where, "")
    if named:
        raise ConfigError(where, "", f"{named[0].url} is no page but a name of many", "pages, where a file lists them")
    return pages


def _listed(tree: object, where: str, path: str) -> tuple[tuple[Page, ...], tuple[DiscoveredPages, ...]]:
    """Read pages, and names of several: `service` and `dns` instead of `url`."""
    if not isinstance(tree, list):
        raise ConfigError(where, path, f"{show(tree)} is not a list", "addresses of metrics pages")
    if len(tree) > MAX_PAGES:
        raise ConfigError(where, path, f"lists {len(tree)} pages", f"at most {MAX_PAGES}")
    items = [_page(where, f"{path}[{index}]", item) for index, item in enumerate(tree)]
    urls = Counter(item.url for item in items)
    twice = [url for url, times in urls.items() if times > 1]
    if twice:
        raise ConfigError(where, path, f"{twice[0]} is listed twice", "every page once")
    named = tuple(item for item in items if isinstance(item, DiscoveredPages))
    if len(named) > MAX_NAMED:
        raise ConfigError(where, path, f"lists {len(named)} services and DNS names", f"at most {MAX_NAMED}")
    return tuple(item for item in items if isinstance(item, Page)), named


def _page(where: str, path: str, tree: object) -> Page | DiscoveredPages:
    fields = Fields(where, tree if isinstance(tree, Mapping) else {"url": tree}, path)
    kind = next((kind for kind in _KINDS if fields.has(kind)), None)
    url = fields.take(kind or "url", _page_url)
    labels = {}
    for name, value in fields.rest().items():
        if not re.fullmatch(_LABEL_NAME, name):
            raise fields.error(name, f"{name!r} is not a label's name", _LABEL_NAME)
        try:
            labels[name] = text(value)
        except ValueError:
            raise fields.error(name, f"{show(value)} is not a label's value", "a text") from None
    if kind is None:
        return Page(url, MappingProxyType(labels))
    if kind == "service":
        host = urlsplit(url).hostname or ""
        if not re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+(\.svc(\.[a-z0-9.-]+)?)?", host):
            raise fields.error(
                kind, f"{url!r} names no Service", "http://NAME.NAMESPACE:PORT/PATH, PORT being the pods'"
            )
        labels.setdefault("namespace", host.split(".")[1])  # as a scrape would have it
    return DiscoveredPages(kind, url, MappingProxyType(labels))


def _page_url(raw: object) -> str:
    url = text(raw)
    if not _plain(url):
        raise ValueError("an http or https URL without user or fragment, such as http://10.0.0.7:8000/metrics")
    return url


@takes(type="array", items={"type": ["string", "object"]})
def _pages(raw: object) -> object:
    return raw


def _as_it_is(raw: object) -> object:
    return raw


@takes(type="string")
def _file(raw: object) -> Path:
    return Path(text(raw))


def _texts(fields: Fields, key: str, names: str) -> Mapping[str, str]:
    inner = fields.inside(key)
    read = {name: text(value) for name, value in inner.rest().items()}
    for name in read:
        if not re.fullmatch(names, name):
            raise inner.error(name, f"{name!r} is not a name here", names)
    return MappingProxyType(read)


def _labels(fields: Fields) -> Mapping[str, str]:
    """Read what a server calls our labels."""
    labels = _texts(fields, "labels", _LABEL_NAME)
    for ours, name in labels.items():
        if not re.fullmatch(_QUOTED_NAME, name):
            raise fields.inside("labels").error(ours, f"{show(name)} is not a label's name", "such as k8s.pod.name")
    return labels


def _prefix(fields: Fields, *, direct: bool) -> str:
    """Read what a scrape writes before the names of metrics; a page has the engine's own names."""
    prefix = fields.take("metricNamePrefix", matching(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,99}", "such as kserve_"), "")
    if prefix and direct:
        raise fields.error("metricNamePrefix", "is for a Prometheus; pages have the engines' own names", "beside url")
    return prefix


@takes(enum=[True, False, "true", "false", "dots"])
def _colons(raw: object) -> Colons:
    return "dots" if raw == "dots" else boolean(raw)


def _as_on_pages(name: str) -> str:
    """Write a label's name as it is known of a page, where quoted names are read with `_` in place of what is odd."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


@takes(type="string", pattern="^https?://")
def server_url(raw: object) -> str:
    """Read the URL of a server, without what comes after its path."""
    url = text(raw)
    if not _plain(url) or urlsplit(url).query:
        raise ValueError("an http or https URL without user, query or fragment")
    return url.rstrip("/")


def _plain(url: str) -> bool:
    """Tell whether it is an http or https URL without user or fragment."""
    try:
        parts = urlsplit(url)
        address = parts.hostname is not None and parts.port != 0  # above 65535 it raises
    except ValueError:
        return False
    fits = re.fullmatch(r"[!-~]+", url) is not None  # a blank, or a letter of another script, is in no URL
    return fits and parts.scheme in {"http", "https"} and address and not (parts.username or parts.fragment)


def _shown_pods(pods: PodPages) -> dict[str, object]:
    ignored = pods.other_ports if pods.other_ports != "try" else None
    given = {"port": pods.port, "path": pods.path, "scheme": pods.scheme, "otherPorts": ignored}
    return {key: value for key, value in given.items() if value}


def shown_endpoint(endpoint: Endpoint) -> dict[str, object]:
    """Write an endpoint as a file has it; file names are shown, contents and headers never."""
    headers = dict.fromkeys(endpoint.headers, "(hidden)")
    pages = [{"url": page.url, **page.labels} if page.labels else page.url for page in endpoint.pages]
    named = [{one.kind: one.url, **one.labels} for one in endpoint.named]
    given: dict[str, object] = {"url": endpoint.url, "pages": pages + named, "pagesFile": endpoint.pages_file}
    given["pods"] = endpoint.pods and _shown_pods(endpoint.pods)
    given["networks"] = [str(network) for network in endpoint.networks]
    given["timeout"] = seconds(endpoint.timeout)
    given |= {
        "bearerTokenFile": endpoint.bearer_token_file,
        "basicAuth": endpoint.username and {"username": endpoint.username, "passwordFile": str(endpoint.password_file)},
        "caFile": endpoint.ca_file,
        "certFile": endpoint.cert_file,
        "keyFile": endpoint.key_file,
        "headers": headers,
        "matchers": dict(endpoint.matchers),
        "labels": dict(endpoint.labels),
        "metricNameColons": "" if endpoint.metric_name_colons is True else str(endpoint.metric_name_colons).lower(),
        "metricNamePrefix": endpoint.metric_name_prefix,
        "upSelector": "" if endpoint.direct else endpoint.up_selector,
        "scrapeLabels": list(endpoint.scrape_labels),
        "podPages": endpoint.pod_pages,
        "namespaces": list(endpoint.namespaces),
        "enforceNamespace": "true" if endpoint.enforce_namespace else "",
        "staleAfter": seconds(endpoint.stale_after),
    }
    return {field: str(v) if isinstance(v, Path) else v for field, v in given.items() if v}
