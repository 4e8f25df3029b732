"""An HTTP server on loopback that answers every path as a test wants, and remembers who asked for what."""

import contextlib
import gzip
import http.server
import socket
import threading
from collections.abc import Callable


class Web:
    """`paths` gives for each path a text, or a function of the handler that answers by itself."""

    def __init__(self) -> None:
        self.paths: dict[str, str | Callable[[http.server.BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self.over = threading.Event()  # lets answers that hang end
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def setup(self) -> None:
                web.connections += 1
                super().setup()
                web._open.append(self.connection)

            def do_GET(self) -> None:
                web.asked.append((self.path, dict(self.headers)))
                answer = web.paths.get(self.path)
                if callable(answer):
                    answer(self)
                else:
                    send(self, (answer or "").encode(), status=404 if answer is None else 200)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False  # so that closing waits for the last answer
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def cut(self) -> None:
        """End every connection that is open."""
        for connection in self._open:
            with contextlib.suppress(OSError):  # it is closed
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self.cut()
        self._server.server_close()


def send(handler, body, status=200, **headers):
    """Answer with a body; headers with `_` for `-`."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def zipped(body, **headers):
    """An answer that is packed."""
    packed = gzip.compress(body)
    return lambda handler: send(handler, packed, Content_Encoding="gzip", **headers)
