"""What an endpoint calls the labels of a signal."""

from scaler.config.naming import SCRAPE_LABELS, Naming
from scaler.config.signals import find


def test_what_an_engine_writes_itself_does_not_tell_scrapes_apart():
    written = find("vllm", "waiting").sum_within_pod_by
    assert written
    assert Naming(scrape=(*written, "shard")).scrape_labels(find("vllm", "waiting")) == (*SCRAPE_LABELS, "shard")
    renamed = Naming(labels={written[0]: "ours"}, scrape=("ours", "shard"))
    assert renamed.scrape_labels(find("vllm", "waiting")) == (*SCRAPE_LABELS, "shard")


def test_a_signal_that_is_told_in_no_parts_has_all_labels_of_the_scrape():
    assert find("ray-llm", "waiting").sum_within_pod_by is None
    assert Naming().scrape_labels(find("ray-llm", "waiting")) == tuple(SCRAPE_LABELS)


def test_a_namespace_that_the_gateway_writes_keeps_its_name_and_others_have_the_endpoints():
    dialect = Naming(labels={"namespace": "kube_namespace", "model_name": "served"})
    assert dialect.label_of(find("vllm", "waiting"), "namespace") == "kube_namespace"
    assert dialect.label_of(find("vllm", "waiting"), "model") == "served"
    assert dialect.label_of(find("knative", "queued"), "namespace") == "k8s_namespace_name"
    assert Naming().label_of(find("vllm", "waiting"), "namespace") == "namespace"


def test_what_an_engine_writes_in_lower_case_is_also_asked_for_so():
    queued, waiting = find("dynamo", "queued"), find("vllm", "waiting")
    assert queued.also_called("model", "Llama") == ("llama",)
    assert queued.also_called("model", "llama") == ()
    assert queued.also_called("namespace", "Team") == ()
    assert waiting.also_called("model", "Llama") == ()
