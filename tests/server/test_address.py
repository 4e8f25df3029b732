import errno
import socket

import pytest

from scaler.model.errors import ConfigError
from scaler.server.address import listen_error, probe, split


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("0.0.0.0:6000", "0.0.0.0", 6000),
        ("[::]:6000", "::", 6000),
        (":8080", "0.0.0.0", 8080),
        ("localhost:0", "localhost", 0),
    ],
)
def test_an_address_is_a_host_and_a_port(address, host, port):
    assert split(address, "grpc.address") == (host, port)


@pytest.mark.parametrize("address", ["", "6000", "host:", "host:http", "host:65536", "host:-1", "host:٣"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="is not an address; allowed: HOST:PORT"):
        split(address, "grpc.address")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EADDRINUSE, "port 80 on 10.0.0.1 is in use; allowed: a free port"),
        (errno.EACCES, "port 80 on 10.0.0.1 is not ours to take; allowed: a port from 1024 on"),
        (
            errno.EADDRNOTAVAIL,
            "10.0.0.1 is not an address of this machine; allowed: one of its own, or 0.0.0.0 for all",
        ),
        (errno.ENOBUFS, "cannot listen on 10.0.0.1:80 (No buffer space available)"),
    ],
)
def test_why_an_address_cannot_be_had(number, sentence):
    error = OSError(number, "No buffer space available")
    assert str(listen_error("10.0.0.1:80", "grpc.address", error)) == f"settings: grpc.address: {sentence}"


def test_a_free_port_passes_in_both_families():
    probe("127.0.0.1:0", "grpc.address")
    if socket.has_ipv6:
        probe("[::1]:0", "grpc.address")
