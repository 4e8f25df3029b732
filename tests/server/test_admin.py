"""The admin pages, over a real socket, as people and probes read them."""

import asyncio
import contextlib
import json
import socket
from dataclasses import replace

import pytest
from server.pages import get, pages
from server.world import LOOPBACK, catalog, client, ref, refused, with_tls, world

from scaler.config.catalog import Catalog
from scaler.model.errors import ConfigError
from scaler.server import metrics
from scaler.server.admin import AdminPages, serve
from scaler.server.listen import GrpcServer


async def get_json(url):
    page = await get(url)
    assert page.headers["Content-Type"] == "application/json; charset=utf-8"
    return page.status, json.loads(page.text)


# ---- probes ----


async def test_alive_and_ready_whatever_prometheus_does():
    async with world() as w, client(w.address) as stub, pages(w) as url:
        w.source.values = {}
        await refused(stub.IsActive(ref()))
        assert (await get(f"{url}/healthz")).text == "ok\n"
        assert (await get(f"{url}/readyz")).text == "ready\n"
        assert (await get(f"{url}/readyz?verbose")).text == "ready\n[+] formulas\n[+] grpc\n"


async def test_not_ready_before_the_port_listens_and_while_draining():
    async with world() as w, pages(w) as url:
        early = replace(LOOPBACK)
        runner = await serve(
            AdminPages(w.engine, GrpcServer(w.engine, early, w.clock), metrics.registry()), "127.0.0.1:0"
        )
        page = await get(f"http://127.0.0.1:{runner.addresses[0][1]}/readyz")
        assert (page.status, page.text) == (503, "not ready\n[+] formulas\n[-] grpc: not listening yet\n")
        await runner.cleanup()
        await w.servers[0].stop()
        page = await get(f"{url}/readyz")
        assert (page.status, page.text) == (503, "not ready\n[+] formulas\n[-] grpc: draining\n")


async def test_not_ready_without_a_formula():
    async with world(formulas=Catalog()) as w, pages(w) as url:
        assert "[-] formulas: no formula could be read" in (await get(f"{url}/readyz")).text


async def test_verbose_names_each_bad_file_workload_and_certificate_and_stays_ready(secret):
    async with world(listen=with_tls(secret.files())) as w, pages(w) as url:
        w.engine.update_catalog(
            Catalog(catalog().formulas, {"b.yaml": "b.yaml: formula: is missing", "a.yaml": "is not UTF-8"})
        )
        secret.publish(key=b"")
        page = await get(f"{url}/readyz?verbose")
        assert page.status == 200
        assert page.text.splitlines()[3:5] == [
            "[!] formula file a.yaml: is not UTF-8",
            "[!] formula file b.yaml: b.yaml: formula: is missing",
        ]
        assert page.text.splitlines()[5].startswith("[!] certificates: ")


# ---- decisions ----


async def test_every_workload_is_a_row():
    async with world({"waiting": 5.0}) as w, client(w.address) as stub, pages(w) as url:
        assert await get_json(f"{url}/api/v1/decisions") == (200, {"decisions": []})
        await stub.IsActive(ref(id="main"))
        (row,) = (await get_json(f"{url}/api/v1/decisions"))[1]["decisions"]
        assert row == {
            "namespace": "models",
            "name": "chat",
            "kind": "ScaledObject",
            "trigger": "main",
            "formula": "queue",
            "at": w.clock.now,
            "certainty": "certain",
            "replicas": 3,
            "active": True,
            "reason": w.engine.decisions()[0].reason,
        }


async def test_explain_shows_every_trigger_of_an_object_as_data_and_as_text():
    async with world({"waiting": 5.0}) as w, client(w.address) as stub, pages(w) as url:
        for target in ("2", "5"):
            await stub.IsActive(ref(target=target, id=f"at-{target}"))
        await stub.IsActive(ref(name="other"))
        place = f"{url}/api/v1/explain/models/chat"
        status, data = await get_json(place)
        assert status == 200
        assert [(one["workload"]["trigger"], one["answeredReplicas"]) for one in data["decisions"]] == [
            ("at-2", 3),
            ("at-5", 1),
        ]
        text = await get(f"{place}?format=text")
        assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "3 replicas, active" in text.text
        assert "1 replica, active" in text.text
        assert "timeline" not in text.text
        assert "timeline" in (await get(f"{place}?format=text&queries")).text


async def test_explain_says_on_its_second_line_that_the_newest_edit_is_not_in_force():
    async with world({"waiting": 5.0}) as w, client(w.address) as stub, pages(w) as url:
        await stub.IsActive(ref())
        w.engine.update_catalog(Catalog(catalog().formulas, {"queue.yaml": "queue.yaml: formula: is missing"}))
        text = (await get(f"{url}/api/v1/explain/models/chat?format=text")).text
        told = "queue.yaml as it is now is not in force: queue.yaml: formula: is missing"
        assert text.splitlines()[1] == f"  ! {told}"
        assert "\n  formula queue, as it was before the edit that is not in force\n" in text
        (data,) = (await get_json(f"{url}/api/v1/explain/models/chat"))[1]["decisions"]
        assert data["notice"] == told
        assert "llm_scaler_workloads_stale_formula 1.0" in (await get(f"{url}/metrics")).text
        w.engine.update_catalog(Catalog(catalog().formulas, {"other.yaml": "other.yaml: formula: is missing"}))
        assert "not in force" not in (await get(f"{url}/api/v1/explain/models/chat?format=text")).text


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("models/chatt", "no decision for models/chatt, did you mean models/chat?; there are: models/chat"),
        ("a/b", "no decision for a/b; there are: models/chat"),
        ("a/%3Cscript%3E", "no decision for a/<script>; there are: models/chat"),
    ],
)
async def test_an_unknown_object_is_not_found_and_the_nearest_named(asked, sentence):
    async with world() as w, client(w.address) as stub, pages(w) as url:
        await stub.IsActive(ref())
        assert await get_json(f"{url}/api/v1/explain/{asked}") == (404, {"error": sentence})


async def test_before_the_first_call_nobody_is_known():
    async with world() as w, pages(w) as url:
        _, data = await get_json(f"{url}/api/v1/explain/models/chat")
        assert data["error"].endswith("there are: none yet; a workload is known from KEDA's first call on")


# ---- all pages ----


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/v1/decisions", "/api/v1/explain/a/b"])
async def test_no_page_is_kept_or_guessed_at(path):
    async with world() as w, pages(w) as url:
        page = await get(url + path)
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_port_in_use_is_said_in_one_sentence():
    async with world() as w:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            made = AdminPages(w.engine, w.servers[0], metrics.registry())
            with pytest.raises(
                ConfigError, match=f"admin.address: port {port} on 127.0.0.1 is in use; allowed: a free"
            ):
                await serve(made, f"127.0.0.1:{port}")


# ---- connections that keep somebody waiting ----


@pytest.mark.parametrize(
    "sent", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), b"\x16\x03\x01\x02", b"GET / HTTP/9.9\r\nx\r\n\r\n"]
)
async def test_what_is_no_http_is_refused_without_a_traceback(sent, caplog):
    """Such as gRPC, or TLS, that was sent to the wrong port."""
    async with world() as w, pages(w) as url:
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert b"Traceback" not in answer
        if sent.startswith(b"PRI"):
            async with client(f"127.0.0.1:{port}") as stub:
                assert (await refused(stub.IsActive(ref(), timeout=20)))[0] == "UNAVAILABLE"
        assert (await get(f"{url}/healthz")).text == "ok\n"
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


async def _drip(writer):
    """Send headers that never end, a byte at a time."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nSlow: ", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["nothing at all", "headers that never end", "one request and then nothing"],
)
async def test_a_connection_without_a_whole_request_is_closed(sent):
    async with world() as w:
        made = AdminPages(w.engine, w.servers[0], metrics.registry())
        runner = await serve(made, "127.0.0.1:0", idle=0.3)
        port = runner.addresses[0][1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        dripping = asyncio.create_task(_drip(writer)) if sent.endswith(b"Slow: ") else None
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 20)  # ends with the connection, and not before
        if dripping:
            dripping.cancel()
        writer.close()
        assert (await get(f"http://127.0.0.1:{port}/healthz")).text == "ok\n"
        await runner.cleanup()
