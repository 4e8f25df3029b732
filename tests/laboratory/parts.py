"""The programs of the laboratory and their settings: one function, one part.

Everything listens on loopback, except where a program cannot be told to: the metrics ports of Karpenter and of KEDA's adapter.
Settings that are not the programs' own defaults are there because nothing works without them, or say why beside them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from laboratory.build import Judges
from laboratory.certs import Authority, Pair
from laboratory.process import Part, answers

KEDA_PORTS = ("keda-service", "keda-metrics", "keda-health")  # of an operator
PORTS = (
    *("etcd", "etcd-peer", "apiserver", "controllers", "scheduler", "kwok", "prometheus"),
    *KEDA_PORTS,
    *(
        "adapter",
        "adapter-metrics",
        "karpenter-metrics",
        "karpenter-health",
        "kube-state-metrics",
        "kube-state-metrics-own",
    ),
)
POD_NETWORK = "127.64.0.0/16"
# Those of objects.py and Karpenter; others are somebody else's.
NODES = "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"
SYSTEM = "keda"  # the namespace of everything that is not under test


@dataclass(frozen=True, slots=True)
class Site:
    """What the parts of one run share."""

    judges: Judges
    home: Path
    ports: Mapping[str, int]
    authority: Authority
    server: Pair  # the certificate of everything that serves TLS
    admin: Pair  # a client in system:masters
    kubeconfig: Path
    hpa_sync: int  # seconds between two looks of the HPA; 15 in the world
    scrape: int  # seconds between two scrapes of Prometheus

    def program(self, name: str) -> str:
        return str(self.judges.program(name))

    def url(self, port: str, path: str = "", scheme: str = "https") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[port]}{path}"

    def serving(self) -> tuple[str, ...]:
        """The flags with which a Kubernetes component serves our certificate on loopback."""
        return (
            "--bind-address=127.0.0.1",
            f"--tls-cert-file={self.server.cert}",
            f"--tls-private-key-file={self.server.key}",
        )

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.write_text(text)
        return path


def etcd(site: Site) -> Part:
    data = site.home / "etcd"
    client, peer = site.url("etcd", scheme="http"), site.url("etcd-peer", scheme="http")
    return Part(
        "etcd",
        (
            *(site.program("etcd"), f"--data-dir={data}", "--name=lab", "--unsafe-no-fsync", "--log-level=warn"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=lab={peer}"),
        ),
        ready=answers(f"{client}/health"),
        data=data,
    )


def apiserver(site: Site) -> Part:
    proxy = site.authority.issue("front-proxy")
    return Part(
        "apiserver",
        (
            *(site.program("kube-apiserver"), *site.serving(), f"--secure-port={site.ports['apiserver']}"),
            *("--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"),
            *(f"--etcd-servers={site.url('etcd', scheme='http')}", "--service-cluster-ip-range=10.0.0.0/24"),
            *("--authorization-mode=RBAC", f"--client-ca-file={site.authority.cert}"),
            "--disable-admission-plugins=ServiceAccount",  # pods need no tokens here
            "--service-account-issuer=https://kubernetes.default.svc",
            *(
                f"--service-account-key-file={site.server.cert}",
                f"--service-account-signing-key-file={site.server.key}",
            ),
            # The external metrics API is aggregated: the API server asks KEDA's adapter in the caller's name.
            *(f"--requestheader-client-ca-file={site.authority.cert}", "--requestheader-allowed-names=front-proxy"),
            *("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            *(f"--proxy-client-cert-file={proxy.cert}", f"--proxy-client-key-file={proxy.key}"),
        ),
        ready=_kubernetes(site, "apiserver", "/readyz"),
    )


def controllers(site: Site) -> Part:
    return Part(
        "controllers",
        (
            *(site.program("kube-controller-manager"), *site.serving(), f"--secure-port={site.ports['controllers']}"),
            *(f"--kubeconfig={site.kubeconfig}", "--leader-elect=false"),
            f"--horizontal-pod-autoscaler-sync-period={site.hpa_sync}s",
            # The machines are always well; while the API server is frozen, though, they cannot say so, and pods that
            # are marked unready for it stay so, since there is no kubelet to look again.
            "--node-monitor-grace-period=10m",
            f"--service-account-private-key-file={site.server.key}",
        ),
        ready=_kubernetes(site, "controllers", "/healthz"),
    )


def scheduler(site: Site) -> Part:
    return Part(
        "scheduler",
        (
            *(site.program("kube-scheduler"), *site.serving(), f"--secure-port={site.ports['scheduler']}"),
            *(f"--kubeconfig={site.kubeconfig}", "--leader-elect=false"),
        ),
        ready=_kubernetes(site, "scheduler", "/healthz"),
    )


def kwok(site: Site) -> Part:
    """The kubelets: nodes that are always well, and pods that become ready, at once or as stages.yaml says."""
    stages = site.judges.source("kwok", "sigs.k8s.io/kwok") / "kustomize" / "stage"
    folders = (stages / "node/fast", stages / "node/heartbeat-with-lease", stages / "pod/fast")
    files = [path for folder in folders for path in sorted(folder.glob("*-*.yaml"))]
    return Part(
        "kwok",
        (
            *(site.program("kwok"), f"--kubeconfig={site.kubeconfig}", NODES),
            *("--node-ip=127.0.0.1", f"--cidr={POD_NETWORK}", "--node-lease-duration-seconds=40"),
            f"--server-address=127.0.0.1:{site.ports['kwok']}",
            *(f"--config={path}" for path in (*files, Path(__file__).parent / "stages.yaml")),
        ),
        ready=answers(site.url("kwok", "/healthz", "http")),
    )


def keda_operator(
    site: Site, name: str = "keda-operator", selector: str = "", ports: Mapping[str, int] | None = None
) -> Part:
    """KEDA's operator.

    Args:
        name: tells it from other operators of the laboratory.
        selector: of the ScaledObjects that are its own; all of them unless given.
        ports: its own, by the names in PORTS; those that the adapter asks unless given.
    """
    certs = site.home / f"{name}-certs"
    site.authority.issue(name, folder=certs)
    local = {part: f"127.0.0.1:{(ports or site.ports)[part]}" for part in KEDA_PORTS}
    return Part(
        name,
        (
            *(site.program("keda-operator"), "--enable-cert-rotation=false"),
            *(f"--cert-dir={certs}", f"--ca-dir={certs}"),
            f"--metrics-service-bind-address={local['keda-service']}",
            f"--metrics-bind-address={local['keda-metrics']}",
            f"--health-probe-bind-address={local['keda-health']}",
        ),
        ready=answers(f"http://{local['keda-health']}/readyz"),
        env=_keda_env(site) | {"KEDA_CLUSTER_OBJECT_NAMESPACE": SYSTEM, "WATCH_LABEL_SELECTOR": selector},
    )


def keda_adapter(site: Site) -> Part:
    certs = site.home / "keda-operator-certs"
    config = site.kubeconfig
    return Part(
        "keda-adapter",
        (
            *(site.program("keda-adapter"), *site.serving(), f"--secure-port={site.ports['adapter']}"),
            *(f"--cert-dir={certs}", f"--client-ca-file={site.authority.cert}"),
            f"--metrics-service-address=localhost:{site.ports['keda-service']}",
            f"--port={site.ports['adapter-metrics']}",
            *(
                f"--lister-kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
            ),
        ),
        ready=_kubernetes(site, "apiserver", "/apis/external.metrics.k8s.io/v1beta1"),
        env=_keda_env(site),
    )


def karpenter(site: Site) -> Part:
    types = [instance_type(f"gpu-{count}x", count) for count in (1, 4, 8)]
    return Part(
        "karpenter",
        (
            *(site.program("karpenter"), "-disable-leader-election=true", "-log-level=info"),
            *(
                f"-metrics-port={site.ports['karpenter-metrics']}",
                f"-health-probe-port={site.ports['karpenter-health']}",
            ),
            f"-instance-types-file-path={site.write('instance-types.json', json.dumps(types))}",
        ),
        ready=answers(site.url("karpenter-health", "/readyz", "http")),
        env={"KUBECONFIG": str(site.kubeconfig), "SYSTEM_NAMESPACE": SYSTEM},
    )


def kube_state_metrics(site: Site) -> Part:
    """The objects of the cluster as metrics, of the kinds that scale."""
    return Part(
        "kube-state-metrics",
        (
            *(site.program("kube-state-metrics"), f"--kubeconfig={site.kubeconfig}"),
            *("--host=127.0.0.1", f"--port={site.ports['kube-state-metrics']}"),
            *("--telemetry-host=127.0.0.1", f"--telemetry-port={site.ports['kube-state-metrics-own']}"),
            "--resources=deployments,statefulsets,horizontalpodautoscalers",
        ),
        ready=answers(site.url("kube-state-metrics", "/metrics", "http")),
    )


def prometheus(site: Site, gateway: str) -> Part:
    """Prometheus, scraping every running pod's ports named http or http-NUMBER, kube-state-metrics, and the gateway's page at `gateway`."""
    keep = [
        {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Running", "action": "keep"},
        {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": r"http(-\d+)?", "action": "keep"},
    ]
    labels = [
        {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target}
        for source, target in {"namespace": "namespace", "pod_name": "pod", "pod_label_app": "app"}.items()
    ]
    pods = {"role": "pod", "kubeconfig_file": str(site.kubeconfig)}
    objects = f"127.0.0.1:{site.ports['kube-state-metrics']}"
    config = {
        "global": {"scrape_interval": f"{site.scrape}s", "scrape_timeout": f"{min(site.scrape, 10)}s"},
        "scrape_configs": [
            {"job_name": "pods", "kubernetes_sd_configs": [pods], "relabel_configs": [*keep, *labels]},
            {"job_name": "gateway", "static_configs": [{"targets": [gateway], "labels": {"namespace": "default"}}]},
            {"job_name": "kube-state-metrics", "static_configs": [{"targets": [objects]}]},
        ],
    }
    data = site.home / "prometheus"
    return Part(
        "prometheus",
        (
            *(site.program("prometheus"), f"--web.listen-address=127.0.0.1:{site.ports['prometheus']}"),
            f"--config.file={site.write('prometheus.yaml', yaml.safe_dump(config))}",
            *(f"--storage.tsdb.path={data}", "--log.level=warn"),
        ),
        ready=answers(site.url("prometheus", "/-/ready", "http")),
        data=data,
    )


def aggregated(service: Mapping[str, str], port: int, group: str, version: str) -> list[dict[str, object]]:
    """A version of an API group that is served on a port of this machine, as the objects that make it part of the cluster's API."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": dict(service),
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "service": {**service, "port": port},
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,  # its certificate says localhost, not the Service's name
            },
        },
    ]


def instance_type(name: str, gpus: int) -> dict[str, object]:
    """One line of Karpenter's price list: a machine with `gpus` GPUs, at a price in proportion."""
    offering = {
        "Price": 2.0 * gpus,
        "Available": True,
        "Requirements": [
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-a"]},
        ],
    }
    return {
        "name": name,
        "offerings": [offering],
        "architecture": "amd64",
        "operatingSystems": ["linux"],
        "resources": {"cpu": str(16 * gpus), "memory": f"{128 * gpus}Gi", "nvidia.com/gpu": str(gpus)},
    }


def _keda_env(site: Site) -> dict[str, str]:
    return {"KUBECONFIG": str(site.kubeconfig), "POD_NAMESPACE": SYSTEM, "WATCH_NAMESPACE": ""}  # "": all namespaces


def _kubernetes(site: Site, port: str, path: str) -> Callable[[], bool]:
    return answers(
        site.url(port, path), verify=str(site.authority.cert), cert=(str(site.admin.cert), str(site.admin.key))
    )
