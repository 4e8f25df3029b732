"""`llm-scaler explain`: why N, from a running server."""

import argparse
import json
import os
import re
import sys
import time
import urllib.parse
from typing import Any

from scaler.cli import admin_pages
from scaler.cli.arguments import namespace_and_name, positive
from scaler.cli.bearer import OWN_TOKEN, authorization
from scaler.config.settings import SERVER
from scaler.decision.explanation import Explanation, from_json
from scaler.decision.render import as_text
from scaler.model.errors import ConfigError, ScalerError

TIMEOUT = 10.0  # seconds for one answer


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("workload", metavar="NAMESPACE/NAME", help="of the ScaledObject; all its triggers are shown")
    default = os.environ.get(SERVER, "http://127.0.0.1:8080")
    parser.add_argument("--server", default=default, metavar="URL", help="admin address of the server")
    parser.add_argument("--token-file", metavar="FILE", help=f"token of the cluster to show; in the pod {OWN_TOKEN}")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--queries", action="store_true", help="show the very queries too")
    parser.add_argument(
        "--watch", action="store_true", help="show it again whenever it changes, also after the server was away"
    )
    parser.add_argument("--every", type=positive, default=2.0, metavar="SECONDS", help="how often --watch looks")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation, once or whenever it changes."""
    namespace, name = namespace_and_name(arguments.workload)
    place = f"/api/v1/explain/{urllib.parse.quote(namespace, safe='')}/{urllib.parse.quote(name, safe='')}"
    url = _admin(arguments.server) + place
    shown: object = None
    while arguments.watch:
        shown = _show_news(url, shown, arguments)
        time.sleep(arguments.every)
    _show(_get(url, arguments), arguments)
    return 0


def _admin(server: str) -> str:
    """Read the admin address as a URL.

    Raises:
        ConfigError: it is no URL of HTTP.
    """
    problem = ConfigError("argument", "--server", f"{server!r} is no address", "a URL such as http://127.0.0.1:8080")
    try:
        url = urllib.parse.urlsplit(server)
        fits = url.scheme in {"http", "https"} and url.hostname and (url.port is None or url.port > 0)
    except ValueError:  # a bracket too few, or a port that is none
        raise problem from None
    if not fits or re.search(r"\s", server):
        raise problem
    return server.rstrip("/")


def _show_news(url: str, shown: object, arguments: argparse.Namespace) -> object:
    """Show what has changed, and return it; a server that is away is said once, and watched on."""
    try:
        seen: object = _get(url, arguments)
    except ScalerError as error:
        if shown is None:
            raise
        if str(error) != shown:
            print(error, file=sys.stderr, flush=True)
        return str(error)
    if seen != shown:
        _show(seen, arguments)
    return seen


def _show(decisions: Any, arguments: argparse.Namespace) -> None:
    if arguments.output == "json":
        print(json.dumps(decisions, indent=2), flush=True)
    else:
        print("\n".join(as_text(one, queries=arguments.queries) for one in _explanations(decisions)), flush=True)


def _explanations(decisions: Any) -> list[Explanation]:
    """Read what the server explains.

    Raises:
        ScalerError: it is another version of llm-scaler, which explains otherwise.
    """
    try:
        return [from_json(decision) for decision in decisions]
    except ValueError as error:
        problem = f"the server is another version of llm-scaler ({error}): use its own `llm-scaler explain`, or -o json"
        raise ScalerError(problem) from error


def _list_of(decisions: Any) -> list[Any]:
    """Return the decisions, which are a list of mappings.

    Raises:
        TypeError: they are something else.
    """
    if not isinstance(decisions, list) or not all(isinstance(one, dict) for one in decisions):
        raise TypeError("no list of decisions")
    return decisions


def _get(url: str, arguments: argparse.Namespace) -> Any:
    """Ask for the decisions that the server explains.

    Raises:
        ScalerError: it did not answer, or is something else than the admin address of an llm-scaler.
    """
    answer = admin_pages.get(url, authorization(url, arguments.token_file), TIMEOUT)
    try:
        told = answer.json()
        if answer.ok:
            return _list_of(told["decisions"])
        problem = str(told["error"])
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{url} answers {answer.status_code}, and not as the admin address of llm-scaler does (port 8080)"
        raise ScalerError(problem) from error
    raise ScalerError(problem)
