"""Other autoscalers' configurations -> formula files and ScaledObjects. Pure: text in, plans out.

plan.py      what a reader makes of a configuration
words.py     looking into manifests, and the names of metrics
write.py     a plan as YAML, with the reason beside each line

and a reader for each original: knative, ray, aibrix, kthena, wallaroo, keda, hpa, wva.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import yaml

from scaler.convert import aibrix, hpa, keda, knative, kthena, ray, wallaroo, wva
from scaler.convert.plan import Plan, Tree
from scaler.model.errors import ConfigError
from scaler.model.strict_yaml import in_words

MAX_BYTES = 4 * 1024 * 1024
MAX_DOCUMENTS = 1000


@dataclass(frozen=True, slots=True)
class OriginalReader:
    """One original.

    Attributes:
        system: its name.
        reads: whether a document is one of its own.
        read: all documents of a file -> a plan for each workload.
        objects: how the API server has it, (group and version, plural); empty: it is not in the cluster.
    """

    system: str
    reads: Callable[[Tree], bool]
    read: Callable[[list[Tree]], list[Plan]]
    objects: tuple[tuple[str, str], ...] = ()


READERS: tuple[OriginalReader, ...] = (
    OriginalReader(
        "Knative",
        knative.reads,
        knative.read,
        (("serving.knative.dev/v1", "services"), ("serving.kserve.io/v1beta1", "inferenceservices")),
    ),
    OriginalReader("AIBrix", aibrix.reads, aibrix.read, (("autoscaling.aibrix.ai/v1alpha1", "podautoscalers"),)),
    OriginalReader(
        "Kthena",
        kthena.reads,
        kthena.read,
        (
            ("workload.serving.volcano.sh/v1alpha1", "autoscalingpolicybindings"),
            ("workload.serving.volcano.sh/v1alpha1", "autoscalingpolicies"),
        ),
    ),
    OriginalReader("KEDA", keda.reads, keda.read, (("keda.sh/v1alpha1", "scaledobjects"),)),
    OriginalReader("HPA", hpa.reads, hpa.read, (("autoscaling/v2", "horizontalpodautoscalers"),)),
    OriginalReader("llm-d WVA", wva.reads, wva.read, (("llmd.ai/v1alpha1", "variantautoscalings"),)),
    OriginalReader("Ray Serve", ray.reads, ray.read, (("ray.io/v1", "rayservices"),)),
    OriginalReader("Wallaroo", wallaroo.reads, wallaroo.read),
)


def read(source: str, where: str) -> list[Plan]:
    """Read a file of any of the originals.

    Args:
        source: YAML or JSON of one or several documents, or Python that builds a Wallaroo deployment configuration.
        where: the file, for messages.

    Raises:
        ConfigError: nothing in it is known, or a value is out of the range that the original has.
    """
    if len(source) > MAX_BYTES:
        raise ConfigError(where, "", "is too large", f"at most {MAX_BYTES // 1024**2} MiB")
    trees = wallaroo.from_python(source) or _documents(source, where)
    plans = of_trees(trees)
    if not plans:
        systems = ", ".join(reader.system for reader in READERS)
        raise ConfigError(where, "", "nothing in it is a configuration that can be converted", f"one of {systems}")
    return plans


def of_trees(trees: list[Tree]) -> list[Plan]:
    """Read documents, each by the first reader that knows it."""
    mine: Mapping[str, list[Tree]] = {reader.system: [] for reader in READERS}
    for tree in trees:
        reader = next((one for one in READERS if one.reads(tree)), None)
        if reader is not None:
            mine[reader.system].append(tree)
    return [plan for reader in READERS if mine[reader.system] for plan in reader.read(mine[reader.system])]


def _place(error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f" (at {mark.line + 1}:{mark.column + 1})" if mark else ""


def _documents(source: str, where: str) -> list[Tree]:
    """List the mappings of a YAML stream; lists of Kubernetes (kind: List) are opened."""
    found: list[Tree] = []
    try:
        for tree in yaml.safe_load_all(source):
            items = tree.get("items") if isinstance(tree, Mapping) else None
            inner = items if isinstance(items, list) else [tree]
            found += [one for one in inner if isinstance(one, Mapping)]
            if len(found) > MAX_DOCUMENTS:
                raise ConfigError(where, "", f"has more than {MAX_DOCUMENTS} documents")
    except RecursionError:
        raise ConfigError(where, "", "is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(where, "", f"is not YAML we can read: {in_words(error)}{_place(error)}") from None
    return found
