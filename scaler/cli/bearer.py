"""Who asks the admin pages, where these show each their own: a token of a file, or one that this machine has anyway."""

import re
import urllib.parse
from pathlib import Path

from scaler.model.errors import ConfigError, unreadable

OWN_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - the name of a file
_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


def authorization(url: str, file: str | None, person: str = "") -> dict[str, str]:
    """Return the header that shows who asks.

    A token that nobody named is shown on this machine alone: the pod's own to the server in the same pod, and the
    person's to what they forward.

    Args:
        url: what is asked.
        file: with the token to show.
        person: the token that their kubeconfig has; empty where there is none.

    Raises:
        ConfigError: the file cannot be read.
    """
    if file:
        return _header(_read(file))
    if urllib.parse.urlsplit(url).hostname not in _HERE:
        return {}
    if Path(OWN_TOKEN).exists():
        return _header(_read(OWN_TOKEN))
    return _header(person) if person else {}


def _header(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _read(file: str) -> str:
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError("argument", "--token-file", f"{file} cannot be read: {unreadable(error)}") from error
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigError("argument", "--token-file", f"{file} holds no token", "one word of ASCII")
    return token
