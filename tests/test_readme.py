"""Every block of README.md and of the pages in docs/ is executed: the shell of a page in one session, YAML as what its first line says it is."""

import json
import os
import re
import subprocess
from functools import reduce
from pathlib import Path

import jsonschema
import pytest
import yaml
from laboratory.build import TODAY
from support.prometheus_server import free_port

from scaler import __version__
from scaler.check import check_file
from scaler.config.bind import RESERVED_KEYS, bind, parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.endpoint import PodPages
from scaler.config.settings import KEYS, read_settings
from scaler.config.trigger import NOT_YET_KEYS, parse_trigger
from scaler.model.fields import Fields
from scaler.model.measurement import TriggerRef
from scaler.model.objects import HpaStatus, ScaledResource
from scaler.model.strict_yaml import parse_yaml
from scaler.policy import hpa as hpa_policy
from scaler.policy.aside import in_the_way
from scaler.server.metrics import METRICS

REPO = Path(__file__).parents[1]
TEXTS = {
    str(path.relative_to(REPO)): path.read_text() for path in [REPO / "README.md", *sorted(REPO.glob("docs/**/*.md"))]
}
BLOCKS = [
    (page, language, body)
    for page, text in TEXTS.items()
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
]


def kind_of(body):
    """What the first line of a YAML block says it is."""
    return body.splitlines()[0].removeprefix("# ")


def of_kind(*kinds):
    """The YAML blocks of some kinds, as parameters of a test, each named after its page."""
    found = [(page, body) for page, language, body in BLOCKS if language == "yaml" and kind_of(body) in kinds]
    return [pytest.param(body, id=f"{page}-{index}") for index, (page, body) in enumerate(found)]


def defaults(settings=None):
    return read_settings(settings or {"prometheus": "http://p"}, "s", {}, {}).defaults


def bound(tree):
    """The spec of the one trigger of a ScaledObject or ScaledJob."""
    [trigger] = tree["spec"]["triggers"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA wants text"
    metadata = tree["metadata"]
    request = TriggerRef(metadata["namespace"], metadata["name"], tuple(sorted(trigger["metadata"].items())))
    asked = parse_trigger(request)
    path = shipped_formulas() / f"{asked.formula}.yaml"
    file = parse_file(parse_yaml(path.read_text(), path.name), path.name, path.stem) if asked.formula else None
    return bind(file, asked, defaults())


ASIDE = "part of a ScaledObject's spec"
MEMBERS = "triggers of a group"


def test_every_block_says_what_it_is():
    """Which have a test below; `text` is what a command prints."""
    kinds = {"ScaledObject", "ScaledJob", "formula", "settings", "settings without Prometheus", ASIDE, MEMBERS, *GITOPS}
    for page, language, body in BLOCKS:
        assert language in ("sh", "yaml", "text"), page
        assert language != "yaml" or kind_of(body) in kinds, page


@pytest.mark.parametrize("body", of_kind("ScaledObject"))
def test_a_scaled_object_names_a_formula_that_takes_its_trigger(body):
    tree = yaml.safe_load(body)
    assert tree["kind"] == "ScaledObject"
    assert tree["spec"]["fallback"]["behavior"] == "currentReplicasIfHigher", "what the chart's policy asks for"
    assert bound(tree).target == 8


@pytest.mark.parametrize("body", of_kind(ASIDE))
def test_the_hpa_that_the_pages_show_stands_aside(body):
    config = yaml.safe_load(body)["advanced"]["horizontalPodAutoscalerConfig"]
    behavior = hpa_policy.parse(Fields("docs", config, "policy")).behavior
    hpa = HpaStatus("hpa", 1, 1, 1, 100, behavior=behavior)
    scaled = ScaledResource("ScaledObject", "demo", "llama", "u", 1, (), (), "Deployment llama", 0, 100, hpa=hpa)
    assert in_the_way(None, scaled) == ()


@pytest.mark.parametrize("body", of_kind("ScaledJob"))
def test_a_scaled_job_names_a_formula_that_takes_its_trigger(body):
    spec = bound(yaml.safe_load(body))
    assert (spec.is_job, spec.policy_kind, spec.parameters["gpus"]) == (True, "latch", 2)


@pytest.mark.parametrize("body", of_kind("formula"))
def test_a_formula_file_passes_its_own_tests(body):
    report = check_file(parse_file(parse_yaml(body, "docs"), "docs"), defaults())
    assert report.good, report


@pytest.mark.parametrize("body", of_kind(MEMBERS))
def test_the_triggers_of_a_group_are_the_outputs_of_the_file_above_them(body):
    written = [one.values[0] for one in of_kind("formula") if one.id.startswith("docs/groups.md")]
    files = {file.name: file for file in (parse_file(parse_yaml(text, "docs"), "docs") for text in written)}
    asked = [parse_trigger(TriggerRef("demo", "llama", tuple(given.items()))) for given in yaml.safe_load(body)]
    [file] = [files[name] for name in {one.formula for one in asked}]
    members = [bind(file, one, defaults()).member for one in asked]
    assert [member.output for member in members] == list(file.outputs)
    assert len({member.rules for member in members}) == 1, "they are one group"


@pytest.mark.parametrize("body", of_kind("settings"))
def test_the_settings_are_read(body):
    assert read_settings(parse_yaml(body, "docs"), "docs", {}, {}).endpoints


def test_the_settings_without_prometheus_are_read_and_their_trigger_too():
    [(body,)] = [one.values for one in of_kind("settings without Prometheus")]
    settings = read_settings(yaml.safe_load(body), "docs", {}, {})
    endpoint = settings.endpoints["pods"]
    kinds = [one.kind for one in endpoint.named]
    assert (endpoint.pods, kinds, len(endpoint.pages)) == (PodPages(), ["service", "dns"], 2)
    assert read_settings({}, "docs", {}, {}).defaults.endpoint == "pods"
    trigger = parse_trigger(
        TriggerRef("demo", "llama", (("endpoint", "pods"), ("expression", "queued + waiting"), ("target", "8")))
    )
    assert bind(None, trigger, settings.defaults).endpoints == {"pods"}


GITOPS = {  # of Argo CD and Flux: what the first line says it is, and where it has the values of the chart
    "Argo CD Application": ("spec", "source", "helm", "valuesObject"),
    "Argo CD Application of a model": (),
    "Flux GitRepository": (),
    "Flux HelmRelease": ("spec", "values"),
}


@pytest.mark.parametrize("body", of_kind(*GITOPS))
def test_what_argo_cd_and_flux_are_given_fits_the_chart(body):
    """Its version, its folder and its values; tests/deploy/chart renders them."""
    tree = yaml.safe_load(body)
    assert tree["kind"] in kind_of(body)
    chart = REPO / "deploy/helm/llm-scaler"
    assert set(re.findall(r"\bv\d+\.\d+\.\d+", body)) <= {f"v{__version__}"}
    assert set(re.findall(r"(?:path|chart): (deploy/\S+)", body)) <= {str(chart.relative_to(REPO))}
    values = reduce(lambda found, key: found[key], GITOPS[kind_of(body)], tree)
    if values is not tree:
        jsonschema.validate(values, json.loads((chart / "values.schema.json").read_text()))


def test_the_table_of_trigger_keys_is_whole():
    table = TEXTS["docs/trigger.md"].split("Keys that every trigger may have:")[1].split("The wire always")[0]
    assert RESERVED_KEYS - set(NOT_YET_KEYS) <= set(re.findall(r"`(\w+)[:`]", table))


def test_the_keys_that_the_pages_name_are_settings():
    named = [
        name for text in TEXTS.values() for name in re.findall(r"`((?:grpc|admin|defaults|limits|log)\.[\w.]+)`", text)
    ]
    assert named
    assert set(named) <= {key.path for key in KEYS}


def test_the_formulas_that_the_pages_name_are_shipped():
    shipped = {path.stem for path in shipped_formulas().glob("*.yaml")}
    assert set(re.findall(r"`formula: ([\w-]+)`", "\n".join(TEXTS.values()))) <= shipped


def test_the_metrics_that_the_pages_name_are_there():
    assert set(re.findall(r"\bllm_scaler_\w+", "\n".join(TEXTS.values()))) <= {own.name for own in METRICS}


TRIED = {  # in the README's table: in the record of released packages
    "vLLM": "vllm",
    "vLLM-Omni": "vllm-omni",
    "SGLang": "sglang",
    "Ray Serve": "ray",
    "LiteLLM": "litellm",
    "LMDeploy": "lmdeploy",
    "Dynamo": "ai-dynamo-runtime",
    "llama.cpp (llama-cpp-python)": "llama-cpp-python",
    "SGLang model gateway": "smg",
    "Gateway API inference extension": "inference-extension",
    "Envoy AI Gateway": "envoy-ai-gateway",
    "Kthena": "kthena",
    "Knative": "knative",
    "kube-state-metrics": "kube-state-metrics",
}


def test_the_table_of_versions_is_what_tests_run():
    """The laboratory's programs, and the releases in which the names of metrics were looked up."""
    rows = dict(
        re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", TEXTS["README.md"].split("## What it was tried with")[1], re.M)
    )
    programs = {part.name: part.version for part in TODAY.parts}
    expected = {
        "KEDA": programs["keda"],
        "Kubernetes: API server, HPA, scheduler": programs["kubernetes"],
        "Karpenter": programs["karpenter"],
        "Prometheus": re.sub(r"^0\.(\d)(\d+)\.", r"\1.\2.", programs["prometheus"]),  # v0.316.0 is the module of 3.16.0
    }
    record = json.loads((REPO / "tests/contract/names.json").read_text())
    for told, package in TRIED.items():
        versions = record[package]["versions"]
        expected[told] = f"{versions[0]} to {versions[-1]}" if len(versions) > 1 else versions[0]
    assert {told: rows[told] for told in expected} == expected


@pytest.mark.parametrize("page", TEXTS)
def test_links_point_at_something(page):
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", TEXTS[page]):
        target = (REPO / page).parent / path if path else REPO / page
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


def test_the_tests_that_the_pages_name_are_there():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", "\n".join(TEXTS.values()))
    assert len(named) > 30
    for file, test in named:
        assert not test or f"def {test}(" in (REPO / file).read_text(), f"{file}::{test}"


def test_every_threat_has_a_test():
    rows = re.findall(r"^\| (\d+) \| .* \| ([^|]*) \|$", TEXTS["docs/security.md"], re.M)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert [number for number, tests in rows if "::test_" not in tests] == []


ELSEWHERE = ("docker", "helm", "kubectl")  # what these lines need is in tests/deploy
SHELL = {page: [body for name, language, body in BLOCKS if (name, language) == (page, "sh")] for page in TEXTS}


def is_run(line):
    """Whether a line of shell is run here: `make` is not called again from inside its own test."""
    words = line.split("#")[0].split()
    return bool(words) and words[0] not in ("make", *ELSEWHERE)


def test_the_targets_of_make_are_there():
    targets = set(re.findall(r"^([\w-]+):", (REPO / "Makefile").read_text(), re.M))
    called = [
        line.split()[1]
        for bodies in SHELL.values()
        for body in bodies
        for line in body.splitlines()
        if line.startswith("make ")
    ]
    assert called
    assert set(called) <= targets


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "page", [page for page, bodies in SHELL.items() if any(map(is_run, "\n".join(bodies).splitlines()))]
)
def test_the_commands_run(page, tmp_path):
    """A server that a page starts is there for its next lines; what asks it may get an error, and not silence."""
    grpc, admin = free_port(), free_port()
    lines = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for line in filter(is_run, "\n".join(SHELL[page]).splitlines()):
        command = line.replace("127.0.0.1:6000", f"127.0.0.1:{grpc}")
        if re.search("llm-scaler (ask|explain|doctor|backtest .*--from)", command):
            lines.append(
                f"{command.partition('  #')[0]} > {tmp_path}/out 2>&1 || true; cat {tmp_path}/out; test -s {tmp_path}/out"
            )
            continue
        lines.append(command)
        if command.endswith("&"):
            reached = f"(exec 3<>/dev/tcp/127.0.0.1/{admin}) 2>/dev/null"
            lines.append(f"for i in $(seq 200); do {reached} && break; sleep 0.2; done")
    environment = {
        **os.environ,
        "PROMETHEUS": f"http://127.0.0.1:{free_port()}",
        "LLM_SCALER_GRPC_ADDRESS": f"127.0.0.1:{grpc}",
        "LLM_SCALER_ADMIN_ADDRESS": f"127.0.0.1:{admin}",
        "LLM_SCALER_SERVER": f"http://127.0.0.1:{admin}",
        "LLM_SCALER_GRPC_DRAIN": "0s",
    }
    script = "\n".join(lines).replace(".venv/bin/llm-scaler", "llm-scaler")
    environment["PATH"] = f"{Path(os.sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], check=False, cwd=REPO, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "llm-scaler ask" in script:
        assert "GetMetricSpec  queue-depth, target 1" in done.stdout
        assert "demo/llama  no answer" in done.stdout, "its Prometheus is not there, and it says so"
