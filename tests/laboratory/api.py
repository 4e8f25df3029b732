"""The few verbs of the Kubernetes API that scenarios need, on plain objects (dicts as in YAML)."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import requests
import yaml
from laboratory.process import LabError

Object = dict[str, Any]
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Api:
    """A client of one API server, as the user of one client certificate."""

    def __init__(self, url: str, ca: Path, cert: Path, key: Path) -> None:
        self.url = url
        self.files = ca, cert, key  # for others who are to be the same user
        self._http = requests.Session()
        self._http.trust_env = False  # no proxies: everything is on loopback
        self._http.verify = str(ca)
        self._http.cert = (str(cert), str(key))
        self._kinds: dict[str, tuple[str, str, bool]] = {}  # kind -> path of its group version, plural, namespaced

    def apply(self, manifests: str | Object | Iterable[Object]) -> list[Object]:
        """Create or change objects by server-side apply and return them as stored."""
        return [self._apply(item) for item in _documents(manifests)]

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """Return one object, or None if there is none of that name."""
        return self.request("GET", self._path(kind, namespace, name), missing=True)

    def items(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
        """Return objects of one namespace (None: of all), narrowed by a label selector."""
        answer = self.request("GET", self._path(kind, namespace), params={"labelSelector": selector})
        return list(answer["items"]) if answer else []

    def watch(self, kind: str, namespace: str) -> Iterator[Object]:
        """Yield every object as it is now, and then whenever it changes, until its connection or the caller ends."""
        url = self.url + self._path(kind, namespace)
        # A connection of its own: the session is for requests that come and go.
        own = {"verify": self._http.verify, "cert": self._http.cert}
        with (
            contextlib.suppress(requests.exceptions.ChunkedEncodingError),  # the API server is gone
            requests.get(url, {"watch": "true"}, stream=True, timeout=(15, None), **own) as stream,
        ):
            for line in stream.iter_lines(chunk_size=None):
                yield json.loads(line)["object"]

    def patch(self, kind: str, name: str, change: Object, namespace: str = "default", subresource: str = "") -> Object:
        """Merge `change` into an object (RFC 7386: null removes a field) and return it."""
        path = self._path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, change, "application/merge-patch+json") or {}

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete an object and what it owns; nothing happens if it is not there."""
        self.request("DELETE", self._path(kind, namespace, name), {"propagationPolicy": "Background"}, missing=True)

    def delete_all(self, kind: str, namespace: str | None = "default") -> None:
        """Delete every object of a kind, in one namespace or (None) everywhere."""
        for item in self.items(kind, namespace):
            self.delete(kind, item["metadata"]["name"], item["metadata"].get("namespace", "default"))

    def events(self, name: str, reason: str = "", namespace: str = "default") -> list[str]:
        """Return the messages of the events about an object, oldest first."""
        about = [event for event in self.items("Event", namespace) if event["involvedObject"].get("name") == name]
        about.sort(key=lambda event: event["metadata"]["creationTimestamp"])
        return [event.get("message", "") for event in about if reason in ("", event.get("reason"))]

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        kind: str = "application/json",
        *,
        missing: bool = False,
        params: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Object | None:
        """Send one request and return the parsed answer; None for a 404 when that is allowed (`missing`)."""
        answer = self._http.request(
            method,
            self.url + path,
            json=body,
            params=params,
            headers={"Content-Type": kind, "Accept": accept},
            timeout=60,
        )
        if missing and answer.status_code == 404:
            return None
        if not answer.ok:
            raise LabError(f"{method} {path} gave {answer.status_code}: {answer.text[:500]}")
        return dict(answer.json())

    def _apply(self, item: Object) -> Object:
        meta = item["metadata"]
        path = self._path(item["kind"], meta.get("namespace", "default"), meta["name"])
        return self.request("PATCH", path, item, "application/apply-patch+yaml", params=_FORCE) or {}

    def _path(self, kind: str, namespace: str | None, name: str = "") -> str:
        if kind not in self._kinds:
            self._discover()
        if kind not in self._kinds:
            raise LabError(f"the API server knows no kind {kind!r}")
        group, plural, namespaced = self._kinds[kind]
        scope = f"/namespaces/{namespace}" if namespaced and namespace else ""
        return f"{group}{scope}/{plural}" + (f"/{name}" if name else "")

    def _discover(self) -> None:
        """Read every kind's path; the core group and a group's preferred version win a shared name."""
        for root in ("/api", "/apis"):
            for group in (self.request("GET", root, accept=_DISCOVERY) or {}).get("items", []):
                for version in group["versions"]:
                    prefix = "/".join(filter(None, (root, group["metadata"].get("name"), version["version"])))
                    for resource in version.get("resources", []):
                        entry = (prefix, resource["resource"], resource["scope"] == "Namespaced")
                        self._kinds.setdefault(resource["responseKind"]["kind"], entry)


_FORCE = {"fieldManager": "lab", "force": "true"}


def _documents(manifests: str | Object | Iterable[Object]) -> Iterable[Object]:
    if isinstance(manifests, str):
        return [document for document in yaml.safe_load_all(manifests) if document]
    return [manifests] if isinstance(manifests, dict) else manifests
