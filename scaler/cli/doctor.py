"""`llm-scaler doctor`: why does it not scale? It reads, and changes nothing."""

import argparse
import json
import os
import time
from pathlib import Path

from scaler.cli import take_picture
from scaler.cli.arguments import namespace_and_name, span_or_none
from scaler.cli.ask import ClientTls, check_address
from scaler.cli.bearer import authorization
from scaler.cli.take_picture import Ways
from scaler.config.settings import SERVER
from scaler.model.errors import SourceError
from scaler.sources.kubernetes.api import ApiServer
from scaler.wiring.finding import Finding
from scaler.wiring.picture import Picture
from scaler.wiring.report import as_data, as_text
from scaler.wiring.rules import examine

IN_POD = "KUBERNETES_SERVICE_HOST"  # Kubernetes sets it in every container
OWN_ADMIN = "http://127.0.0.1:8080"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "workload", nargs="?", default="", metavar="NAMESPACE/NAME", help="of a ScaledObject; all that ask us if none"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--kubeconfig", metavar="FILE", help="else KUBECONFIG, the pod's account, or ~/.kube/config")
    parser.add_argument("--server", metavar="URL", help="admin address of llm-scaler; else through the API server")
    parser.add_argument("--token-file", metavar="FILE", help="token to show to --server; else your kubeconfig's")
    parser.add_argument("--address", default="", metavar="HOST:PORT", help="where to call it as KEDA does")
    parser.add_argument("--no-call", action="store_true", help="do not call it as KEDA does")
    parser.add_argument("--ca-file", help="CA of the server's certificate, for that call")
    parser.add_argument("--cert-file", help="our own certificate, for that call")
    parser.add_argument("--key-file", help="its key")
    parser.add_argument(
        "--longest-generation", metavar="SPAN", help="of your requests, such as 5m: is the grace period long enough?"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 when there is an error among them, 2 when the cluster could not be read."""
    wanted = [namespace_and_name(arguments.workload)] if arguments.workload else None
    tls = ClientTls(arguments.ca_file, arguments.cert_file, arguments.key_file)
    if arguments.address:
        check_address(arguments.address, "--address")
    longest = span_or_none(arguments.longest_generation, "--longest-generation")
    inside = IN_POD in os.environ
    admin = _admin(arguments.server)
    server = ApiServer(kubeconfig_of(arguments.kubeconfig))
    who = authorization(admin, arguments.token_file, server.token())
    ways = Ways(admin, arguments.address, tls, not arguments.no_call, inside, longest, who)
    shared = take_picture.of_cluster(server, time.time())
    keys = take_picture.find_all(shared) if wanted is None else wanted
    judged = [_judged(server, shared, key, ways) for key in keys]
    _print(judged, arguments.output)
    errors = [one for _, findings in judged for one in findings if one.severity == "error"]
    return 1 if errors else 0


def _judged(server: ApiServer, shared: Picture, key: tuple[str, str], ways: Ways) -> tuple[Picture, list[Finding]]:
    picture = take_picture.of_one(server, shared, *key, ways)
    if not picture.is_known("scaledobjects"):
        why = picture.unread.get("scaledobjects", "they were not read")
        raise SourceError(f"{'/'.join(key)} was not looked at, since its ScaledObject cannot be read: {why}")
    return picture, examine(picture)


def _print(judged: list[tuple[Picture, list[Finding]]], output: str) -> None:
    if output == "json":
        print(json.dumps({"workloads": [as_data(picture, findings) for picture, findings in judged]}, indent=2))
    else:
        print("\n".join(as_text(*one) for one in judged) or "no ScaledObject asks llm-scaler")


def _admin(given: str | None) -> str:
    """Return where llm-scaler's admin pages are: as told, in the same pod, or (empty) through the API server."""
    return given or os.environ.get(SERVER) or (OWN_ADMIN if os.environ.get(IN_POD) else "")


def kubeconfig_of(given: str | None) -> Path | None:
    """Choose the kubeconfig: the one that is given, or None for the environment's or the pod's account."""
    if given:
        return Path(given)
    if os.environ.get("KUBECONFIG") or os.environ.get(IN_POD):
        return None
    return Path.home() / ".kube" / "config"
