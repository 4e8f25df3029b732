"""What is explained, as it comes over the wire: JSON there, and read back for the text."""

import json

from scaler.decision.explain import explain
from scaler.decision.explanation import from_json, to_json
from scaler.decision.render import as_text as render


def as_data(decision, notice="", unknown=None):
    """The JSON of a decision, which nothing is lost of on the way."""
    explained = explain(decision, notice, unknown)
    data = json.loads(json.dumps(to_json(explained)))
    assert to_json(from_json(data)) == data
    return data


def as_text(data, *, queries=False):
    """The text of that JSON."""
    return render(from_json(data), queries=queries)
