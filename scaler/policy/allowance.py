"""What may miss now, by what missed in the last hours: who promises 99 % over hours may use up what was left over.

    allowed = 2 x promised - missed, and at least half of what is promised

A plan for 1 % of misses is one for what may come, most of which does not come: where 0.2 % missed in the last hours, it
may be one for 1.8 % now. Where more missed than was promised, it is one for less; but what misses at any load is no
reason for ever more replicas. Requests count, not minutes, and a request of an hour ago counts for half.
"""

from dataclasses import dataclass

HALF_LIFE = 3600.0  # seconds
BEGINNING = 1800.0  # seconds of requests as they were promised, before anything was seen
LEAST = 0.5  # of what is promised, which may always miss


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests of the last hours, as far as they are not forgotten."""

    ended: float
    missed: float

    @property
    def share(self) -> float:
        """Of them, those that missed."""
        return self.missed / self.ended if self.ended else 0.0


def spent(before: Spent | None, rate: float, missed: float, passed: float, promised: float) -> Spent:
    """Add what was seen.

    Args:
        before: what was seen before; None: nothing.
        rate: so many requests ended per second.
        missed: the share of them that missed the SLO.
        passed: seconds since the last time.
        promised: the share of them that may miss.
    """
    if before is None:
        before = Spent(rate * BEGINNING, promised * rate * BEGINNING)
    kept = 0.5 ** (passed / HALF_LIFE)
    return Spent(kept * before.ended + rate * passed, kept * before.missed + missed * rate * passed)


def allowed(known: Spent | None, promised: float) -> float:
    """Say which share of the requests may miss now for want of replicas; `promised` is that of the long run."""
    return promised if known is None else max(LEAST * promised, 2 * promised - known.share)
