import pytest
from support.formula_files import QUEUE, check, read, with_tests

from scaler.check import Finding, Report, check_file, check_paths, render
from scaler.check.timeline import MAX_TICKS
from scaler.config.defaults import Defaults

SLOW = "{name: a burst, interval: 15s, given: {waiting: '0 0 16x4', running: '4x6', replicas: '1x6'}, expect: [%s]}"


def test_a_failing_test_is_shown_with_its_reason():
    text = with_tests(SLOW % "{at: 15s, value: 4}, {at: 30s, value: 16, replicas: 2, active: true}")
    assert (
        render(check(text))
        == """\
FAILED  mine.yaml: 1 test

  failed   tests[0] (a burst) at 30s
           expected  value 16, replicas 2
           came      value 20, replicas 3
           because   3 replicas: queued + waiting + running = 20, at 8 a replica
           given     waiting 16, running 4, queued not measured, counts as 0 (no series (onMissing: zero)), replicas 1, ready 1, starting 0
           steps     queued + waiting + running                                     20
                       queued + waiting                                             16
"""
    )


def test_where_only_activity_differs_the_steps_are_the_activations():
    shown = render(check(with_tests(SLOW % "{at: 15s, active: false}")))
    assert "expected  active false\n           came      active true\n" in shown
    assert "steps     queued + waiting + running > 0                                 true\n" in shown


def test_no_answer_is_shown_as_none_with_the_reason():
    text = QUEUE.replace(", onMissing: zero", "")
    test = "{given: {waiting: _, running: _, queued: _}, expect: [{at: 0s, replicas: 0, value: 0, error: drift}]}"
    shown = render(check(with_tests(test, text=text)))
    problems = "waiting, running, queued: no series"
    assert "expected  value 0, replicas 0, error drift\n" in shown
    assert f"came      value none, replicas none, error {problems}\n" in shown
    assert f"because   no certain answer yet: {problems}\n" in shown
    assert "waiting nil (no series), running nil (no series), queued nil (no series)," in shown
    assert "replicas unknown, ready unknown, starting unknown\n" in shown


def test_guards_are_shown_that_the_formula_does_not_read():
    text = "name: t\nmetrics: {load: {signal: waiting}}\nformula: load\ntarget: 1\nactivationTarget: 0\n"
    test = "{given: {load: 0, running: 3}, expect: [{at: 0s, active: false}]}"
    assert "given     load 0, waiting 0, running 3," in render(check(with_tests(test, text=text)))


def test_a_long_formula_shows_its_first_steps():
    text = QUEUE.replace("formula: queued", "formula: " + " + ".join(["waiting * 1"] * 20) + " + queued")
    shown = render(check(with_tests("{given: {waiting: 1, running: 0}, expect: [{at: 0s, value: 0}]}", text=text)))
    assert "\n           " + " " * 10 + "... and " in shown


def test_findings_follow_by_severity_and_name():
    findings = tuple(
        Finding("mine.yaml", rule, level, f"it {rule}", text)
        for rule, level, text in (("a", "error", "x 1"), ("b", "note", ""))
    )
    assert (
        render(Report("mine.yaml", 2, findings=findings))
        == """\
FAILED  mine.yaml: 2 tests

  error    it a  [a]
           for example  x 1

  note     it b  [b]
"""
    )


@pytest.mark.parametrize(("severity", "good"), [("note", True), ("warning", True), ("error", False)])
def test_only_errors_fail_a_file(severity, good):
    assert Report("f", 0, findings=(Finding("f", "r", severity, "m", ""),)).good is good


def test_a_wrong_test_is_a_problem_and_the_others_are_run():
    wrong = "{given: {waitng: 1}, expect: [{at: 0s, value: 1}]}"
    right = "{given: {waiting: 1, running: 0}, expect: [{at: 0s, value: 2}]}"
    report = check(with_tests(wrong, right))
    assert (report.tests, len(report.problems), len(report.failures), report.good) == (1, 1, 1, False)
    assert render(report).startswith(
        "FAILED  mine.yaml: 1 test\n\n  error    tests[0].given.waitng: unknown key, did you mean waiting?"
    )


def test_an_absurd_test_is_refused_before_it_is_folded():
    test = "{interval: 30m, given: {waiting: '0x800', running: '0x800'}, expect: [{at: %s, value: 0}]}"
    report = check(with_tests(test % "30m", test % "27h30m"))
    assert report.tests == 1
    assert report.problems == (
        f"mine.yaml: tests[1]: brings the tests of this file to 20,162 decisions; allowed: at most {MAX_TICKS:,}",
    )


def test_the_settings_decide_which_endpoints_there_are():
    file = read(QUEUE + "endpoint: thanos\n")
    assert check_file(file, Defaults(endpoints=("default", "thanos"))).good
    report = check_file(file, Defaults())
    assert report.problems == ("mine.yaml: endpoint: 'thanos' is not allowed; allowed: default",)


# ---- files ---------------------------------------------------------------------------------------------------------


def test_a_file_and_a_folder_are_checked(tmp_path):
    (tmp_path / "queue.yaml").write_text(QUEUE)
    (tmp_path / "notes.txt").write_text("not a formula")
    (tmp_path / "typo.yml").write_text(QUEUE.replace("name: queue", "name: typo").replace("+ running", "+ runing"))
    text, good = check_paths([tmp_path / "queue.yaml"])
    assert (text, good) == (f"ok      {tmp_path}/queue.yaml: 0 tests\n", True)
    text, good = check_paths([tmp_path])
    assert not good
    assert (
        f"FAILED  {tmp_path}/typo.yml: 0 tests\n\n  error    formula: unknown name runing, did you mean running?"
        in text
    )


def test_a_file_that_is_not_there_fails_and_so_does_nothing_at_all(tmp_path):
    text, good = check_paths([tmp_path / "no.yaml"])
    assert "no.yaml: cannot be read (No such file or directory)" in text
    assert not good
    text, good = check_paths([tmp_path])
    assert f"no formula files in {tmp_path}; allowed: *.yaml and *.yml directly in it" in text
    assert not good


def test_the_caret_of_a_broken_formula_stays_below_its_place(tmp_path):
    path = tmp_path / "queue.yaml"
    path.write_text(QUEUE.replace("+ running\n", "+ * running\n"))
    first, second = check_paths([path])[0].splitlines()[-2:]
    assert first.index("* running") == second.index("^")
