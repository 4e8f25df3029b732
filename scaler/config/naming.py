"""What one endpoint calls things, and whether the catalogue has what is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from scaler.config.signals import Signal, find
from scaler.model.errors import ConfigError
from scaler.model.fields import show
from scaler.model.measurement import SignalQuery

PodPagesMeaning = Literal["sum", "same"]

SCRAPE_LABELS = (  # that no engine writes itself
    *("job", "prometheus_replica", "__replica__"),
    *("receive_replica", "rule_replica", "thanos_replica"),
)
AMBIGUOUS_LABELS = ("endpoint", "replica")  # that a scrape, a Prometheus or an engine may write: `up` tells which
CLUSTER_LABELS = (  # by which a store tells the clusters, or the tenants, whose Prometheus write into it
    *("cluster", "cluster_name", "clusterName", "cluster_id", "k8s_cluster", "k8s_cluster_name"),
    *("kubernetes_cluster", "kube_cluster_name", "tenant_id", "__tenant_id__"),
)


@dataclass(frozen=True, slots=True)
class Naming:
    """The names that one endpoint has for things."""

    labels: Mapping[str, str] = field(default_factory=dict)  # our name, also "pod", "job", "instance" -> its name
    matchers: Mapping[str, str] = field(default_factory=dict)  # constant matchers of every selector
    up_selector: str = "up"  # a selector: 1 for every target that could be scraped, 0 for one that could not
    recent: float = 90.0  # seconds for which a pod whose scrape fails counts as missing; later it counts as gone
    colon: str = ":"  # what it has where engines write a colon into their metrics' names: that, `_` or a dot
    prefix: str = ""  # what it writes before the names of engines' and gateways' metrics
    scrape: tuple[str, ...] = ()  # more labels that tell two scrapes of one page apart, as the endpoint names them
    ambiguous: tuple[str, ...] = ()  # of these, labels of AMBIGUOUS_LABELS that every target has
    clusters: tuple[str, ...] = ()  # labels of CLUSTER_LABELS that differ among the targets
    pod_pages: PodPagesMeaning | None = None  # what several pages of a pod are; None: the jobs that scrape them tell
    has_portless: bool = False  # whether targets have an instance without a port, so that it does not tell pages apart
    has_twins: bool = False  # whether targets without a pod have the instance of others that have one
    has_copies: bool = False  # whether a job has targets of one pod that differ in more than where its pages are
    has_federated: bool = False  # whether series come through another Prometheus, and say so in exported_instance
    has_nobodys: bool = True  # whether there are targets without a namespace
    has_turns: bool = False  # whether at some targets several processes answer in turn
    knows_natives: bool = True  # whether it has PromQL's functions of native histograms
    knows_dots: bool = True  # whether it takes names in quotes, such as {"a.b"}

    def name(self, label: str) -> str:
        """Return the endpoint's name of any label but the workload's."""
        return self.labels.get(label, label)

    def metric(self, name: str) -> str:
        """Return the endpoint's name of a metric."""
        return self.prefix + name.replace(":", self.colon)

    def scrape_labels(self, signal: Signal) -> tuple[str, ...]:
        """List the labels that tell two scrapes of one page apart; what the engine itself writes is none of them."""
        known = dict.fromkeys((*map(self.name, (*SCRAPE_LABELS, *signal.scraped_by)), *self.scrape))
        own = {self.name(label) for label in signal.sum_within_pod_by or ()}
        return tuple(label for label in known if label not in own)

    def label_of(self, signal: Signal, label: str) -> str:
        """Return the endpoint's name of a signal's label; a namespace that the gateway itself writes keeps its own."""
        exported = dict(signal.label_names)[label]
        return exported if label == "namespace" != exported else self.labels.get(label, self.name(exported))


def check(query: SignalQuery) -> None:
    """Refuse a query for what the catalogue does not have.

    Raises:
        ConfigError: no such engine, signal or label.
    """
    signal = find(query.engine, query.signal)
    for label, _ in query.labels:
        if label not in signal.labels:
            raise ConfigError(
                "signals", query.signal, f"{query.engine} has no label {show(label)}", ", ".join(signal.labels)
            )
