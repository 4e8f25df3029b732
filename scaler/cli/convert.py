"""`llm-scaler convert`: another autoscaler's configuration as a formula file and a ScaledObject, line by line."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from scaler.cli.arguments import read_file, standard_input
from scaler.convert import READERS, of_trees, read
from scaler.convert.plan import Plan, Tree
from scaler.convert.write import document
from scaler.model.errors import ConfigError, SourceError
from scaler.sources.kubernetes.api import ApiServer
from scaler.wiring.behavior import behavior_for


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "source", metavar="FILE|NAMESPACE/NAME", help="a file, - for standard input, or an object of the cluster"
    )
    parser.add_argument("--kubeconfig", metavar="FILE", help="else KUBECONFIG, the pod's account, or ~/.kube/config")


def run(arguments: argparse.Namespace) -> int:
    """Print the formula file and the ScaledObject of every workload that is read."""
    plans = _plans(arguments.source, arguments.kubeconfig)
    for plan in plans:
        most = plan.maximum.value if isinstance(plan.maximum.value, int) else 0
        print(document(plan, behavior_for(with_policy=plan.with_policy, most=most)), end="")
    return 0


def _plans(source: str, kubeconfig: str | None) -> Sequence[Plan]:
    if source == "-":
        return read(standard_input(), "standard input")
    path = Path(source)
    namespace, slash, name = source.partition("/")
    if path.is_file() or not slash or "/" in name:
        return read(read_file(path), source)
    return _of_cluster(ApiServer(Path(kubeconfig) if kubeconfig else None), namespace, name)


def _of_cluster(server: ApiServer, namespace: str, name: str) -> Sequence[Plan]:
    """Read every object of that name, and all policies of Kthena, since bindings name them."""
    found: list[Tree] = []
    problems: list[str] = []
    for version, plural in (place for reader in READERS for place in reader.objects):
        folder = f"/apis/{version}/namespaces/{quote(namespace)}/{plural}"
        try:
            whole = (
                server.get(folder)
                if plural == "autoscalingpolicies"
                else {"items": [server.get(f"{folder}/{quote(name)}")]}
            )
        except SourceError as error:
            problems.append(str(error))
            continue
        found += [one for one in whole.get("items") or [] if isinstance(one, dict)]
    named = {str(one.get("spec", {}).get("policyRef", {}).get("name")) for one in found} | {name}
    plans = of_trees([one for one in found if one.get("metadata", {}).get("name") in named])
    if not plans:
        reason = next((problem for problem in problems if not problem.startswith("404")), "there is no such object")
        raise ConfigError(f"{namespace}/{name}", "", f"nothing was found that can be converted: {reason}")
    return plans
