"""Words that a test keeps in a file beside it, so that whoever changes them reads what they become."""

import os
from pathlib import Path


def kept(told: str, path: Path) -> str:
    """Return what the file holds; RECORD=1 writes it anew first, to be read before it is kept."""
    if os.environ.get("RECORD"):
        path.write_text(told)
    return path.read_text()
