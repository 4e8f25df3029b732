"""Who may see whose decisions on the admin pages: whoever may get the ScaledObjects of their namespace in the cluster.

    Authorization: Bearer TOKEN ──▶ TokenReview: whose is it ──▶ SubjectAccessReview: get scaledobjects in NAMESPACE

Off unless the setting `admin.authorization` says `kubernetes`. /healthz, /readyz and /metrics stay open: probes and
Prometheus have no such token, and a NetworkPolicy says who may reach them.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from scaler.model.errors import SourceError

REMEMBERED = 30.0  # seconds for which an answer of the API server is used again
MOST_REMEMBERED = 10_000
LONGEST_TOKEN = 16 * 1024  # characters
EVERYWHERE = ""  # the namespace that stands for all


class Reviews(Protocol):
    """The questions to the API server; both may block, and raise SourceError when there is no answer."""

    def who(self, token: str) -> Mapping[str, Any] | None:
        """Return the user of a token, as TokenReview says it; None where it is nobody's."""
        ...

    def may_get(self, user: Mapping[str, Any], namespace: str) -> bool:
        """Tell whether a user may get the ScaledObjects of a namespace, or of all where it is empty."""
        ...


class Denied(Exception):
    """Somebody may not see it: 401 without a good token, 403 with one, 503 where nobody can say."""

    def __init__(self, status: int, problem: str) -> None:
        self.status = status
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class _Known:
    until: float
    answer: Any


class Access:
    """Decides who may see what.

    Args:
        reviews: the API server.
        clock: seconds that never go back.
        in_thread: runs what may block beside the event loop.
    """

    def __init__(self, reviews: Reviews, clock: Callable[[], float], in_thread: Callable[..., Any]) -> None:
        self._reviews = reviews
        self._clock = clock
        self._in_thread = in_thread
        self._known: dict[tuple[str, ...], _Known] = {}

    async def require(self, request: web.Request, namespace: str) -> None:
        """Let the request pass if its token's owner may see a namespace.

        Raises:
            Denied: they may not, or nobody can say.
        """
        token = self._token(request)
        if not await self._may(token, namespace):
            user = await self._who(token)
            where = f"in namespace {namespace}" if namespace else "in all namespaces"
            raise Denied(403, f"{user['username']} may not get scaledobjects.keda.sh {where}")

    async def visible(self, request: web.Request, namespaces: set[str]) -> set[str]:
        """Return which namespaces the token's owner may see.

        Raises:
            Denied: there is no good token, or nobody can say.
        """
        token = self._token(request)
        await self._who(token)
        if await self._may(token, EVERYWHERE):
            return namespaces
        return {namespace for namespace in sorted(namespaces) if await self._may(token, namespace)}

    def _token(self, request: web.Request) -> str:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip() or len(token) > LONGEST_TOKEN:
            raise Denied(401, "no token of the cluster is given; allowed: `Authorization: Bearer TOKEN`")
        return token.strip()

    async def _who(self, token: str) -> Mapping[str, Any]:
        user = await self._asked((_digest(token),), self._reviews.who, token)
        if user is None:
            raise Denied(401, "the token is not one that the cluster knows; it may be too old")
        found: Mapping[str, Any] = user
        return found

    async def _may(self, token: str, namespace: str) -> bool:
        user = await self._who(token)
        return bool(await self._asked((_digest(token), namespace), self._reviews.may_get, user, namespace))

    async def _asked(self, key: tuple[str, ...], question: Callable[..., Any], *arguments: object) -> Any:
        """Ask the API server, or remember its answer of a while ago."""
        now = self._clock()
        known = self._known.get(key)
        if known and now < known.until:
            return known.answer
        try:
            answer = await self._in_thread(question, *arguments)
        except SourceError as error:
            raise Denied(503, f"whether you may see it is not known: {error}") from error
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[key] = _Known(now + REMEMBERED, answer)
        return answer


def _digest(token: str) -> str:
    """Return what is kept in place of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
