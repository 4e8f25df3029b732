"""A time of day, as explanations name it."""

from datetime import UTC, datetime


def clock(at: float) -> str:
    """Show a Unix time as its time of day in UTC: 12:03:10."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
