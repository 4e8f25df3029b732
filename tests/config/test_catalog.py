import pytest

from scaler.config.catalog import MAX_FILE_BYTES, Catalog, load
from scaler.model.errors import ConfigError, UnknownFormula

GOOD = "name: {name}\nmetrics: {{a: {{prometheus: a}}}}\nformula: a\ntarget: {target}\n"


def write(folder, name, target=1, text=None):
    (folder / f"{name}.yaml").write_text(text if text is not None else GOOD.format(name=name, target=target))


def target(catalog, name):
    return catalog.find(name).body["target"]


def test_the_shipped_formulas_are_good():
    catalog = load()
    assert not catalog.problems
    assert {"queue-depth", "tokens-per-pod", "kv-cache", "token-latency", "cheaper-model"} <= set(catalog.formulas)


def test_the_shipped_formulas_read_the_engine_catalogue_and_nothing_past_it():
    """Names of metrics change, which is seen there alone. A drift is measured by the user, under a name of his own."""
    queries = {
        (name, metric): source["prometheus"]
        for name, file in load().formulas.items()
        for metric, source in file.body["metrics"].items()
        if "prometheus" in source
    }
    assert queries == {("retraining", "drift"): 'max({__name__="$driftMetric", model="$model"})'}


def test_an_edit_is_seen_and_an_unchanged_folder_gives_the_same_catalogue(tmp_path):
    write(tmp_path, "a", 1)
    first = load(tmp_path)
    assert load(tmp_path, first) is first
    write(tmp_path, "a", 2)
    second = load(tmp_path, first)
    assert (target(first, "a"), target(second, "a")) == (1, 2)


def test_a_bad_edit_keeps_the_last_good_one_of_that_file_alone(tmp_path):
    write(tmp_path, "a", 1)
    write(tmp_path, "b", 1)
    first = load(tmp_path)
    write(tmp_path, "a", text="name: a\nformla: 1\n")
    write(tmp_path, "b", 2)
    second = load(tmp_path, first)
    assert (target(second, "a"), target(second, "b")) == (1, 2)
    assert list(second.problems) == ["a.yaml"]
    third = load(tmp_path, second)
    assert third is second
    write(tmp_path, "a", 3)
    assert target(load(tmp_path, third), "a") == 3


def test_a_file_that_was_never_good_says_why_where_it_is_asked_for(tmp_path):
    write(tmp_path, "a", text="name: a\nformla: 1\n")
    with pytest.raises(UnknownFormula, match=r"formula 'a' could not be read: a.yaml: "):
        load(tmp_path).find("a")


def test_a_file_that_is_gone_goes_on_serving_who_uses_it_and_is_a_problem_until_nobody_does(tmp_path):
    write(tmp_path, "a", 1)
    first = load(tmp_path)
    (tmp_path / "a.yaml").unlink()
    second = load(tmp_path, first, {"a"})
    assert target(second, "a") == 1
    assert "the file is gone" in second.problems["a.yaml"]
    third = load(tmp_path, second)
    assert ("a" in third.formulas, dict(third.problems)) == (False, {})
    assert load(tmp_path, third) is third


def test_the_shipped_formulas_are_there_beside_own_ones(tmp_path):
    write(tmp_path, "mine")
    catalog = load(tmp_path)
    assert {"mine", "queue-depth", "kv-cache"} <= set(catalog.formulas)
    assert catalog.replaced == frozenset()


def test_an_own_file_takes_the_place_of_a_shipped_one_and_gives_it_back(tmp_path):
    write(tmp_path, "queue-depth", 77)
    first = load(tmp_path)
    assert (target(first, "queue-depth"), first.replaced) == (77, {"queue-depth"})
    (tmp_path / "queue-depth.yaml").unlink()
    second = load(tmp_path, first, {"queue-depth"})
    assert (target(second, "queue-depth"), second.replaced) == ("$target", frozenset())
    assert not second.problems


def test_a_bad_file_in_the_place_of_a_shipped_one_is_said_and_loses_nothing_while_running(tmp_path):
    first = load(tmp_path)
    write(tmp_path, "queue-depth", text="name: queue-depth\nformla: 1\n")
    second = load(tmp_path, first)
    assert target(second, "queue-depth") == "$target"
    assert "formla: unknown key, did you mean formula?" in second.problems["queue-depth.yaml"]
    with pytest.raises(UnknownFormula, match="formla"):
        load(tmp_path).find("queue-depth")


def test_a_folder_that_is_gone_loses_nothing_and_is_an_error_only_at_the_start(tmp_path):
    write(tmp_path, "a", 1)
    first = load(tmp_path)
    moved = tmp_path.rename(tmp_path.parent / "moved")
    second = load(tmp_path, first)
    assert target(second, "a") == 1
    assert "cannot be listed" in second.problems[str(tmp_path)]
    with pytest.raises(ConfigError, match="cannot be listed"):
        load(tmp_path)
    assert not load(moved, second).problems


def test_the_swap_of_a_mounted_config_map_is_seen(tmp_path):
    """Kubernetes mounts ..data -> ..2024 and a.yaml -> ..data/a.yaml, and moves ..data alone."""
    for name, number in (("..old", 1), ("..new", 2)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "a", number)
    (tmp_path / "..data").symlink_to("..old")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    first = load(tmp_path)
    (tmp_path / "..data_tmp").symlink_to("..new")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert (target(first, "a"), target(load(tmp_path, first), "a")) == (1, 2)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"name: b\nmetrics: {}\n", "is not the file's own name"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"# " + b"x" * MAX_FILE_BYTES, "is too large; allowed: at most 256 KiB"),
        (b"a: &x [*x]", "aliases are not allowed"),
        (b"", "is empty; allowed: keys and values"),
    ],
)
def test_bad_bytes_are_one_clear_problem(tmp_path, raw, problem):
    (tmp_path / "a.yaml").write_bytes(raw)
    assert problem in load(tmp_path).problems["a.yaml"]


def test_two_files_of_one_name_are_a_problem(tmp_path):
    write(tmp_path, "a")
    (tmp_path / "a.yml").write_text(GOOD.format(name="a", target=9))
    catalog = load(tmp_path)
    assert target(catalog, "a") == 1
    assert "one of each name" in catalog.problems["a.yml"]


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path):
    write(tmp_path, "a")
    first = load(tmp_path)
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "a.yaml").symlink_to(tmp_path / "a.yaml")
    assert target(load(tmp_path, first, {"a"}), "a") == 1


def test_an_unknown_formula_names_the_nearest(tmp_path):
    with pytest.raises(
        UnknownFormula, match="no formula 'queue-dept', did you mean queue-depth[?]; there are: .*kv-cache"
    ):
        load(tmp_path).find("queue-dept")


def test_of_a_long_name_63_characters_are_shown():
    with pytest.raises(UnknownFormula, match=f"no formula '{'x' * 63}'; there are"):
        Catalog({}).find("x" * 100)
    with pytest.raises(UnknownFormula, match=f"formula '{'x' * 63}' could not be read: odd"):
        Catalog({}, {"x" * 100 + ".yaml": "odd"}).find("x" * 100)
