"""HOST:PORT, and in plain words why a server cannot listen there: gRPC says only that it failed."""

import errno
import socket

from scaler.model.errors import ConfigError

_REASONS = {
    errno.EADDRINUSE: ("port {port} on {host} is in use", "a free port"),
    errno.EACCES: ("port {port} on {host} is not ours to take", "a port from 1024 on"),
    errno.EADDRNOTAVAIL: ("{host} is not an address of this machine", "one of its own, or 0.0.0.0 for all"),
}


def split(address: str, key: str) -> tuple[str, int]:
    """Split HOST:PORT; an IPv6 host stands in brackets, and an empty one means all.

    Raises:
        ConfigError: it is not that, or the port is above 65535.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigError("settings", key, f"{address!r} is not an address", "HOST:PORT, such as 0.0.0.0:6000")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)  # noqa: S104 - what was asked for


def listen_error(address: str, key: str, error: OSError) -> ConfigError:
    """Make the ConfigError for an address that cannot be listened on."""
    host, port = split(address, key)
    problem, allowed = _REASONS.get(error.errno or 0, (f"cannot listen on {{host}}:{{port}} ({error.strerror})", ""))
    return ConfigError("settings", key, problem.format(host=host, port=port), allowed)


def probe(address: str, key: str) -> None:
    """Listen for a moment.

    Raises:
        ConfigError: why that cannot be done.
    """
    host, port = split(address, key)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probing:
            probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probing.bind((host, port))
            probing.listen(1)
    except socket.gaierror as error:
        raise ConfigError("settings", key, f"{host!r} is not a host", "an address of this machine") from error
    except OSError as error:
        raise listen_error(address, key, error) from error
