"""The image, built for real, and containers of it, run by a real runtime (runc): the Dockerfile with nothing of ours in between.

No image registry is needed: the base is made by debootstrap from Debian's packages. Needs root, and Debian's buildah,
debootstrap and runc. Everything is kept below .cache/image, the bases for the next run too.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "image"
CA = Path("/etc/ssl/certs/ca-certificates.crt")
# How the machine reaches its registries; what of it is set goes to the build as a secret, and never into a file of the image.
REGISTRY = (
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
RUNTIME = "python3-minimal,libpython3-stdlib,ca-certificates"  # beside Debian's minimal system

# vfs and chroot ask for nothing that a machine in a sandbox may not have.
BUILDAH = (
    *("buildah", "--storage-driver", "vfs"),
    *("--root", str(CACHE / "storage"), "--runroot", str(CACHE / "run")),
)
RUNC = ("runc", "--root", str(CACHE / "runc"))


def buildah(*arguments: str) -> str:
    """Run buildah, and return what it printed.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(CACHE)}
    done = subprocess.run([*BUILDAH, *arguments], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"buildah {arguments[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout.strip()


def bases() -> tuple[str, str]:
    """The base by digest, and the image to build on: Debian with Python, and that with pip. Made once."""
    if subprocess.run(
        [*BUILDAH, "inspect", "--type", "image", "build-base"], capture_output=True, check=False
    ).returncode:
        _make_bases()
    digest = json.loads(buildah("inspect", "--type", "image", "base"))["FromImageDigest"]
    return f"localhost/base@{digest}", "localhost/build-base"


def _make_bases() -> None:
    tree = CACHE / "base"
    shutil.rmtree(tree, ignore_errors=True)
    _quietly("debootstrap", "--variant=minbase", f"--include={RUNTIME}", "bookworm", str(tree))
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(tree / folder)
        (tree / folder).mkdir()
    made = buildah("from", "scratch")
    buildah("add", "--quiet", made, str(tree), "/")
    buildah("commit", "--quiet", "--rm", made, "base")
    made = buildah("from", "base")
    install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip"
    buildah("run", made, "--", "sh", "-c", install)
    buildah("commit", "--quiet", "--rm", made, "build-base")
    shutil.rmtree(tree)


def _quietly(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")


def build(name: str, base: str, build_base: str, *options: str) -> None:
    """Build the Dockerfile as image `name`."""
    environment = CACHE / "environment"
    given = {key: os.environ[key] for key in REGISTRY if key in os.environ}
    given |= {"SSL_CERT_FILE": "/run/secrets/ca", "PIP_CERT": "/run/secrets/ca"} if CA.exists() else {}
    environment.write_text("".join(f"{key}='{value}'\n" for key, value in given.items()))
    buildah(
        *("build", "--layers=false", "--tag", name, *options),
        *("--build-arg", f"BASE={base}", "--build-arg", f"BUILD_BASE={build_base}"),
        *("--secret", f"id=environment,src={environment}"),
        *(("--secret", f"id=ca,src={CA}") if CA.exists() else ()),
        str(ROOT),
    )


@dataclass
class Image:
    """A built image: its configuration, and its files in a folder of this machine."""

    name: str
    config: Mapping[str, Any] = field(init=False)
    files: Path = field(init=False)
    _mounted: str = field(init=False)

    def __post_init__(self) -> None:
        self.config = json.loads(buildah("inspect", "--type", "image", self.name))["OCIv1"]
        self._mounted = buildah("from", "--pull-never", self.name)
        self.files = Path(buildah("mount", self._mounted))

    def close(self) -> None:
        """Give the files back."""
        buildah("rm", self._mounted)

    def layers(self) -> list[int]:
        """The bytes of each layer as a registry would send them, the base's first."""
        place = CACHE / "pushed"
        shutil.rmtree(place, ignore_errors=True)
        buildah("push", "--quiet", self.name, f"oci:{place}:latest")
        index = json.loads((place / "index.json").read_text())
        manifest = json.loads((place / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
        shutil.rmtree(place)
        return [layer["size"] for layer in manifest["layers"]]


class Container:
    """One run of an image, as Pod Security's restricted profile has it: its root is read-only, no capability is left, and no
    new right can be had. It shares this machine's network.

    Args:
        image: what is run.
        folder: for its files here.
        arguments: of the image's entry point; its own, when none are given.
        user: uid and gid; the image's own, when not given.
        environment: variables, over the image's own.
        mounts: folders of this machine, by where they are seen.
        entrypoint: instead of the image's own.
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        *arguments: str,
        user: tuple[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[str, Path] | None = None,
        entrypoint: Sequence[str] | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self._folder, self._name = folder, f"llm-scaler-{os.getpid()}-{folder.name}"
        own = image.config["config"]
        uid, gid = user or tuple(map(int, own["User"].split(":")))
        words = [*(entrypoint or own["Entrypoint"]), *(arguments or own["Cmd"])]
        variables = [*own["Env"], *(f"{name}={value}" for name, value in (environment or {}).items())]
        kinds = ("bounding", "effective", "inheritable", "permitted", "ambient")
        bundle = {
            "ociVersion": "1.0.2",
            "root": {"path": str(image.files), "readonly": True},
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": words,
                "env": variables,
                "cwd": own["WorkingDir"],
                "noNewPrivileges": True,
                "capabilities": {kind: [] for kind in kinds},
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                *(
                    {"destination": seen, "type": "bind", "source": str(path), "options": ["bind", "ro"]}
                    for seen, path in (mounts or {}).items()
                ),
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
        }
        (folder / "config.json").write_text(json.dumps(bundle))
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it prints is kept in its folder."""
        with (self._folder / "output").open("wb") as output:
            self._child = subprocess.Popen(
                [*RUNC, "run", "--bundle", str(self._folder), self._name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self) -> tuple[int, str]:
        """Run it to its end, and return its exit code and what it printed."""
        self.start()
        return self.wait(), self.output()

    def terminate(self) -> None:
        """Send SIGTERM, as the kubelet does."""
        self._signal("TERM")

    def wait(self, seconds: float = 120) -> int:
        """Wait for its end, and return its exit code."""
        assert self._child
        return self._child.wait(seconds)

    def alive(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.poll() is None

    def cpu(self) -> float:
        """The seconds of CPU that its first process has taken."""
        state = subprocess.run([*RUNC, "state", self._name], capture_output=True, text=True, check=True).stdout
        fields = Path(f"/proc/{json.loads(state)['pid']}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it at once, if it still runs."""
        if self.alive():
            self._signal("KILL")
            self.wait()

    def output(self) -> str:
        """What it printed so far."""
        return (self._folder / "output").read_text(errors="replace")

    def _signal(self, name: str) -> None:
        command = [*RUNC, "kill", self._name, name]
        if subprocess.run(command, capture_output=True, check=False).returncode and self._child:
            self._child.send_signal(getattr(signal, f"SIG{name}"))


def until(true: Callable[[], bool], container: Container, seconds: float = 60) -> None:
    """Wait until something is true.

    Raises:
        AssertionError: the container ended, or it did not become true in time; with what the container printed.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert container.alive(), f"it ended:\n{container.output()}"
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s:\n{container.output()}"
        time.sleep(0.05)
