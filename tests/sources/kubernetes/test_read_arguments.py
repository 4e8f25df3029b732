"""What the arguments of a pod tell of its engine."""

import pytest

from scaler.sources.kubernetes.read_arguments import seats_of


def pod(*containers):
    return {"containers": [{"name": f"c-{number}", **one} for number, one in enumerate(containers)]}


@pytest.mark.parametrize(
    ("words", "seats"),
    [
        (["vllm", "serve", "llama", "--max-num-seqs", "64"], 64),
        (["--max-num-seqs=64"], 64),
        (["--max_num_seqs", 64], 64),
        (["--max-num-seqs", "64", "--max-num-seqs=32"], 32),
        (["--max-num-seqs", "64", "--data-parallel-size", "2"], 128),
        (["--max-num-seqs", "64", "-dp", "8", "--data-parallel-size-local=4"], 256),
        (["sh", "-c", "exec vllm serve llama --max-num-seqs '128' --port 8000"], 128),
        (["sh", "-c", "vllm serve llama \\\n  --max-num-seqs 16 \\\n  --port 8000"], 16),
        (["python", "-m", "sglang.launch_server", "--max-running-requests", "48", "--dp-size", "2"], 48),
        (["trtllm-serve", "llama", "--max_batch_size", "32"], 32),
        (["llama-server", "-np", "4"], 4),
        (["llama-server", "--parallel", "8"], 8),
        (["--max-num-seqs", "$(SEATS)"], None),
        (["--max-num-seqs", "64k"], None),
        (["--max-num-seqs", "0"], None),
        (["--max-num-seqs"], None),
        (["--no-max-num-seqs", "64"], None),
        (["--max-num-seqs-x", "64"], None),
        (["--tensor-parallel-size", "8", "--pipeline-parallel", "2"], None),
        ([], None),
    ],
)
def test_how_many_requests_at_once(words, seats):
    assert seats_of(pod({"command": words[:1], "args": words[1:]})) == seats


def test_a_sidecar_without_such_an_argument_does_not_matter_and_two_that_have_one_tell_nothing():
    engine = {"args": ["--max-num-seqs", "64"]}
    assert seats_of(pod({"args": None}, engine, {})) == 64
    assert seats_of(pod(engine, engine)) is None
    assert seats_of({}) is None
