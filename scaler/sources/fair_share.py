"""Who has how much of what there is not enough of: one thing of each namespace after the other, the oldest first.

So a namespace that wants very much takes it from nobody who wants little, and where one alone wants anything it has it
all. Pure.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

_NAMED = 3  # namespaces that are told


def shared(wishes: Iterable[tuple[str, T]], most: int) -> dict[T, str]:
    """Grant so many different wishes.

    Args:
        wishes: namespaces, and what; the oldest first. What several wish for is granted once, at the earliest turn.
        most: how many are granted.

    Returns:
        What is granted, in turn, and whose turn it was.
    """
    own: dict[str, dict[T, int]] = {}
    turns: dict[T, tuple[int, str]] = {}
    for owner, wish in wishes:
        mine = own.setdefault(owner, {})
        turn = mine.setdefault(wish, len(mine))
        if wish not in turns or turn < turns[wish][0]:
            turns[wish] = turn, owner
    ranked = sorted(turns.items(), key=lambda item: item[1][0])
    return {wish: owner for wish, (_, owner) in ranked[:most]}


def share_text(granted: Mapping[T, str]) -> str:
    """Say how it is granted and who has most of it: "one of each namespace in turn (red 12, blue 4)"."""
    ranked = Counter(owner for owner in granted.values() if owner).most_common(_NAMED)
    most = ", ".join(f"{owner} {count}" for owner, count in ranked)
    counted = f" ({most})" if most else ""
    return f"one of each namespace in turn{counted}"
