"""etcd's own history of its keys, read past the operator's client."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A key at some revision. mod_revision tells a value that was written again from one that was left alone."""

    value: str
    mod_revision: int
    leased: bool


def revision(address: str) -> int:
    """Where etcd stands now."""
    return int(_range(address, {"key": b64encode(b"\x00").decode(), "count_only": True})["header"]["revision"])


def entries(address: str, prefix: str, *, revision: int = 0) -> dict[str, Entry]:
    """The keys below a prefix that ends with a slash, as they were at a revision (0: now)."""
    start, end = prefix.encode(), prefix[:-1].encode() + b"0"  # the byte after the slash
    asked = {"key": b64encode(start).decode(), "range_end": b64encode(end).decode(), "revision": str(revision)}
    return {b64decode(raw["key"]).decode(): _entry(raw) for raw in _range(address, asked).get("kvs", [])}


def _entry(raw: Mapping[str, Any]) -> Entry:
    return Entry(
        value=b64decode(raw.get("value", "")).decode(),
        mod_revision=int(raw["mod_revision"]),
        leased=raw.get("lease", "0") != "0",
    )


def _range(address: str, body: Mapping[str, object]) -> dict[str, Any]:
    request = Request(f"http://{address}/v3/kv/range", data=json.dumps(body).encode(), method="POST")
    with urlopen(request, timeout=10) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer
