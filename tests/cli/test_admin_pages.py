"""One GET of an admin page: an answer whatever its status, or why there was none, in words of a person."""

import socket
import threading
from contextlib import contextmanager

import pytest
from support.prometheus_server import free_port

from scaler.cli import admin_pages
from scaler.model.errors import ScalerError


@contextmanager
def listener(answer):
    """A port of this machine that answers a call with these bytes; None: with nothing, and does not hang up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        calls = []

        def serve():
            call, _ = server.accept()
            calls.append(call)
            call.recv(4096)
            if answer is not None:
                call.sendall(answer)
                call.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for call in calls:
            call.close()
        thread.join(5)


def test_an_answer_is_one_whatever_its_status():
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    with listener(refused) as address:
        answer = admin_pages.get(f"http://{address}/", {}, 5.0)
    assert (answer.status_code, answer.text) == (403, "no")


def why(url, timeout=5.0):
    with pytest.raises(ScalerError) as caught:
        admin_pages.get(url, {}, timeout)
    return str(caught.value)


def test_a_port_at_which_nobody_listens():
    address = f"127.0.0.1:{free_port()}"
    assert why(f"http://{address}/") == (
        f"http://{address}/ did not answer: nothing listens there; is it the admin address (port 8080)?"
    )


def test_a_page_that_leads_elsewhere_is_named_and_nothing_is_shown_there():
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/login\r\nContent-Length: 0\r\n\r\n"
    with listener(moved) as address:
        told = f"http://{address}/ redirects to http://elsewhere/login; is it the admin address of llm-scaler?"
        assert why(f"http://{address}/") == told


def test_a_port_that_speaks_grpc():
    with listener(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00") as address:
        assert "it does not speak HTTP there; is it the gRPC port? The admin port is 8080" in why(f"http://{address}/")


def test_a_port_without_tls():
    with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        assert "it does not speak HTTPS there" in why(f"https://{address}/")


def test_a_server_that_hangs():
    with listener(None) as address:
        assert why(f"http://{address}/", 0.2) == f"http://{address}/ did not answer within 0.2s"
