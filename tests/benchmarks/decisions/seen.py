"""What a Prometheus that scrapes a fleet would say of a signal of the catalogue."""

from bisect import bisect_right

from scaler.model.measurement import Failure, Reading, SignalQuery

LONGEST = 600.0  # seconds of scrapes that are kept
COUNTERS = {
    "prompt_tokens_per_second": lambda one: one.prompt_tokens,
    "generation_tokens_per_second": lambda one: one.generation_tokens,
    "requests_per_second": lambda one: one.finished,
}
HISTOGRAMS = {
    "time_to_first_token": lambda one: one.ttft,
    "inter_token_latency": lambda one: one.itl,
    "time_per_output_token": lambda one: one.tpot,
}


def kv_cache_usage(seen):
    """The mean over the replicas that have a page; None without any."""
    told = [one.kv_usage for one in seen.replicas if one.phase != "starting"]
    return sum(told) / len(told) if told else None


GAUGES = {
    "waiting": lambda seen: float(seen.waiting),
    "running": lambda seen: float(seen.running),
    "queued": lambda seen: float(seen.queued),
    "kv_cache_usage": kv_cache_usage,
}


class Scrapes:
    """The scrapes of the last while, and what queries over them give.

    Args:
        tells_cache: the engine says how much of its KV cache is used.
    """

    def __init__(self, tells_cache=True):
        self._tells_cache = tells_cache
        self._kept = []  # (time, replicas by serial), the oldest first

    def add(self, seen):
        """Scrape; only replicas that are ready or drain have a page."""
        pages = {one.serial: one for one in seen.replicas if one.phase != "starting"}
        self._kept = [kept for kept in self._kept if kept[0] > seen.at - LONGEST] + [(seen.at, pages)]
        self.seen = seen

    def read(self, query):
        """The reading of one query at the newest scrape."""
        at = self.seen.at
        if not isinstance(query, SignalQuery):
            return Failure("is not simulated", at)
        if query.signal == "kv_cache_usage" and not self._tells_cache:
            return Reading(None, at)
        if query.signal in GAUGES:
            return Reading(GAUGES[query.signal](self.seen), at)
        if query.signal in COUNTERS:
            counts = [self._increase(serial, COUNTERS[query.signal], query.window) for serial in self._kept[-1][1]]
            known = [count for count in counts if count is not None]
            return Reading(sum(known) if known else None, at)
        if query.signal in HISTOGRAMS:
            return Reading(self._share(query), at)
        return Reading(None, at)

    def _window(self, window):
        return self._kept[bisect_right([at for at, _ in self._kept], self.seen.at - window) :]

    def _increase(self, serial, count, window):
        """Per second; None before the second scrape of a page."""
        values = [(at, count(pages[serial])) for at, pages in self._window(window) if serial in pages]
        (first, before), (last, after) = values[0], values[-1]
        return None if last == first else (after - before) / (last - first)

    def _share(self, query):
        """The share of observations at most as large as the bound."""
        read, within, total = HISTOGRAMS[query.signal], 0, 0
        window = self._window(query.window)
        for serial, page in self._kept[-1][1].items():
            first = next(pages[serial] for _, pages in window if serial in pages)
            last, before = read(page), read(first)
            place = bisect_right(last.bounds, query.at_most) - 1
            total += last.count - before.count
            within += last.cumulative[place] - before.cumulative[place] if place >= 0 else 0
        return within / total if total else None
