"""Heavy libraries are imported when they are first needed, whichever threads need them at once."""

import subprocess
import sys

AT_ONCE = """
import sys, threading
from pathlib import Path
from scaler.config.endpoint import Endpoint
from scaler.sources.kubernetes.cache import ClusterCache
from scaler.sources.prometheus.source import PrometheusSource
assert not {"requests", "kubernetes"} & sys.modules.keys(), "too early"
sys.setswitchinterval(1e-6)  # so that threads change places in the middle of an import
sources = [PrometheusSource(Endpoint(name, "http://127.0.0.1:1", timeout=5)) for name in ("a", "b", "c")]
failed = []

def trouble(source):
    try:
        assert "cannot be reached" in source.trouble(0.0)
    except BaseException as error:
        failed.append(repr(error))

def watch():
    try:
        ClusterCache(Path("nowhere"), (), (), lambda: 0.0).start()
    except Exception as error:
        if "no access to Kubernetes" not in str(error):
            failed.append(repr(error))

threads = [threading.Thread(target=trouble, args=(one,)) for one in sources for _ in range(2)]
threads.append(threading.Thread(target=watch))
for thread in threads: thread.start()
for thread in threads: thread.join()
for source in sources: source.close()
sys.exit("; ".join(failed) or 0)
"""


def test_threads_that_need_a_library_at_once_all_get_it():
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
