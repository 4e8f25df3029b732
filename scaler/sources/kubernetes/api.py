"""The Kubernetes API server: GET, and reviews, in plain JSON, through the official client's own connection.

The client gives what is hard: the service account's token and its rotation, kubeconfig with certificates and exec
plug-ins, proxies. Its model objects are left out; they cost six times as much as the JSON they are made of.
Importing it costs 0.2 s or more and 20 MB; cache.py does it on first use.
"""

import contextlib
import http.client
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.rest import RESTClientObject

from scaler.model.errors import SourceError, unreadable
from scaler.model.objects import Manifest

CONNECT, READ = 3.0, 15.0  # seconds to wait for a connection, and for the next bytes
LONGEST_PAGE = 128 * 1024 * 1024  # bytes
LONGEST_EVENT = 8 * 1024 * 1024  # bytes; etcd takes no object above 1.5 MB
CONNECTIONS = 64
_CHUNK = 64 * 1024
_SHOWN = 300  # characters of a server's text that are shown
_NOWHERE = "no kubeconfig is given (--kubeconfig, KUBECONFIG, or kubernetes.kubeconfig of the settings)"
_IN_WORDS = (  # what the client says of a kubeconfig, or of a pod's account -> what is wrong with it
    (r".*Expected object with name (.+) in .*/(\w+) list", r"it names `\1`, and its `\2` have none of that name"),
    (r".*Expected all values in .*/(\w+) list to have 'name' key", r"one of its `\1` has no name"),
    (r".*Expected key ([\w-]+) in .*", r"it has no `\1` where there must be one"),
    (r".*Expected only one object with name (.+) in .*/(\w+) list", r"two of its `\2` are called `\1`"),
    (r"File does not exist: (.+)", r"it names \1, and there is no such file"),
    (r"Service .*", f"{_NOWHERE}, and this is no pod with an account"),
)


class Refused(SourceError):
    """The server answered, and will not give it: 401, 403 or 404."""


class Missing(Refused):
    """There is no such thing (404)."""


class Gone(SourceError):
    """The version is too old to go on from (410)."""


class ApiServer:
    """One API server; may be used from several threads."""

    def __init__(self, kubeconfig: Path | None) -> None:
        """Take a kubeconfig, or None for the pod's service account, or else for what KUBECONFIG names.

        Raises:
            SourceError: there is no such thing.
        """
        self._configuration = client.Configuration()
        given = str(kubeconfig or os.environ.get("KUBECONFIG") or "")
        read = f"kubeconfig {given} cannot be read: " if given else ""
        try:
            with _errors_of_the_client() as logged:
                if given:
                    load: Any = config.load_kube_config
                    load(str(kubeconfig) if kubeconfig else None, client_configuration=self._configuration)
                else:
                    load = config.load_incluster_config
                    load(self._configuration)
        except Exception as error:  # of an odd file the client raises whatever its own code stumbles over
            raise SourceError(f"no access to Kubernetes: {read}{_why_not_loaded(given, error)}") from error
        if problem := self._unfit(logged):
            raise SourceError(f"no access to Kubernetes: {read}{problem}")
        self._configuration.connection_pool_maxsize = CONNECTIONS
        self._pool = RESTClientObject(self._configuration).pool_manager
        self._open: set[urllib3.BaseHTTPResponse] = set()

    def _unfit(self, logged: list[str]) -> str:
        """Say why what was loaded leads nowhere; `logged`: what the client said meanwhile. Empty: it may be tried."""
        host = str(self._configuration.host)
        if not _is_url(host):
            return f"the server of its cluster is {host!r}; allowed: a URL such as https://HOST:6443"
        if logged and not self._auth() and not self._configuration.cert_file:
            return f"the `exec` plug-in of its user gives no credentials: {_without_number(logged[-1])[:_SHOWN]}"
        return ""

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Manifest:
        """Read one object or page.

        Raises:
            Refused: 401, 403 or 404.
            Gone: 410.
            SourceError: anything else.
        """
        body = bytearray()
        for chunk in self._chunks(path, query or {}, READ):
            body += chunk
            if len(body) > LONGEST_PAGE:
                raise SourceError(f"the API server sends a page of more than {LONGEST_PAGE} bytes")
        return _json(body)

    def fetch(self, path: str) -> tuple[int, bytes]:
        """Read whatever is there, also what a pod or Service answers through the API server; returns status and body.

        Raises:
            SourceError: the API server cannot be reached, or sends too much.
        """
        headers = {item["key"]: item["value"] for item in self._auth().values()}
        try:
            response = self._pool.request(
                "GET",
                f"{self._configuration.host}{path}",
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT, read=READ),
                preload_content=False,
                retries=False,
                redirect=False,
            )
            with response:
                return response.status, response.read(LONGEST_EVENT)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceError(f"the API server cannot be reached: {_why(error)}") from error

    def review(self, path: str, question: Manifest) -> Manifest:
        """Ask a question that the server answers and does not keep: a TokenReview or SubjectAccessReview.

        Raises:
            Refused: 401, 403 or 404.
            SourceError: anything else.
        """
        headers = {item["key"]: item["value"] for item in self._auth().values()}
        try:
            response = self._pool.request(
                "POST",
                f"{self._configuration.host}{path}",
                body=json.dumps(question),
                headers={**headers, "Accept": "application/json", "Content-Type": "application/json"},
                timeout=urllib3.Timeout(connect=CONNECT, read=READ),
                preload_content=False,
                retries=False,
                redirect=False,
            )
            with response:
                body = response.read(LONGEST_EVENT)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceError(f"the API server cannot be reached: {_why(error)}") from error
        if response.status not in {200, 201}:
            raise _refusal(response.status, body)
        return _json(body)

    def events(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[Manifest]:
        """Read the events of a watch, until the server ends it or has been silent for `silence` seconds.

        Raises:
            Refused, Gone, SourceError: as `get`.
        """
        rest = b""
        for chunk in self._chunks(path, query, silence):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from map(_json, filter(None, lines))
            if len(rest) > LONGEST_EVENT:
                raise SourceError(f"the API server sends an event of more than {LONGEST_EVENT} bytes")

    def close(self) -> None:
        """End what is being read, so that its threads are free again."""
        for response in list(self._open):
            try:
                response.shutdown()
            except (RuntimeError, ValueError, OSError):  # over already
                continue

    def token(self) -> str:
        """Return the token with which it is asked; empty where it is asked with a certificate, or with nothing."""
        values = [str(item["value"]) for item in self._auth().values()]
        kind, _, token = next(iter(values), "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    def _auth(self) -> Mapping[str, Any]:
        settings: Mapping[str, Any] = self._configuration.auth_settings()
        return settings

    def _chunks(self, path: str, query: Mapping[str, object], silence: float) -> Iterator[bytes]:
        headers = {item["key"]: item["value"] for item in self._auth().values()}
        try:
            response = self._pool.request(
                "GET",
                f"{self._configuration.host}{path}?{urlencode(query)}",
                headers={**headers, "Accept": "application/json"},
                timeout=urllib3.Timeout(connect=CONNECT, read=silence),
                preload_content=False,
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceError(f"the API server cannot be reached: {_why(error)}") from error
        self._open.add(response)
        try:
            if response.status != 200:
                raise _refusal(response.status, response.read(10_000))
            yield from response.stream(None if "watch" in query else _CHUNK)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceError(f"the API server was lost: {_why(error)}") from error
        finally:
            self._open.discard(response)
            response.close()  # a response that was read whole has given its connection back already


def _why_not_loaded(given: str, error: Exception) -> str:
    """Say why there is no configuration, by the files that should hold it and otherwise by the client's error."""
    files = [Path(one) for one in given.split(os.pathsep) if one]
    try:
        texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
        trees = [yaml.safe_load(text) for text in texts]
    except (OSError, UnicodeDecodeError) as unread:
        return unreadable(unread)
    except (yaml.YAMLError, RecursionError, ValueError):
        return "it is no YAML"
    if files and not texts:
        return "there is no such file"
    if not all(isinstance(tree, dict) for tree in trees):
        return "it holds no keys and values, as `kubectl config view` shows them"
    if isinstance(error, config.ConfigException):
        said = str(error)
        for pattern, words in _IN_WORDS:
            if re.fullmatch(pattern, said, re.DOTALL):
                return re.sub(pattern, words, said, flags=re.DOTALL)
    return "a value in it does not fit; `kubectl config view` shows how one looks"


@contextlib.contextmanager
def _errors_of_the_client() -> Iterator[list[str]]:
    """Collect what the client logs while it reads a kubeconfig, such as why an exec plug-in failed."""
    said: list[str] = []
    root, nowhere = logging.getLogger(), logging.NullHandler()

    def take(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    root.addFilter(take)
    root.addHandler(nowhere)  # without any the root logger would write to the standard error from now on
    try:
        yield said
    finally:
        root.removeHandler(nowhere)
        root.removeFilter(take)


def _without_number(said: str) -> str:
    return re.sub(r"^\[Errno \d+\] ", "", said)


def _is_url(host: str) -> bool:
    try:
        url = urlsplit(host)
        return url.scheme in {"http", "https"} and bool(url.hostname)
    except ValueError:
        return False


def _in_quotes(body: bytes | bytearray) -> str:
    return repr(bytes(body[:80]).decode(errors="replace"))


def _json(body: bytes | bytearray) -> Manifest:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        raise SourceError(f"the API server sends what is not JSON: {_in_quotes(body)}") from None
    if not isinstance(read, dict):
        raise SourceError(f"the API server sends {type(read).__name__}, not an object")
    return read


def _refusal(status: int, body: bytes) -> SourceError:
    """Make the error of an answer; the server's own text names verb, resource and user."""
    try:
        said = str(_json(body).get("message", ""))
    except SourceError:
        said = _in_quotes(body)
    kinds: Mapping[int, type[SourceError]] = {401: Refused, 403: Refused, 404: Missing, 410: Gone}
    return kinds.get(status, SourceError)(f"{status}: {said[:_SHOWN]}")


def _why(error: Exception) -> str:
    """Say what went wrong: in the operating system's words where it has some, and never in the HTTP client's."""
    link: BaseException = error
    while link.__cause__ or link.__context__:
        link = link.__cause__ or link.__context__  # type: ignore[assignment]
    said = getattr(link, "strerror", None)
    if not said and isinstance(error, urllib3.exceptions.ProtocolError):
        strange = isinstance(link, http.client.BadStatusLine) and not isinstance(link, http.client.RemoteDisconnected)
        return "what it sends is no HTTP" if strange else "the connection was cut off"
    return str(said or link or type(link).__name__)[:_SHOWN]
