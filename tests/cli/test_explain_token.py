"""Whom `explain` asks, what it shows of who asks (a token of a file, or the pod's own), and what is no answer."""

import http.server
import threading

import pytest

from scaler.cli import bearer
from scaler.cli.main import main


@pytest.fixture
def server():
    shown = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            shown.append(self.headers["Authorization"])
            body = b'{"error": "no such object"}'
            self.send_response(404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    yield listening.server_port, shown
    listening.shutdown()
    listening.server_close()


def test_a_token_is_shown_from_its_file(server, tmp_path):
    port, shown = server
    (tmp_path / "token").write_text("abc\n")
    words = ["explain", "demo/llama", "--server", f"http://127.0.0.1:{port}"]
    assert main([*words, "--token-file", str(tmp_path / "token")]) == 2
    assert main(words) == 2
    assert shown == ["Bearer abc", None]


@pytest.mark.parametrize(("host", "token"), [("localhost", "own"), ("127.0.0.1", "own"), ("127.0.0.2", None)])
def test_the_pods_own_token_is_shown_to_the_server_in_the_pod_alone(server, tmp_path, monkeypatch, host, token):
    port, _ = server
    (tmp_path / "own").write_text("own")
    monkeypatch.setattr(bearer, "OWN_TOKEN", str(tmp_path / "own"))
    shown = bearer.authorization(f"http://{host}:{port}/api/v1/explain/demo/llama", None)
    assert shown == ({"Authorization": "Bearer own"} if token else {})


@pytest.mark.parametrize(
    ("name", "why"),
    [("missing", "No such file or directory"), ("odd", "not UTF-8 (byte 0)"), (".", "Is a directory")],
)
def test_a_token_file_that_cannot_be_read_is_named(server, tmp_path, capsys, name, why):
    port, shown = server
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    file = str(tmp_path / name)
    assert main(["explain", "demo/llama", "--server", f"http://127.0.0.1:{port}", "--token-file", file]) == 1
    assert f"--token-file: {file} cannot be read: {why}\n" in capsys.readouterr().err
    assert shown == []


@pytest.mark.parametrize("content", ["", "\n", "two words", "n\u00f6"])
def test_a_file_that_holds_no_token_is_named(server, tmp_path, capsys, content):
    port, shown = server
    (tmp_path / "token").write_text(content)
    words = ["explain", "demo/llama", "--server", f"http://127.0.0.1:{port}", "--token-file", str(tmp_path / "token")]
    assert main(words) == 1
    assert "token holds no token; allowed: one word of ASCII" in capsys.readouterr().err
    assert shown == []


@pytest.mark.parametrize("told", ['{"decisions": 5}', '{"decisions": [5]}', '{"decisions": {"a": 1}}', "[]", "5"])
def test_a_page_of_something_else_is_no_explanation(capsys, told):
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        server = f"http://127.0.0.1:{listening.server_port}"
        assert main(["explain", "demo/llama", "--server", server]) == 2
        listening.shutdown()
    assert "answers 200, and not as the admin address of llm-scaler does (port 8080)" in capsys.readouterr().err
