"""TLS and mutual TLS over a real socket, with certificates that change."""

import asyncio
import re
import socket
import ssl
import threading
from datetime import UTC, datetime

import pytest
import trustme
from server.keda_client import Trigger, keda
from server.pages import get, pages
from server.world import ref, refused, with_tls, world

from scaler.model.errors import ConfigError
from scaler.server.tls import Certificates, TlsFiles


async def shown(port, secret):
    """The name in the certificate that a new connection is shown."""
    context = ssl.create_default_context(cadata=secret.authority.cert_pem.bytes().decode())
    context.set_alpn_protocols(["h2"])

    def look():
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as encrypted,
        ):
            return dict(pair for part in encrypted.getpeercert()["subject"] for pair in part)["commonName"]

    return await asyncio.to_thread(look)


# ---- who may connect ----


async def test_kedas_poll_over_tls(secret):
    async with world({"waiting": 5.0}, with_tls(secret.files())) as w:
        async with keda(w.servers[0].port, credentials=secret.trust()) as operator:
            assert await operator.poll(ref()) == Trigger("queue", 1.0, 3.0, True)
        async with keda(w.servers[0].port) as without_tls:
            assert (await refused(without_tls.stub.IsActive(ref())))[0] == "UNAVAILABLE"


async def test_mutual_tls_lets_in_whom_the_authority_knows(secret):
    async with world({"waiting": 5.0}, with_tls(secret.files(mutual=True))) as w:
        known = secret.trust(secret.authority.issue_cert("keda-operator"))
        async with keda(w.servers[0].port, credentials=known) as operator:
            assert await operator.poll(ref()) == Trigger("queue", 1.0, 3.0, True)


@pytest.mark.parametrize("certificate", ["none", "of another authority"])
async def test_mutual_tls_keeps_out_whom_it_does_not_know(secret, certificate):
    stranger = None if certificate == "none" else trustme.CA().issue_cert("keda-operator")
    async with world(listen=with_tls(secret.files(mutual=True))) as w:
        async with keda(w.servers[0].port, credentials=secret.trust(stranger)) as operator:
            assert (await refused(operator.stub.IsActive(ref())))[0] == "UNAVAILABLE"
        assert not w.engine.decisions()


# ---- certificates that change ----


async def test_a_new_pair_is_served_to_new_connections_and_old_ones_stay(secret, caplog):
    caplog.set_level("INFO")
    async with world(listen=with_tls(secret.files())) as w, keda(w.servers[0].port, credentials=secret.trust()) as old:
        assert (await old.poll(ref())).active is False
        assert await shown(w.servers[0].port, secret) == "version 0"
        secret.publish()
        assert await shown(w.servers[0].port, secret) == "version 1"
        assert (await old.poll(ref())).active is False
        assert [record.message for record in caplog.records].count("the certificates have changed") == 1


@pytest.mark.parametrize("page", ["/metrics", "/readyz?verbose"])
async def test_a_new_pair_is_served_whoever_asked_in_between(secret, page):
    async with world(listen=with_tls(secret.files())) as w, pages(w) as url:
        assert await shown(w.servers[0].port, secret) == "version 0"
        for version in ("version 1", "version 2"):
            secret.publish()
            await get(url + page)
            assert await shown(w.servers[0].port, secret) == version
            await get(url + page)
            assert await shown(w.servers[0].port, secret) == version


async def test_no_file_is_read_on_the_event_loop(secret, monkeypatch):
    """A file that is slow must not keep KEDA waiting."""
    readers, read = set(), type(secret.folder).read_bytes

    def noted(path):
        readers.add(threading.current_thread())
        return read(path)

    async with world(listen=with_tls(secret.files())) as w, pages(w) as url:
        monkeypatch.setattr(type(secret.folder), "read_bytes", noted)
        secret.publish()
        await get(f"{url}/metrics")
        await get(f"{url}/readyz?verbose")
        await shown(w.servers[0].port, secret)
    assert readers
    assert threading.main_thread() not in readers


async def test_many_clients_at_once_see_one_change(secret, caplog):
    caplog.set_level("INFO")
    async with world(listen=with_tls(secret.files())) as w:
        secret.publish()
        names = await asyncio.gather(*(shown(w.servers[0].port, secret) for _ in range(20)))
        assert set(names) == {"version 1"}
        assert [record.message for record in caplog.records].count("the certificates have changed") == 1


async def test_a_pair_that_does_not_fit_leaves_the_old_one_in_service_and_is_seen(secret, caplog):
    other = trustme.CA().issue_cert("localhost").private_key_pem.bytes()
    async with world(listen=with_tls(secret.files())) as w:
        secret.publish(key=other)
        assert await shown(w.servers[0].port, secret) == "version 0"
        assert await shown(w.servers[0].port, secret) == "version 0"
        assert f"tls.key: is not the key of {secret.folder}/tls.crt" in await w.servers[0].warning()
        warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert warned == ["the new certificates are not in service"]
        secret.publish()
        assert await shown(w.servers[0].port, secret) == "version 2"
        assert await w.servers[0].warning() == ""


async def test_files_that_go_away_leave_the_old_pair_in_service(secret):
    async with world(listen=with_tls(secret.files())) as w:
        (secret.folder / "..data").unlink()
        assert await shown(w.servers[0].port, secret) == "version 0"
        assert "tls.crt: cannot be read (No such file or directory)" in await w.servers[0].warning()


async def test_a_new_authority_decides_who_may_connect(secret):
    keeper, newcomer = secret.authority, trustme.CA()
    async with world(listen=with_tls(secret.files(mutual=True))) as w:
        secret.authority = newcomer
        secret.publish()
        for authority, status in ((newcomer, ""), (keeper, "UNAVAILABLE")):
            credentials = secret.trust(authority.issue_cert("keda-operator"))
            async with keda(w.servers[0].port, credentials=credentials) as operator:
                assert (
                    (await refused(operator.stub.IsActive(ref())))[0] == status
                    if status
                    else await operator.poll(ref())
                )


# ---- files that are wrong from the start ----


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: s.publish(key=b""), r"tls.crt: and .*tls.key cannot be used"),
        (lambda s: s.publish(certificate=b"not a certificate"), r"tls.crt: and .*tls.key cannot be used"),
        (lambda s: s.publish(key=trustme.CA().issue_cert("a").private_key_pem.bytes()), r"tls.key: is not the key of"),
        (lambda s: (s.folder / "tls.key").unlink(), r"tls.key: cannot be read \(No such file or directory\)"),
        (lambda s: (s.folder / "ca.crt").unlink(), r"ca.crt: cannot be read"),
        (lambda s: (s.folder / "..data/ca.crt").write_bytes(b"nobody"), r"ca.crt: cannot be used"),
    ],
)
def test_files_that_cannot_serve_are_a_clear_error_at_the_start(secret, spoil, sentence):
    spoil(secret)
    with pytest.raises(ConfigError, match=sentence):
        Certificates(secret.files(mutual=True))


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(secret):
    from cryptography.hazmat.primitives import serialization as keys

    plain = keys.load_pem_private_key((secret.folder / "tls.key").read_bytes(), None)
    locked = plain.private_bytes(keys.Encoding.PEM, keys.PrivateFormat.PKCS8, keys.BestAvailableEncryption(b"password"))
    secret.publish(key=locked)
    with pytest.raises(ConfigError, match="a key without password"):
        Certificates(secret.files())


def test_files_in_the_middle_of_a_change_are_read_again(secret, monkeypatch):
    """Kubernetes swaps the link between our reading of the certificate and of the key."""
    certificates = Certificates(secret.files())
    read, swaps = type(secret.folder).read_bytes, iter([True])

    def interrupted(path):
        if path.name == "tls.key" and next(swaps, False):
            secret.publish()
        return read(path)

    monkeypatch.setattr(type(secret.folder), "read_bytes", interrupted)
    assert certificates.fetch() is not None
    assert certificates.problem() == ""


def test_files_that_never_settle_leave_the_old_pair(secret, monkeypatch):
    certificates = Certificates(secret.files())
    read = type(secret.folder).read_bytes

    def restless(path):
        secret.publish()
        return read(path)

    monkeypatch.setattr(type(secret.folder), "read_bytes", restless)
    assert certificates.fetch() is None
    assert "keeps changing while it is read" in certificates.problem()


def test_tls_files_are_three_or_two():
    assert len(TlsFiles("a", "b").paths()) == 2
    assert len(TlsFiles("a", "b", "c").paths()) == 3


# ---- certificates that end ----


async def expirations(url):
    """What the metrics page says of each certificate."""
    name = "llm_scaler_certificate_expiration_timestamp_seconds"
    lines = (await get(f"{url}/metrics")).text.splitlines()
    found = [re.fullmatch(name + r'\{certificate="([\w-]+)"\} (\S+)', line) for line in lines]
    return {one[1]: float(one[2]) for one in found if one}


def publish(secret, ends):
    """Put a certificate into the Secret that ends then."""
    fresh = secret.authority.issue_cert("localhost", common_name="fresh", not_after=ends)
    secret.publish(fresh.cert_chain_pems[0].bytes(), fresh.private_key_pem.bytes())


async def test_the_page_says_when_what_is_served_ends_also_after_a_change(secret):
    ends = datetime(2031, 5, 6, tzinfo=UTC)
    publish(secret, ends)
    async with world(listen=with_tls(secret.files(mutual=True))) as w, pages(w) as url:
        first = await expirations(url)
        assert (first["server"], set(first)) == (ends.timestamp(), {"server", "client-ca"})
        later = datetime(2033, 5, 6, tzinfo=UTC)
        publish(secret, later)
        assert (await expirations(url))["server"] == ends.timestamp()  # it serves the old one until somebody connects
        await shown(w.servers[0].port, secret)
        assert (await expirations(url))["server"] == later.timestamp()


async def test_without_tls_nothing_ends():
    async with world() as w, pages(w) as url:
        assert await expirations(url) == {}
