"""How commands ask the admin pages of a running server: one GET, through the proxy of whoever calls, and why it failed.

The pages of pods are fetched otherwise (sources/http.py): never through a proxy, and never from this machine's own
addresses, which is where a person's port-forward ends.
"""

from collections.abc import Mapping

import requests

from scaler.model.errors import ScalerError

_NO_HTTP = "it does not speak HTTP there; is it the gRPC port? The admin port is 8080"
_REASONS = {  # what an error's text has -> what a person would say
    "Connection refused": "nothing listens there; is it the admin address (port 8080)?",
    "Name or service not known": "the host is not known",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not signed by an authority that is trusted here",
    "WRONG_VERSION_NUMBER": "it does not speak HTTPS there",
    "BadStatusLine": _NO_HTTP,
    "Connection aborted": _NO_HTTP,
}


def get(url: str, headers: Mapping[str, str], timeout: float) -> requests.Response:
    """Ask one page; `timeout`: seconds to connect, and between two pieces of the answer.

    Raises:
        ScalerError: there was no answer; whatever its status, an answer is one.
    """
    try:
        answer = requests.get(url, headers=headers, timeout=timeout, allow_redirects=False)
    except requests.Timeout as error:
        raise ScalerError(f"{url} did not answer within {timeout:g}s") from error
    except requests.RequestException as error:
        reason = next((reason for sign, reason in _REASONS.items() if sign in str(error)), "the connection failed")
        raise ScalerError(f"{url} did not answer: {reason}") from error
    if answer.is_redirect:
        raise ScalerError(f"{url} redirects to {answer.headers['location']}; is it the admin address of llm-scaler?")
    return answer
