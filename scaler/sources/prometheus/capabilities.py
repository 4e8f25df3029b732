"""What is asked of a server itself, before any signal: what PromQL it knows, and which labels its targets carry. Pure.

Worked example: `count({"up","a.b"="c"})` is refused by a server that takes no names in quotes.
"""

from collections.abc import Mapping

from scaler.config.naming import AMBIGUOUS_LABELS, CLUSTER_LABELS, SCRAPE_LABELS, Naming
from scaler.config.promql import enforce, insert, label_name
from scaler.sources.pages.counters import JUMPING, JUMPS_WITHIN, PROCESS, SAME_START
from scaler.sources.prometheus.selectors import joined, listed, span

WHERE = ("instance", "endpoint", "container", "port", "metrics_path")  # labels in which pages of one pod differ


def labels_of_targets(dialect: Naming) -> str:
    """Write the query that says of each namespace how many targets have a label of AMBIGUOUS_LABELS, and lack it."""
    up, namespace = enforce(dialect.up_selector, dialect.matchers), label_name(dialect.name("namespace"))
    rows = (
        f'label_replace(count by ({namespace}) ({insert(up, [label + matcher])}), "{has}", "{label}", "", "")'
        for label in AMBIGUOUS_LABELS
        for has, matcher in (("has", '!=""'), ("lacks", '=""'))
    )
    return joined(rows)


def targets_of_note(dialect: Naming) -> Mapping[str, str]:
    """Write, for each field of a dialect that is true as soon as there is such a target, a query for these targets."""
    up = enforce(dialect.up_selector, dialect.matchers)
    return {
        "has_portless": insert(up, [label_name(dialect.name("instance")) + '!~".+:.+"']),
        "has_twins": targets_of_twins(dialect, up),
        "has_copies": copied_targets(dialect, up),
        "has_nobodys": insert(up, [label_name(dialect.name("namespace")) + '=""']),
        "has_turns": taking_turns(enforce(PROCESS, dialect.matchers)),
    }


def targets_of_clusters(dialect: Naming) -> Mapping[str, str]:
    """Write, for each label that tells clusters apart, a query that finds something where targets are of several."""
    up = enforce(dialect.up_selector, dialect.matchers)
    chosen = {label: insert(up, [label_name(label) + '!=""']) for label in CLUSTER_LABELS}
    return {label: f"count(group by ({label_name(label)}) ({some})) > 1" for label, some in chosen.items()}


def question_about_the_targets(about: Mapping[str, str]) -> str:
    """Write one query of these; it has a row for each that finds a target, named by its label `is`."""
    return joined(f'label_replace(count({targets}), "is", "{what}", "", "")' for what, targets in about.items())


def taking_turns(processes: str) -> str:
    """Write a query for the targets at which several processes answer in turn, of the times at which these began."""
    past = f"{processes}[{span(JUMPS_WITHIN)}]"
    return f"(resets({past}) >= {JUMPING} and max_over_time({past}) - min_over_time({past}) > {SAME_START})"


def targets_of_twins(dialect: Naming, up: str) -> str:
    """Write a query for targets without a pod at the instance of one that has it and answers: the same page again."""
    pod = label_name(dialect.name("pod"))
    place = listed((dialect.name("namespace"), dialect.name("instance")))
    nameless, named = (insert(up, [pod + matcher]) for matcher in ('=""', '!=""'))
    return f"{nameless} and on ({place}) {named} == 1"


def copied_targets(dialect: Naming, up: str) -> str:
    """Write a query for pods of a job whose targets differ in more than where pages are and who scraped them."""
    named = insert(up, [label_name(dialect.name("pod")) + '!=""'])
    known = dict.fromkeys((*map(dialect.name, (*WHERE, *SCRAPE_LABELS)), *dialect.scrape))
    apart = f"group without ({listed(label for label in known if label != dialect.name('job'))}) ({named})"
    return f"count by ({listed(target_pod(dialect))}) ({apart}) > 1"


def target_pod(dialect: Naming) -> tuple[str, ...]:
    """List the labels of a pod's targets of one job."""
    return dialect.name("namespace"), dialect.name("pod"), dialect.name("job")


def questions_about_the_language(matchers: Mapping[str, str]) -> Mapping[str, str]:
    """Write a query for each field of a dialect that says what PromQL a server knows; one that does not refuses it.

    Functions of native histograms came with Prometheus 2.40, names in quotes with 3.0; others have them or not.
    """
    texts = {"knows_natives": "count(histogram_count(up))", "knows_dots": 'count({"up","a.b"="c"})'}
    return {what: enforce(text, matchers) for what, text in texts.items()}
