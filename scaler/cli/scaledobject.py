"""`llm-scaler scaledobject KIND/NAME`: the YAML to paste. It reads the cluster where it may, and asks for the rest."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scaler.cli import take_picture
from scaler.cli.arguments import pair, span_or_none, whole
from scaler.cli.ask import check_address
from scaler.cli.doctor import kubeconfig_of
from scaler.config.catalog import Catalog, load
from scaler.config.defaults import Defaults
from scaler.model.errors import ConfigError, SourceError
from scaler.model.measurement import TriggerRef
from scaler.sources.kubernetes.api import ApiServer
from scaler.wiring.scaled_object import Wanted, written
from scaler.wiring.targets import TargetKind, engine_and_model, kind_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("target", metavar="KIND/NAME", help="such as deployment/llama, lws/llama, llmisvc/llama")
    parser.add_argument(
        "pairs", nargs="*", metavar="KEY=VALUE", help="more of the trigger, such as target=4 engine=sglang"
    )
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("--formula", default="", help="queue-depth, unless --expression is given")
    parser.add_argument(
        "--expression", default="", help="a formula of your own over the engine's signals; needs target="
    )
    parser.add_argument("--formulas", metavar="FOLDER", help="of your own formula files")
    parser.add_argument("--model", default="", help="the served model name; else what the pods say")
    parser.add_argument("--min", type=whole, default=1, help="replicas at least; 0: it may sleep")
    parser.add_argument("--max", type=whole, default=10, help="replicas at most")
    parser.add_argument("--poll", action="store_true", help="type external: it is polled, and not woken by a push")
    parser.add_argument("--scaler-address", default="llm-scaler.keda:6000", metavar="HOST:PORT")
    parser.add_argument("--tls", default="", metavar="NAME", help="the ClusterTriggerAuthentication, where TLS is on")
    parser.add_argument("--startup", metavar="SPAN", help="of a replica, such as 6m; else what the pods took")
    parser.add_argument("--role", choices=("prefill",), default="", help="of an LLMInferenceService: these pods")
    parser.add_argument("--kubeconfig", metavar="FILE", help="else KUBECONFIG, the pod's account, or ~/.kube/config")
    parser.add_argument("--offline", action="store_true", help="do not look at the cluster")


def run(arguments: argparse.Namespace) -> int:
    """Print the YAML."""
    word, slash, name = arguments.target.partition("/")
    if not slash or not name:
        raise ConfigError("argument", arguments.target, "is not KIND/NAME", "such as deployment/llama")
    if arguments.formula and arguments.expression:
        raise ConfigError("argument", "--expression", "is given beside --formula", "one of them")
    kind = kind_of(word)
    kind, engine, model, startup = _seen(arguments, kind, name)
    given = dict(pair(text, str) for text in arguments.pairs)
    metadata, why = _metadata(arguments, kind, given, engine, model)
    catalog = load(Path(arguments.formulas) if arguments.formulas else None)
    wanted = Wanted(
        kind=kind,
        name=name,
        namespace=arguments.namespace,
        metadata=metadata,
        minimum=arguments.min,
        maximum=arguments.max,
        address=arguments.scaler_address,
        push=not arguments.poll and arguments.min == 0,
        with_policy=_has_policy(catalog, arguments.namespace, name, metadata),
        startup=span_or_none(arguments.startup, "--startup") or startup,
        authentication=arguments.tls,
        why=why,
        role=arguments.role,
    )
    check_address(arguments.scaler_address, "--scaler-address", "llm-scaler.keda:6000")
    if wanted.minimum < 0:
        raise ConfigError("argument", "--min", f"{wanted.minimum} is less than 0", "0 or more")
    if not wanted.minimum < wanted.maximum:
        raise ConfigError("argument", "--max", f"{wanted.maximum} is not above --min {wanted.minimum}")
    print(written(wanted), end="")
    return 0


def _metadata(
    arguments: argparse.Namespace, kind: TargetKind, given: Mapping[str, str], engine: str, model: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the trigger's metadata in their order, and why each is as it is."""
    why: dict[str, str] = {}
    metadata: dict[str, str] = {}
    if arguments.expression:
        metadata["expression"] = arguments.expression
    else:
        metadata["formula"] = arguments.formula or "queue-depth"
        why["formula"] = "requests queued, waiting or running" if not arguments.formula else ""
    if engine and engine != "vllm":
        metadata["engine"] = engine
        why["engine"] = "as its pods say"
    for key, value in kind.metadata:
        metadata.setdefault(key, value)
        why.setdefault(key, f"usual for a {kind.kind}")
    named = arguments.model or given.get("model") or model
    if named:
        metadata["model"] = named
        why["model"] = "the served model name" if arguments.model or given.get("model") else "as its pods say"
    metadata |= given
    return metadata, why


def _has_policy(catalog: Catalog, namespace: str, name: str, metadata: Mapping[str, str]) -> bool:
    """Tell whether the formula has a policy; the trigger is bound as the server will bind it.

    Raises:
        ScalerError: the server would refuse it; says what is allowed.
    """
    request = TriggerRef(namespace, name, tuple(sorted(metadata.items())))
    try:
        binding = catalog.bind(request, Defaults(endpoints=()))
    except ConfigError as error:
        if "model" in error.key and "model" not in metadata:
            raise ConfigError("argument", "--model", "is needed: the pods do not say which model they serve") from error
        raise
    return binding.spec.policy_kind is not None


def _seen(arguments: argparse.Namespace, kind: TargetKind, name: str) -> tuple[TargetKind, str, str, float | None]:
    """Ask the cluster for the kind's version, engine, model and start-up; what it does not tell is left open."""
    if arguments.offline:
        return kind, "", "", None
    try:
        server = ApiServer(kubeconfig_of(arguments.kubeconfig))
        seen = take_picture.of_target(server, arguments.namespace, kind.kind, kind.version, name)
    except SourceError as error:
        print(f"# the cluster was not looked at: {error}", file=sys.stderr)
        return kind, "", "", None
    if seen.problem:
        print(f"# {seen.problem}", file=sys.stderr)
    engine, model = engine_and_model(seen.manifest)
    return replace(kind, version=seen.version or kind.version), engine, model, seen.startup
