"""The settings: one YAML file, over it the environment, over it the flags; all read by the same rules.

`KEYS` is the whole list, in the order of the file. Key `grpc.address` is the variable LLM_SCALER_GRPC_ADDRESS and the
flag --grpc-address. Endpoints are named places to measure; only the file can name them, and nothing else ever gives an
address or a credential.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scaler.config import signals
from scaler.config.defaults import Defaults, ScaleDown
from scaler.config.endpoint import PODS, Endpoint, read_endpoint, server_url, shown_endpoint
from scaler.config.keys import Key, keys_of, made, setting, written
from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import Fields, boolean, choice, duration, matching, schema_of, seconds, takes, text, whole

ENVIRONMENT = "LLM_SCALER_"
SERVER = "LLM_SCALER_SERVER"  # where `explain` asks; no setting of the server, but often in the same environment


_ADDRESS = matching(r"[\w.:\[\]-]*:\d{1,5}", "HOST:PORT, such as 0.0.0.0:6000")


@takes(anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}])
def _words(raw: object) -> tuple[str, ...]:
    """Read names, as a list or with commas between."""
    words = raw if isinstance(raw, list) else str(raw).split(",")
    read = tuple(str(word).strip() for word in words)
    if len(read) > 100 or not all(re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", word) for word in read):
        raise ValueError("at most 100 names, such as team-a,team-b")
    return read


@takes(enum=["auto", "true", "false", True, False])
def _switch(raw: object) -> str:
    """Read a word of auto, true, false; YAML reads the last two as booleans."""
    return choice("auto", "true", "false")(str(raw).lower())


@takes(**schema_of(text))
def _file(raw: object) -> Path | None:
    """Read the name of a file or folder; an empty one is none."""
    name = text(raw)
    return Path(name) if name else None


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificates of the gRPC server."""

    cert: Path | None = setting(_file, None, "certificate file; with grpc.tls.key turns TLS on")
    key: Path | None = setting(_file, None, "key file")
    client_ca: Path | None = setting(
        _file, None, "CA file; clients must then show a certificate it signed", name="clientCA"
    )


@dataclass(frozen=True, slots=True)
class Grpc:
    """The server that KEDA asks."""

    address: str = setting(_ADDRESS, "0.0.0.0:6000", "where KEDA asks")
    first_decision_timeout: float = setting(
        duration(0.1, 10), 2.0, "how long a call waits for a workload's first decision"
    )
    max_connection_age: float = setting(duration(10, 86400), 60.0, "after which a connection is asked to come anew")
    drain: float = setting(duration(0, 60), 5.0, "pause between NOT_SERVING and the end, for clients to move on")
    grace: float = setting(duration(0, 600), 70.0, "after it, how long calls may go on coming, and again to finish")
    reflection: bool = setting(boolean, False, "whether grpcurl can list the service")
    tls: Tls = field(default_factory=Tls)


@dataclass(frozen=True, slots=True)
class Admin:
    """The pages for people, probes and Prometheus."""

    address: str = setting(_ADDRESS, "0.0.0.0:8080", "metrics, probes and explain over HTTP")
    authorization: str = setting(
        choice("off", "kubernetes"),
        "off",
        "who may see decisions: whoever reaches the port, or who may get the ScaledObjects of their namespace",
    )
    max_workloads: int = setting(whole(0, 100_000), 1000, "workloads with metrics of their own")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds: nobody may have more."""

    workloads: int = setting(whole(1, 100_000), 5000, "above it the oldest workload is forgotten")
    objects_per_namespace: int = setting(
        whole(1, 100_000), 5000, "ScaledObjects and ScaledJobs of one namespace; more of them are refused"
    )
    formula_steps_per_namespace: int = setting(
        whole(1, 100_000_000),
        250_000,
        "steps a second that the formulas of one namespace may take together; more of them are refused",
    )
    forget_after: float = setting(duration(60, 7 * 86400), 7200.0, "a workload that nobody asks about is forgotten")


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The settings of how the cluster is watched."""

    enabled: str = setting(_switch, "auto", "whether Kubernetes is watched; auto: where there is access")
    kubeconfig: Path | None = setting(_file, None, "kubeconfig file; else the pod's service account, or KUBECONFIG")
    namespaces: tuple[str, ...] = setting(_words, (), "namespaces to watch; all when not given")
    scaler_addresses: tuple[str, ...] = setting(
        _words, (), "hosts of scalerAddress that are this service; any when not given"
    )
    provisioner: str = setting(choice("auto", "none"), "auto", "who buys machines: Karpenter if it is there, or none")


@dataclass(frozen=True, slots=True)
class Log:
    """The settings of the log."""

    level: str = setting(choice("debug", "info", "warning", "error"), "info", "the least that is logged")
    format: str = setting(choice("json", "text"), "json", "one JSON object a line, or plain lines")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, in the order of the file."""

    formulas: Path | None = setting(_file, None, "folder of own formula files, beside the shipped ones")
    prometheus: str | None = setting(server_url, None, "URL of the endpoint `default`, for a start without a file")
    grpc: Grpc = field(default_factory=Grpc)
    admin: Admin = field(default_factory=Admin)
    defaults: Defaults = field(default_factory=Defaults)  # what workloads inherit
    evaluation_delay: float = setting(
        duration(0, 60), 0.5, "how far back sources are asked, so that late samples are in"
    )
    limits: Bounds = field(default_factory=Bounds)
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    log: Log = field(default_factory=Log)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)


KEYS: tuple[Key[Any], ...] = tuple(keys_of(Settings))


def variable(path: str) -> str:
    """Name the environment variable of a key: grpc.maxConnectionAge -> LLM_SCALER_GRPC_MAX_CONNECTION_AGE."""
    return ENVIRONMENT + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path).replace(".", "_").upper()


def flag(path: str) -> str:
    """Name the flag of a key: grpc.maxConnectionAge -> --grpc-max-connection-age."""
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
        endpoints.setdefault(PODS.name, PODS)
    if values["defaults.endpoint"] is None:
        values["defaults.endpoint"] = PODS.name if "default" not in endpoints and PODS.name in endpoints else "default"
    settings = made(Settings, values, defaults=_defaults(values, endpoints), endpoints=MappingProxyType(endpoints))
    _check(settings, where)
    return settings


def _defaults(values: Mapping[str, Any], endpoints: Mapping[str, Endpoint]) -> Defaults:
    """Return what workloads inherit, with what it says of the endpoints."""
    enforced = {
        name: one.labels.get("namespace", "namespace") for name, one in endpoints.items() if one.enforce_namespace
    }
    return made(
        Defaults,
        values,
        "defaults",
        direct=frozenset(name for name, endpoint in endpoints.items() if endpoint.direct),
        endpoints=tuple(sorted(endpoints)),
        only_for={name: frozenset(one.namespaces) for name, one in endpoints.items() if one.namespaces},
        enforced=enforced,
    )


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
    values["endpoints"] = {name: read_endpoint(named.where, name, raw) for name, raw in named.rest().items()}
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
            raise ConfigError("environment", name, f"unknown variable{nearest(name, known)}", ", ".join(sorted(known)))
    return {known[name]: value for name, value in given.items() if name in known}


def _check(settings: Settings, where: str) -> None:
    """Check what concerns more than one key."""
    tls, defaults = settings.grpc.tls, settings.defaults
    if bool(tls.cert) != bool(tls.key):
        raise ConfigError(where, "grpc.tls", "has only one of cert and key", "both or neither")
    if tls.client_ca and not tls.cert:
        raise ConfigError(where, "grpc.tls.clientCA", "is given without cert and key", "all three")
    none = "none yet: give `prometheus: URL`, or name them under `endpoints:`"
    named = {"defaults.endpoint": defaults.endpoint, "defaults.gatewayEndpoint": defaults.gateway_endpoint}
    for key, name in named.items():
        if name not in (None, *settings.endpoints):
            known = ", ".join(sorted(settings.endpoints)) or none
            raise ConfigError(where, key, f"{name!r} is not an endpoint", known)
    for key, find, name in (
        ("engine", signals.names, defaults.engine),
        ("gateway", signals.names_at_gateway, defaults.gateway),
    ):
        try:
            find(name)
        except ConfigError as error:
            raise ConfigError(where, f"defaults.{key}", error.problem, error.allowed) from None


def _shown(value: object) -> object:
    """Write one value as the file would."""
    if isinstance(value, float):
        return seconds(value)
    if isinstance(value, Path | ScaleDown):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def as_tree(settings: Settings) -> dict[str, object]:
    """Return the settings in force, for `serve --print-settings`; file names are shown, contents never."""
    tree = _all_shown(written(settings))
    tree["defaults"]["scaleDown"] = _shown(settings.defaults.scale_down or "off")
    tree["endpoints"] = {name: shown_endpoint(endpoint) for name, endpoint in settings.endpoints.items()}
    return tree


def _all_shown(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _all_shown(one) if isinstance(one, dict) else _shown(one) for name, one in tree.items()}
