"""Series that came through another Prometheus, whose `/federate` page is scraped without honor_labels, in PromQL. Pure.

The labels of a scrape are then those of the Prometheus that was asked, and those of the engine's own scrape begin with
`exported_`. Two Prometheus that scrape the same engines and are not merged look like two pages of each pod:

    job="federate", instance="prometheus-0:9090", exported_job="llm", exported_instance="10.0.0.7:8000"
    job="federate", instance="prometheus-1:9090", exported_job="llm", exported_instance="10.0.0.7:8000"

So `job` and `instance` are taken back from there, and through whom a series came is one more label of the scrape. An
engine that writes an `instance` of its own writes no `job`: where only one of the two is exported, nothing is changed.
"""

from scaler.config.naming import Naming
from scaler.config.promql import label_name
from scaler.config.signals import Pairs

THROUGH = "came_through"  # label: job and instance of the Prometheus that was asked
_SCRAPED_AS = "scraped_as"  # label: job and instance of the engine's own scrape, where both are exported
_TARGET = ("job", "instance")
_WHOSE = ("namespace", "pod")
_PREFIX = "exported_"


def from_federation(dialect: Naming) -> Pairs:
    """Write the matchers of series that came through another Prometheus."""
    return tuple((_exported(dialect, label), '!=""') for label in _TARGET)


def directly_scraped(dialect: Naming) -> Pairs:
    """Write the matcher of series that did not."""
    return ((_exported(dialect, "instance"), '=""'),)


def whose_is_exported(dialect: Naming) -> tuple[Pairs, ...]:
    """Write the matchers of such series whose namespace or pod is another than the endpoint takes for it."""
    labels = [_exported(dialect, label) for label in _WHOSE if dialect.name(label) != _exported(dialect, label)]
    return tuple((*from_federation(dialect), (label, '!=""')) for label in labels)


def as_scraped_there(dialect: Naming, series: str) -> str:
    """Write the same series with job and instance of the engine's own scrape, and through whom they came."""
    asked = ", ".join(f'"{_plain(dialect, label)}"' for label in _TARGET)
    own = ", ".join(f'"{_exported(dialect, label)}"' for label in _TARGET)
    text = f'label_join(label_join({series}, "{THROUGH}", "/", {asked}), "{_SCRAPED_AS}", "\\n", {own})'
    for number, label in enumerate(_TARGET, 1):
        text = f'label_replace({text}, "{dialect.name(label)}", "${number}", "{_SCRAPED_AS}", "(.+)\\n(.+)")'
    return text


def labels_of_asking(dialect: Naming) -> tuple[str, ...]:
    """List the labels of a scrape that are those of the Prometheus which was asked."""
    mapped = (
        _plain(dialect, label)
        for label in (*_WHOSE, *_TARGET)
        if dialect.name(label) == _PREFIX + _plain(dialect, label)
    )
    return (THROUGH, _SCRAPED_AS, *(_PREFIX + _plain(dialect, label) for label in _TARGET), *mapped)


def of_whom_was_asked(dialect: Naming) -> str:
    """Write the matcher of targets that are not seen through another Prometheus."""
    return f'{_exported(dialect, "instance")}=""'


def on_whom_was_asked(dialect: Naming, series: str, targets: str) -> str:
    """Write the series that came through one of these targets."""
    asked = ", ".join(f'"{_plain(dialect, label)}"' for label in _TARGET)
    return f'({series}) and on ({THROUGH}) label_join({targets}, "{THROUGH}", "/", {asked})'


def forked(page: str, scrape: str, series: str) -> str:
    """Write such series of pages of which two Prometheus say different things: in a label that nobody knows.

    Args:
        page: the labels of a page.
        scrape: the labels by which scrapes of one page differ.
        series: all that came through others.
    """
    of_all = f"count by ({page}) (group without ({scrape}) ({series}))"
    of_one = f"max by ({page}) (count by ({page}, {scrape}) ({series}))"
    return f"({series}) and on ({page}) ({of_all} > {of_one})"


def _plain(dialect: Naming, label: str) -> str:
    return dialect.name(label).removeprefix(_PREFIX)


def _exported(dialect: Naming, label: str) -> str:
    return label_name(_PREFIX + _plain(dialect, label))
