"""Prometheus histograms that can be filled with many observations at once."""

from bisect import bisect_left
from dataclasses import dataclass

# vLLM's bounds: vllm/v1/metrics/loggers.py, time_to_first_token_seconds and inter_token_latency_seconds.
# fmt: off
TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
        160.0, 640.0, 2560.0)
ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
TPOT = ITL  # request_time_per_output_token_seconds has the same
# fmt: on


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram as a metrics page shows it: `cumulative[i]` of the `count` observations are at most `bounds[i]`."""

    bounds: tuple[float, ...]
    cumulative: tuple[int, ...]
    count: int
    sum: float


class Histogram:
    """A histogram that is being filled."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `times` observations of `value`."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def observe_line(self, first: float, slope: float, steps: int, times: int) -> None:
        """Count `times` observations of each of first, first + slope, ... (`steps` of them; slope not negative)."""
        last = first + slope * (steps - 1)
        low, high = bisect_left(self.bounds, first), bisect_left(self.bounds, last)
        done = 0
        for bucket in range(low, high):
            up_to = min(int((self.bounds[bucket] - first) / slope) + 1, steps)
            self.counts[bucket] += (up_to - done) * times
            done = up_to
        self.counts[high] += (steps - done) * times
        self.sum += (first + last) * 0.5 * steps * times

    def copy(self) -> "Histogram":
        """Copy the histogram."""
        other = Histogram(self.bounds)
        other.counts, other.sum = self.counts.copy(), self.sum
        return other

    def buckets(self) -> Buckets:
        """Return the observations so far, frozen."""
        total, cumulative = 0, []
        for count in self.counts:
            total += count
            cumulative.append(total)
        return Buckets(self.bounds, tuple(cumulative[:-1]), total, self.sum)
