"""Names of metrics as a page has them."""

import pytest

from scaler.sources.pages.names import is_of


@pytest.mark.parametrize(
    ("name", "member", "belongs"),
    [
        ("llm_d_queue", "llm_d_queue", True),
        ("llm_d_queue_size", "llm_d_queue", False),
        ("llm_d_queue_size", "llm_d_*", True),
        ("llm_d_", "llm_d_*", True),
        ("llm_d", "llm_d_*", False),
        ("llm_x_queue", "llm_d_*", False),
    ],
)
def test_a_family_is_one_name_or_all_that_begin_alike(name, member, belongs):
    assert is_of(name, member) is belongs
