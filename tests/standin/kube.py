"""Plain JSON calls on an API server, as the stand-in makes them: Update with resourceVersion, never a patch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from kubernetes.client import ApiClient

FIELD_MANAGER = "manager"  # the name of milvus-operator's binary, which is what the API server records
TIMEOUT_SECONDS = 10

Object = dict[str, Any]


class Refused(Exception):
    """The API server did not carry out a call."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Kube:
    """The API server, spoken to in JSON."""

    def __init__(self, api_client: ApiClient) -> None:
        self._client = api_client

    def read(self, path: str) -> Object | None:
        """The object, or None."""
        try:
            return self._call("GET", path)
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def create(self, path: str, body: Object) -> Object:
        """Create in a collection."""
        return self._call("POST", path, body)

    def replace(self, path: str, body: Object) -> Object:
        """Write the whole object over the version it was read at; 409 when it has changed."""
        return self._call("PUT", path, body)

    def delete(self, path: str) -> None:
        """Delete; no error when it is gone."""
        try:
            self._call("DELETE", path)
        except Refused as refused:
            if refused.code != 404:
                raise

    def _call(self, method: str, path: str, body: Object | None = None) -> Object:
        query = "" if method == "GET" else f"?{urlencode({'fieldManager': FIELD_MANAGER})}"
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        response = self._client.call_api(
            method,
            f"{self._client.configuration.host}{path}{query}",
            header_params=headers,
            body=body,
            _request_timeout=TIMEOUT_SECONDS,
        )
        read: Callable[[], bytes] = response.read
        answer: Object = json.loads(read())
        if response.status >= 400:
            raise Refused(response.status, str(answer.get("message", answer)))
        return answer
