"""A Kubernetes Service in miniature: new connections go to a backend that is ready, old ones stay where they are."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Service:
    """One address in front of several servers."""

    ready: Callable[[], Sequence[int]]  # ports of the backends that are ready now
    port: int = 0
    taken: list[int] = field(default_factory=list)  # the backend of every connection so far
    open: dict[asyncio.Task, list[asyncio.StreamWriter]] = field(default_factory=dict)

    async def accept(self, reader, writer):
        """Carry bytes both ways until one side closes."""
        backend = self.ready()[0]
        self.taken.append(backend)
        writers = self.open[asyncio.current_task()] = [writer]
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", backend)
        writers.append(far_writer)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        del self.open[asyncio.current_task()]


async def _copy(source, sink):
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
    sink.close()
    with contextlib.suppress(ConnectionError):
        await sink.wait_closed()


@asynccontextmanager
async def service(ready):
    """Listen on a free port for as long as the block runs."""
    made = Service(ready)
    listener = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()
        tasks = list(made.open)
        for writer in [writer for writers in made.open.values() for writer in writers]:
            writer.close()
        await asyncio.gather(*tasks)
