"""End the connections of a gRPC server as its process' end would: to its callers that is UNAVAILABLE.

gRPC's own end cancels such calls instead (grpc/grpc#41785), and CANCELLED says to a caller that it gave up itself.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def hang_up(port: int) -> int:
    """Refuse new connections to a port of this process, and shut down all it has; what was written is still delivered.

    Returns:
        How many there were.
    """
    if not sum(1 for _ in _sockets(port, listening=False)):
        return 0
    # Else who is hung up on comes again, and gRPC's own end would cancel that call. Of this gRPC itself logs an error.
    for one in _sockets(port, listening=True):
        _shut(one)
    return sum(map(_shut, _sockets(port, listening=False)))


def _sockets(port: int, *, listening: bool) -> Iterator[socket.socket]:
    """Yield second names of the sockets of a port: those that listen, or those of connections."""
    for name in Path("/dev/fd").iterdir():
        with suppress(OSError), _socket(int(name.name)) as one:  # no socket, or gone already
            if _is_of(one, port) and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) == listening:
                yield one


def _socket(number: int) -> socket.socket:
    """Return a second name of an open socket; raises OSError where it is none."""
    again = os.dup(number)
    try:
        return socket.socket(fileno=again)
    except OSError:
        os.close(again)
        raise


def _is_of(one: socket.socket, port: int) -> bool:
    try:
        return one.family in {socket.AF_INET, socket.AF_INET6} and bool(one.getsockname()[1] == port)
    except OSError:
        return False


def _shut(one: socket.socket) -> bool:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
        return True
    return False
