"""The smallest gateway that queues: what waits for a replica is held, and its metrics page says how much that is.

    python -m engines.lab.gateway --listen 127.66.0.1:8000 --model tiny --app tiny --limit 12 --api URL --ca .. --cert .. --key ..

Requests are forwarded in the order in which they came, each to the ready pod labelled app=APP that has the least to do,
as long as that is less than LIMIT; with no such pod they wait, for as long as their client does. The page has llm-d's
name for the queue. Every answer says in its headers which replica gave it, and when the request left the queue; times
are those of the machine's monotonic clock. A pod with several engines is as many replicas.
"""

import argparse
import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aiohttp
from aiohttp import web
from laboratory.api import Api, Object
from laboratory.lab import condition
from laboratory.process import LabError

from scaler.sim import pages

LOOK = 0.25  # seconds between two looks at the pods
REFUSED = 3.0  # seconds for which a replica that takes no connection gets nothing; then Kubernetes has seen it too
UNAVAILABLE = 503
REPLICA, FORWARDED = "x-replica", "x-forwarded-at"
_HOP = {"transfer-encoding", "content-length", "connection", "date", "server"}


class Gateway:
    """What waits, and what each replica has to do.

    Args:
        model: the only one that is served.
        limit: requests that one replica may have at a time.
    """

    def __init__(self, model: str, limit: int) -> None:
        self._model = model
        self._limit = limit
        self._replicas: tuple[str, ...] = ()  # HOST:PORT of those that are ready
        self._refusing: set[str] = set()  # of them, those that take no connection
        self._busy: Counter[str] = Counter()  # requests in flight, by replica
        self._queue: deque[asyncio.Future[str]] = deque()

    def page(self) -> str:
        """Return the metrics page."""
        return pages.gateway({self._model: len(self._queue)})

    def use(self, replicas: Iterable[str]) -> None:
        """Send to these from now on; what the others have goes on to its end."""
        self._replicas = tuple(sorted(set(replicas) - self._refusing))
        self._forward()

    def drop(self, replica: str) -> None:
        """Send nothing to a replica for some time, since it takes no connection."""
        self._refusing.add(replica)
        self._replicas = tuple(one for one in self._replicas if one != replica)
        asyncio.get_running_loop().call_later(REFUSED, self._refusing.discard, replica)

    async def take(self) -> str:
        """Wait in the queue and return the replica, which has one more request to do then."""
        turn: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._forward()
        try:
            return await turn
        except asyncio.CancelledError:  # the client has gone
            if turn.done() and not turn.cancelled():
                self.give_back(turn.result())
            elif turn in self._queue:
                self._queue.remove(turn)
            raise

    def give_back(self, replica: str) -> None:
        """Count one request less at a replica."""
        self._busy[replica] -= 1
        self._forward()

    def _forward(self) -> None:
        while self._queue and self._replicas:
            replica = min(self._replicas, key=lambda address: self._busy[address])
            if self._busy[replica] >= self._limit:
                return
            turn = self._queue.popleft()
            if not turn.cancelled():  # as it is where several clients have gone at once
                self._busy[replica] += 1
                turn.set_result(replica)


async def _completions(request: web.Request) -> web.StreamResponse:
    """Forward one request, once more where a replica has begun to end just then, and pass its answer on as it comes."""
    gateway, client = request.app[_GATEWAY], request.app[_CLIENT]
    body = await request.read()
    while True:
        replica = await gateway.take()
        forwarded = time.monotonic()
        try:
            url = f"http://{replica}{request.path}"
            async with client.post(url, data=body, headers={"content-type": "application/json"}) as answer:
                if answer.status == UNAVAILABLE:
                    continue
                kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
                told = {REPLICA: replica, FORWARDED: f"{forwarded:.6f}"}
                response = web.StreamResponse(status=answer.status, headers={**kept, **told})
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientConnectorError:  # it listens no more; the request is back in the queue at once
            gateway.drop(replica)
        finally:
            gateway.give_back(replica)


async def _page(request: web.Request) -> web.Response:
    return web.Response(text=request.app[_GATEWAY].page())


async def _health(_: web.Request) -> web.Response:
    return web.Response()


async def _models(request: web.Request) -> web.Response:
    return web.Response(text=json.dumps({"object": "list", "data": []}), content_type="application/json")


async def _follow(gateway: Gateway, api: Api, app: str) -> None:
    """Keep the gateway told which pods are ready; without the API server the last known ones stay."""
    while True:
        try:
            pods = await asyncio.to_thread(api.items, "Pod", "default", f"app={app}")
        except (OSError, LabError):
            pods = None
        if pods is not None:
            ready = [pod for pod in pods if condition(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]]
            gateway.use(address for pod in ready for address in _addresses(pod))
        await asyncio.sleep(LOOK)


def _addresses(pod: Object) -> list[str]:
    """Return HOST:PORT of each engine of a pod."""
    containers = pod["spec"]["containers"]
    return [f"{pod['status']['podIP']}:{container['ports'][0]['containerPort']}" for container in containers]


_GATEWAY = web.AppKey("gateway", Gateway)
_CLIENT = web.AppKey("client", aiohttp.ClientSession)


def application(gateway: Gateway, api: Api, app: str) -> web.Application:
    """Return the whole server."""
    site = web.Application()
    site[_GATEWAY] = gateway
    for path in ("/v1/completions", "/v1/chat/completions"):
        site.router.add_post(path, _completions)
    site.router.add_get("/metrics", _page)
    site.router.add_get("/health", _health)
    site.router.add_get("/v1/models", _models)

    async def running(site: web.Application) -> AsyncIterator[None]:
        endless = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=endless, connector=aiohttp.TCPConnector(limit=0)) as client:
            site[_CLIENT] = client
            following = asyncio.create_task(_follow(gateway, api, app))
            yield
            following.cancel()

    site.cleanup_ctx.append(running)
    return site


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("listen", "model", "app", "api"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("ca", "cert", "key"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--limit", type=int, default=12)
    args = parser.parse_args()
    host, _, port = args.listen.rpartition(":")
    api = Api(args.api, args.ca, args.cert, args.key)
    site = application(Gateway(args.model, args.limit), api, args.app)
    web.run_app(site, host=host, port=int(port), print=None, handler_cancellation=True)


if __name__ == "__main__":
    main()
