"""Ask the API server who a token belongs to, and what they may: TokenReview, SubjectAccessReview. It keeps neither."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaler.model.errors import SourceError
from scaler.sources.late import IMPORTING

if TYPE_CHECKING:
    from scaler.sources.kubernetes.api import ApiServer

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESSES = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class AccessReviews:
    """Questions to one API server.

    Args:
        kubeconfig: None for the pod's service account, or else for what KUBECONFIG names.
    """

    def __init__(self, kubeconfig: Path | None) -> None:
        self._kubeconfig = kubeconfig
        self._opened: ApiServer | None = None

    def who(self, token: str) -> Mapping[str, Any] | None:
        """Return the user of a token: username, uid, groups, extra; None where it is nobody's.

        Raises:
            SourceError: there is no answer.
        """
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = _status(self._server().review(TOKENS, body))
        user = status.get("user")
        return user if status.get("authenticated") is True and isinstance(user, Mapping) else None

    def may_get(self, user: Mapping[str, Any], namespace: str) -> bool:
        """Return whether a user may get the ScaledObjects of a namespace; of all, where it is empty.

        Raises:
            SourceError: there is no answer.
        """
        asked = {"verb": "get", "group": "keda.sh", "resource": "scaledobjects", "namespace": namespace}
        spec = {
            "user": user.get("username", ""),
            "uid": user.get("uid", ""),
            "groups": user.get("groups", []),
            "extra": user.get("extra", {}),
            "resourceAttributes": asked,
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return _status(self._server().review(ACCESSES, body)).get("allowed") is True

    def _server(self) -> "ApiServer":
        if self._opened is None:
            with IMPORTING:
                from scaler.sources.kubernetes.api import ApiServer  # noqa: PLC0415 - 0.2 s, spent on first use

            self._opened = ApiServer(self._kubeconfig)
        return self._opened


def _status(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    status = answer.get("status")
    if not isinstance(status, Mapping):
        raise SourceError("the API server answers a review without a status")
    return status
