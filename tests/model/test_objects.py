"""What Kubernetes says, looked up for what KEDA asks."""

import pytest

from scaler.model.objects import OLD, Cluster, ScaledResource, resolved, same_trigger

LOAD, OTHER = (("formula", "load"),), (("formula", "other"),)


def scaled(kind="ScaledObject", triggers=(LOAD,)):
    return ScaledResource(kind, "team", "llama", f"uid-of-{kind}", 1, triggers, (), "Deployment llama", 0, 10)


def cluster(*objects, heard=None):
    return Cluster({("team", "llama"): objects}, last_synced=heard)


def found(*objects, metadata=LOAD, kind=None):
    one = cluster(*objects).find("team", "llama", metadata, kind)
    return one and one.kind


@pytest.mark.parametrize(
    ("objects", "asked", "kind"),
    [
        ([scaled()], {}, "ScaledObject"),
        ([scaled("ScaledJob")], {}, "ScaledJob"),
        ([scaled(), scaled("ScaledJob", (OTHER,))], {}, "ScaledObject"),
        ([scaled(), scaled("ScaledJob", (OTHER,))], {"metadata": OTHER}, "ScaledJob"),
        ([scaled(), scaled("ScaledJob")], {}, "ScaledObject"),
        ([scaled(), scaled("ScaledJob")], {"kind": "ScaledJob"}, "ScaledJob"),
        ([scaled()], {"metadata": OTHER}, "ScaledObject"),
        ([scaled(), scaled("ScaledJob")], {"metadata": OTHER}, None),
        ([scaled()], {"kind": "ScaledJob"}, None),
        ([], {}, None),
    ],
)
def test_an_object_is_found_by_its_trigger_then_by_its_name(objects, asked, kind):
    assert found(*objects, **asked) == kind


def test_all_objects():
    one, other = scaled(), scaled("ScaledJob")
    assert list(cluster(one, other)) == [one, other]


@pytest.mark.parametrize(
    ("written", "sent", "same"),
    [
        ((("a", "1"),), (("a", "1"),), True),
        ((("a", "1"),), (("a", "2"),), False),
        ((("a", "1"), ("bFromEnv", "VAR")), (("a", "1"), ("bFromEnv", "resolved")), True),
        ((("a", "1"), ("bFromEnv", "VAR")), (("a", "1"),), True),
        ((("a", "1"),), (("a", "1"), ("bFromEnv", "x")), False),
    ],
)
def test_triggers_are_the_same_but_for_what_keda_takes_from_the_environment(written, sent, same):
    assert same_trigger(written, sent) is same
    assert resolved(written) is not any(key.endswith("FromEnv") for key, _ in written)


def test_any_of_its_triggers_may_be_meant():
    both = scaled(triggers=(LOAD, OTHER))
    assert both.has_trigger(LOAD)
    assert both.has_trigger(OTHER)
    assert not both.has_trigger((("formula", "third"),))


@pytest.mark.parametrize(
    ("heard", "doubt"),
    [(None, ""), (1000.0 - OLD, ""), (1000.0 - OLD - 10, f"Kubernetes was last heard {OLD + 10:.0f}s ago")],
)
def test_old_news_is_doubted(heard, doubt):
    assert cluster(heard=heard).stale_reason(1000.0) == doubt
