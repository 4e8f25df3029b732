"""What it costs to watch a large cluster: CPU and memory of listing, of a quiet and a busy minute, and of a picture.

    .venv/bin/python tests/benchmarks/bench_kube.py [PODS] [OBJECTS]

The API server is tests/kubernetes_server.py in a process of its own, with pods of the size that they have in clusters
(6 kB with their managedFields). A tenth of the pods belongs to OBJECTS ScaledObjects, the others to nobody here; there is a
node of 12 kB for every ten of them. For comparison the same list is read as the client's model objects, one page of it.
"""

import importlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.cluster import GPU, node
from support.kubernetes_objects import deployment, pod, scaled_object
from support.kubernetes_server import Server

from scaler.sources.kubernetes.cache import ClusterCache
from scaler.sources.kubernetes.reflector import PAGE

EVENTS, SECONDS = 100, 20  # a second, for so long
PADDING = [{"manager": "kubelet", "operation": "Update", "fieldsV1": {f"f:field-{n}": {} for n in range(230)}}]


def main() -> None:
    pods, objects = (int(word) for word in (*sys.argv[1:], *("50000", "1000")[len(sys.argv) - 1 :]))
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=serve, args=(theirs, pods, objects), daemon=True)
    child.start()
    with tempfile.TemporaryDirectory() as folder:
        config, size = Path(folder) / "kubeconfig", 0
        text, size = ours.recv()
        config.write_text(text)
        kube = ClusterCache(config, (), (), time.time)
        before = usage()
        importlib.import_module("scaler.sources.kubernetes.api")
        imported = usage()
        print(f"import of the client: {imported[0] - before[0]:.2f} s CPU, {imported[1] - before[1]:.0f} MB")
        models(size)
        began, before = time.perf_counter(), usage()
        kube.start()
        kube.wait_for_sync(600)
        after, took = usage(), time.perf_counter() - began
        print(
            f"list of {pods} pods, {size} bytes each: {took:.1f} s, {after[0] - before[0]:.1f} s CPU, "
            f"{after[1] - before[1]:.0f} MB kept at most"
        )
        picture(kube, "the first picture")
        kube._made = None
        picture(kube, "a picture in which everything is new")
        picture(kube, "a picture in which nothing has changed")
        for word in ("quiet", "busy"):
            ours.send(word)
            before = usage()
            time.sleep(SECONDS)
            after = usage()
            rate = 0 if word == "quiet" else EVENTS
            print(
                f"{word}, {rate} pods changing a second: {(after[0] - before[0]) / SECONDS:.1%} of a core, "
                f"{after[1] - before[1]:.0f} MB more"
            )
        print(
            f"known: {sum(len(one.pods or ()) for one in kube.cluster())} pods of {len(list(kube.cluster()))} objects"
        )
        kube.close()
    child.kill()


def serve(pipe, pods: int, objects: int) -> None:
    server = Server()
    server.quiet = 20.0
    for number in range(objects):
        server.put("scaledobjects", scaled_object(f"model-{number}"))
        server.put("deployments", deployment(f"model-{number}"))
    for number in range(pods):
        owner = f"model-{number % objects}-5d8f" if number % 10 == 0 else f"other-{number // 20}-77cc"
        server.put("pods", padded(number, owner))
    for number in range(pods // 10):
        server.put("nodes", machine(number))
    server.events = {}
    with tempfile.TemporaryDirectory() as folder:
        pipe.send((server.kubeconfig(Path(folder)).read_text(), len(json.dumps(padded(0, "model-0-5d8f")))))
    while pipe.recv() != "busy":
        pass
    for number in range(EVENTS * SECONDS):
        server.put("pods", padded(number * 7 % pods, f"model-{number % objects}-5d8f"))
        if not number % 6:
            server.put("nodes", machine(number % (pods // 10)))  # a heartbeat every five minutes
        time.sleep(1 / EVENTS)
    pipe.recv()


def padded(number: int, owner: str) -> dict:
    made = pod(f"{owner}-{number:05}", ("ReplicaSet", owner))
    made["metadata"]["managedFields"] = PADDING
    asked = {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {GPU: "1"}}
    made["spec"]["containers"] = [{"name": "engine", "image": "vllm/vllm-openai:v0.11", "resources": asked}]
    made["spec"]["nodeName"] = f"gpu-{number // 10}"
    return made


def machine(number: int) -> dict:
    made = node(f"gpu-{number}", labels={f"example.com/label-{n}": "x" for n in range(30)})
    made["metadata"]["managedFields"] = PADDING
    made["status"]["images"] = [
        {"names": [f"registry.example/image-{n}@sha256:{n:064}"], "sizeBytes": n} for n in range(50)
    ]
    return made


def picture(kube: ClusterCache, what: str) -> None:
    began = time.perf_counter()
    kube.cluster()
    print(f"{what}: {(time.perf_counter() - began) * 1000:.1f} ms")


def models(size: int) -> None:
    """One page as the client's own objects, and as plain JSON."""
    from kubernetes.client import ApiClient

    page = json.dumps({"kind": "PodList", "items": [padded(n, "model-0-5d8f") for n in range(PAGE)]})
    began = time.process_time()
    json.loads(page)
    plain = time.process_time() - began
    began = time.process_time()
    ApiClient().deserialize(page, "V1PodList", "application/json")
    whole = time.process_time() - began
    print(
        f"a page of {PAGE} pods ({len(page) // 1024} kB): {plain * 1000:.0f} ms as JSON, {whole * 1000:.0f} ms as models"
    )


def usage() -> tuple[float, float]:
    """CPU seconds and peak resident memory in MB of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
