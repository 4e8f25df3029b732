"""The command, and the composition root: the only place that reads the clock and wires the rooms together.

Each command imports what it needs when it runs, so that `llm-scaler eval` does not pay for gRPC.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scaler import __version__
from scaler.model.errors import ConfigError, ScalerError

Arguments = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 good; 1 what was given is wrong, or the answer is no; 2 no answer."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse does not let positional words follow options that stand between them: `ask HOST:PORT --name a key=value`.
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(arguments, "pairs")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.pairs += rest
    try:
        return int(arguments.run(arguments))
    except ScalerError as error:
        print(f"llm-scaler: {error}", file=sys.stderr)
        return 1 if isinstance(error, ConfigError) else 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llm-scaler", description="A KEDA external scaler for LLM inference.")
    parser.add_argument("--version", action="version", version=f"llm-scaler {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_serve, _add_check, _add_eval, _add_ask, _add_explain, _add_signals, _add_demo):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[Arguments], int], help_: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_, description=help_)
    parser.set_defaults(run=run)
    return parser


# ---- serve ---------------------------------------------------------------------------------------------------------


def _add_serve(commands: Any) -> None:
    from scaler.config.settings import KEYS, flag, variable

    parser = _command(commands, "serve", _serve, "Answer KEDA.")
    parser.add_argument("--settings", metavar="FILE", help="the settings file")
    parser.add_argument("--print-settings", action="store_true", help="print the settings in force, and stop")
    for key in KEYS:
        parser.add_argument(
            flag(key.path), dest=key.path, metavar="VALUE", help=f"{key.meaning} [{variable(key.path)}]"
        )


def _serve(arguments: Arguments) -> int:
    import asyncio

    import yaml

    from scaler.config.settings import KEYS, read_settings, shown
    from scaler.model.strict_yaml import parse_yaml

    where = arguments.settings or "settings"
    tree = parse_yaml(_read(Path(where)), where) or {} if arguments.settings else {}
    flags = {key.path: getattr(arguments, key.path) for key in KEYS}
    settings = read_settings(tree, where, os.environ, flags)
    if arguments.print_settings:
        print(yaml.safe_dump(shown(settings), sort_keys=False), end="")
        return 0
    from scaler.cli.serve import serve

    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(settings, time.time, time.monotonic))
    else:
        uvloop.run(serve(settings, time.time, time.monotonic))
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read ({error})") from error


# ---- check and eval ------------------------------------------------------------------------------------------------


def _add_check(commands: Any) -> None:
    parser = _command(commands, "check", _check, "Validate formula files, run their tests, and look for mistakes.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="formula files or folders; the shipped ones if none")
    parser.add_argument(
        "pairs", nargs="*", metavar="KEY=VALUE", help="what a trigger says, such as engine=sglang target=4"
    )


def _check(arguments: Arguments) -> int:
    from scaler.check import check_paths
    from scaler.config.catalog import shipped_formulas

    words = [*arguments.files, *arguments.pairs]
    pairs = [word for word in words if "=" in word and not Path(word).exists()]
    paths = [Path(word) for word in words if word not in pairs]
    text, good = check_paths(paths or [shipped_formulas()], dict(_pair(pair, str) for pair in pairs))
    print(text, end="")
    return 0 if good else 1


def _add_eval(commands: Any) -> None:
    parser = _command(commands, "eval", _eval, "Try a formula on values.")
    parser.add_argument("formula", help="such as 'waiting + running > 3 ? 2 : 0'")
    parser.add_argument("pairs", nargs="*", metavar="NAME=NUMBER", help="nil leaves a name without a value")
    parser.add_argument("--steps", action="store_true", help="show every step")


def _eval(arguments: Arguments) -> int:
    from scaler.decision.explain import number_text, step_lines, steps_data
    from scaler.formula import parse

    values = dict(_pair(pair, _number_or_nil) for pair in arguments.pairs)
    program = parse(arguments.formula, values)
    if arguments.steps:
        print("\n".join(step_lines(steps_data(program, values))))
    print(number_text(program.evaluate(values)))
    return 0


def _pair(pair: str, read: Callable[[str], Any]) -> tuple[str, Any]:
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise ConfigError("argument", pair, "is not NAME=VALUE")
    return name, read(value)


def _number_or_nil(raw: str) -> float | None:
    if raw == "nil":
        return None
    try:
        return float(raw)
    except ValueError:
        raise ConfigError("argument", raw, "is not a number", "a number or nil") from None


# ---- signals -------------------------------------------------------------------------------------------------------


def _add_signals(commands: Any) -> None:
    parser = _command(commands, "signals", _signals, "What each engine offers, and under which names.")
    parser.add_argument("engine", nargs="?", metavar="ENGINE", help="one engine or gateway; all if none")
    parser.add_argument("-o", "--output", choices=("text", "json", "markdown"), default="text")


def _signals(arguments: Arguments) -> int:
    from scaler.cli.signals_table import as_data, as_lines, as_markdown, chosen, show

    some = chosen(arguments.engine)
    if arguments.output == "json":
        print(json.dumps(as_data(some), indent=2))
    elif arguments.output == "markdown":
        print(as_markdown(), end="")
    elif sys.stdout.isatty():
        from rich.console import Console

        show(some, Console())
    else:
        print("\n".join(as_lines(some)))
    return 0


# ---- ask and explain -----------------------------------------------------------------------------------------------


def _add_ask(commands: Any) -> None:
    parser = _command(commands, "ask", _ask, "Call a server as KEDA would, and print its three answers.")
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="the trigger's metadata")
    parser.add_argument("--namespace", default="default", help="of the ScaledObject")
    parser.add_argument("--name", default="ask", help="of the ScaledObject")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--ca-file", help="CA of the server's certificate; turns TLS on")
    parser.add_argument("--cert-file", help="our own certificate, for mutual TLS")
    parser.add_argument("--key-file", help="its key")


def _ask(arguments: Arguments) -> int:
    from scaler.cli.ask import Tls, ask

    tls = Tls(arguments.ca_file, arguments.cert_file, arguments.key_file)
    metadata = dict(_pair(pair, str) for pair in arguments.pairs)
    lines, good = ask(arguments.address, arguments.namespace, arguments.name, metadata, tls, arguments.timeout)
    print("\n".join(lines))
    return 0 if good else 1


def _add_explain(commands: Any) -> None:
    from scaler.config.settings import SERVER

    parser = _command(commands, "explain", _explain, "Why N? Everything behind the newest answer, down to the HPA.")
    parser.add_argument("workload", metavar="NAMESPACE/NAME", help="of the ScaledObject; all its triggers are shown")
    default = os.environ.get(SERVER, "http://127.0.0.1:8080")
    parser.add_argument("--server", default=default, metavar="URL", help="admin address of the server")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--queries", action="store_true", help="show the very queries too")
    parser.add_argument(
        "--watch", action="store_true", help="show it again whenever it changes, also after the server was away"
    )
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="how often --watch looks")


def _explain(arguments: Arguments) -> int:
    namespace, slash, name = arguments.workload.partition("/")
    if not slash or not namespace or not name:
        raise ConfigError("argument", arguments.workload, "is not NAMESPACE/NAME")
    place = f"/api/v1/explain/{urllib.parse.quote(namespace, safe='')}/{urllib.parse.quote(name, safe='')}"
    url = arguments.server.rstrip("/") + place
    shown: object = None
    while arguments.watch:
        shown = _show_news(url, shown, arguments)
        time.sleep(arguments.every)
    _show(_get(url)["decisions"], arguments)
    return 0


def _show_news(url: str, shown: object, arguments: Arguments) -> object:
    """Show what has changed, and return it; a server that is away is said once, and watched on."""
    try:
        seen = _get(url)["decisions"]
    except ScalerError as error:
        if shown is None:
            raise
        seen = str(error)
        if seen != shown:
            print(seen, file=sys.stderr, flush=True)
        return seen
    if seen != shown:
        _show(seen, arguments)
    return seen


def _show(decisions: list[dict[str, Any]], arguments: Arguments) -> None:
    from scaler.decision.explain import as_text

    if arguments.output == "json":
        print(json.dumps(decisions, indent=2), flush=True)
    else:
        print("\n".join(as_text(decision, queries=arguments.queries) for decision in decisions), flush=True)


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the user's own address
            return json.load(answer)
    except urllib.error.HTTPError as error:
        body = error.read().decode(errors="replace")
        raise ScalerError(json.loads(body)["error"] if body.startswith('{"error"') else f"{url}: {error}") from error
    except (OSError, ValueError) as error:
        raise ScalerError(f"{url} did not answer: {error}") from error


# ---- demo ----------------------------------------------------------------------------------------------------------


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", _demo, "See a simulated fleet scaled from 0 up and back, with every reason.")
    parser.add_argument("--seconds", type=float, default=120.0, metavar="SECONDS", help="how long; 120 if not given")
    parser.add_argument("--speed", type=float, metavar="TIMES", help="how much faster the world runs; 10, or as needed")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write plots of the run to one HTML page")
    for what, meaning in (("--load", "more load comes then; may be given again"), ("--kill", "a replica dies then")):
        parser.add_argument(what, action="append", type=float, default=[], metavar="SECOND", help=meaning)
    parser.add_argument("--outage", action="append", type=_span, default=[], metavar="FROM-TO", help="no metrics then")
    parser.add_argument("--calm", action="store_true", help="nothing goes wrong by itself")


def _span(raw: str) -> tuple[float, float]:
    start, _, end = raw.partition("-")
    return float(start), float(end)


def _demo(arguments: Arguments) -> int:
    import asyncio

    from rich.console import Console

    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # else it tells of every connection that ends, into the picture
    from scaler.cli.demo.run import Options, run
    from scaler.cli.demo.scenario import Incidents

    own = Incidents(tuple(arguments.kill), tuple(arguments.outage), tuple(arguments.load))
    usual = own == Incidents() and not arguments.calm
    options = Options(arguments.seconds, arguments.speed, None if usual else own, arguments.report)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=1000)
    return asyncio.run(run(options, time.time, time.monotonic, console))
