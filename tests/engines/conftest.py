"""A server on loopback that does as a test wants."""

import asyncio
import threading

import pytest
from aiohttp import web


@pytest.fixture
def served():
    """Give a function that serves POST /v1/completions by a handler and returns the server's URL."""
    loop, runners = asyncio.new_event_loop(), []
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start(handler):
        site = web.Application()
        site.router.add_post("/v1/completions", handler)
        runners.append(runner := web.AppRunner(site, shutdown_timeout=1.0))
        await runner.setup()
        await (place := web.TCPSite(runner, "127.0.0.1", 0)).start()
        return f"http://127.0.0.1:{place._server.sockets[0].getsockname()[1]}"

    yield lambda handler: asyncio.run_coroutine_threadsafe(start(handler), loop).result()
    for runner in runners:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()  # handlers that hang on purpose
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _cancel_others():
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
