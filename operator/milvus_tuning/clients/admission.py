"""Whether the admission policy that guards plans is in force, in the API server's own judgement.

A policy object that exists proves little: its binding may be gone, its selector may leave the namespace out, the server
may be too old. So the operator tries what the policy forbids to everybody: it creates a plan named `admission-probe`,
as a dry run, which is judged like any other creation and never stored. Only the policy's own refusal counts; a plan
that is admitted, or refused for want of a right or of a kind, shows that nothing guards plans here.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import urllib3
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi

from milvus_tuning.api import GROUP, VERSION
from milvus_tuning.api.plan import PLAN_KIND, PLAN_PLURAL
from milvus_tuning.errors import ObserveError

PROBE_NAME: Final = "admission-probe"
IN_FORCE_MESSAGE: Final = "admission policy is in force"  # the words of the chart's policy
BELIEVED_SECONDS: Final = 600.0  # a policy that was in force; whoever takes it away is an administrator
DOUBTED_SECONDS: Final = 20.0  # so that a policy just installed is soon seen
_PROBED_AT: Final = "2026-01-01T00:00:00Z"  # a valid plan needs times; these are never stored
_SERVER_TROUBLE: Final = 500
_TOO_MANY_REQUESTS: Final = 429


class AdmissionProbe:
    """Asks, and remembers the answer for a while. May be used from several threads."""

    def __init__(
        self, api_client: ApiClient, *, timeout_seconds: float, clock_monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._custom = CustomObjectsApi(api_client)
        self._timeout_seconds = timeout_seconds
        self._clock = clock_monotonic
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[bool, float]] = {}  # by namespace: the answer, and until when it counts

    def in_force(self, namespace: str) -> bool:
        """Whether plans in this namespace are guarded.

        Raises ObserveError where the API server does not answer, or answers that it is in trouble itself.
        """
        with self._lock:
            known = self._answers.get(namespace)
        if known is not None and self._clock() < known[1]:
            return known[0]
        answer = self._ask(namespace)
        until = self._clock() + (BELIEVED_SECONDS if answer else DOUBTED_SECONDS)
        with self._lock:
            self._answers[namespace] = (answer, until)
        return answer

    def _ask(self, namespace: str) -> bool:
        what = f"whether the admission policy is in force in namespace {namespace}"
        try:
            self._custom.create_namespaced_custom_object(
                GROUP,
                VERSION,
                namespace,
                PLAN_PLURAL,
                probe_plan(),
                dry_run="All",
                _request_timeout=self._timeout_seconds,
            )
        except ApiException as error:
            message = _message(error)
            if IN_FORCE_MESSAGE in message:
                return True
            if not error.status or error.status >= _SERVER_TROUBLE or error.status == _TOO_MANY_REQUESTS:
                raise ObserveError(f"cannot tell {what}: {error.status} {message or error.reason}") from error
            return False
        except urllib3.exceptions.HTTPError as error:
            raise ObserveError(f"cannot tell {what}: {error}") from error
        return False


def probe_plan() -> dict[str, Any]:
    """The smallest plan that the kind's schema admits, so that nothing but the policy can be what refuses it."""
    step = {"kind": "SetConfig", "precondition": {}, "action": {}, "verification": {}, "undo": {}}
    change = {
        "policy": {"name": PROBE_NAME, "uid": PROBE_NAME, "generation": 1, "intentDigest": PROBE_NAME},
        "target": PROBE_NAME,
        "sequence": 1,
        "reason": "AdmissionProbe",
        "message": "never stored: asks whether the admission policy is in force",
        "inputsDigest": PROBE_NAME,
        "steps": [step],
        "predicted": {},
        "risk": {"level": "Low", "reasons": []},
        "proposedAt": _PROBED_AT,
        "expiresAt": _PROBED_AT,
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": PLAN_KIND,
        "metadata": {"name": PROBE_NAME},
        "spec": {"change": change},
    }


def _message(error: ApiException) -> str:
    """The message of the Status in the answer; "" where the answer is none."""
    try:
        body = json.loads(error.body or "")
    except (ValueError, TypeError):
        return ""
    return str(body.get("message", "")) if isinstance(body, dict) else ""
