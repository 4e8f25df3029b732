"""What a GPU costs an hour: of the machines that the workload's pods run on, by their NodeClaims.

    two pods on a node whose NodeClaim says p4d.24xlarge, on-demand, of 8 GPUs; that type costs 32.80 an hour
    ─▶ 4.10 for a GPU and hour

What a type costs is said by `--node-price TYPE=MONEY`, or by Karpenter's own estimates in Prometheus, which those of
its providers export that know their cloud's price list.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler.config.endpoint import Endpoint
from scaler.model.errors import ConfigError, SourceError
from scaler.model.nodes import NodeClaim
from scaler.sources.kubernetes.api import ApiServer, Refused
from scaler.sources.kubernetes.read_karpenter import read_claim

TYPE, CAPACITY, ZONE = "node.kubernetes.io/instance-type", "karpenter.sh/capacity-type", "topology.kubernetes.io/zone"
GPU = re.compile(r".+\.com/gpu|habana\.ai/gaudi")
ESTIMATES = (
    "max by (instance_type, capacity_type, zone) (karpenter_cloudprovider_instance_type_offering_price_estimate)"
)

Offering = tuple[str, str, str]  # type, capacity type and zone of a machine; empty: any


@dataclass(frozen=True, slots=True)
class Priced:
    """The price of a GPU, and where it comes from."""

    gpu_hour: float
    machines: int
    types: tuple[str, ...]

    def __str__(self) -> str:
        count = "1 NodeClaim" if self.machines == 1 else f"{self.machines} NodeClaims"
        return f"A GPU-hour costs {self.gpu_hour:.2f}, by {count} that its pods run on: {', '.join(self.types)}."


def given(words: Iterable[str]) -> dict[Offering, float]:
    """Read TYPE=MONEY.

    Raises:
        ConfigError: a word that is none.
    """
    found: dict[Offering, float] = {}
    for word in words:
        name, _, money = word.partition("=")
        try:
            found[name, "", ""] = float(money)
        except ValueError as error:
            problem = f"{word!r} is no price of a machine"
            raise ConfigError("argument", "--node-price", problem, "TYPE=MONEY, such as p4d.24xlarge=32.77") from error
    return found


def gpu_price(claims: Sequence[NodeClaim], nodes: frozenset[str], prices: Mapping[Offering, float]) -> Priced | None:
    """Average what a GPU costs on the machines that the pods run on, by their GPUs.

    Args:
        claims: all NodeClaims.
        nodes: the nodes that the workload's pods run on.
        prices: of a machine for an hour.

    Returns:
        None where no machine of these has GPUs and a price.
    """
    money = gpus = machines = 0.0
    types: set[str] = set()
    for claim in claims:
        own = sum(count for resource, count in claim.capacity.items() if GPU.fullmatch(resource))
        price = _price(claim, prices)
        if claim.node not in nodes or not own or price is None:
            continue
        money, gpus, machines = money + price, gpus + own, machines + 1
        types.add(claim.labels.get(TYPE, ""))
    return Priced(money / gpus, int(machines), tuple(sorted(types))) if gpus else None


def _price(claim: NodeClaim, prices: Mapping[Offering, float]) -> float | None:
    """Return a node's price an hour: of its very offer, or else of its type."""
    offer = claim.labels.get(TYPE, ""), claim.labels.get(CAPACITY, ""), claim.labels.get(ZONE, "")
    return prices.get((offer[0], "", ""), prices.get(offer))


def read(
    api: ApiServer, namespace: str, pods: str, endpoint: Endpoint | None, said: Mapping[Offering, float], now: float
) -> Priced | None:
    """Find the price in the cluster as it is; None where it does not tell.

    Args:
        api: the cluster.
        namespace: of the workload.
        pods: what its pods are called, as an RE2.
        endpoint: the Prometheus that may know Karpenter's estimates.
        said: prices that the command line says; they come first.
        now: seconds since the epoch.
    """
    try:
        claims = [read_claim(raw) for raw in _items(api, "/apis/karpenter.sh/v1/nodeclaims")]
        there = _items(api, f"/api/v1/namespaces/{namespace}/pods")
    except Refused:
        return None
    named = [pod for pod in there if pods and re.fullmatch(pods, pod["metadata"]["name"])]
    nodes = frozenset(str(pod["spec"].get("nodeName", "")) for pod in named) - {""}
    estimated = _estimates(endpoint, now) if endpoint and claims and nodes else {}
    return gpu_price(claims, nodes, {**estimated, **said})


def _items(api: ApiServer, path: str) -> list[Mapping[str, Any]]:
    return list(api.get(path).get("items") or ())


def _estimates(endpoint: Endpoint, now: float) -> dict[Offering, float]:
    """Ask for Karpenter's own price estimates; none where Prometheus does not have them."""
    from scaler.sources.prometheus.api import Connection

    connection = Connection(endpoint)
    try:
        rows = connection.ask(ESTIMATES, [now], "").rows
    except (ConfigError, SourceError):
        return {}
    finally:
        connection.close()
    names = ("instance_type", "capacity_type", "zone")
    found = {}
    for row in rows:
        type_, capacity, zone = (row.labels.get(name, "") for name in names)
        found[type_, capacity, zone] = row.values[0]
    return found
