"""End the connections of a gRPC server as its process' end would: to its callers that is UNAVAILABLE.

gRPC's own end cancels such calls instead (grpc/grpc#41785), and CANCELLED says to a caller that it gave up itself.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path


def hang_up(port: int) -> int:
    """Shut down all connections that were made to a port of this process; what was written is still delivered.

    Returns:
        How many there were.
    """
    return sum(map(_shut, _connections(port)))


def _connections(port: int) -> list[socket.socket]:
    found = []
    for name in Path("/dev/fd").iterdir():
        with suppress(OSError):  # no socket, one that listens, or gone already
            one = _socket(int(name.name))
            if _is_of(one, port):
                found.append(one)
            else:
                one.close()
    return found


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
        one.getpeername()
        return one.family in {socket.AF_INET, socket.AF_INET6} and bool(one.getsockname()[1] == port)
    except OSError:
        return False


def _shut(one: socket.socket) -> bool:
    with one, suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
        return True
    return False
