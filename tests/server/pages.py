"""The admin pages of a world, over a real socket."""

from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from server.world import World

from scaler.server import metrics
from scaler.server.admin import AdminPages, serve


@dataclass
class Page:
    status: int
    text: str
    headers: dict


@asynccontextmanager
async def pages(world: World, **changes):
    """Serve the pages; gives their URL."""
    made = AdminPages(world.engine, world.servers[0], world.counted or metrics.registry(), **changes)
    runner = await serve(made, "127.0.0.1:0")
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def get(url, **headers):
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return Page(response.status, await response.text(), dict(response.headers))
