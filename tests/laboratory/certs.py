"""Certificates for one run, made with openssl: one authority, and whoever it vouches for."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority in `folder`; its own certificate is ca.crt."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.cert = folder / "ca.crt"
        self._key = folder / "ca.key"
        _openssl("-subj", "/CN=lab", "-out", self.cert, "-keyout", self._key)

    def issue(self, name: str, group: str = "", folder: Path | None = None) -> Pair:
        """Make a certificate for `name`, good for serving on localhost and as a client.

        Args:
            name: the common name; Kubernetes takes it for the user.
            group: the organization; Kubernetes takes it for the user's group.
            folder: where to write tls.crt, tls.key and a copy of ca.crt; a folder of its own unless given.
        """
        place = folder or self._folder / name.replace(":", "-")
        place.mkdir(parents=True, exist_ok=True)
        pair = Pair(place / "tls.crt", place / "tls.key")
        subject = f"/O={group}/CN={name}" if group else f"/CN={name}"
        _openssl(
            *("-subj", subject, "-CA", self.cert, "-CAkey", self._key),
            *("-addext", "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1"),
            *("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth,clientAuth"),
            *("-out", pair.cert, "-keyout", pair.key),
        )
        (place / "ca.crt").write_bytes(self.cert.read_bytes())
        return pair


def _openssl(*args: str | Path) -> None:
    subprocess.run(["openssl", "req", "-x509", *_KEY, *map(str, args)], check=True, capture_output=True, text=True)
