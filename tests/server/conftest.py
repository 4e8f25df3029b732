from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import trustme

from scaler.server.tls import TlsFiles


@dataclass
class Secret:
    """A mounted Secret: `..data` points at the newest version, and the files point through it."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)
    versions: int = 0

    def publish(self, certificate=None, key=None):
        """Swap in a new certificate and key, as Kubernetes does: one link, moved in one step."""
        fresh = self.authority.issue_cert("localhost", common_name=f"version {self.versions}")
        version = self.folder / f"..version{self.versions}"
        version.mkdir()
        (version / "tls.crt").write_bytes(fresh.cert_chain_pems[0].bytes() if certificate is None else certificate)
        (version / "tls.key").write_bytes(fresh.private_key_pem.bytes() if key is None else key)
        self.authority.cert_pem.write_to_path(str(version / "ca.crt"))
        self.point_at(version.name)
        self.versions += 1

    def point_at(self, version):
        link = self.folder / "..new"
        link.symlink_to(version)
        link.replace(self.folder / "..data")

    def files(self, mutual=False):
        return TlsFiles(self.folder / "tls.crt", self.folder / "tls.key", self.folder / "ca.crt" if mutual else None)

    def trust(self, client=None):
        """Credentials of a client that trusts the authority, and may show a certificate itself."""
        root = self.authority.cert_pem.bytes()
        if client is None:
            return grpc.ssl_channel_credentials(root)
        return grpc.ssl_channel_credentials(root, client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes())


@pytest.fixture
def secret(tmp_path):
    made = Secret(tmp_path)
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    made.publish()
    return made
