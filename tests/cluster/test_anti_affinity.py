"""By which labels those are found that keep pods away."""

import pytest

from scaler.cluster.anti_affinity import handles
from scaler.model.nodes import Requirement


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ([Requirement("app", "In", ("a", "b", "a"))], (("app", "a"), ("app", "b"))),
        ([Requirement("app", "NotIn", ("a",)), Requirement("tier", "In", ("x",))], (("tier", "x"),)),
        ([Requirement("app", "Exists")], (None,)),
        ([Requirement("metadata.name", "In", ("n",), field=True)], (None,)),
        ([], (None,)),
    ],
)
def test_a_selector_is_found_by_the_first_label_whose_values_it_names(term, found):
    assert handles(tuple(term)) == found
