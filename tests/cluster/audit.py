"""The API server's audit log: who wrote what, told by neither the operator nor a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUCCEEDED = range(200, 300)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request that the API server has answered; names that the log leaves out are empty.

    user is empty where the server knew nobody by the token, as for the token of a pod that was killed and deleted.
    """

    verb: str
    user: str
    agent: str
    namespace: str
    resource: str
    subresource: str
    name: str
    code: int

    @property
    def succeeded(self) -> bool:
        """Whether the server carried it out."""
        return self.code in SUCCEEDED


def requests(log: Path, *, namespace: str | None = None) -> Iterator[Request]:
    """The answered requests that are recorded so far, oldest first; a line that is still being written is left out.

    With a namespace only those on its objects; lines that do not name it are not even parsed, for a log may be long.
    """
    named = "" if namespace is None else json.dumps(namespace)
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            if named in line and line.endswith("\n") and (event := json.loads(line))["stage"] == "ResponseComplete":
                request = _request(event)
                if namespace in {None, request.namespace}:
                    yield request


def _request(event: dict[str, Any]) -> Request:
    about = event.get("objectRef", {})
    return Request(
        verb=event["verb"],
        user=event.get("user", {}).get("username", ""),
        agent=event.get("userAgent", ""),
        namespace=about.get("namespace", ""),
        resource=about.get("resource", ""),
        subresource=about.get("subresource", ""),
        name=about.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
    )
