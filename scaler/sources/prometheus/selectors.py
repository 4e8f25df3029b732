r"""Pieces of PromQL: matchers, lists of labels, numbers and times, right whatever is written into them. Pure.

Worked examples:

    one_of(["llama"])               ="llama"
    one_of(["llama", "a.b"])        =~"llama|a\\.b"
    listed(["namespace", "a.b"])    namespace, "a.b"
    span(0.5)                       500ms
"""

from collections.abc import Iterable, Mapping, Sequence

from scaler.config.promql import label_name, quote, quote_regex
from scaler.config.signals import Pairs

_JOIN = "\nor "
_WRITTEN_SHORT = 1e-4  # seconds: what is smaller has an exponent in most exporters' bounds


def one_of(values: Sequence[str]) -> str:
    """Write operator and value of the matcher that takes any of `values`."""
    if len(values) == 1:
        return f"={quote(values[0])}"
    return f"=~{quote('|'.join(map(quote_regex, values)))}"


def equal(pairs: Iterable[tuple[str, str]]) -> Pairs:
    """Write a matcher for each label and its one value."""
    return tuple((label, f"={quote(value)}") for label, value in pairs)


def any_of_each(named: Mapping[str, Sequence[str]]) -> Pairs:
    """Write a matcher for each label and any of its values."""
    return tuple((label, one_of(values)) for label, values in named.items())


def relabelled(series: str, label: str, name: str) -> str:
    """Write the same series, which have also as `label` what they call `name`."""
    return f'label_replace({series}, "{label}", "$1", "{name}", "(.*)")'


def listed(labels: Iterable[str]) -> str:
    """Write the labels of `by`, `on` or `without`."""
    return ", ".join(map(label_name, labels))


def numbers_up_to(bound: float) -> str:
    """Write RE2 for the numbers from 0 to `bound`, as exporters write the bounds of buckets: 1, 1.0, 0.05, 5e-05.

    Digit by digit what is smaller, and the bound itself: 12.5 takes [0-9], 0[0-9], 1[0-1], 12 and 12.[0-4]...
    """
    whole, _, part = f"{bound:.9f}".rstrip("0").partition(".")
    smaller = [
        f"{whole[:at]}[0-{int(digit) - 1}]{'[0-9]' * (len(whole) - at - 1)}"
        for at, digit in enumerate(whole)
        if digit != "0"
    ]
    fewer = ["[0-9]" * length for length in range(1, len(whole))]
    less = [rf"({'|'.join([*smaller, *fewer])})(\.[0-9]+)?"] if smaller or fewer else []
    beneath = [f"{part[:at]}[0-{int(digit) - 1}][0-9]*" for at, digit in enumerate(part) if digit != "0"]
    shorter = [part[:at] for at in range(1, len(part))]
    same = rf"{whole}(\.({'|'.join([*beneath, *shorter, part + '0*'])}))?"
    tiny = [r"[0-9.]+e-[0-9]+"] if bound >= _WRITTEN_SHORT else []
    return "|".join([*less, same, *tiny])


def span(seconds: float) -> str:
    """Write a duration."""
    return f"{seconds:.0f}s" if seconds == round(seconds) else f"{seconds * 1000:.0f}ms"


def of_stat(stat: str, text: str) -> str:
    """Write the rows of a part of a question, which say what they are in the label `stat`."""
    return f'label_replace({text}, "stat", "{stat}", "", "")'


def joined(parts: Iterable[str]) -> str:
    """Join the parts of a question."""
    return _JOIN.join(parts)
