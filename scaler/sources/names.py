"""The name service of the system. Its `getaddrinfo` blocks and has no time-out, so it alone is asked in threads."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

_AT_ONCE = 16  # names that are looked up; a thread each


class Names:
    """Looks names up, each once at a time however many ask for it; for one event loop.

    Args:
        name: of the endpoint whose names they are.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"names-{name}")
        self._under_way: dict[str, asyncio.Future[list[str]]] = {}

    async def look_up(self, host: str) -> list[str]:
        """Give the addresses of a host, those that the system would rather use first.

        Raises:
            OSError, UnicodeError: the name service has none, or it is no name.
        """
        if host not in self._under_way:
            looking = asyncio.get_running_loop().run_in_executor(self._pool, partial(_addresses, host))
            self._under_way[host] = looking
            looking.add_done_callback(partial(self._forget, host))
        return await asyncio.shield(self._under_way[host])  # who gives up leaves it to the others

    def close(self) -> None:
        """Look no more up; what hangs is left behind."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _forget(self, host: str, looked: "asyncio.Future[list[str]]") -> None:
        del self._under_way[host]
        if not looked.cancelled():
            looked.exception()  # that nobody waited for it is no fault


def _addresses(host: str) -> list[str]:
    rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))
