"""Training when a model has drifted (formula retraining): one Job for every rise, on GPUs that serving is not expected to need.

The need: a level trigger on drift and free GPUs starts one training after the other, and takes the GPUs of the next peak.
"""

import time
from collections.abc import Iterator, Mapping

import pytest
import yaml
from laboratory.api import Object
from laboratory.lab import Lab, condition
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, node, scaled_object, trigger

GPUS = 4  # of the only machine that has any
BUSY = 20  # seconds for which what serving took is remembered
LATE = 6  # seconds for which GPUs have to be free; what serving takes is scraped every 2 s
RUN = 10  # seconds that a training takes
STAYS = 12  # seconds that the drift stays high after it
METADATA = {"formula": "retraining", "gpus": "2", "holdFor": "5s"}


@pytest.fixture
def machine(lab: Lab) -> Iterator[None]:
    lab.apply(node("gpu-0", gpus=GPUS))
    yield
    lab.api.delete("Node", "gpu-0")


def training(
    scaler: LlmScaler, name: str, metadata: Mapping[str, str], run: Mapping[str, str], **spec: object
) -> Object:
    """The ScaledJob of docs/training.md, polled every 2 s; `run` are annotations that say how its pods run."""
    container = {"name": "train", "image": "train", "resources": {"limits": {"nvidia.com/gpu": METADATA["gpus"]}}}
    pod = {
        "metadata": {"annotations": dict(run)},
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "jobTargetRef": {"template": pod, "backoffLimit": 0},
            "pollingInterval": 2,
            "maxReplicaCount": 1,
            "rollout": {"strategy": "gradual"},
            "triggers": [trigger(scaler.address, **METADATA, **metadata)],
            **spec,
        },
    }


def shortened(lab: Lab) -> LlmScaler:
    """Start llm-scaler with a shipped formula that looks back no further than so long, since nobody waits a day here."""
    scaler = LlmScaler(lab)
    file = scaler.formulas / "retraining.yaml"
    tree = yaml.safe_load(file.read_text())
    tree["policy"]["memory"] = "1m"
    tree["metrics"]["served_most"]["window"] = f"{BUSY}s"
    for name in ("fits", "free"):
        tree["metrics"][name]["over"] = f"{LATE}s"
    file.write_text(yaml.safe_dump({key: value for key, value in tree.items() if key != "tests"}))
    scaler.start()
    return scaler


def test_a_rise_of_the_drift_starts_one_training_when_serving_has_no_need_of_the_gpus(lab: Lab, machine: None):
    scaler = shortened(lab)
    jobs = lambda: lab.api.items("Job", "default")  # noqa: E731
    done = lambda: sum(condition(job, "Complete") for job in jobs())  # noqa: E731
    says = lambda words: words in scaler.reason("train")  # noqa: E731

    lab.fleet.queued["chat"], lab.fleet.drift["chat"] = 3, 0.1
    lab.apply(model("chat", lab.fleet.port, replicas=1))
    serving = {"expression": "queued", "model": "chat", "target": "1", "holdFor": "5s"}
    lab.apply(scaled_object("chat", scaler.address, serving))
    lab.apply(training(scaler, "train", {"model": "chat", "serving": "chat", "interval": "1s"}, {"lab/run": f"{RUN}s"}))
    lab.wait(lambda: lab.ready("chat") == 3, 60, "serving is at its peak")
    lab.wait(lambda: says("below 0.2, ready for the next rise"), 30, "llm-scaler knows the drift and the Jobs")

    lab.fleet.drift["chat"] = 0.4
    lab.wait(lambda: says("`fits >= 1` is false"), 30, "too few GPUs are free for a training")
    peak = scaler.reason("train")
    lab.fleet.queued["chat"] = 1
    lab.wait(lambda: says("free = 3") and says("served_most = 3"), 30, "GPUs are free that the next peak would need")
    reserved = scaler.reason("train")
    assert not jobs()
    began = time.monotonic()
    lab.wait(jobs, 2 * BUSY, "the peak is forgotten, and a training starts")
    waited = time.monotonic() - began
    lab.wait(lambda: says("has not ended"), 40, "llm-scaler sees it run")
    lab.wait(lambda: done() == 1, 3 * RUN, "it runs to its end")

    lab.wait(lambda: says("has not fallen below 0.2 since job train-"), 40, "one training is enough for one rise")
    scaler.kill()
    scaler.start()
    until = time.monotonic() + STAYS
    lab.wait(lambda: time.monotonic() > until, 2 * STAYS, "the drift stays high")
    stays = scaler.reason("train")
    assert "has not fallen below 0.2 since job train-" in stays
    assert len(jobs()) == 1

    lab.fleet.drift["chat"] = 0.1
    lab.wait(lambda: says("ready for the next rise"), 40, "the drift has fallen")
    lab.fleet.drift["chat"] = 0.35
    lab.wait(lambda: len(jobs()) == 2, 40, "the next rise starts the next training")
    lab.wait(lambda: done() == 2, 3 * RUN, "it runs to its end")
    assert len(jobs()) == 2
    lab.say(
        f"retraining: 2 rises, 2 Jobs; the first {waited:.0f} s after the peak; then in {STAYS} s and a restart none"
    )
    for line in (peak, reserved, stays):
        lab.say(f"  {line}")


def test_a_training_that_fails_is_tried_again_and_one_whose_job_is_gone_is_not(lab: Lab, machine: None):
    """Decided every 10 s and polled every 2 s, so that a poll comes after the end of a Job and before the next tick."""
    scaler = shortened(lab)
    seen: set[str] = set()

    def says(words: str) -> bool:
        seen.update(job["metadata"]["name"] for job in lab.api.items("Job", "default"))
        return words in scaler.reason("retried")

    lab.fleet.drift["failing"] = 0.4
    lab.apply(model("failing", lab.fleet.port, gpus=0, replicas=1))
    metadata = {"model": "failing", "serving": "failing", "retryAfter": "4s", "maxRetries": "1", "interval": "10s"}
    lab.apply(training(scaler, "retried", metadata, {"lab/run": "2s", "lab/fails": "yes"}, rollout={}))
    lab.wait(lambda: says("retry 1 of 1 in"), 40, "the first training fails")
    lab.wait(lambda: says("after 1 of 1 retries"), 40, "it is tried again, and that fails, too")
    given_up = scaler.reason("retried")
    assert len(seen) == 2

    lab.api.patch("ScaledJob", "retried", {"spec": {"maxReplicaCount": 2}})
    jobs = lambda: lab.api.items("Job", "default")  # noqa: E731
    lab.wait(lambda: not jobs(), 30, "KEDA deletes the Jobs of before the edit, since its rollout is not gradual")
    lab.wait(lambda: says("since a job that is gone started"), 30, "llm-scaler goes by what KEDA remembers")
    scaler.kill()
    scaler.start()
    until = time.monotonic() + STAYS
    lab.wait(lambda: says("") and time.monotonic() > until, 2 * STAYS, "the drift stays high")
    gone = scaler.reason("retried")
    assert "since a job that is gone started" in gone
    assert len(seen) == 2
    lab.say(f"retraining: a failed Job is tried again once; with both deleted, in {STAYS} s and a restart none")
    for line in (given_up, gone):
        lab.say(f"  {line}")
