"""Amounts of resources as people write them."""

_UNITS = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))
_IN_BYTES = ("memory", "ephemeral-storage", "hugepages-")


def as_written(resource: str, value: int) -> str:
    """Write an amount of a resource: 8000 of cpu is 8, 107374182400 of memory is 100Gi."""
    name = resource.removeprefix("requests.")
    if name == "cpu":
        return f"{value / 1000:g}"
    if name.startswith(_IN_BYTES):
        return next((f"{value // size}{unit}" for unit, size in _UNITS if value and value % size == 0), str(value))
    return str(value)
