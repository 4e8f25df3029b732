"""The settings: one YAML file, over it the environment, over it the flags; all read by the same rules.

`KEYS` is the whole list, in the order of the file. Key `grpc.address` is the variable LLM_SCALER_GRPC_ADDRESS and the
flag --grpc-address. Endpoints are named places to measure; only the file can name them, and nothing else ever gives an
address or a credential.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from scaler.errors import ConfigError
from scaler.fields import Fields, boolean, choice, duration, listed, matching, seconds, show, text, whole
from scaler.grouping import Dialect
from scaler.spec import Defaults

ENVIRONMENT = "LLM_SCALER_"
PODS = "pods"  # the endpoint that is there without being named, wherever Kubernetes is
SERVER = "LLM_SCALER_SERVER"  # where `explain` asks; no setting of the server, but often in the same environment

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Page:
    """A metrics page that is read directly. Pages are told apart by their address."""

    url: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)  # of all its series; they win over its own
    ip: str = ""  # where the host of the URL was found; empty: the name service says it
    of_pod: bool = False  # a pod's own, which strangers may have named: it gets no credentials

    @property
    def address(self) -> str:
        """HOST:PORT, with the path where it is not the usual one: what its pod is called when nothing says it."""
        parts = urlsplit(self.url)
        place = host_and_port(self.ip, parts.port) if self.ip else parts.netloc
        return place + parts.path.removesuffix("/metrics")


@dataclass(frozen=True, slots=True)
class Named:
    """Pages behind one name: the same URL at every address that the name has."""

    kind: Literal["service", "dns"]
    url: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def service(self) -> tuple[str, str]:
        """Namespace and name of the Service."""
        name, namespace, *_ = (urlsplit(self.url).hostname or "").split(".")
        return namespace, name


@dataclass(frozen=True, slots=True)
class PodPages:
    """Where the pages of a target's own pods are, as far as their annotations do not say it."""

    port: int | None = None  # None: the engine's usual one
    path: str | None = None  # likewise
    scheme: str = "http"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A named place to measure: a server that speaks Prometheus' query API, or metrics pages that are read directly.

    Files of secrets are read at each use, so that they may be rotated; a file of pages whenever it changes.
    """

    name: str
    url: str = ""  # of the server, without /api/v1; empty where there are pages
    timeout: float = 2.0  # seconds for everything that one tick asks
    bearer_token_file: Path | None = None
    username: str | None = None  # of basic auth, with password_file
    password_file: Path | None = None
    ca_file: Path | None = None  # None: the system's certificates
    cert_file: Path | None = None  # the client's certificate, with key_file
    key_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # such as X-Scope-OrgID; may hold secrets
    matchers: Mapping[str, str] = field(default_factory=dict)  # added to every selector, such as cluster -> eu-1
    labels: Mapping[str, str] = field(default_factory=dict)  # our name of a label -> the endpoint's; see Dialect
    heartbeat: str = "up"  # a selector of what is there whenever the endpoint works; 0 for targets that fail
    stale_after: float = 90.0  # seconds; older samples are not certain, and pods silent for longer are gone
    max_series: int = 20_000  # of one answer
    max_bytes: int = 8 * 1024 * 1024  # of one answer, unpacked
    pages: tuple[Page, ...] = ()
    pages_file: Path | None = None
    named: tuple[Named, ...] = ()  # more pages, by name
    pods: PodPages | None = None  # the target's own pods are read, wherever Kubernetes says that they are
    networks: tuple[Network, ...] = ()  # what was found must lie in one of them; empty: anywhere but on loopback

    @property
    def dialect(self) -> Dialect:
        """What it calls things."""
        return Dialect(self.labels, self.matchers, self.heartbeat, self.stale_after)

    @property
    def direct(self) -> bool:
        """Whether it is read page by page."""
        return not self.url

    @property
    def address(self) -> str:
        """Where it is, for people: the URL without user and password, or its pages."""
        if self.direct:
            listed = f"pages of {self.pages_file}" if self.pages_file else f"{len(self.pages) + len(self.named)} pages"
            own = "the target's pods" if self.pods else ""
            return " and ".join(filter(None, (own, "" if own and listed == "0 pages" else listed)))
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")).rstrip("/")

    def __hash__(self) -> int:
        """Endpoints are told apart by name."""
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Key:
    """One setting."""

    path: str
    read: Callable[[object], Any]
    default: Any
    meaning: str


def _url(raw: object) -> str:
    url = text(raw)
    if not _plain(url) or urlsplit(url).query:
        raise ValueError("an http or https URL without user, query or fragment")
    return url.rstrip("/")


def _plain(url: str) -> bool:
    """Whether it is an http or https URL without user or fragment."""
    try:
        parts = urlsplit(url)
        address = parts.hostname is not None and parts.port != 0  # above 65535 it raises
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and address and not (parts.username or parts.fragment)


_ADDRESS = matching(r"[\w.:\[\]-]*:\d{1,5}", "HOST:PORT, such as 0.0.0.0:6000")


def _words(raw: object) -> tuple[str, ...]:
    """Names, as a list or with commas between."""
    words = raw if isinstance(raw, list) else str(raw).split(",")
    read = tuple(str(word).strip() for word in words)
    if len(read) > 100 or not all(re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", word) for word in read):
        raise ValueError("at most 100 names, such as team-a,team-b")
    return read


def _switch(raw: object) -> str:
    """A word of auto, true, false; YAML reads the last two as booleans."""
    return choice("auto", "true", "false")(str(raw).lower())


KEYS: tuple[Key, ...] = (
    Key("formulas", text, None, "folder of formula files; the shipped ones when not given"),
    Key("prometheus", _url, None, "URL of the endpoint `default`, for a start without a file"),
    Key("grpc.address", _ADDRESS, "0.0.0.0:6000", "where KEDA asks"),
    Key("grpc.budget", duration(0.1, 10), 2.0, "how long a call waits for a workload's first decision"),
    Key("grpc.maxConnectionAge", duration(10, 86400), 60.0, "after which a connection is asked to come anew"),
    Key("grpc.drain", duration(0, 60), 5.0, "pause between NOT_SERVING and the end, for clients to move on"),
    Key("grpc.grace", duration(0, 600), 70.0, "after it, how long calls may go on coming, and again to finish"),
    Key("grpc.reflection", boolean, False, "whether grpcurl can list the service"),
    Key("grpc.tls.cert", text, None, "certificate file; with grpc.tls.key turns TLS on"),
    Key("grpc.tls.key", text, None, "key file"),
    Key("grpc.tls.clientCA", text, None, "CA file; clients must then show a certificate it signed"),
    Key("admin.address", _ADDRESS, "0.0.0.0:8080", "metrics, probes and explain over HTTP"),
    Key("admin.maxWorkloads", whole(0, 100_000), 1000, "workloads with metrics of their own"),
    Key("defaults.interval", duration(1, 600), 5.0, "seconds between decisions of a workload"),
    Key("defaults.holdFor", duration(0, 3600), 120.0, "how long an answer outlives its data"),
    Key("defaults.idleFor", duration(0, 3600), 60.0, "how long it must be quiet before inactive is said"),
    Key("defaults.engine", text, "vllm", "engine of triggers that name none"),
    Key("defaults.gateway", text, "llm-d", "gateway of triggers that name none"),
    Key("defaults.gatewayNamespace", text, None, "where gateways run that serve many namespaces; else the workload's"),
    Key("defaults.endpoint", text, None, "endpoint of triggers that name none; `default`, or where none is, `pods`"),
    Key("defaults.gatewayEndpoint", text, None, "endpoint of what gateways say; the trigger's when not given"),
    Key("evaluationDelay", duration(0, 60), 1.0, "how far back sources are asked, so that late samples are in"),
    Key("limits.workloads", whole(1, 100_000), 5000, "above it the oldest workload is forgotten"),
    Key("limits.forgetAfter", duration(60, 7 * 86400), 7200.0, "a workload that nobody asks about is forgotten"),
    Key("kubernetes.enabled", _switch, "auto", "whether Kubernetes is watched; auto: where there is access"),
    Key("kubernetes.kubeconfig", text, None, "kubeconfig file; else the pod's service account, or KUBECONFIG"),
    Key("kubernetes.namespaces", _words, (), "namespaces to watch; all when not given"),
    Key("kubernetes.serviceNames", _words, (), "hosts of scalerAddress that are this service; any when not given"),
    Key(
        "kubernetes.provisioner", choice("auto", "none"), "auto", "who buys machines: Karpenter if it is there, or none"
    ),
    Key("log.level", choice("debug", "info", "warning", "error"), "info", "the least that is logged"),
    Key("log.format", choice("json", "text"), "json", "one JSON object a line, or plain lines"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, by key, and the endpoints."""

    values: Mapping[str, Any]
    endpoints: Mapping[str, Endpoint]

    def __getitem__(self, path: str) -> Any:
        """The value of one key of KEYS."""
        return self.values[path]

    def defaults(self) -> Defaults:
        """What workloads inherit."""
        return Defaults(
            interval=self["defaults.interval"],
            hold_for=self["defaults.holdFor"],
            idle_for=self["defaults.idleFor"],
            engine=self["defaults.engine"],
            gateway=self["defaults.gateway"],
            gateway_namespace=self["defaults.gatewayNamespace"],
            endpoint=self["defaults.endpoint"],
            gateway_endpoint=self["defaults.gatewayEndpoint"],
            endpoints=tuple(sorted(self.endpoints)),
        )


def variable(path: str) -> str:
    """The environment variable of a key: grpc.maxConnectionAge -> LLM_SCALER_GRPC_MAX_CONNECTION_AGE."""
    return ENVIRONMENT + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path).replace(".", "_").upper()


def flag(path: str) -> str:
    """The flag of a key: grpc.maxConnectionAge -> --grpc-max-connection-age."""
    return "--" + variable(path).removeprefix(ENVIRONMENT).lower().replace("_", "-")


def read_settings(
    tree: object, where: str, environment: Mapping[str, str], flags: Mapping[str, str | None]
) -> Settings:
    """Read the settings.

    Args:
        tree: the file as read; {} without one.
        where: the file's name, for messages.
        environment: variables; unknown ones that start with LLM_SCALER_ are refused.
        flags: by key; None where a flag was not given.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or range, an endpoint that is not there.
    """
    values = _from_file(Fields(where, tree))
    endpoints = values.pop("endpoints")
    for place, given in (("environment", _from_environment(environment)), ("flag", flags)):
        for key in KEYS:
            raw = given.get(key.path)
            if raw is None:
                continue
            name = variable(key.path) if place == "environment" else flag(key.path)
            try:
                values[key.path] = key.read(raw)
            except ValueError as error:
                raise ConfigError(place, name, f"{raw!r} is not allowed", str(error)) from error
    if values["prometheus"] is not None:
        if "default" in endpoints:
            raise ConfigError(where, "prometheus", "and endpoints.default are both given", "one of them")
        endpoints["default"] = Endpoint("default", values["prometheus"])
    if values["kubernetes.enabled"] != "false":
        endpoints.setdefault(PODS, Endpoint(PODS, pods=PodPages(), max_series=POD_SERIES))
    if values["defaults.endpoint"] is None:
        values["defaults.endpoint"] = PODS if "default" not in endpoints and PODS in endpoints else "default"
    settings = Settings(MappingProxyType(values), MappingProxyType(endpoints))
    _check(settings, where)
    return settings


def _from_file(fields: Fields) -> dict[str, Any]:
    sections: dict[str, Fields] = {"": fields}
    values: dict[str, Any] = {}
    for key in KEYS:
        section, _, name = key.path.rpartition(".")
        if section not in sections:
            outer, _, inner = section.rpartition(".")
            if outer not in sections:
                sections[outer] = fields.inside(outer)
            sections[section] = sections[outer].inside(inner)
        values[key.path] = sections[section].take(name, key.read, key.default)
    named = fields.inside("endpoints")
    values["endpoints"] = {name: _endpoint(named.where, name, raw) for name, raw in named.rest().items()}
    for section_fields in sections.values():
        section_fields.close()
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    known = {variable(key.path): key.path for key in KEYS}
    given = {name: value for name, value in environment.items() if name.startswith(ENVIRONMENT)}
    # Kubernetes puts variables of its own for a Service called llm-scaler: LLM_SCALER_PORT_6000_TCP and the like.
    services = re.compile(rf"{ENVIRONMENT}(\w+_)?(SERVICE_(HOST|PORT)\w*|PORT(_\d+_\w+)?)")
    for name in given:
        if name not in known and name != SERVER and not services.fullmatch(name):
            raise ConfigError("environment", name, "unknown variable", ", ".join(sorted(known)))
    return {known[name]: value for name, value in given.items() if name in known}


def _check(settings: Settings, where: str) -> None:
    """What concerns more than one key."""
    if bool(settings["grpc.tls.cert"]) != bool(settings["grpc.tls.key"]):
        raise ConfigError(where, "grpc.tls", "has only one of cert and key", "both or neither")
    if settings["grpc.tls.clientCA"] and not settings["grpc.tls.cert"]:
        raise ConfigError(where, "grpc.tls.clientCA", "is given without cert and key", "all three")
    none = "none yet: give `prometheus: URL`, or name them under `endpoints:`"
    for key in ("defaults.endpoint", "defaults.gatewayEndpoint"):
        if settings[key] not in (None, *settings.endpoints):
            known = ", ".join(sorted(settings.endpoints)) or none
            raise ConfigError(where, key, f"{settings[key]!r} is not an endpoint", known)


_LABEL_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


def _endpoint(where: str, name: str, tree: object) -> Endpoint:
    path = f"endpoints.{name}"
    fields = Fields(where, tree, path)
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise ConfigError(where, path, f"{name!r} cannot name an endpoint", "lower-case letters, digits and '-'")
    basic = fields.inside("basicAuth")
    username = basic.take("username", text, None)
    password = basic.take("passwordFile", _file, None)
    basic.close()
    if (username is None) != (password is None):
        raise fields.error("basicAuth", "has only one of username and passwordFile", "both or neither")
    if sum(fields.has(key) for key in _PLACES) > 1:
        raise ConfigError(where, path, f"has more than one of {', '.join(_PLACES)}", "one of them")
    direct = any(fields.has(key) for key in ("pages", "pagesFile", "pods"))
    if direct and fields.has("url"):
        raise fields.error("pods", "stands beside url", "one of them")
    for key in ("matchers", "heartbeat") if direct else ("networks",):
        if fields.has(key):
            raise fields.error(key, "is for a Prometheus, not for pages" if direct else "is for pages")
    no_pages: object = []
    pages, named = _listed(fields.take("pages", _as_it_is, no_pages), where, f"{path}.pages")
    pods = _pods(fields.inside("pods")) if fields.has("pods") else None
    endpoint = Endpoint(
        name=name,
        url="" if direct else fields.take("url", _url),
        pages=pages,
        pages_file=fields.take("pagesFile", _file, None),
        named=named,
        pods=pods,
        networks=fields.take("networks", _networks, ()),
        timeout=fields.take("timeout", duration(0.1, 4), 2.0),
        bearer_token_file=fields.take("bearerTokenFile", _file, None),
        username=username,
        password_file=password,
        ca_file=fields.take("caFile", _file, None),
        cert_file=fields.take("certFile", _file, None),
        key_file=fields.take("keyFile", _file, None),
        headers=_texts(fields, "headers", r"[A-Za-z0-9-]+"),
        matchers=_texts(fields, "matchers", _LABEL_NAME),
        labels=_texts(fields, "labels", _LABEL_NAME),
        heartbeat=fields.take("heartbeat", matching(r"[^$]{1,500}", "a PromQL selector"), "up"),
        stale_after=fields.take("staleAfter", duration(1, 3600), 90.0),
        max_series=fields.take("maxSeries", whole(1, 1_000_000), POD_SERIES if pods else 20_000),
        max_bytes=fields.take("maxBytes", whole(1024, 1 << 30), 8 * 1024 * 1024),
    )
    fields.close()
    return endpoint


_PLACES = ("url", "pages", "pagesFile")  # not more than one of them
MAX_PAGES = 2_000
MAX_NAMED = 50
POD_SERIES = 5_000  # that are wanted of one pod's page, whose owner nobody knows


def _pods(fields: Fields) -> PodPages:
    pods = PodPages(
        port=fields.take("port", whole(1, 65535), None),
        path=fields.take("path", matching(PAGE_PATH, "a path, such as /metrics"), None),
        scheme=fields.take("scheme", choice("http", "https"), "http"),
    )
    fields.close()
    return pods


def _networks(raw: object) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(text(one)) for one in listed(_as_it_is)(raw))
    except ValueError:
        raise ValueError("a list of networks, such as [10.0.0.0/8]") from None


def read_pages(tree: object, where: str, path: str = "") -> tuple[Page, ...]:
    """Read a list of metrics pages: addresses, or mappings of `url` and labels such as `namespace` and `pod`.

    Raises:
        ConfigError: naming the item that is wrong.
    """
    pages, named = _listed(tree, where, path)
    if named:
        raise ConfigError(
            where, path, f"{named[0].url} is no page but a name of many", "pages, where a file lists them"
        )
    return pages


def _listed(tree: object, where: str, path: str) -> tuple[tuple[Page, ...], tuple[Named, ...]]:
    """Pages, and names of several: `service` and `dns` instead of `url`."""
    if not isinstance(tree, list):
        raise ConfigError(where, path, f"{show(tree)} is not a list", "addresses of metrics pages")
    if len(tree) > MAX_PAGES:
        raise ConfigError(where, path, f"lists {len(tree)} pages", f"at most {MAX_PAGES}")
    items = [_page(where, f"{path}[{index}]", item) for index, item in enumerate(tree)]
    twice = [url for url, times in Counter(item.url for item in items).items() if times > 1]
    if twice:
        raise ConfigError(where, path, f"{twice[0]} is listed twice", "every page once")
    named = tuple(item for item in items if isinstance(item, Named))
    if len(named) > MAX_NAMED:
        raise ConfigError(where, path, f"lists {len(named)} services and DNS names", f"at most {MAX_NAMED}")
    return tuple(item for item in items if isinstance(item, Page)), named


def _page(where: str, path: str, tree: object) -> Page | Named:
    fields = Fields(where, tree if isinstance(tree, Mapping) else {"url": tree}, path)
    kind = next((kind for kind in _KINDS if fields.has(kind)), None)
    url = fields.take(kind or "url", _page_url)
    labels = {name: text(value) for name, value in fields.rest().items()}
    for name in labels:
        if not re.fullmatch(_LABEL_NAME, name):
            raise fields.error(name, f"{name!r} is not a label's name", _LABEL_NAME)
    if kind is None:
        return Page(url, MappingProxyType(labels))
    if kind == "service":
        host = urlsplit(url).hostname or ""
        if not re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+(\.svc(\.[a-z0-9.-]+)?)?", host):
            raise fields.error(
                kind, f"{url!r} names no Service", "http://NAME.NAMESPACE:PORT/PATH, PORT being the pods'"
            )
        labels.setdefault("namespace", host.split(".")[1])  # as a scrape would have it
    return Named(kind, url, MappingProxyType(labels))


_KINDS: tuple[Literal["service", "dns"], ...] = ("service", "dns")
PAGE_PATH = r"(?!//)/[\w.~!$&'()*+,;=:@%/-]{0,255}"


def host_and_port(ip: str, port: int | None) -> str:
    """An address and a port as a URL has them."""
    host = f"[{ip}]" if ":" in ip else ip
    return host if port is None else f"{host}:{port}"


def _page_url(raw: object) -> str:
    url = text(raw)
    if not _plain(url):
        raise ValueError("an http or https URL without user or fragment, such as http://10.0.0.7:8000/metrics")
    return url


def _as_it_is(raw: object) -> object:
    return raw


def _file(raw: object) -> Path:
    return Path(text(raw))


def _texts(fields: Fields, key: str, names: str) -> Mapping[str, str]:
    inner = fields.inside(key)
    read = {name: text(value) for name, value in inner.rest().items()}
    for name in read:
        if not re.fullmatch(names, name):
            raise inner.error(name, f"{name!r} is not a name here", names)
    return MappingProxyType(read)


def shown(settings: Settings) -> dict[str, object]:
    """The settings as they are in force, for `serve --print-settings`; file names are shown, contents never."""
    tree: dict[str, object] = {}
    for key in KEYS:
        value = settings[key.path]
        *sections, name = key.path.split(".")
        place: dict[str, Any] = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = seconds(value) if isinstance(value, float) else list(value) if isinstance(value, tuple) else value
    endpoints: dict[str, object] = {}
    for name, endpoint in settings.endpoints.items():
        headers = dict.fromkeys(endpoint.headers, "(hidden)")
        pages = [{"url": page.url, **page.labels} if page.labels else page.url for page in endpoint.pages]
        named = [{one.kind: one.url, **one.labels} for one in endpoint.named]
        given: dict[str, object] = {"url": endpoint.url, "pages": pages + named, "pagesFile": endpoint.pages_file}
        given["pods"] = endpoint.pods and {key: value for key, value in asdict(endpoint.pods).items() if value}
        given["networks"] = [str(network) for network in endpoint.networks]
        given["timeout"] = seconds(endpoint.timeout)
        given |= {
            "bearerTokenFile": endpoint.bearer_token_file,
            "basicAuth": endpoint.username
            and {"username": endpoint.username, "passwordFile": str(endpoint.password_file)},
            "caFile": endpoint.ca_file,
            "certFile": endpoint.cert_file,
            "keyFile": endpoint.key_file,
            "headers": headers,
            "matchers": dict(endpoint.matchers),
            "labels": dict(endpoint.labels),
            "heartbeat": "" if endpoint.direct else endpoint.heartbeat,
            "staleAfter": seconds(endpoint.stale_after),
        }
        endpoints[name] = {field: str(v) if isinstance(v, Path) else v for field, v in given.items() if v}
    tree["endpoints"] = endpoints
    return tree
