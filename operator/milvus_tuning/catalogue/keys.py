"""How Milvus spells configuration keys.

Milvus matches names without case, dots, slashes and underscores (pkg/config/config.go, formatKey), so
`queryCoord.autoBalance`, `queryCoord/autoBalance` and `querycoordautobalance` under `<rootPath>/config/` are one key,
and when two of them are stored the winner is a matter of chance. We write one spelling only: lower case with dots,
the only one for which the change callbacks of Milvus 2.6 and later fire.
"""

from __future__ import annotations

_IGNORED = str.maketrans("", "", "/_.")


def normalised(key: str) -> str:
    """What Milvus matches by: `queryCoord.autoBalance` becomes `querycoordautobalance`."""
    return key.lower().translate(_IGNORED)


def stored_spelling(key: str) -> str:
    """The one spelling that is written to etcd: `queryCoord.autoBalance` becomes `querycoord.autobalance`."""
    return key.lower()


def config_prefix(root_path: str) -> str:
    """Where Milvus reads its configuration in etcd, for `by-dev`: `by-dev/config/`."""
    return f"{root_path.strip('/')}/config/"


def config_key(root_path: str, key: str) -> str:
    """Where a configuration key is written in etcd."""
    return config_prefix(root_path) + stored_spelling(key)
