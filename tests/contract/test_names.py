"""The catalogue against the record of released packages: every name where its entry says it is, and only there.

After `python tests/contract/record.py` a renamed metric fails here, beside the names that the new release has instead.
"""

import difflib
import re

import pytest
from contract import record
from packaging.specifiers import SpecifierSet

from scaler.config import signals

RECORD = record.read()
PACKAGES = {
    "vllm": "vllm",
    "ray-llm": "vllm",  # names its metrics itself, through vllm/v1/metrics/ray_wrappers.py
    "vllm-omni": "vllm-omni",
    "sglang": "sglang",
    "ray-sglang": "sglang",  # likewise, through sglang/srt/observability/ray_wrappers.py
    "ray-serve": "ray",
    "lmdeploy": "lmdeploy",
    "litellm": "litellm",
    "dynamo": "ai-dynamo-runtime",
    "smg": "smg",
    "inference-extension": "inference-extension",
    "kthena": "kthena",
    "envoy-ai-gateway": "envoy-ai-gateway",
    "gen-ai": "gen-ai",
    "knative": "knative",
    "llama-cpp": "llama-cpp-python",
    "kubernetes": "kube-state-metrics",
}
WITHOUT = {  # nothing of theirs is on a package index; their facts were read in the sources that the entries name
    *("tgi", "triton", "triton-trtllm", "trtllm-serve", "nim"),
    *("llm-d", "production-stack", "keda-http-add-on"),
    "vllm-router",  # is there as a program only; tests/engines has its page
}
ENTRIES = sorted(
    {
        (engine, name, metric.versions)
        for engine, offered in signals.engines().items()
        for signal in offered.values()
        for metric in (*signal.metrics, *signal.divided_by)
        if not metric.respelled
        for name in (metric.name, *([metric.info_join.info] if metric.info_join else []))
    }
)


def spellings(exported):
    """How the source may write a name: the client library adds _total, a histogram _sum and _count."""
    written = re.sub(r"^ray_(vllm|sglang)[_:]", r"\1:", exported)
    spelled = {written, *(written.removesuffix(suffix) for suffix in ("_total", "_sum", "_count"))}
    if written.startswith("gen_ai_"):  # OpenTelemetry keeps the unit apart
        return spelled | {one.removesuffix("_seconds") for one in spelled}
    return spelled


def within(version, claimed):
    """Whether a release is claimed; a development build is one too."""
    return claimed.contains(version, prereleases=True)


def test_every_engine_has_a_package_or_is_known_to_have_none():
    assert set(PACKAGES) | WITHOUT == set(signals.engines())
    assert {*PACKAGES.values(), "vllm-rust"} == set(RECORD) == set(record.PACKAGES)


@pytest.mark.parametrize(("engine", "name", "versions"), ENTRIES)
def test_what_an_entry_claims_can_be_read_by_a_machine(engine, name, versions):
    claimed, _, words = versions.partition(";")
    assert len(SpecifierSet(claimed)) > 0
    assert words == (words and f" {words.strip()}")


CAN_BE_COMPARED = [
    entry for entry in ENTRIES if entry[0] in PACKAGES and not entry[1].startswith("container_")
]  # cAdvisor's


@pytest.mark.parametrize(("engine", "name", "versions"), CAN_BE_COMPARED)
def test_a_name_is_in_the_versions_that_claim_it_and_in_no_other(engine, name, versions):
    recorded, names = RECORD[PACKAGES[engine]]
    claimed = SpecifierSet(versions.partition(";")[0])
    has = {version for spelling in spellings(name) for version in names.get(spelling, ())}
    if engine in {"ray-llm", "ray-serve", "ray-sglang"}:  # one text, which becomes one name or the other by version
        has &= {version for version in recorded if within(version, claimed)}
    lacking = [version for version in recorded if within(version, claimed) and version not in has]
    beyond = [version for version in recorded if not within(version, claimed) and version in has]
    newest = [one for one, versions in names.items() if recorded[-1] in versions]
    like = difflib.get_close_matches(min(spellings(name), key=len), newest, n=5)
    assert (lacking, beyond) == ([], []), f"{recorded[-1]} has {like}"


def test_vllm_s_front_end_in_rust_has_the_newest_names():
    recorded, names = RECORD["vllm-rust"]
    own = signals.engines()["vllm"].values()
    newest = {one.metrics[0].name for one in own if one.name != "refused"}  # it has no queue limit
    assert not {name for name in newest if not spellings(name) & {one for one in names if recorded[-1] in names[one]}}


def test_several_releases_of_each_package_are_recorded():
    few = {package for package, (versions, _) in RECORD.items() if len(versions) < 4}
    assert few == {"kthena", "envoy-ai-gateway", "vllm-rust"}, "of these the registries have fewer, or they are new"


def test_the_record_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "FILE", tmp_path / "names.json")
    known = {"a": (["1", "2", "3", "4"], {"x": ["1", "2", "4"], "y": ["3"]})}
    record.write(known)
    assert '"x": "1..2 4"' in record.FILE.read_text()
    assert record.read() == known


def test_a_release_of_knative_has_another_number_than_its_module():
    knative = record.PACKAGES["knative"]
    assert (record.renumbered(knative, "0.46.2"), record.renumbered(knative, "1.19.2", back=True)) == (
        "1.19.2",
        "0.46.2",
    )
    assert record.renumbered(record.PACKAGES["kthena"], "1.0.0") == "1.0.0"


@pytest.mark.parametrize(
    ("package", "text", "found"),
    [
        ("vllm", 'name="vllm:kv_cache_usage_perc",  # vllm:other', {"vllm:kv_cache_usage_perc"}),
        ("ray", 'metrics.Gauge(\n "serve_deployment_queued_queries"', {"ray_serve_deployment_queued_queries"}),
        ("ai-dynamo-runtime", '    QUEUED = "queued_requests"\n', {"dynamo_frontend_queued_requests"}),
        ("llama-cpp-python", '            "requests_deferred",\n', {"llamacpp:requests_deferred"}),
        ("llama-cpp-python", '{"name",  "requests_deferred"},\n', {"llamacpp:requests_deferred"}),
        ("vllm-rust", '            "vllm:kv_cache_usage_perc",\n  // "vllm:other" 1', {"vllm:kv_cache_usage_perc"}),
        ("smg", 'gauge!("smg_admission_queue_depth").set(1.0)', {"smg_admission_queue_depth"}),
        ("vllm-omni", 'PROMPT = METRIC_PREFIX + "prompt_tokens"', {"vllm_omni:prompt_tokens"}),
        (
            "inference-extension",
            'const (\n\tpart = "inference_pool"\n)\n\t\t\tSubsystem: part,\n\t\t\tName:      "ready_pods",',
            {"inference_pool_ready_pods"},
        ),
        ("knative", '\t\t"kn.revision.request.queued",', {"kn_revision_request_queued"}),
        ("kube-state-metrics", '\t\t\t"kube_deployment_spec_replicas",\n', {"kube_deployment_spec_replicas"}),
    ],
)
def test_names_are_found_in_source_text(package, text, found):
    assert record.names(record.PACKAGES[package], text) == found
