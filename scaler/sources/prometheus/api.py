"""One connection to a Prometheus API: prometheus-api-client, with the session that it lacks.

The library raises its errors with the whole body in the text, drops the warnings of a partial answer, sends POST
parameters in the URL, retries on its own, and reads bodies of any size. The session here sees every answer first.
Importing this module costs 150 ms; prometheus.py does it on first use.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from scaler.config.endpoint import Endpoint
from scaler.model.errors import ConfigError, QueryError, SlowError, SourceError
from scaler.model.fields import seconds
from scaler.sources.credentials import authorization
from scaler.sources.http import redirect_place
from scaler.sources.prometheus.answers import QueryResult, ResultSeries
from scaler.sources.prometheus.identity import OfAnotherKind, check_times

_CHUNK = 64 * 1024
_SHOWN = 300  # characters of a server's text that are shown
_CLOCKS_DIFFER = 5.0  # seconds by which two clocks that are set by NTP never do

_TOO_LARGE = frozenset({413, 414})  # what proxies say of a question that is too long
_REFUSED = _TOO_LARGE | {400, 422}  # the question cannot be evaluated on the data there are
_LATE = frozenset({"timeout", "canceled"})  # the server's own words for a question that took too long
_CREDENTIALS = {401: "refuses the credentials (401)", 403: "forbids the query with these credentials (403)"}


class Connection:
    """One HTTP connection; for one thread at a time, but `cut` may come from another.

    Args:
        endpoint: that is asked.
        clock: seconds since the epoch, with which the server's clock is compared; None: it is not.
    """

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float] | None = None) -> None:
        self._endpoint = endpoint
        self._session = _Session(endpoint, clock)
        self._client = PrometheusConnect(
            url=endpoint.url.rstrip("/"),
            retry=Retry(0, redirect=False),
            session=self._session,
            timeout=endpoint.timeout,
            method="POST",
        )

    def ask(self, text: str, times: Sequence[float], source: str) -> QueryResult:
        """Evaluate a query at every time; `source` goes with the answer.

        Raises:
            ConfigError: the question is wrong, and would be so again.
            SourceError: there was no answer that could be read.
        """
        try:
            rows = self._instant(text, times[0]) if len(times) == 1 else self._range(text, times)
            return QueryResult(rows, times, source, self._session.warning)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise SourceError(f"answers in JSON that is not a query's result ({error!r:.80})") from error

    def cancel(self) -> None:
        """End what is being read, so that its thread is free again."""
        self._session.cancel()

    def close(self) -> None:
        """Release the connection."""
        self._session.close()

    def _instant(self, text: str, at: float) -> list[ResultSeries]:
        self._client.custom_query(text, params={"time": _moment(at), **self._limits})
        kind, result = self._session.kind, self._session.result
        if kind == "scalar":
            check_times([float(result[0])], at)
            return [ResultSeries({}, {0: float(result[1])})]
        if kind != "vector":
            raise OfAnotherKind(kind)
        check_times([float(row["histogram" if "histogram" in row else "value"][0]) for row in result], at)
        return [ResultSeries(_labels(row), {0: _number(row)}, "histogram" in row) for row in result]

    def _range(self, text: str, times: Sequence[float]) -> list[ResultSeries]:
        first, last = times[0], times[-1]
        step = (last - first) / (len(times) - 1)
        self._client.custom_query_range(
            text,
            datetime.fromtimestamp(first, UTC),
            datetime.fromtimestamp(last, UTC),
            f"{step:.3f}",
            # The library rounds its own start and end to seconds.
            params={"start": _moment(first), "end": _moment(last), **self._limits},
        )
        return [
            ResultSeries(_labels(row), dict(_points(row, first, step)), "histograms" in row)
            for row in self._session.result
        ]

    @property
    def _limits(self) -> dict[str, str]:
        """The time-out; and for VictoriaMetrics, which would answer as of 30 s ago, to answer as of now."""
        return {"timeout": f"{self._endpoint.timeout * 1000:.0f}ms", "latency_offset": "1ms"}


class _Session(requests.Session):
    """The session between the library and the network: bounded, without surprises, with a memory of one answer."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float] | None) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._clock = clock
        self._body: Any = None
        self._cut = False
        self.trust_env = False  # neither proxies nor credentials from the environment
        self.verify = str(endpoint.ca_file) if endpoint.ca_file else True
        if endpoint.cert_file and endpoint.key_file:
            self.cert = (str(endpoint.cert_file), str(endpoint.key_file))
        self.headers.update(endpoint.headers)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.kind = ""  # of the last answer: vector, scalar, matrix, string
        self.result: Any = None
        self.warning = ""

    def request(  # type: ignore[override]
        self, method: str, url: str, params: Mapping[str, str], timeout: float, **_: object
    ) -> requests.Response:
        """Send one query of the library's, its parameters in the body, and read the answer whole."""
        self._cut, began = False, self._clock and self._clock()
        try:
            with super().request(
                method,
                url,
                data=params,
                headers=authorization(self._endpoint),
                timeout=timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                self._body = response.raw
                clock = self._doubt_of_clocks(response, began)
                payload = _payload(response, self._read(response))
        except OSError as error:  # of which requests' own are a kind
            # What was cut off reads like an answer that broke in the middle.
            if self._cut or _is_late(error):
                raise SlowError(f"gives no answer within {seconds(timeout)}") from error
            raise SourceError(_why(error)) from error
        finally:
            self._body = None
        return self._remember(payload, clock)

    def _doubt_of_clocks(self, response: requests.Response, began: float | None) -> str:
        if self._clock is None or began is None:
            return ""
        return clocks_differ(response.headers.get("Date", ""), began, self._clock())

    def cancel(self) -> None:
        """End the reading of an answer from another thread."""
        self._cut = True
        with contextlib.suppress(AttributeError, RuntimeError, ValueError, OSError):  # over, or not yet begun
            self._body.shutdown()

    def _read(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > self._endpoint.max_bytes:
                raise QueryError(f"answers with more than {self._endpoint.max_bytes} bytes")
        return bytes(body)

    def _remember(self, payload: dict[str, Any], clock: str) -> requests.Response:
        try:
            self.kind, self.result = payload["data"]["resultType"], payload["data"]["result"]
            said = (*(payload.get("warnings") or ()), *(payload.get("infos") or ()))
            # An info is about how a query is written: no answer is partial for it. Prometheus 2.53 calls it a warning.
            doubts = [clock, *(words for words in said if not words.startswith("PromQL info"))]
            self.warning = "; ".join(filter(None, doubts))[:_SHOWN]
            series = len(self.result)
        except (AttributeError, KeyError, TypeError) as error:
            raise SourceError(f"answers in JSON that is not a query's result ({error!r:.80})") from error
        if series > self._endpoint.max_series:
            raise QueryError(f"answers with {series} series, more than {self._endpoint.max_series}")
        return _Known(payload)


class _Known(requests.Response):
    """A good answer, read already, as the library wants it."""

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__()
        self.status_code = 200
        self._payload = payload

    def json(self, **_: object) -> dict[str, Any]:
        """Return the answer."""
        return self._payload


def _payload(response: requests.Response, body: bytes) -> dict[str, Any]:
    """Read the JSON of a good answer.

    Raises:
        ConfigError: the server says that the query is wrong.
        QueryError: it cannot answer this query on the data there are.
        SourceError: anything else that is not a good answer.
    """
    status = response.status_code
    if status in _CREDENTIALS:
        raise SourceError(_CREDENTIALS[status])
    if 300 <= status < 400:
        place = redirect_place(response.headers.get("Location", ""))
        raise SourceError(f"answers with a redirect ({status}) {place}, which is not followed: set that as its url")
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        start = body[:_SHOWN].decode("utf-8", "replace")
        kind = response.headers.get("Content-Type", "no type")
        refused = QueryError if status in _TOO_LARGE else SourceError
        raise refused(f"answers {status} with {kind}, not with JSON: {start!r}") from None
    if isinstance(payload, dict) and payload.get("status") == "success" and status == 200:
        return payload
    fault = payload if isinstance(payload, dict) else {}
    problem = f"{fault.get('errorType', 'error')}: {fault.get('error', '')}"[:_SHOWN]
    if fault.get("errorType") == "bad_data" and status in _REFUSED:  # with a 200 it is somebody else's, from a cache
        raise ConfigError("query", "", problem)
    if fault.get("errorType") in _LATE:
        raise SlowError(f"answers {status} {problem}")
    raise (QueryError if status in _REFUSED else SourceError)(f"answers {status} {problem}")


def clocks_differ(date: str, began: float, ended: float) -> str:
    """Say how far the server's clock is from ours; empty where it is as ours, or tells no time.

    What is asked as of now is then of another time there: of an hour ago where our clock was set back by an hour, and
    of less than the whole window where it is ahead.

    Args:
        date: the header of its answer, in whole seconds, rounded down.
        began: when it was asked, by our clock: seconds since the epoch.
        ended: when its answer began.
    """
    try:
        there = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return ""
    ahead, behind = there - ended, began - (there + 1.0)
    if max(ahead, behind) <= _CLOCKS_DIFFER:
        return ""
    how = f"{seconds(round(ahead))} ahead of" if ahead > 0 else f"{seconds(round(behind))} behind"
    return f"the server's clock is {how} ours, so it is asked about another time: both have to be set right"


def _is_late(error: OSError) -> bool:
    """Tell whether it was time that ran out."""
    return any(isinstance(link, TimeoutError | requests.Timeout) for link in _chain(error))


def _why(error: OSError) -> str:
    """Say what went wrong on the way, without the URL, which may hold a password."""
    return f"cannot be reached: {_reason(_chain(error)[-1])}"


def _chain(error: BaseException) -> list[BaseException]:
    """List an error and what brought it about."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


_PLAIN = (  # what libraries write -> what people read
    (re.compile(r"TLS CA certificate bundle, invalid path: (.*)"), r"caFile \1 cannot be read"),
    (re.compile(r"TLS (?:certificate|key) file, invalid path: (.*)"), r"\1 (certFile or keyFile) cannot be read"),
    (
        re.compile(r"CERTIFICATE_VERIFY_FAILED"),
        "its certificate is signed by nobody that is trusted (caFile)",
    ),
    (re.compile(r"NO_CERTIFICATE|NO_START_LINE|PEM"), "caFile, certFile or keyFile is no certificate in PEM"),
    (re.compile(r"IncompleteRead"), "its answer ends in the middle"),
    (re.compile(r"WRONG_VERSION_NUMBER"), "it does not speak HTTPS there"),
    (re.compile(r"[^\x20-\x7e]"), "what answers does not speak HTTP; is it another port?"),
)


def _reason(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    for pattern, plain in _PLAIN:
        if found := pattern.search(text):
            return found.expand(plain)
    return text[:_SHOWN]


def _moment(at: float) -> str:
    return f"{at:.3f}"


def _labels(row: Mapping[str, Any]) -> dict[str, str]:
    return {label: str(value) for label, value in row["metric"].items()}


def _number(row: Mapping[str, Any]) -> float:
    """Return the number of a row; NaN where it is a native histogram, which anybody may export under any name."""
    return math.nan if "histogram" in row else float(row["value"][1])


def _points(row: Mapping[str, Any], first: float, step: float) -> Iterator[tuple[int, float]]:
    """Yield the numbers of a row by the index of their time; likewise."""
    for at, value in (*row.get("values", ()), *((at, math.nan) for at, _ in row.get("histograms", ()))):
        yield round((at - first) / step), float(value)
