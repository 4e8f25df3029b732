"""A real Prometheus for tests: found or fetched once, started in a moment, stopped, frozen or emptied at will."""

import fcntl
import http.server
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
CACHE = REPO / ".cache" / "prometheus"
GO_MODULE = REPO / "tests" / "laboratory" / "tools" / "prometheus"
HOUR = 3600.0


def states(pid: int) -> set[str]:
    """Read the states of all threads of a process: `T` is stopped (proc(5))."""
    found = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        found.add(stat.read_text().rpartition(")")[2].split()[0])
    return found


def until(condition: Callable[[], object], tries: int = 600, pause: float = 0.05) -> None:
    """Wait for something outside this process; fail when it does not come."""
    for _ in range(tries):
        if condition():
            return
        time.sleep(pause)
    pytest.fail(f"did not come true in {tries * pause:g} s")


def binaries() -> tuple[Path, Path]:
    """Where prometheus and promtool are: on PATH, in the cache, from the Debian package, or built with Go."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the processes that run the tests, one fetches it
        for find in (_on_path, _cached, _from_debian, _from_go):
            found = find()
            if found:
                return found
    pytest.fail("no Prometheus: neither on PATH, nor as a Debian package, nor to be built with Go")


def _on_path() -> tuple[Path, Path] | None:
    found = shutil.which("prometheus"), shutil.which("promtool")
    return (Path(found[0]), Path(found[1])) if found[0] and found[1] else None


def _cached() -> tuple[Path, Path] | None:
    for folder in (CACHE / "root" / "usr" / "bin", CACHE / "go"):
        if (folder / "prometheus").exists() and (folder / "promtool").exists():
            return folder / "prometheus", folder / "promtool"
    return None


def _from_debian() -> tuple[Path, Path] | None:
    """Unpack the Debian packages below the repository, which needs no root."""
    if not shutil.which("apt-get"):
        return None
    for folder in ("lists/partial", "archives/partial"):
        (CACHE / folder).mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", "-q", "-o", f"Dir::State::Lists={CACHE}/lists", "-o", f"Dir::Cache={CACHE}"]
    apt += ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    # Where promtool is a package of its own (Debian 13), it is not in the other.
    for command, needed in (("update", True), ("download prometheus", True), ("download promtool", False)):
        done = subprocess.run([*apt, *command.split()], cwd=CACHE, capture_output=True, timeout=300, check=False)
        if needed and done.returncode:
            return None
    unpacked = CACHE / "root.new"
    shutil.rmtree(unpacked, ignore_errors=True)
    for package in CACHE.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True, timeout=60)
        package.unlink()
    shutil.rmtree(CACHE / "root", ignore_errors=True)
    unpacked.rename(CACHE / "root")
    return _cached()


def _from_go() -> tuple[Path, Path] | None:
    """Build both programs from the laboratory's module, on a copy of its go.mod, which does not name promtool."""
    if not shutil.which("go") or not GO_MODULE.exists():
        return None
    for name in ("go.mod", "go.sum"):
        shutil.copy(GO_MODULE / name, CACHE / name)
    build = ["go", "build", "-modfile", CACHE / "go.mod", "-mod=mod", "-tags", "remove_all_sd", "-o", f"{CACHE}/go/"]
    programs = [f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")]
    env = {**os.environ, "CGO_ENABLED": "0"}
    built = subprocess.run([*build, *programs], cwd=GO_MODULE, env=env, capture_output=True, timeout=1200, check=False)
    return _cached() if built.returncode == 0 else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pages:
    """An HTTP server on loopback that plays the /metrics pages of many pods: /NAME/metrics."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}  # name -> page; a name that is missing answers 503
        pages = self.pages

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages.get(self.path.strip("/").split("/")[0])
                body = (page or "").encode()
                self.send_response(503 if page is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Prometheus:
    """One server with a folder of its own. It scrapes, each second, what `scrape` was given."""

    def __init__(self, folder: Path, flags: Iterable[str] = (), niceness: int = 0) -> None:
        self.folder = folder
        self.flags = list(flags)
        self.niceness = niceness
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._prometheus, self._promtool = binaries()
        self._process: subprocess.Popen[bytes] | None = None
        self._jobs: list[Mapping[str, object]] = []

    def start(self) -> "Prometheus":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._configure()
        command = ["nice", "-n", str(self.niceness), self._prometheus, f"--config.file={self.folder}/prometheus.yml"]
        command += [f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"]
        command += ["--storage.tsdb.retention.time=10y", "--web.enable-lifecycle", "--log.level=warn", *self.flags]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.ready)
        return self

    def _configure(self) -> None:
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": self._jobs}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            pytest.fail(f"Prometheus ended: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def scrape(self, jobs: Iterable[Mapping[str, object]]) -> None:
        """Replace the scrape jobs; a server that runs reloads, which it does within five seconds."""
        self._jobs = list(jobs)
        if self._process is not None:
            self._configure()
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/-/reload", method="POST"), timeout=5).close()

    def load(self, openmetrics: str) -> None:
        """Put samples with times of the past into it; it must not run."""
        assert self._process is None
        page = self.folder / "history.txt"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(openmetrics)
        command = [self._promtool, "tsdb", "create-blocks-from", "openmetrics", page, self.folder / "data"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """Let it hang: connections are accepted, nothing is answered. Its threads stop one by one, so wait for all."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: states(self.pid) <= {"T"})

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart_empty(self) -> None:
        """Kill it, lose all data, and start it again on the same port."""
        self.kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        self.start()


def series(name: str, labels: Mapping[str, str], values: str, start: float, interval: float = 15.0) -> list[str]:
    """OpenMetrics lines of one series in promtool's notation.

    `1 2x3` is 1 2 2 2 2; `1+2x3` is 1 3 5 7; `_` leaves out, `_x3` three; `stale` is the mark of an end.
    """
    written = ",".join(f'{label}="{value}"' for label, value in labels.items())
    lines = []
    for index, value in enumerate(values_of(values)):
        if value is not None:
            lines.append(f"{name}{{{written}}} {value} {start + index * interval:.3f}")
    return lines


def values_of(values: str) -> list[float | None]:
    """The samples of one series in promtool's notation; None where there is none."""
    found: list[float | None] = []
    for word in values.split():
        base, _, count = word.partition("x")
        times = int(count) if count else 0
        if base == "_":
            found += [None] * max(1, times)
        elif "+" in base[1:]:
            first, _, step = base.rpartition("+")
            found += [float(first) + float(step) * index for index in range(times + 1)]
        else:
            found += [float(base)] * (times + 1)
    return found


def openmetrics(lines: Iterable[str]) -> str:
    """A page for `Prometheus.load`: series of one metric stand together, as the format wants."""
    by_name: dict[str, list[str]] = {}
    for line in lines:
        by_name.setdefault(line.partition("{")[0], []).append(line)
    return "\n".join(line for name in sorted(by_name) for line in by_name[name]) + "\n# EOF\n"
