"""The source of an earlier revision of llm-scaler, to run it beside this one."""

import os
import subprocess
import tarfile
from pathlib import Path

from laboratory import build

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("scaler", "formulas")  # all that it takes to serve


def earlier() -> tuple[str, Path]:
    """Return the revision that was before this one, and a folder with its source.

    That is what the environment's OLD names, or else the newest tag, or else what HEAD was a day before its last commit. In a
    clone that does not go back so far it is HEAD.
    """
    revision = os.environ.get("OLD") or _newest_tag() or _a_day_before() or "HEAD"
    full = _git("rev-parse", f"{revision}^{{commit}}")
    folder = build.CACHE / "revisions" / full
    if not folder.exists():
        unfinished = folder.with_name(f".{full}")
        unfinished.mkdir(parents=True, exist_ok=True)
        archive = unfinished / "source.tar"
        _git("archive", f"--output={archive}", full, *FOLDERS)
        with tarfile.open(archive) as files:
            files.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
            files.extractall(unfinished)
        unfinished.rename(folder)
    return full[:7], folder


def _newest_tag() -> str:
    tags = _git("tag", "--merged", "HEAD", "--sort=-creatordate").split()
    return tags[0] if tags else ""


def _a_day_before() -> str:
    now = int(_git("show", "--no-patch", "--format=%ct", "HEAD"))
    return _git("rev-list", "--max-count=1", f"--before={now - 24 * 3600}", "HEAD")


def _git(*args: str) -> str:
    return subprocess.run(["git", *args], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
