"""Pages whose names have dots, as OpenTelemetry writes them and newer clients show them in quotes."""

import pytest

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import find
from scaler.model.measurement import SignalQuery
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.counters import Counters
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.names import wanted
from scaler.sources.pages.pods import PageResult

AT = 1_790_000_000.0
SPELLED = [
    ('gen_ai_client_token_usage_sum{gen_ai_token_type="%s",gen_ai_request_model="m"}'),
    ('{"gen_ai.client.token.usage_sum","gen_ai.token.type"="%s","gen_ai.request.model"="m"}'),
    ('{"gen_ai.client.token.usage_sum",gen_ai_token_type="%s","gen_ai.request.model"="m"}'),
]
COUNTED = [
    'gen_ai_client_operation_duration_seconds_count{gen_ai_request_model="m"}',
    'gen_ai_client_operation_duration_count{gen_ai_request_model="m"}',
    '{"gen_ai.client.operation.duration_count","gen_ai.request.model"="m"}',
    '{"gen_ai.client.operation.duration_seconds_count","gen_ai.request.model"="m"}',
]


def rate(signal, before, after):
    """Read a page at two times, a minute apart."""
    entry = find("gen-ai", signal)
    names, counters = wanted([entry]), Counters()
    for at, text in ((AT - 60, before), (AT, after)):
        samples = scan(text.encode(), names)
        counters.note(samples, [entry.window], at)
    by_name = {one.name: [own for own in samples if own.name == one.name] for one in samples}
    page = Page("http://10.0.0.1:8080/metrics", {"namespace": "demo"})
    visit = PageResult(page, by_name, lambda window: counters.rates(window, AT))
    query = SignalQuery("p", "gen-ai", signal, (("namespace", "demo"), ("model", "m")), window=entry.window)
    return measure([query], [visit], Endpoint("p").dialect, AT, AT, "p")[query]


@pytest.mark.parametrize("series", SPELLED)
def test_tokens_are_counted_by_their_type(series):
    before = f"{series % 'input'} 10\n{series % 'output'} 10\n"
    found = rate("generation_tokens_per_second", before, f"{series % 'input'} 1000\n{series % 'output'} 130\n")
    assert (found.value, found.shown, found.incomplete_reason) == (2.0, True, "")


@pytest.mark.parametrize("series", COUNTED)
def test_requests_are_counted_whatever_a_pipeline_made_of_the_name(series):
    found = rate("requests_per_second", f"{series} 0\n", f"{series} 90\n")
    assert (found.value, found.shown, found.incomplete_reason) == (1.5, True, "")
