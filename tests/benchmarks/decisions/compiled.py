"""The simulated fleet as a C extension, made by mypyc of the very files of scaler/sim: the same figures in a third of the time.

It is made once, in about ten seconds, and kept below .cache until one of the files changes. Without a C compiler, or
with COMPILED=0, the benchmark runs on the plain files.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import scaler.sim

ROOT = Path(__file__).resolve().parents[3]
FILES = ("hardware", "histogram", "trace", "replica", "fleet")  # those that take the time


def install():
    """Let `scaler.sim` find the compiled files first; says whether it does. To be called before anything imports them."""
    if os.environ.get("COMPILED") == "0":
        return False
    texts = {name: (ROOT / "scaler" / "sim" / f"{name}.py").read_text() for name in FILES}
    version = hashlib.sha256("".join([sys.version, *texts.values()]).encode()).hexdigest()[:12]
    made = ROOT / ".cache" / "compiled" / version
    if not made.exists() and not _make(texts, made):
        return False
    sys.path.insert(0, str(made))
    scaler.sim.__path__.insert(0, str(made))
    return True


def _make(texts, made):
    """Compile in a copy of the package, and keep what comes out."""
    work = made.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(ROOT / "scaler", work / "scaler", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in texts.items():
        plain = re.sub(r"(, )?slots=True", "", text)  # a compiled class has no dictionary anyway, and mypyc refuses it
        (work / "scaler" / "sim" / f"{name}.py").write_text(plain)
    files = [f"scaler/sim/{name}.py" for name in FILES]
    command = [sys.executable, "-m", "mypyc", "--ignore-missing-imports", *files]
    told = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if told.returncode:
        print(
            f"not compiled, so a run takes three times as long: {told.stdout[-400:]}{told.stderr[-400:]}",
            file=sys.stderr,
        )
        return False
    made.mkdir(parents=True)
    for library in (*work.glob("*.so"), *(work / "scaler" / "sim").glob("*.so")):
        shutil.copy(library, made)
    shutil.rmtree(work)
    return True


INSTALLED = install()  # by the import, before anything imports the simulator
