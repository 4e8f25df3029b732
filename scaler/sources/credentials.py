"""What is sent with a request so that it is let in. The files of secrets are read at each use: they may be rotated."""

import re
from base64 import b64encode
from pathlib import Path

from scaler.config.endpoint import Endpoint
from scaler.model.errors import SourceError, unreadable

_SECRET = re.compile(r"[\x21-\x7e]{1,8192}")


def authorization(endpoint: Endpoint) -> dict[str, str]:
    """Make the header of an endpoint's credentials; empty without any.

    Raises:
        SourceError: a secret cannot be read, or cannot be sent; the text names the file and not what is in it.
    """
    if endpoint.bearer_token_file:
        return {"Authorization": f"Bearer {_secret(endpoint.bearer_token_file)}"}
    if endpoint.username and endpoint.password_file:
        pair = f"{endpoint.username}:{_secret(endpoint.password_file)}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return {}


def _secret(path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SourceError(f"the secret in {path} cannot be read: {unreadable(error)}") from error
    if not _SECRET.fullmatch(secret):
        raise SourceError(f"the secret in {path} is empty, too long, or holds characters that no header can")
    return secret
