"""A small API server on a real socket: lists with paging, watches with bookmarks, and everything that goes wrong."""

import contextlib
import http.server
import json
import socket
import threading
import time
from urllib.parse import parse_qs, urlsplit

import yaml


class Server:
    """Objects by plural; every change is an event with a version of its own."""

    def __init__(self):
        self.objects = {}  # plural -> {(namespace, name): object}
        self.events = {}  # plural -> [(version, type, object)]
        self.scales = {}  # path -> scale
        self.version = 100
        self.compacted = 0  # versions up to this one are gone
        self.refused = {}  # plural -> (status, message)
        self.requests = []  # (plural, query), in the order of their coming
        self.raw = {}  # plural -> bytes sent instead of a list
        self.odd = []  # lines that the next watches send first
        self.quiet = 0.05  # seconds after which a watch without events ends
        self.tokens = {}  # token -> user, as TokenReview says it
        self.grants = set()  # (username, namespace) of who may get ScaledObjects; an empty namespace is all
        self.stale_pages = 0  # so many continue tokens are refused as too old
        self.changed = threading.Condition()
        self.open = set()
        self.server = _Listener(("127.0.0.1", 0), _Handler)
        self.server.world = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def kubeconfig(self, folder, token="secret"):
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(tree))
        return path

    def put(self, plural, *raws):
        for raw in raws:
            self._change(plural, raw, "MODIFIED" if self._key(raw) in self.objects.get(plural, {}) else "ADDED")

    def delete(self, plural, *raws):
        for raw in raws:
            self._change(plural, raw, "DELETED")

    def bookmark(self, plural):
        with self.changed:
            self.version += 1
            mark = {"metadata": {"resourceVersion": str(self.version)}}
            self.events.setdefault(plural, []).append((self.version, "BOOKMARK", mark))
            self.changed.notify_all()

    def compact(self):
        """Forget all versions up to now, as etcd does."""
        with self.changed:
            self.version += 1
            self.compacted = self.version
            self.changed.notify_all()

    def drop(self):
        """Cut every connection, in the middle of whatever it says."""
        for sock in list(self.open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.drop()

    def asked(self, plural):
        return [query for name, query in self.requests if name == plural]

    def _key(self, raw):
        return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]

    def _change(self, plural, raw, kind):
        with self.changed:
            self.version += 1
            raw = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(self.version)}}
            stored = self.objects.setdefault(plural, {})
            stored.pop(self._key(raw), None)
            if kind != "DELETED":
                stored[self._key(raw)] = raw
            self.events.setdefault(plural, []).append((self.version, kind, raw))
            self.changed.notify_all()


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    world = None

    def handle_error(self, request, client_address):
        """A connection that was cut, as tests want it."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.world = self.server.world
        self.world.open.add(self.connection)

    def finish(self):
        self.world.open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_):
        pass

    def do_GET(self):
        with contextlib.suppress(OSError):
            self.answer()

    def do_POST(self):
        """TokenReview and SubjectAccessReview."""
        spec = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]
        plural = urlsplit(self.path).path.rpartition("/")[2]
        self.world.requests.append((plural, spec))
        if plural in self.world.refused:
            status, message = self.world.refused[plural]
            return self.say(status, {"kind": "Status", "code": status, "message": message})
        if plural == "tokenreviews":
            user = self.world.tokens.get(spec["token"])
            return self.say(201, {"status": {"authenticated": True, "user": user} if user else {"error": "unknown"}})
        asked = spec["resourceAttributes"]
        assert (asked["verb"], asked["group"], asked["resource"]) == ("get", "keda.sh", "scaledobjects")
        granted = {(spec["user"], asked["namespace"]), (spec["user"], "")} & self.world.grants
        return self.say(201, {"status": {"allowed": bool(granted)}})

    def answer(self):
        split = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        parts = split.path.strip("/").split("/")
        plural = parts[-1]
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else None
        self.world.requests.append((plural, {**query, "namespace": namespace, "token": self.headers["Authorization"]}))
        if plural in self.world.refused:
            status, message = self.world.refused[plural]
            return self.say(status, {"kind": "Status", "code": status, "message": message})
        if plural == "scale":
            found = self.world.scales.get(split.path)
            return self.say(200 if found else 404, found or {"message": "no such scale"})
        if plural in self.world.raw:
            return self.send(200, self.world.raw[plural])
        if "watch" in query:
            return self.watch(plural, namespace, int(query["resourceVersion"]))
        return self.list(plural, namespace, query)

    def list(self, plural, namespace, query):
        with self.world.changed:
            stored = self.world.objects.get(plural, {}).items()
            items = [raw for key, raw in sorted(stored) if namespace in (None, key[0])]
            version = self.world.version
        begin, limit = int(query.get("continue", 0)), int(query["limit"])
        if begin and self.world.stale_pages:
            self.world.stale_pages -= 1
            return self.say(410, {"message": "The provided continue parameter is too old"})
        more = str(begin + limit) if begin + limit < len(items) else ""
        meta = {"resourceVersion": str(version), "continue": more}
        return self.say(200, {"kind": "List", "metadata": meta, "items": items[begin : begin + limit]})

    def watch(self, plural, namespace, since):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in [self.world.odd.pop(0)] if self.world.odd else []:
            self.chunk(line)
        if since < self.world.compacted:
            gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
            self.chunk(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return self.chunk(b"")
        until = time.monotonic() + self.world.quiet
        while True:
            with self.world.changed:
                self.world.changed.wait(max(0.0, min(until - time.monotonic(), 0.05)))
                new = [event for event in self.world.events.get(plural, []) if event[0] > since]
            for version, kind, raw in new:
                since = version
                if kind == "BOOKMARK" or namespace in (None, self.world._key(raw)[0]):
                    line = json.dumps({"type": kind, "object": raw}).encode() + b"\n"
                    self.chunk(line[:7])  # an event may come in pieces
                    self.chunk(line[7:])
            if time.monotonic() > until:
                return self.chunk(b"")

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def say(self, status, tree):
        self.send(status, json.dumps(tree).encode())

    def send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
