"""The chart renders what Kubernetes takes and llm-scaler means, for every way to set it; a typing mistake fails."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from chart import schemas
from chart.helm import (
    CHART,
    COPIES,
    KUBERNETES,
    MANIFESTS,
    PLAIN,
    ROOT,
    HelmError,
    documented,
    lint,
    plain,
    render,
    tool,
)
from chart.triggers import REFUSED, TAKEN

from scaler.config.bind import bind
from scaler.config.catalog import read_formula, shipped_formulas
from scaler.config.settings import KEYS, read_settings
from scaler.config.trigger import parse_trigger
from scaler.model.errors import ConfigError
from scaler.model.measurement import TriggerRef
from scaler.sources.kubernetes.resources import DEVICES, LEADER_WORKER_SETS, RESOURCES, SCALES, SLICES, named

PROMETHEUS = {"settings": {"endpoints": {"default": {"url": "http://prometheus.monitoring:9090"}}}}
MUTUAL_TLS = {"certificates": {"certManager": {"enabled": True}}}
FORMULA = "name: own\nmetrics: {waiting: {signal: waiting}}\nformula: waiting\ntarget: 8\n"
MATRIX = {
    "as it comes": {},
    "with Prometheus": PROMETHEUS,
    "mutual TLS by cert-manager": MUTUAL_TLS,
    "mutual TLS by an issuer of yours": {
        "certificates": {"certManager": {"enabled": True, "issuer": {"generate": False, "name": "corporate"}}}
    },
    "mutual TLS by Secrets": {"certificates": {"secretName": "server", "clientSecretName": "client"}},
    "some namespaces": {"watchNamespace": "team-a, team-b"},
    "without Kubernetes": {**PROMETHEUS, "permissions": {"workloads": False}},
    "a network that is closed": {
        "networkPolicy": {
            "enabled": True,
            "extraIngress": [{"from": [{"podSelector": {}}]}],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
        **PROMETHEUS,
    },
    "watched by a Prometheus operator": {
        "prometheus": {
            "serviceMonitor": {
                "enabled": True,
                "interval": "15s",
                "scrapeTimeout": "10s",
                "additionalLabels": {"release": "kube-prometheus-stack"},
                "relabelings": [{"action": "labeldrop", "regex": "endpoint"}],
            },
            "podMonitor": {"enabled": True, "metricRelabelings": [{"action": "labeldrop", "regex": "trigger"}]},
            "prometheusRules": {
                "enabled": True,
                "runbookUrl": "https://runbooks.example.com",
                "alerts": [{"alert": "Own", "expr": "vector(1)"}],
            },
        },
        "grafana": {"dashboards": {"enabled": True, "annotations": {"grafana_folder": "LLM"}}},
    },
    "own formulas": {"formulas": {"files": {"own.yaml": FORMULA}}},
    "formulas of a ConfigMap": {"formulas": {"existingConfigMap": "formulas"}},
    "OpenShift": {"securityContext": {"runAsUser": None, "runAsGroup": None}},
    "less of everything": {
        "replicaCount": 1,
        "podDisruptionBudget": {"enabled": False},
        "admissionPolicy": {"enabled": False},
        "check": {"enabled": False},
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "theirs"},
        "topologySpreadConstraints": [],
    },
    "more of everything": {
        "image": {"registry": "registry.example.com", "digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "pull"}],
        "priorityClassName": "system-cluster-critical",
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "additionalLabels": {"team": "platform"},
        "additionalAnnotations": {"owner": "platform"},
        "podLabels": {"mesh": "no"},
        "podAnnotations": {"mesh": "no"},
        "serviceAccount": {"annotations": {"role": "reader"}},
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "extraArgs": ["--log-level=debug"],
        "extraEnv": [{"name": "GRPC_VERBOSITY", "value": "ERROR"}],
        "extraVolumes": [{"name": "token", "secret": {"secretName": "prometheus-token"}}],
        "extraVolumeMounts": [{"name": "token", "mountPath": "/etc/prometheus-token"}],
        "extraContainers": [{"name": "beside", "image": "beside"}],
        "extraInitContainers": [{"name": "before", "image": "before"}],
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": '{{ include "fullname" . }}-more'}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}",
        ],
    },
}
OPERATOR = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}


def one(objects, kind, name="llm-scaler"):
    """The object of a kind and name."""
    (found,) = [item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def kinds(objects):
    return {item["kind"] for item in objects}


def settings_of(objects):
    """The settings file that is mounted, read by llm-scaler itself."""
    text = one(objects, "ConfigMap", "llm-scaler-settings")["data"]["settings.yaml"]
    return read_settings(yaml.safe_load(text), "settings.yaml", {}, {})


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_helm_finds_no_mistake(values):
    lint(values)


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_kubernetes_takes_what_is_rendered(values):
    objects = render(values)
    assert [problem for item in objects if item["kind"] not in OPERATOR for problem in schemas.problems(item)] == []
    theirs = [item for item in objects if item["kind"] in OPERATOR]
    judged = subprocess.run([tool("operator")], input=json.dumps(theirs), capture_output=True, text=True, check=False)
    assert (judged.stdout.strip(), judged.stderr) == (str(len(theirs)), "")
    assert "CustomResourceDefinition" not in kinds(objects)


def test_the_judges_see_a_mistake():
    objects = render(MATRIX["watched by a Prometheus operator"])
    deployment, monitor = one(objects, "Deployment"), one(objects, "ServiceMonitor")
    deployment["spec"]["template"]["spec"]["contaners"] = []
    monitor["spec"]["endpoint"] = []
    assert "contaners" in str(schemas.problems(deployment))
    judged = subprocess.run(
        [tool("operator")], input=json.dumps([monitor]), capture_output=True, text=True, check=False
    )
    assert 'unknown field "endpoint"' in judged.stderr


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_names_are_said_once(values):
    heads = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in render(values)]
    assert len(heads) == len(set(heads))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 3}, "'replicas' not allowed"),
        ({"image": {"name": "x"}}, "'name' not allowed"),
        ({"settings": {"default": {}}}, "'default' not allowed"),
        ({"settings": {"grpc": {"address": ":1"}}}, "'address' not allowed"),
        ({"settings": {"defaults": {"holdFor": "2 minutes"}}}, "holdFor"),
        ({"formulas": {"files": {"own.txt": ""}}}, "own.txt"),
        ({"networkPolicy": {"flavor": "cilium"}}, "flavor"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, "minAvailable"),
        ({"admissionPolicy": {"validationActions": ["Refuse"]}}, "validationActions"),
        ({"prometheus": {"serviceMonitor": {"labels": {}}}}, "'labels' not allowed"),
    ],
)
def test_a_value_that_is_not_understood_is_refused(values, said):
    with pytest.raises(HelmError, match=re.escape(said)):
        render(values)


def test_certificates_that_cannot_come_about_are_refused_with_what_to_do():
    with pytest.raises(HelmError, match="install the release there, or name a ClusterIssuer"):
        render(MUTUAL_TLS, namespace="elsewhere")
    nameless = {"certificates": {"certManager": {"enabled": True, "issuer": {"generate": False}}}}
    with pytest.raises(HelmError, match="name an issuer"):
        render(nameless)


def closed(schema, tree, path=""):
    """Every key that the schema names, against every key that values.yaml has."""
    for name, part in schema["properties"].items():
        place = f"{path}.{name}".removeprefix(".")
        if place in {"global", "settings", "resources"}:
            continue
        assert name in tree, f"{place} is in the schema and not in values.yaml"
        if part.get("additionalProperties") is False:
            closed(part, tree[name], place)
    assert set(tree) <= set(schema["properties"]), path


def test_schema_and_values_name_the_same_keys():
    schema = json.loads((CHART / "values.schema.json").read_text())
    closed(schema, yaml.safe_load((CHART / "values.yaml").read_text()))


def test_the_settings_that_may_be_given_are_those_of_llm_scaler_less_what_the_chart_says():
    own = {"formulas", "grpc.address", "grpc.tls.cert", "grpc.tls.key", "grpc.tls.clientCA", "admin.address"}
    own |= {f"kubernetes.{key}" for key in ("enabled", "kubeconfig", "namespaces", "scalerAddresses")}
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]
    allowed = set()
    for name, part in schema["properties"].items():
        inner = part.get("properties", {})
        allowed |= {f"{name}.{key}" for key in inner} or {name}
    assert allowed == ({key.path for key in KEYS} - own) | {"endpoints"}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_llm_scaler_takes_the_settings_that_are_rendered(values):
    settings = settings_of(render(values))
    assert settings.grpc.address == "0.0.0.0:6000"
    assert bool(settings.grpc.tls.client_ca) == ("certificates" in values)
    assert settings.kubernetes.enabled == ("false" if "permissions" in values else "true")
    assert settings.formulas == (Path("/etc/llm-scaler/formulas") if "formulas" in values else None)


def test_an_edit_of_the_settings_rolls_the_pods_and_one_of_a_formula_does_not():
    def checksum(values):
        return one(render(values), "Deployment")["spec"]["template"]

    own = {"formulas": {"files": {"own.yaml": FORMULA}}}
    assert checksum({}) != checksum(PROMETHEUS)
    assert checksum(own) == checksum({"formulas": {"files": {"own.yaml": FORMULA.replace("8", "9")}}})


def test_a_pod_may_take_longer_to_leave_than_it_needs_and_than_a_poll_of_keda():
    settings = settings_of(render())
    grace = one(render(), "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings.grpc.drain + 2 * settings.grpc.grace
    assert settings.grpc.grace > 1.1 * settings.grpc.max_connection_age, "or calls are cancelled"
    assert settings.grpc.drain + settings.grpc.grace > 30, "seconds between two polls of KEDA"


# ---- rights ----------------------------------------------------------------------------------------------------------


def granted(objects, kind):
    """What the roles of a kind let llm-scaler do: group, resource, verb; each once."""
    found = [
        (item["metadata"].get("namespace"), group, resource, verb)
        for item in objects
        if item["kind"] == kind
        for rule in item["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert len(found) == len(set(found))
    return set(found)


def asked(resources, namespace=None):
    return {(namespace, each.group, each.plural, verb) for each in resources for verb in each.verbs}


# What each switch of `permissions` is for.
SWITCHES = {
    "gpus": set(
        map(named, ("nodes", "namespaces", "resourcequotas", "limitranges", "priorityclasses", "runtimeclasses"))
    ),
    "kueue": set(map(named, ("localqueues", "clusterqueues", "cohorts", "resourceflavors"))),
    "karpenter": set(map(named, ("nodepools", "nodeclaims", "nodeoverlays", "capacitybuffers", "events"))),
    "dynamicResourceAllocation": set(DEVICES),
    "leaderWorkerSets": {LEADER_WORKER_SETS},
    "services": {SLICES},
    "otherScaleTargets": {SCALES},
}


def test_what_is_granted_is_what_is_asked_for():
    assert granted(render(), "ClusterRole") == asked(RESOURCES)
    assert granted(render(), "Role") == set()


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_takes_its_own_rights_away_and_no_others(switch):
    left = set(RESOURCES) - SWITCHES[switch]
    assert granted(render({"permissions": {switch: False}}), "ClusterRole") == asked(left)


def test_in_some_namespaces_only_what_has_none_is_granted_in_all():
    objects = render({"watchNamespace": "team-a, team-b"})
    inside = {each for each in RESOURCES if each.namespaced}
    assert granted(objects, "Role") == asked(inside, "team-a") | asked(inside, "team-b")
    assert granted(objects, "ClusterRole") == asked(set(RESOURCES) - inside)


def test_without_kubernetes_there_is_neither_a_role_nor_a_token():
    objects = render({**PROMETHEUS, "permissions": {"workloads": False}})
    assert kinds(objects).isdisjoint({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})
    assert one(objects, "Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_nothing_is_written_and_no_secret_is_read(values):
    rights = granted(render(values), "ClusterRole") | granted(render(values), "Role")
    assert {verb for *_, verb in rights} <= {"get", "list", "watch"}
    assert {"secrets", "configmaps", "*"}.isdisjoint(resource for _, _, resource, _ in rights)


def test_who_lets_tenants_see_their_own_may_ask_who_they_are_and_nothing_more():
    """TokenReviews and SubjectAccessReviews are made to be answered; nothing of them is kept."""
    values = {"settings": {**PROMETHEUS["settings"], "admin": {"authorization": "kubernetes"}}}
    more = granted(render(values), "ClusterRole") - granted(render(PROMETHEUS), "ClusterRole")
    assert more == {
        (None, "authentication.k8s.io", "tokenreviews", "create"),
        (None, "authorization.k8s.io", "subjectaccessreviews", "create"),
        (None, "keda.sh", "scaledobjects", "get"),
    }
    assert settings_of(render(values)).admin.authorization == "kubernetes"


def test_the_file_of_rights_alone_grants_the_same():
    alone = list(yaml.safe_load_all((ROOT / "deploy" / "rbac.yaml").read_text()))
    assert granted(alone, "ClusterRole") == granted(render(), "ClusterRole")


# ---- certificates and network ----------------------------------------------------------------------------------------


def test_mutual_tls_fits_together():
    objects = render(MUTUAL_TLS)
    server, client = (one(objects, "Certificate", f"llm-scaler-{side}")["spec"] for side in ("server", "client"))
    assert "llm-scaler.keda" in server["dnsNames"], "the host of scalerAddress"
    assert (
        server["issuerRef"]
        == client["issuerRef"]
        == {"name": "llm-scaler-ca", "kind": "Issuer", "group": "cert-manager.io"}
    )
    volumes = one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "tls", "secret": {"secretName": server["secretName"]}} in volumes
    parameters = one(objects, "ClusterTriggerAuthentication")["spec"]["secretTargetRef"]
    assert {each["name"] for each in parameters} == {client["secretName"]}
    assert {each["parameter"]: each["key"] for each in parameters} == {
        "caCert": "ca.crt",
        "tlsClientCert": "tls.crt",
        "tlsClientKey": "tls.key",
    }


def egress(endpoints, **values):
    rendered = render({"networkPolicy": {"enabled": True}, "settings": {"endpoints": endpoints}, **values})
    dns, *rules = one(rendered, "NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    return rules


def namespace(name):
    return {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]}


BLIND = {"permissions": {"workloads": False}}


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://prometheus.monitoring:9090", namespace("monitoring")),
        ("http://prometheus.monitoring.svc:9090", namespace("monitoring")),
        ("http://prometheus.monitoring.svc.cluster.local:9090/prefix", namespace("monitoring")),
        ("http://prometheus:9090", namespace("keda")),
        ("https://mimir.example.com/prometheus", {"ports": [{"port": 443}]}),
        ("http://mimir.example.com", {"ports": [{"port": 80}]}),
        ("http://10.0.0.7:9090", {"ports": [{"port": 9090}]}),
    ],
)
def test_what_the_settings_name_can_be_gone_to_and_nothing_else(url, rule):
    assert egress({"default": {"url": url}}, **BLIND) == [rule]


def test_pages_are_let_through_where_the_pods_are():
    api_server = {"ports": [{"port": 443}, {"port": 6443}]}
    assert egress({}) == [api_server, {"to": [{"namespaceSelector": {}}]}]
    assert egress({}, watchNamespace="team-a") == [api_server, namespace("team-a")]


def test_keda_and_prometheus_may_come_in():
    policy = one(render({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]
    keda, monitoring = policy["ingress"]
    assert keda["ports"] == [{"port": "grpc"}]
    (peer,) = keda["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "keda"}
    assert peer["podSelector"]["matchLabels"] == {"app": "keda-operator"}
    assert monitoring["ports"] == [{"port": "http"}]


# ---- what is generated, and what is said elsewhere too ---------------------------------------------------------------


def test_the_readme_of_the_chart_is_what_its_values_say():
    assert (CHART / "README.md").read_text() == documented(), "run `make chart`"


@pytest.mark.parametrize("name", PLAIN)
def test_the_plain_manifests_are_those_of_the_chart(name):
    assert (MANIFESTS / f"{name}.yaml").read_text() == plain(name), "run `make chart`"


@pytest.mark.parametrize("copy", COPIES, ids=lambda path: path.name)
def test_the_copies_in_the_chart_are_equal(copy):
    assert copy.read_text() == COPIES[copy].read_text(), "run `make chart`"


def test_chart_and_program_have_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {project["version"]}


def test_an_alert_can_be_left_out():
    rules = {"prometheus": {"prometheusRules": {"enabled": True}}}

    def alerts(values):
        groups = one(render(values), "PrometheusRule")["spec"]["groups"]
        return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}

    every = alerts(rules)
    name = min(every)
    rules["prometheus"]["prometheusRules"]["disabled"] = [name]
    assert alerts(rules) == every - {name}


def test_the_readme_says_how_to_install_it():
    """Its very line, rendered instead of installed."""
    text = (ROOT / "README.md").read_text()
    (line,) = re.findall(r"^helm install (.*)$", text, re.MULTILINE)
    command = [tool("helm"), "template", *line.split(), "--kube-version", KUBERNETES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    objects = [document for document in yaml.safe_load_all(done.stdout) if document]
    assert settings_of(objects).endpoints["default"].url == "http://prometheus.monitoring:9090"
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    (image,) = re.findall(r"^make image .*IMAGE=(\S+)", text, re.MULTILINE)
    assert container["image"] == image


@pytest.mark.parametrize("kind", ["Argo CD Application", "Flux HelmRelease"])
def test_the_values_of_the_page_on_argo_cd_and_flux_are_rendered(kind: str):
    """What both of them do: the chart, with the values of their object."""
    text = (ROOT / "docs/gitops.md").read_text()
    (body,) = re.findall(rf"^```yaml\n# {kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spec = yaml.safe_load(body)["spec"]
    values = spec["values"] if "values" in spec else spec["source"]["helm"]["valuesObject"]
    lint(values)
    objects = render(values)
    assert settings_of(objects).endpoints["default"].url == "http://prometheus.monitoring:9090"
    assert {"Certificate", "ServiceMonitor", "PrometheusRule"} <= {item["kind"] for item in objects}


# ---- the policy and the check that runs before an upgrade --------------------------------------------------------------


def takes(metadata):
    """Whether llm-scaler itself takes a trigger, with the settings that the chart renders."""
    settings = settings_of(render(PROMETHEUS))
    request = TriggerRef(
        "default", "asked", tuple(sorted({"scalerAddress": "llm-scaler.keda:6000", **metadata}.items()))
    )
    try:
        trigger = parse_trigger(request)
        file = read_formula(shipped_formulas() / f"{trigger.formula}.yaml") if trigger.formula else None
        bind(file, trigger, settings.defaults)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("metadata", REFUSED.values(), ids=REFUSED)
def test_llm_scaler_itself_refuses_what_the_policy_refuses(metadata):
    assert not takes(metadata)


@pytest.mark.parametrize("metadata", TAKEN.values(), ids=TAKEN)
def test_llm_scaler_itself_takes_what_the_policy_takes(metadata):
    assert takes(metadata)


def checked(values, folder):
    """The containers of the check, run here on what they mount: name -> exit code and what they say."""
    objects = render(values)
    pod = one(objects, "Job", "llm-scaler-check")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume["configMap"]["name"] for volume in pod["volumes"]}
    done = {}
    for container in pod["containers"]:
        for mount in container["volumeMounts"]:
            place = folder / mount["mountPath"].removeprefix("/etc/llm-scaler/")
            place.mkdir(exist_ok=True)
            for name, text in one(objects, "ConfigMap", volumes[mount["name"]])["data"].items():
                (place / name).write_text(text)
        arguments = [word.replace("/etc/llm-scaler", str(folder)) for word in container["args"]]
        command = [Path(sys.executable).with_name("llm-scaler"), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        done[container["name"]] = ran.returncode, ran.stdout + ran.stderr
    return done


def test_the_check_before_an_upgrade_passes_what_is_sound(tmp_path):
    done = checked({**PROMETHEUS, "formulas": {"files": {"own.yaml": FORMULA}}}, tmp_path)
    assert {name: code for name, (code, _) in done.items()} == {"settings": 0, "formulas": 0}


def test_the_check_before_an_upgrade_stops_a_setting_that_is_wrong(tmp_path):
    done = checked({"settings": {"endpoints": {"default": {"url": "http://p", "timeot": "1s"}}}}, tmp_path)
    code, said = done["settings"]
    assert code == 1
    assert "endpoints.default.timeot: unknown key" in said


def test_the_check_before_an_upgrade_stops_a_formula_that_is_wrong(tmp_path):
    done = checked(
        {"formulas": {"files": {"own.yaml": FORMULA.replace("signal: waiting", "signal: wating")}}}, tmp_path
    )
    code, said = done["formulas"]
    assert code == 1
    assert "wating" in said


def test_the_check_reads_what_the_new_release_will_mount():
    objects = render({**PROMETHEUS, "formulas": {"files": {"own.yaml": FORMULA}}})
    for name in ("settings", "formulas"):
        kept = one(objects, "ConfigMap", f"llm-scaler-{name}")["data"]
        assert one(objects, "ConfigMap", f"llm-scaler-{name}-check")["data"] == kept
