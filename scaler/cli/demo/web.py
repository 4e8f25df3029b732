"""HTTP on loopback for simulated pods: every one has a port of its own, which opens and closes with it."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

HOST = "127.0.0.1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MakePage = Callable[[], str]


class Web:
    """The pages that can be read now. While `dark`, every one answers 503."""

    def __init__(self) -> None:
        self.dark = False
        self._pages: dict[int, MakePage] = {}  # by port
        self._sites: dict[str, tuple[web.TCPSite, int]] = {}  # by name
        app = web.Application()
        app.add_routes([web.get("/metrics", self._answer)])
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=30.0, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def names(self) -> frozenset[str]:
        """The names of those who have a page."""
        return frozenset(self._sites)

    def url(self, name: str) -> str:
        """Return where a page is."""
        return f"http://{HOST}:{self._sites[name][1]}/metrics"

    async def open(self, name: str, page: MakePage) -> None:
        """Serve a page, made anew for every request."""
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        port = site.port
        self._sites[name] = site, port
        self._pages[port] = page

    async def close(self, name: str) -> None:
        """Close a page's port; who has a connection to it loses it with the next request."""
        site, port = self._sites.pop(name)
        del self._pages[port]
        await site.stop()

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None  # noqa: S101 - it is there while a request is handled
        page = self._pages.get(request.transport.get_extra_info("sockname")[1])
        if page is None:
            request.transport.abort()
            return web.Response(status=503)
        if self.dark:
            return web.Response(status=503, text="the metrics are away\n")
        response = web.Response(text=page(), headers={"Content-Type": CONTENT_TYPE})
        response.enable_compression()
        return response
