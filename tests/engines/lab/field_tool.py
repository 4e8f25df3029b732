"""Load by a tool of the field, vLLM's own benchmark: real requests with streamed answers, as users measure their fleets."""

import json
from pathlib import Path
from typing import Any

from engines import tiny_model
from engines.install import installed
from engines.servers import MODEL, OFFLINE
from laboratory.process import Part


def bench_serve(home: Path, url: str, *flags: str) -> Part:
    """Return `vllm bench serve` against a server or a gateway, with prompts of random words.

    As a module, since `vllm` looks for a distribution of that name, and without asking first whether the server is up.

    Args:
        home: the folder that the model's files are written to; the tokenizer is one of them.
        url: of the server.
        flags: of the tool, such as how many requests and how fast.
    """
    model = tiny_model.write(home / "model")
    command = (
        *(str(installed("vllm") / "python"), "-m", "vllm.entrypoints.cli.main", "bench", "serve"),
        *("--backend", "openai", "--base-url", url, "--endpoint", "/v1/completions"),
        *("--model", MODEL, "--tokenizer", str(model), "--dataset-name", "random", "--ignore-eos"),
        *("--ready-check-timeout-sec", "0", *flags),
    )
    return Part("bench-serve", command, ready=lambda: True, env=OFFLINE)


def saving(file: Path) -> tuple[str, ...]:
    """Return the flags with which the tool writes its result to a file."""
    return ("--save-result", "--result-dir", str(file.parent), "--result-filename", file.name)


def result(file: Path) -> dict[str, Any]:
    """Return what the tool says that it did."""
    return dict(json.loads(file.read_text()))
