"""Where measurements come from. Blocking libraries only, and only in threads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from scaler.grouping import Dialect


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks Prometheus' query API, as the settings describe it.

    Files of secrets are read at each use, so that they may be rotated.
    """

    name: str
    url: str  # without /api/v1
    timeout: float = 2.0  # seconds for everything that one tick asks
    bearer_token_file: Path | None = None
    username: str | None = None  # of basic auth, with password_file
    password_file: Path | None = None
    ca_file: Path | None = None  # None: the system's certificates
    cert_file: Path | None = None  # the client's certificate, with key_file
    key_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # such as X-Scope-OrgID; may hold secrets
    matchers: Mapping[str, str] = field(default_factory=dict)  # added to every selector, such as cluster -> eu-1
    labels: Mapping[str, str] = field(default_factory=dict)  # our name of a label -> the endpoint's; see Dialect
    heartbeat: str = "up"  # a selector of what is there whenever the endpoint works; 0 for targets that fail
    stale_after: float = 90.0  # seconds; older samples are not certain, and pods silent for longer are gone
    max_series: int = 20_000  # of one answer
    max_bytes: int = 8 * 1024 * 1024  # of one answer, unpacked

    @property
    def dialect(self) -> Dialect:
        """What it calls things."""
        return Dialect(self.labels, self.matchers, self.heartbeat, self.stale_after)

    @property
    def address(self) -> str:
        """The URL without user and password, for people."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")).rstrip("/")
