"""Certificates from files, followed while serving. A new pair that does not fit leaves the old one in service.

The files are looked at when a client connects, which KEDA does every few minutes, and when somebody asks whether they
are sound; only the first of these changes what is served. Kubernetes swaps a mounted Secret in one step, but we read it
in several, so what was read counts only if a second reading is the same.
"""

import logging
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from scaler.model.errors import ConfigError

logger = logging.getLogger(__name__)

SETTLING = 3  # readings until two in a row are equal


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of the certificates, in PEM."""

    cert: Path  # the server's own, with its chain
    key: Path
    client_ca: Path | None = None  # who signs clients; None: anybody may connect

    def paths(self) -> tuple[Path, ...]:
        """List all files."""
        return (self.cert, self.key) if self.client_ca is None else (self.cert, self.key, self.client_ca)


class CertificateFiles:
    """The files of one certificate; asking them changes nothing that is served.

    Args:
        files: where they are.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files

    def read(self, known: "Content | None" = None) -> "Content":
        """Read all files as they stand together.

        Args:
            known: content that need not be checked again.

        Raises:
            ConfigError: one cannot be read, or they do not fit together.
        """
        content = _content(self.files)
        for _ in range(SETTLING):
            if content == known:
                return content
            problem = _validate(self.files)
            again = _content(self.files)
            if again == content:
                if problem:
                    raise problem
                return content
            content = again
        raise ConfigError(str(self.files.cert), "", "keeps changing while it is read")


class Certificates:
    """The newest certificates that fit together, handed to gRPC before each handshake.

    What is served changes in `fetch` alone, which gRPC calls in threads of its own.

    Args:
        files: where they are.

    Raises:
        ConfigError: they do not fit together, or one cannot be read.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._source = CertificateFiles(files)
        self._served = self._source.read()  # what gRPC was handed last
        self._ends = _ends(self._served)
        self._said = ""  # the problem that was logged last
        self._fetching = threading.Lock()  # two clients may connect at the same time

    def credentials(self) -> grpc.ServerCredentials:
        """Return what the gRPC server serves, now and after every change of the files."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._served),
            self._configuration_if_new,  # type: ignore[arg-type]  # None, for "unchanged", is missing in the stubs
            require_client_authentication=self._source.files.client_ca is not None,
        )

    def fetch(self) -> "Content | None":
        """Return the certificates to serve from now on; None: those that were handed out last. Never raises."""
        with self._fetching:
            try:
                content = self._source.read(self._served)
            except ConfigError as error:
                self._refuse(str(error))
                return None
            self._said = ""
            if content == self._served:
                return None
            self._served, self._ends = content, _ends(content)
        logger.info("the certificates have changed", extra={"file": str(self._source.files.cert)})
        return content

    def problem(self) -> str:
        """Return why newer files are not in service, or an empty text; reads the files, and changes nothing."""
        try:
            self._source.read(self._served)
        except ConfigError as error:
            return str(error)
        return ""

    def expirations(self) -> Mapping[str, float]:
        """Return when what is served ends, in seconds since the epoch: of the server's own chain, of the clients' CAs.

        Of several certificates in one file the first to end counts. Reads no file, and changes nothing.
        """
        return self._ends

    def _refuse(self, problem: str) -> None:
        """Say once why newer files are not in service."""
        if problem != self._said:
            logger.warning("the new certificates are not in service", extra={"problem": problem})
        self._said = problem

    def _configuration_if_new(self) -> grpc.ServerCertificateConfiguration | None:
        """Return new certificates to gRPC, which asks in a thread of its own before each handshake; None: as before."""
        content = self.fetch()
        return None if content is None else _configuration(content)


Content = tuple[bytes, ...]  # of the files, in the order of `TlsFiles.paths`


def _configuration(content: Content) -> grpc.ServerCertificateConfiguration:
    certificate, key, *authority = content
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authority[0] if authority else None)


def _content(files: TlsFiles) -> Content:
    content = []
    for path in files.paths():
        try:
            content.append(path.read_bytes())
        except OSError as error:
            raise ConfigError(str(path), "", f"cannot be read ({error.strerror})", "a PEM file") from error
    return tuple(content)


def _ends(content: Content) -> Mapping[str, float]:
    """Return when each of the certificates ends, where that can be told."""
    certificate, _, *authority = content
    parts = {"server": certificate} | ({"client-ca": authority[0]} if authority else {})
    ends = {name: _first_end(part) for name, part in parts.items()}
    return {name: end for name, end in ends.items() if end is not None}


def _first_end(content: bytes) -> float | None:
    """Return when the first of the certificates in a PEM file ends; None where it cannot be told."""
    from cryptography import x509  # noqa: PLC0415 - 0.1 s, which only TLS costs

    try:
        ends = [one.not_valid_after_utc.timestamp() for one in x509.load_pem_x509_certificates(content)]
    except ValueError:  # OpenSSL takes what this stricter reader does not
        return None
    return min(ends)


def _validate(files: TlsFiles) -> ConfigError | None:
    """Say what OpenSSL has against the files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.cert, files.key, password="")  # or OpenSSL asks on the terminal
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or "no certificate and key in PEM"
        if reason == "KEY_VALUES_MISMATCH":
            return ConfigError(str(files.key), "", f"is not the key of {files.cert}", "a certificate and its own key")
        return ConfigError(
            str(files.cert), "", f"and {files.key} cannot be used ({reason})", "PEM, and a key without password"
        )
    try:
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
    except (ssl.SSLError, OSError) as error:
        return ConfigError(str(files.client_ca), "", f"cannot be used ({getattr(error, 'reason', error)})", "PEM")
    return None
