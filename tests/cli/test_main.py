"""The command as people call it."""

import io
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from support.process import COMMAND, serving
from support.prometheus_server import free_port

from scaler import __version__
from scaler.cli.main import main
from scaler.config.catalog import shipped_formulas
from scaler.config.settings import KEYS, flag

QUEUE = ["formula=queue-depth", "model=m"]


@pytest.fixture
def run(capsys):
    """Run the command in this process: exit code, standard output, standard error."""

    def call(*argv):
        try:
            code = main([str(word) for word in argv])
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_eval_prints_the_value(run):
    assert run("eval", "waiting + running > 3 ? 2 : 0", "waiting=3", "running=2") == (0, "2\n", "")
    assert run("eval", "a ?? 7", "a=nil") == (0, "7\n", "")


def test_eval_shows_every_step(run):
    _, out, _ = run("eval", "a + 1", "a=2", "--steps")
    assert out.splitlines() == [f"{'a + 1':<62} 3", f"{'  a':<62} 2", "3"]


def test_a_wrong_formula_prints_the_caret_message(run):
    code, _, err = run("eval", "waiting + runing", "waiting=3", "running=2")
    assert code == 1
    assert err.splitlines()[1:] == ["  waiting + runing", "            ^"]
    assert "did you mean running?" in err


def test_a_formula_that_fails_on_the_values_says_why(run):
    code, out, err = run("eval", "1 / a", "a=0")
    assert (code, out) == (2, "")
    assert "zero" in err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["a=x"], "a number or nil"),
        (["a"], "argument: a: is not NAME=VALUE"),
        (["--no"], "unrecognized arguments: --no"),
    ],
)
def test_words_that_are_wrong_are_refused(run, words, problem):
    code, _, err = run("eval", "1", *words)
    assert code in {1, 2}
    assert problem in err


def test_words_where_none_belong_are_refused(run):
    assert "unrecognized arguments: extra" in run("serve", "extra")[2]


def test_a_formula_is_checked_as_a_trigger_fills_it(run):
    queue = shipped_formulas() / "queue-depth.yaml"
    assert run("check", queue, "engine=sglang", "target=4")[0] == 0
    code, out, _ = run("check", queue, "engine=triton")
    assert (code, "triton has no signal 'running'" in out) == (1, True)
    assert "trigger: modl: unknown key, did you mean model?" in run("check", queue, "modl=m")[1]


SCALED = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: llama, namespace: demo}
spec:
  scaleTargetRef: {name: llama}
  fallback: {failureThreshold: 3, replicas: 1, behavior: currentReplicasIfHigher}
  triggers:
  - type: external
    metadata: {scalerAddress: "llm-scaler.keda:6000", formula: queue-depth, model: m, target: "8"}
"""


def test_one_file_that_cannot_be_read_keeps_no_other_from_being_checked(run, tmp_path):
    (tmp_path / "a.yaml").write_text("apiVersion: v1\n---\nspec: [\n")
    (tmp_path / "b.yaml").write_text(SCALED)
    code, out, err = run("check", tmp_path)
    assert (code, err) == (1, "")
    assert "a.yaml: 0 tests\n\n  error    is not YAML we can read: a value is missing, or a bracket" in out
    assert "(at 4:1)" in out, "the line of the file, and not of its document"
    assert f"ok      {tmp_path}/b.yaml: ScaledObject demo/llama: 1 trigger of llm-scaler" in out


def test_a_manifest_may_come_through_a_pipe_and_a_formula_may_not(run, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SCALED.encode())))
    code, out, _ = run("check", "-")
    assert (code, out.splitlines()[0]) == (0, "ok      -: ScaledObject demo/llama: 1 trigger of llm-scaler")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_text, args=["name: mine\n"])
    writer.start()
    code, out, _ = run("check", fifo)
    writer.join(10)
    assert code == 1
    assert "holds no manifest; allowed: one; a formula is checked by its file" in out


def test_a_folder_of_formulas_is_what_is_checked_where_no_file_is_named(run, tmp_path):
    code, out, _ = run("check", "--formulas", tmp_path)
    assert (code, f"no formula files in {tmp_path}" in out) == (1, True)
    assert run("check", "")[2] == "llm-scaler: argument: FILE: is empty; allowed: a file, a folder, or KEY=VALUE\n"


@pytest.mark.parametrize("words", [["convert", "-"], ["check", "-"]])
def test_a_standard_input_that_is_closed_is_said(run, monkeypatch, words):
    monkeypatch.setattr("sys.stdin", None)
    code, out, err = run(*words)
    assert code == 1
    assert "standard input: is closed; allowed: a text through a pipe" in out + err


@pytest.mark.parametrize("words", [["schema", "settings"], ["eval", "a", "a=1"], ["signals", "vllm"]])
def test_a_full_disk_is_one_sentence(words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([COMMAND, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "llm-scaler: what is printed cannot be written: No space left on device\n"


@pytest.mark.parametrize("second", ["-3", "nan", "inf", "x"])
def test_a_second_of_the_demo_that_is_none_is_refused(run, second):
    code, _, err = run("demo", "--seconds", "20", f"--load={second}")
    assert (code, "allowed: a number of seconds, 0 or more" in err) == (2, True)


def test_a_key_that_is_misspelled_is_named_and_not_blamed_on_who_reads_it(run, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nmetrcs: {waiting: {signal: waiting}}\nformula: waiting\ntarget: 8\n"
    )
    assert "error    metrcs: unknown key, did you mean metrics?" in run("check", tmp_path / "mine.yaml")[1]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["demo", "--seconds", "x"], "argument --seconds: 'x' is not allowed; allowed: a number"),
        (["backtest", "a/b", "--seed", "x"], "argument --seed: 'x' is not allowed; allowed: a whole number"),
        (["scaledobject", "deployment/a", "--min", "x"], "argument --min: 'x' is not allowed; allowed: a whole number"),
        (
            ["scaledobject", "deployment/a", "--offline", "--model", "m", "--scaler-address", "http://x"],
            "argument: --scaler-address: 'http://x' is no address; allowed: such as llm-scaler.keda:6000",
        ),
        (
            ["doctor", "a/b", "--address", "x"],
            "argument: --address: 'x' is no address; allowed: such as 127.0.0.1:6000",
        ),
    ],
)
def test_a_number_or_an_address_that_is_none_is_told_with_the_word_that_gives_it(run, words, problem):
    code, _, err = run(*words)
    assert code in {1, 2}
    assert problem in err


def test_the_version_is_the_packages(run):
    assert run("--version")[1] == f"llm-scaler {__version__}\n"
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'version = "{__version__}"' in pyproject


def test_the_settings_in_force_are_printed(run, tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_SCALER_LOG_LEVEL", "debug")
    (tmp_path / "s.yaml").write_text("prometheus: http://p:9090\ndefaults: {holdFor: 90s}\n")
    code, out, _ = run(
        "serve", "--settings", tmp_path / "s.yaml", "--grpc-first-decision-timeout", "1s", "--print-settings"
    )
    assert code == 0
    assert "holdFor: 1m30s" in out
    assert "level: debug" in out
    assert "firstDecisionTimeout: 1s" in out


def test_every_setting_is_in_the_help(run):
    help_text = run("serve", "--help")[1]
    assert all(flag(key.path) in help_text for key in KEYS)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("grcp: {}", "grcp: unknown key, did you mean grpc?"),
        ("a: *b", "is not YAML we can read"),
        ("", "defaults.endpoint"),
    ],
)
def test_settings_that_are_wrong_are_one_error(run, tmp_path, content, problem):
    (tmp_path / "s.yaml").write_text(content)
    code, _, err = run("serve", "--settings", tmp_path / "s.yaml")
    assert code == 1
    assert problem in err
    assert len(err.splitlines()) == 1


def test_a_settings_file_that_is_not_there_is_one_error(run, tmp_path):
    assert "cannot be read" in run("serve", "--settings", tmp_path / "none.yaml")[2]


def test_nobody_to_ask_is_said(run):
    address = f"127.0.0.1:{free_port()}"
    code, out, _ = run("ask", address, *QUEUE)
    assert code == 1
    assert out == "GetMetricSpec  UNAVAILABLE: nobody listens there\n"
    code, _, err = run("explain", "a/b", "--server", f"http://{address}")
    assert code == 2
    assert "did not answer" in err


def test_what_is_no_workload_is_refused(run):
    for wrong in ("llama", "demo/", "a/b/c"):
        told = f"llm-scaler: argument: {wrong}: is not NAMESPACE/NAME; allowed: such as demo/llama\n"
        assert run("explain", wrong)[2] == told


def test_a_certificate_that_is_not_there_is_said(run):
    assert "cannot be read" in run("ask", "127.0.0.1:1", "--ca-file", "/nowhere", *QUEUE)[2]


def test_a_server_is_asked_and_explains(run, tmp_path):
    """Its Prometheus is not there: the spec is answered, the rest is an error with the reason."""
    with serving(tmp_path, f"http://127.0.0.1:{free_port()}") as server:
        code, out, _ = run("ask", server.grpc, "--namespace", "demo", "--name", "llama", *QUEUE)
        assert code == 1
        lines = out.splitlines()
        assert lines[0] == "GetMetricSpec  queue-depth, target 1"
        assert lines[1].startswith(
            "GetMetrics     UNAVAILABLE: no certain answer yet: waiting, running, queued: endpoint `default` (http://127.0.0.1:"
        )
        assert lines[2].startswith("IsActive       UNAVAILABLE: no certain answer yet: ")
        code, out, _ = run("explain", "demo/llama", "--server", server.admin)
        assert code == 0
        assert out.startswith("demo/llama  no answer  (unknown, ")
        code, out, _ = run("explain", "demo/llama", "--server", server.admin, "-o", "json")
        assert json.loads(out)[0]["certainty"] == "unknown"
        code, _, err = run("explain", "demo/lama", "--server", server.admin)
        assert code == 2
        assert "did you mean demo/llama?" in err


def test_explain_watches_on_while_the_server_is_away(run, tmp_path):
    with serving(tmp_path, f"http://127.0.0.1:{free_port()}") as server:
        run("ask", server.grpc, "--namespace", "demo", "--name", "llama", *QUEUE)
        watching = [COMMAND, "explain", "demo/llama", "--server", server.admin, "--watch", "--every", "0.1"]
        with subprocess.Popen(watching, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline().startswith("demo/llama  no answer")
            server.process.kill()
            assert "did not answer" in process.stderr.readline()
            process.send_signal(2)
            assert process.wait(20) == 130


def test_a_port_in_use_is_one_clear_error(tmp_path):
    with serving(tmp_path, "http://127.0.0.1:1") as server:
        command = [COMMAND, "serve", "--prometheus", "http://127.0.0.1:1"]
        for flags, key in (
            (["--grpc-address", server.grpc, "--admin-address", "127.0.0.1:0"], "grpc.address"),
            (
                ["--grpc-address", "127.0.0.1:0", "--admin-address", server.admin.removeprefix("http://")],
                "admin.address",
            ),
        ):
            done = subprocess.run(
                [*command, *flags, "--grpc-drain", "0s"], capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 1
            last = done.stderr.splitlines()[-1]
            assert key in last
            assert "in use" in last


def test_a_folder_of_formulas_that_is_not_there_is_one_clear_error(run, tmp_path):
    code, _, err = run("serve", "--prometheus", "http://127.0.0.1:1", "--formulas", tmp_path / "none")
    assert code == 1
    assert "cannot be listed" in err


def test_output_that_nobody_reads_is_no_error():
    done = subprocess.run(f"{COMMAND} serve --help | true", shell=True, capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_explain_at_the_grpc_port_or_at_no_url_is_one_clear_error(run, tmp_path):
    with serving(tmp_path, "http://127.0.0.1:1") as server:
        code, _, err = run("explain", "a/b", "--server", f"http://{server.grpc}")
        assert (code, len(err.splitlines())) == (2, 1)
        assert "is it the gRPC port? The admin port is 8080" in err


@pytest.mark.parametrize(
    "server",
    ["127.0.0.1:8080", "http://[::1", "http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://a b", "http://:1"],
)
def test_what_is_no_url_of_a_server_is_refused(run, server):
    code, _, err = run("explain", "a/b", "--server", server)
    assert (code, len(err.splitlines())) == (1, 1)
    assert f"--server: {server!r} is no address; allowed: a URL such as http://127.0.0.1:8080" in err


@pytest.mark.parametrize("address", ["foo", "http://127.0.0.1:1", "127.0.0.1:abc", "127.0.0.1:65536", "", "::1:6000"])
def test_what_is_no_address_of_a_server_is_refused(run, address):
    code, _, err = run("ask", address, "formula=queue-depth")
    assert (code, len(err.splitlines())) == (1, 1)
    assert f"{address!r} is no address; allowed: such as 127.0.0.1:6000" in err


@pytest.mark.parametrize("address", ["[::1]:1", "127.0.0.1:1", "localhost:1"])
def test_an_address_where_nobody_listens_is_told_in_plain_words(run, address):
    assert run("ask", address, "formula=queue-depth")[1] == "GetMetricSpec  UNAVAILABLE: nobody listens there\n"


def test_a_host_that_nobody_knows_is_told_in_plain_words(run):
    assert run("ask", "no-such-host.invalid:6000", "a=1")[1] == "GetMetricSpec  UNAVAILABLE: the host is not known\n"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--ca-file", "FILE"], "FILE: is no certificate in PEM"),
        (["--cert-file", "FILE", "--key-file", "FILE"], "FILE with FILE: is no certificate in PEM and its key"),
        (
            ["--cert-file", "FILE"],
            "argument: --cert-file: is one of --cert-file and --key-file; allowed: both or neither",
        ),
        (["--key-file", "FILE"], "is one of --cert-file and --key-file; allowed: both or neither"),
    ],
)
def test_files_that_hold_no_certificate_are_refused_before_anybody_is_asked(run, tmp_path, given, problem):
    """gRPC itself ends the process, or says that no root certificate could be loaded."""
    file = str(tmp_path / "a.pem")
    (tmp_path / "a.pem").write_text("no certificate")
    code, _, err = run("ask", "127.0.0.1:1", "a=1", *(file if word == "FILE" else word for word in given))
    assert (code, err) == (1, f"llm-scaler: {problem.replace('FILE', file)}\n" if "FILE" in problem else err)
    assert problem.replace("FILE", file) in err


@pytest.mark.parametrize("words", [["ask", "127.0.0.1:1", "a=1", "--timeout"], ["explain", "a/b", "--every"]])
@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_refused(run, words, seconds):
    assert f"{seconds!r} is not allowed; allowed: a number of seconds above 0" in run(*words, seconds)[2]


@pytest.mark.parametrize("outage", ["5", "x-y", "9-3", "1-inf", "nan-4"])
def test_an_outage_of_the_demo_that_is_no_span_is_refused(run, outage):
    allowed = f"argument --outage: {outage!r} is not allowed; allowed: FROM-TO in seconds, such as 40-60"
    assert allowed in run("demo", "--outage", outage)[2]


def test_replicas_below_0_are_refused_for_what_they_are(run):
    assert (
        "argument: --min: -1 is less than 0; allowed: 0 or more"
        in run("scaledobject", "deployment/x", "--model", "m", "--min", "-1")[2]
    )


def test_a_name_that_is_given_twice_is_refused(run):
    assert "argument: a=2: gives a a second time; allowed: each name once" in run("eval", "a", "a=1", "a=2")[2]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--seconds", "0"], "demo: seconds: 0 is not allowed; allowed: a number above 0"),
        (["--speed", "-1"], "demo: speed: -1 is not allowed; allowed: a number above 0"),
        (
            ["--report", "/nowhere/at/all.html"],
            "demo: report: /nowhere/at/all.html cannot be written, since there is no folder",
        ),
        (["--speed", "nan"], "demo: speed: nan is not allowed; allowed: a number above 0"),
        (["--seconds", "inf"], "demo: seconds: inf is not allowed; allowed: a number above 0"),
        (["--report", "/tmp"], "demo: report: /tmp is a folder; allowed: a file in a folder that is there"),
    ],
)
def test_a_demo_that_cannot_be_shown_is_refused_before_it_starts(run, words, problem):
    code, _, err = run("demo", *words)
    assert (code, len(err.splitlines())) == (1, 1)
    assert problem in err


def test_a_settings_file_without_a_word_is_as_good_as_none(run, tmp_path):
    (tmp_path / "s.yaml").write_text("# nothing yet\n")
    assert run("serve", "--settings", tmp_path / "s.yaml", "--prometheus", "http://p:9090", "--print-settings")[0] == 0
