"""The real `llm-scaler serve`, as a process of its own, on free ports."""

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from support.prometheus_server import free_port, until

from scaler.cli.ask import ClientTls, ask

COMMAND = str(Path(sys.executable).with_name("llm-scaler"))  # of the package that is under test, not of this folder


@dataclass
class Serving:
    """A running server, and what it was asked."""

    process: subprocess.Popen
    grpc: str
    admin: str
    log: Path

    def ask(self, namespace="demo", name="llama", **metadata):
        """The three answers KEDA would get: lines, and whether all is well."""
        lines, _good = ask(self.grpc, namespace, name, metadata, ClientTls(), 10.0)
        return lines

    def get(self, path):
        with urllib.request.urlopen(self.admin + path, timeout=10) as answer:
            return answer.read().decode()

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)


@contextlib.contextmanager
def serving(folder, prometheus_url, *flags, **environment):
    """Start it, wait until it is ready, and stop it; without a Prometheus where its URL is None."""
    grpc, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    log = folder / "serve.log"
    command = [COMMAND, "serve", *(["--prometheus", prometheus_url] if prometheus_url else []), "--grpc-address", grpc]
    command += ["--admin-address", admin, "--grpc-drain", "0s", *flags]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stderr=out, env={**os.environ, **environment})
    server = Serving(process, grpc, f"http://{admin}", log)

    def ready():
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return server.get("/readyz").startswith("ready")
        return False

    try:
        until(ready)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
