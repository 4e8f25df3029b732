"""One look at the cluster, for `doctor`: lists and objects by their paths, all at the same time. It never raises.

paths    {"pods": ["/api/v1/namespaces/demo/pods?labelSelector=app=llama"]}
look     {"pods": [the pods]}, {}                                         or
         {}, {"pods": "403: pods is forbidden: User ... cannot list"}
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, quote

from scaler.model.errors import SourceError
from scaler.model.objects import Manifest
from scaler.sources.kubernetes.api import ApiServer

AT_ONCE = 8
PAGE = 500  # objects asked for at a time
MOST_PAGES = 20

Objects = dict[str, list[Manifest]]


def look(server: ApiServer, paths: Mapping[str, Sequence[str]]) -> tuple[Objects, dict[str, str]]:
    """Read lists; of a plural with several paths all are one list.

    Returns:
        The objects by plural, and of those that could not be read why.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda item: (item[0], _lists(server, item[1])), paths.items()))
    objects = {plural: found for plural, found in answers if isinstance(found, list)}
    unread = {plural: found for plural, found in answers if isinstance(found, str)}
    return objects, unread


def one(server: ApiServer, path: str) -> Manifest | str:
    """Read one object, or say why not."""
    try:
        return server.get(path)
    except SourceError as error:
        return str(error)


def text(server: ApiServer, path: str) -> tuple[int, str]:
    """Read what a pod or a Service answers through the API server; status 0 with the reason where nobody answered."""
    try:
        status, body = server.fetch(path)
    except SourceError as error:
        return 0, str(error)
    return status, body.decode("utf-8", errors="replace")


def keys_alone(secret: Manifest) -> Manifest:
    """Return a Secret without its values: its name, and which keys it has."""
    return {"metadata": secret.get("metadata", {}), "data": dict.fromkeys(secret.get("data") or {}, "")}


def json_of(body: str) -> Manifest:
    """Read a JSON object; empty for anything else."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def proxied(namespace: str, kind: str, name: str, port: int | str, path: str) -> str:
    """Return where the API server passes a request on to a pod or Service; `kind` is their plural."""
    return f"/api/v1/namespaces/{quote(namespace)}/{kind}/{quote(name)}:{port}/proxy{path}"


def _lists(server: ApiServer, paths: Sequence[str]) -> list[Manifest] | str:
    found: list[Manifest] = []
    for path in paths:
        try:
            found += _pages(server, path)
        except SourceError as error:
            return str(error)
    return found


def _pages(server: ApiServer, path: str) -> list[Manifest]:
    """Read a list, page by page; each object is given its kind, which lists leave out."""
    place, _, query = path.partition("?")
    asked = dict(parse_qsl(query)) | {"limit": str(PAGE)}
    found: list[Manifest] = []
    for _ in range(MOST_PAGES):
        answer = server.get(place, asked)
        kind = str(answer.get("kind", "")).removesuffix("List")
        items = answer.get("items")
        found += [{"kind": kind, **item} for item in items or () if isinstance(item, dict)]
        more = (answer.get("metadata") or {}).get("continue")
        if not more:
            break
        asked["continue"] = str(more)
    return found
