"""Milvus's etcd, read and written by the tests themselves through the JSON gateway."""

import base64
import json
import urllib.request


def read_prefix(endpoint: str, prefix: str) -> dict[str, str]:
    """All keys under the prefix with their values."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    body = json.dumps({"key": _encode(prefix), "range_end": _encode(end)}).encode()
    request = urllib.request.Request(f"{endpoint}/v3/kv/range", data=body, method="POST")
    with urllib.request.urlopen(request, timeout=5) as reply:
        pairs = json.load(reply).get("kvs", [])
    return {_decode(pair["key"]): _decode(pair.get("value", "")) for pair in pairs}


def write_key(endpoint: str, key: str, value: str | None) -> None:
    """Put a key, or remove it where there is no value."""
    body = {"key": _encode(key)} if value is None else {"key": _encode(key), "value": _encode(value)}
    path = "deleterange" if value is None else "put"
    request = urllib.request.Request(f"{endpoint}/v3/kv/{path}", data=json.dumps(body).encode(), method="POST")
    urllib.request.urlopen(request, timeout=5).close()


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")
