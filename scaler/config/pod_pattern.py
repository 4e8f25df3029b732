r"""The expression for pods in a trigger: a stranger's regular expression, bounded before any server sees it.

Prometheus holds an expression against the name of every pod that it knows, those of all namespaces among them. Its
engine (RE2, Go's regexp) takes time in proportion to the places in the expression where a match can stand at once, and
it is repeats that make these many: `a{900}` stands for 900 places, `(.{0,900}x|.{0,901}y)` for 1,800. So repeats are
added up, each for the length of what it repeats, and the sum is bounded. Plain text costs nothing: names have no end.

    llama-(prefill|decode)-.*      costs 1        a{5}b{5}      costs 10       (a{10}){100}     costs 1,000

What is left out of RE2's syntax is what no pod's name needs: flags, named groups, classes such as \\d and \\pL, and
everything but printable ASCII.
"""

import re

MAX_LENGTH = 500
MAX_COST = 64
ALLOWED = f"at most {MAX_LENGTH} characters of ASCII with . * + ? | ( ) [ ] and {{n}}, and repeats up to {MAX_COST}"

_COUNTS = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_CLASS = re.compile(r"\[\^?\]?(?:[^\\\[\]]|\\[^a-zA-Z0-9]|\\[dws])*\]")
_PLAIN = re.compile(r"[A-Za-z0-9 !\"#%&',/:;<=>@_`~.^$-]|\\[^a-zA-Z0-9]|\\[dws]")


class TooMuch(ValueError):
    """The expression is not one that is asked for; the text says why."""


def check(pattern: str) -> None:
    """Refuse an expression that cannot be read, or that costs too much.

    Raises:
        TooMuch: and why.
    """
    if len(pattern) > MAX_LENGTH:
        raise TooMuch(f"has {len(pattern)} characters")
    if not (pattern.isascii() and pattern.isprintable()):
        raise TooMuch("has characters that are not printable ASCII, which no pod's name has")
    reader = _Reader(pattern)
    _, cost = reader.either()
    if reader.at < len(pattern):
        raise TooMuch(f"cannot be read from {pattern[reader.at : reader.at + 20]!r} on")
    if cost > MAX_COST:
        raise TooMuch(f"has repeats that come to {cost}")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise TooMuch(f"is no regular expression ({error})") from None


class _Reader:
    """Reads an expression from left to right; what it reads comes to a length and a cost."""

    def __init__(self, pattern: str) -> None:
        self.at = 0
        self._pattern = pattern
        self._depth = 0

    def either(self) -> tuple[int, int]:
        """Read branches between `|`."""
        length, cost = self._branch()
        while self._take("|"):
            more, dearer = self._branch()
            length, cost = length + more, cost + dearer
        return length, cost

    def _branch(self) -> tuple[int, int]:
        length = cost = 0
        while (one := self._repeated()) is not None:
            length, cost = length + one[0], cost + one[1]
        return length, cost

    def _repeated(self) -> tuple[int, int] | None:
        """Read one thing and its repeat; None where there is nothing more."""
        thing = self._thing()
        if thing is None:
            return None
        length, cost = thing
        times = self._times()
        if times is None:
            return thing
        self._take("?")  # lazy, which is all the same to a match of the whole name
        return length * times, max(length, cost) * times

    def _times(self) -> int | None:
        """Read how often the thing before may stand there at once; None: it is not repeated."""
        if any(self._take(sign) for sign in "*+?"):
            return 1
        counts = _COUNTS.match(self._pattern, self.at)
        if counts is None:
            return None
        self.at = counts.end()
        least, most = int(counts[1]), int(counts[3] or 0)
        return max(least, most, 1)

    def _thing(self) -> tuple[int, int] | None:
        """Read a group, a class or a letter."""
        if self._take("("):
            if not self._take("?:") and self._pattern.startswith("?", self.at):
                raise TooMuch("has (? with no colon behind it, and of these only (?: ) is taken")
            self._depth += 1
            if self._depth > 20:
                raise TooMuch("has groups within groups, more than 20 deep")
            inner = self.either()
            self._depth -= 1
            if not self._take(")"):
                raise TooMuch("has a group that does not end")
            return inner
        found = _CLASS.match(self._pattern, self.at) or _PLAIN.match(self._pattern, self.at)
        if found is None:
            return None
        self.at = found.end()
        return 1, 0

    def _take(self, sign: str) -> bool:
        taken = self._pattern.startswith(sign, self.at)
        self.at += len(sign) if taken else 0
        return taken
