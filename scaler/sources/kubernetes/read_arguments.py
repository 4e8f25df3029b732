"""What the arguments of a pod's containers tell of its engine. Pure.

    vllm serve llama --max-num-seqs 64 --data-parallel-size=2      works on 128 requests at once

The arguments may be a list, or one line for a shell; a variable in the place of a number is not resolved. Sources: vLLM
0.33.0, vllm/engine/arg_utils.py (underscores stand for dashes); SGLang 0.5, python/sglang/srt/server_args.py, whose
number is for all ranks; TensorRT-LLM 1.1, tensorrt_llm/commands/serve.py; TGI 3.3, launcher/src/main.rs; LMDeploy 0.10,
lmdeploy/cli/serve.py; llama.cpp, common/arg.cpp.
"""

import re
from collections.abc import Mapping
from typing import Any

SEATS = (  # an argument, and whether it is for each rank
    (r"--max[-_]num[-_]seqs", True),
    (r"--max-running-requests", False),
    (r"--max[-_]batch[-_]size", True),
    (r"--parallel|-np", False),
)
_RANKS_HERE, _RANKS = r"--data[-_]parallel[-_]size[-_]local|-dpl", r"--data[-_]parallel[-_]size|-dp"
_LONGEST = 20_000  # characters of one container's arguments that are read


def seats_of(spec: Mapping[str, Any]) -> int | None:
    """Return how many requests a pod works on at once; None where its arguments do not say, or two containers do.

    Args:
        spec: of the pod.
    """
    told = [count for one in spec.get("containers") or () if (count := _seats(one)) is not None]
    return told[0] if len(told) == 1 else None


def _seats(container: Mapping[str, Any]) -> int | None:
    words = (*(container.get("command") or ()), *(container.get("args") or ()))
    line = " ".join(map(str, words))[:_LONGEST]
    for name, each in SEATS:
        count = _number(name, line)
        if count:
            ranks = _number(_RANKS_HERE, line) or _number(_RANKS, line) or 1
            return count * ranks if each else count
    return None


def _number(name: str, line: str) -> int | None:
    """Return the number that follows an argument, the last time that it is given."""
    found = re.findall(rf"""(?:^|[\s"'])(?:{name})(?:=|\s+)["']?(\d{{1,6}})(?![\w.])""", line)
    return int(found[-1]) if found else None
