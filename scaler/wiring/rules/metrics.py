"""What is measured: does anybody scrape the pods, are the series there, and which condition empties them?"""

from collections.abc import Iterator

from scaler.config.signals import engines
from scaler.model.errors import nearest
from scaler.model.objects import Manifest
from scaler.wiring.finding import Found, warn
from scaler.wiring.picture import (
    Data,
    Picture,
    at,
    containers,
    labels_of,
    mapping,
    name_of,
    sequence,
    takes,
)

YOUNG = "holds no data older than"  # as decision/decide.py says it of a source


def endpoint_down(picture: Picture) -> Found | None:
    """The endpoint that is measured with does not answer."""
    for fact in _unmeasured(picture):
        problem = str(fact["problem"])
        if problem.startswith("endpoint `") and "no series" not in problem:
            what = problem.partition(":")[0].partition(" (")[0]
            return Found(
                f"{what} gives no measurements",
                problem,
                "settings.endpoints of llm-scaler's chart: the url, and the credentials, that are named above",
            )
    return None


def page_of_another_engine(picture: Picture) -> Found | None:
    """The pods serve the metrics of another engine than the trigger names."""
    engine = _engine(picture)
    if engine not in engines() or not _missing(picture):
        return None
    wanted = _names(engine)
    for pod, page in picture.pages.items():
        served = _served(page)
        if served & wanted or not served:
            continue
        others = sorted(name for name in engines() if name not in _OBJECTS and served & _names(name))
        shown = ", ".join(sorted(served)[:3])
        if not others:
            return Found(
                f"the pods serve no metric of {engine}",
                f"{pod} serves {len(served)} metrics, such as {shown}",
                "start the engine with its metrics on (SGLang: --enable-metrics; llama.cpp: --metrics)",
            )
        return Found(
            f"the pods run {' or '.join(others[:2])}, and the trigger says engine: {engine}",
            f"{pod} serves {shown}",
            f'engine: "{others[0]}" in the trigger\'s metadata',
        )
    return None


_OBJECTS = frozenset({"kubernetes"})


def wrong_model(picture: Picture) -> Found | None:
    """The pods serve another model than the trigger names."""
    model = next((str(mapping(one, "metadata").get("model") or "") for one in picture.triggers), "")
    if not model or not _missing(picture):
        return None
    for pod, page in picture.pages.items():
        served = sorted(set(_models(page)))
        if served and model not in served:
            return Found(
                f"the pods serve no model {model!r}{nearest(model, served)}",
                f"{pod} has model_name {', '.join(served[:5])}",
                f'model: "{served[0]}" in the trigger\'s metadata',
            )
    return None


def not_scraped(picture: Picture) -> Found | None:
    """No ServiceMonitor and no PodMonitor takes the pods, so that Prometheus has nothing of them."""
    monitors = _monitors(picture)
    if monitors is None or not _missing(picture) or not picture.ready_pods or _reads_pages(picture):
        return None
    if not all(picture.is_known(plural) for plural in ("servicemonitors", "podmonitors", "services")):
        return None
    pod = picture.ready_pods[0]
    if any(_selects(monitor, pod, picture) for monitor in monitors):
        return None
    if mapping(pod, "metadata", "annotations").get("prometheus.io/scrape") == "true":
        return None
    labels = ", ".join(f"{key}={value}" for key, value in sorted(labels_of(pod).items()))
    return Found(
        "no ServiceMonitor and no PodMonitor selects its pods: Prometheus does not scrape them",
        f"{len(monitors)} monitors, none for the labels {labels}",
        f"kubectl apply a PodMonitor in {picture.namespace} with selector.matchLabels: {_own_labels(pod)}",
    )


def monitor_not_selected(picture: Picture) -> Found | None:
    """A monitor takes the pods, and no Prometheus takes the monitor."""
    monitors, servers = _monitors(picture), picture.listed("prometheuses")
    if monitors is None or not servers or not _missing(picture) or not picture.ready_pods:
        return None
    pod = picture.ready_pods[0]
    own = [monitor for monitor in monitors if _selects(monitor, pod, picture)]
    if not own or any(_scrapes(server, monitor) for server in servers for monitor in own):
        return None
    wanted = at(servers[0], "spec", _selector_of(own[0]))
    missing = ", ".join(f"{key}={value}" for key, value in mapping(wanted, "matchLabels").items())
    return Found(
        f"no Prometheus takes the {own[0].get('kind', 'monitor')} {name_of(own[0])} of its pods",
        f"{name_of(servers[0])} wants {missing or wanted}; it has {dict(labels_of(own[0])) or 'no labels'}",
        f"kubectl -n {at(own[0], 'metadata', 'namespace')} label {str(own[0].get('kind', '')).lower()} "
        f"{name_of(own[0])} {missing.replace(', ', ' ')}",
    )


def monitor_port(picture: Picture) -> Found | None:
    """A monitor takes the pods, and names a port that they do not have."""
    monitors = _monitors(picture)
    if monitors is None or not _missing(picture) or not picture.ready_pods:
        return None
    pod = picture.ready_pods[0]
    for monitor in monitors:
        if not _selects(monitor, pod, picture):
            continue
        have = _ports(monitor, pod, picture)
        named_ports = [str(one["port"]) for one in _endpoints(monitor) if one.get("port")]
        if named_ports and not set(named_ports) & have:
            instead = min(have) if have else "NAME"
            return Found(
                f"{name_of(monitor)} scrapes port {named_ports[0]!r} of its pods, which is not there",
                f"ports with a name: {', '.join(sorted(have)) or 'none'}",
                f"port: {instead} in {name_of(monitor)}, or name the container's port so",
            )
    return None


def no_series(picture: Picture) -> Found | None:
    """An input has no series; where a condition of ours empties it, that one is named."""
    found = _missing(picture)
    if not found:
        return None
    fact = found[0]
    looked = f"; looked for {', '.join(fact['lookedFor'])}" if fact["lookedFor"] else ""
    return Found(
        f"{fact['name']} is not measured",
        f"{fact['problem']} ({fact['measures']}){looked}",
        f"llm-scaler explain {picture.namespace}/{picture.name} --queries shows the query; try it in Prometheus",
    )


def not_all_pods(picture: Picture) -> Found | None:
    """Some pods are not measured, so that nothing may be lowered."""
    for fact in _facts(picture):
        answered, expected = fact["answered"], fact["expected"]
        if fact["problem"] and fact["value"] is not None and answered and expected and answered < expected:
            return Found(
                f"only {answered} of {expected} pods are measured, so that replicas may rise and not fall",
                f"{fact['name']}: {fact['problem']}",
                f"kubectl -n {picture.namespace} get pods -o wide, and read the page of the one that is missing",
            )
    return None


def held(picture: Picture) -> Found | None:
    """The answer is held, or there is none, for a reason that no other rule knows."""
    for decision in picture.decisions or ():
        if decision["problems"] and decision["certainty"] in {"held", "unknown"}:
            if all(YOUNG in str(problem) for problem in decision["problems"]):
                return warn(
                    "what measures it is too young: until it knows the past as far as holdFor, nothing is lowered",
                    "; ".join(decision["problems"][:3]),
                    "wait as long as holdFor, and look again",
                )
            state = "is held" if decision["certainty"] == "held" else "cannot be given"
            return Found(
                f"the answer {state}: not everything is measured",
                "; ".join(decision["problems"][:3]),
                f"llm-scaler explain {picture.namespace}/{picture.name}",
            )
    return None


def cannot_wake(picture: Picture) -> Found | None:
    """It is at 0 replicas, and nothing that is read can wake it."""
    for decision in picture.decisions or ():
        if decision["cannotWake"]:
            return Found(
                "it is at 0 replicas, and nothing that it reads can ever wake it",
                str(decision["cannotWake"]),
                "gateway: of the trigger names what holds requests (llm-d, kthena, knative ...); or minReplicaCount: 1",
            )
    return None


def stalled(picture: Picture) -> Found | None:
    """Its load stands still while the engine makes no token."""
    for decision in picture.decisions or ():
        if decision["stalled"]:
            return Found(
                "its load stands still, and its engine counts no token: replicas are not lowered",
                str(decision["stalled"]),
                f"kubectl -n {picture.namespace} logs, and restart the pod that hangs",
                "warning",
            )
    return None


def rights(picture: Picture) -> Found | None:
    """llm-scaler may not read what it needs of Kubernetes."""
    for decision in picture.decisions or ():
        unknown = mapping(decision, "unknown")
        forbidden = {name: text for name, text in unknown.items() if str(text).startswith("403")}
        core = forbidden.keys() & {"pods", "scaledobjects", "deployments", "statefulsets", "horizontalpodautoscalers"}
        if core:
            first = sorted(core)[0]
            what = f"llm-scaler may not read {', '.join(sorted(core))}: its own pods are not told from others'"
            return warn(what, f"{first}: {forbidden[first]}", "kubectl apply -f deploy/rbac.yaml")
    return None


# ---- what llm-scaler explains ----------------------------------------------------------------------------------------


def _facts(picture: Picture) -> Iterator[Data]:
    for decision in picture.decisions or ():
        yield from decision["inputs"]
        yield from decision["activitySignals"]


def _unmeasured(picture: Picture) -> list[Data]:
    return [fact for fact in _facts(picture) if fact["problem"] and fact["value"] is None]


def _missing(picture: Picture) -> list[Data]:
    """List the inputs without any series, as against those whose source fails."""
    absent = [fact for fact in _unmeasured(picture) if not str(fact["problem"]).startswith("endpoint `")]
    return [fact for fact in absent if YOUNG not in str(fact["problem"])]  # that ends by itself; see `held`


def _reads_pages(picture: Picture) -> bool:
    """Tell whether it is measured on pages, without Prometheus."""
    return any(mapping(one, "metadata").get("endpoint") == "pods" for one in picture.triggers)


# ---- the pods' own pages ---------------------------------------------------------------------------------------------


def _engine(picture: Picture) -> str:
    return next((str(mapping(one, "metadata").get("engine") or "vllm") for one in picture.triggers), "vllm")


def _names(engine: str) -> set[str]:
    return {metric.name for signal in engines()[engine].values() for metric in signal.metrics}


def _served(page: str) -> set[str]:
    """Return the names of the metrics of a page, without those of every Python or Go program."""
    heads = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ") and len(line.split()) > 3]
    return {name for name in heads if not name.startswith(("python_", "process_", "go_", "http_"))}


def _models(page: str) -> Iterator[str]:
    for line in page.splitlines():
        _, found, rest = line.partition('model_name="')
        if found:
            yield rest.partition('"')[0]


# ---- the monitors of the Prometheus Operator -------------------------------------------------------------------------


def _monitors(picture: Picture) -> list[Manifest] | None:
    lists = [picture.listed("servicemonitors"), picture.listed("podmonitors")]
    if all(found is None for found in lists):
        return None
    return [one for found in lists for one in found or ()]


def _is_for_services(monitor: Manifest) -> bool:
    return monitor.get("kind") == "ServiceMonitor" or "endpoints" in mapping(monitor, "spec")


def _selector_of(monitor: Manifest) -> str:
    return "serviceMonitorSelector" if _is_for_services(monitor) else "podMonitorSelector"


def _endpoints(monitor: Manifest) -> list[Manifest]:
    return sequence(monitor, "spec", "endpoints") or sequence(monitor, "spec", "podMetricsEndpoints")


def _selects(monitor: Manifest, pod: Manifest, picture: Picture) -> bool:
    if not _covers(monitor, picture.namespace):
        return False
    selector = mapping(monitor, "spec", "selector")
    if not _is_for_services(monitor):
        return takes(selector, labels_of(pod))
    return any(takes(selector, labels_of(service)) for service in _services_of(pod, picture))


def _covers(monitor: Manifest, namespace: str) -> bool:
    chosen = mapping(monitor, "spec", "namespaceSelector")
    names = chosen.get("matchNames") or [at(monitor, "metadata", "namespace")]
    return bool(chosen.get("any")) or namespace in names


def _services_of(pod: Manifest, picture: Picture) -> list[Manifest]:
    labels = labels_of(pod)
    own = picture.own("services")
    picked = [(service, mapping(service, "spec", "selector")) for service in own]
    return [service for service, selector in picked if selector and takes({"matchLabels": selector}, labels)]


def _ports(monitor: Manifest, pod: Manifest, picture: Picture) -> set[str]:
    """Return the names of ports that a monitor may mean: the Service's, or the containers'."""
    if _is_for_services(monitor):
        services = [
            one for one in _services_of(pod, picture) if takes(mapping(monitor, "spec", "selector"), labels_of(one))
        ]
        ports = [port for service in services for port in sequence(service, "spec", "ports")]
    else:
        ports = [port for one in containers(mapping(pod, "spec")) for port in sequence(one, "ports")]
    return {str(port["name"]) for port in ports if port.get("name")}


def _scrapes(server: Manifest, monitor: Manifest) -> bool:
    selector = at(server, "spec", _selector_of(monitor))
    return selector is not None and takes(selector, labels_of(monitor))


def _own_labels(pod: Manifest) -> dict[str, object]:
    volatile = {"pod-template-hash", "controller-revision-hash"}
    return {key: value for key, value in labels_of(pod).items() if key not in volatile}
