"""What is asked of the sources: each endpoint in a thread, with patience, and never an exception.

Whatever goes wrong at an endpoint becomes failures of what was asked of it, and of nothing else. An endpoint that hangs
holds at most a few threads; until these come back, nothing more is asked of it.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from scaler.engine.guarded_fetch import fetch
from scaler.engine.limits import Limits
from scaler.engine.schedule import Batch
from scaler.engine.workload import Answers, fault
from scaler.model.fields import seconds
from scaler.model.measurement import Failure, Query, Source

logger = logging.getLogger(__name__)

MAX_STUCK = 2  # threads are few: above this, nothing more is asked of an endpoint that hangs


@dataclass(slots=True)
class FetchStats:
    """The counts of how often an endpoint was asked, for the metrics."""

    answered: int = 0
    failed: int = 0
    seconds: float = 0.0


class Collector:
    """Asks the sources.

    Args:
        sources: by the name of their endpoint.
        limits: of these, `patience` and `evaluation_delay`.
        clock: seconds since the epoch.
    """

    def __init__(self, sources: Mapping[str, Source], limits: Limits, clock: Callable[[], float]) -> None:
        self.stats = {name: FetchStats() for name in sources}
        self._sources = sources
        self._limits = limits
        self._clock = clock
        self._threads = ThreadPoolExecutor(max_workers=max(4, 2 * len(sources)), thread_name_prefix="source")
        self._stuck = dict.fromkeys(sources, 0)  # threads of an endpoint that have not come back
        self._closed = False

    async def fetch(self, batch: Batch, queries: Mapping[Query, str], now: float) -> Answers:
        """Ask one endpoint.

        Args:
            batch: the endpoint, and the grid times.
            queries: and the namespace of who came first.
            now: when the tick began.

        Returns:
            For every query a measurement for each time.
        """
        answers = await self._answers(
            batch.endpoint, queries, [at - self._limits.evaluation_delay for at in batch.times]
        )
        stats = self.stats[batch.endpoint]
        stats.seconds += max(self._clock() - now, 0.0)
        failed = sum(isinstance(measured[-1], Failure) for measured in answers.values())
        stats.failed += failed
        stats.answered += len(answers) - failed
        return answers

    def close(self) -> None:
        """Ask nothing more; what hangs is left behind."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _answers(self, endpoint: str, queries: Mapping[Query, str], times: list[float]) -> Answers:
        if self._stuck[endpoint] >= MAX_STUCK:
            return _failed(queries, times, f"{endpoint} has not come back since an earlier question")
        loop = asyncio.get_running_loop()
        source, closed = self._sources[endpoint], lambda: self._closed
        future = loop.run_in_executor(self._threads, fetch, source, endpoint, queries, times, closed)
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._limits.patience)
        except TimeoutError:
            self._stuck[endpoint] += 1
            future.add_done_callback(lambda _done: self._unstick(endpoint))
            return _failed(queries, times, f"{endpoint} did not come back within {seconds(self._limits.patience)}")
        except Exception as error:  # no measurements at all
            logger.exception("a source raised", extra={"endpoint": endpoint})
            return _failed(queries, times, fault(f"{endpoint} gave no answer that can be read", error))

    def _unstick(self, endpoint: str) -> None:
        self._stuck[endpoint] -= 1


def _failed(queries: Collection[Query], times: Collection[float], reason: str) -> Answers:
    failures = [Failure(reason, time) for time in times]
    return dict.fromkeys(queries, failures)
