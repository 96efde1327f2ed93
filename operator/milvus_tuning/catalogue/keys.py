"""How Milvus spells configuration keys.

Milvus matches names without case, dots, slashes and underscores (pkg/config/config.go, formatKey), so
`queryCoord.autoBalance`, `queryCoord/autoBalance` and `querycoordautobalance` under `<rootPath>/config/` are one key,
and when two of them are stored the winner is a matter of chance. We write one spelling only: lower case with dots,
the only one for which the change callbacks of Milvus 2.6 and later fire.
"""

from __future__ import annotations

from functools import lru_cache

ENVIRONMENT_PREFIX = "MILVUS_CONF_"
"""2.3 does not know it (seen on 2.3.5: it changes nothing), 2.6 does (pkg/config/env_source.go)."""
_IGNORED = str.maketrans("", "", "/_.")


@lru_cache(maxsize=4096)  # the names of the catalogue, asked for again and again
def normalised(key: str) -> str:
    """What Milvus matches by: `queryCoord.autoBalance` becomes `querycoordautobalance`."""
    return key.lower().translate(_IGNORED)


def environment_key(variable: str) -> str:
    """What Milvus matches an environment variable by, with or without its newer prefix.

    `QUERYCOORD_AUTOBALANCE` and `MILVUS_CONF_QUERYCOORD_AUTOBALANCE` become `querycoordautobalance`.
    """
    return normalised(variable).removeprefix(normalised(ENVIRONMENT_PREFIX))


def stored_spelling(key: str) -> str:
    """The one spelling that is written to etcd: `queryCoord.autoBalance` becomes `querycoord.autobalance`."""
    return key.lower()


def config_prefix(root_path: str) -> str:
    """Where Milvus reads its configuration in etcd, for `by-dev`: `by-dev/config/`."""
    return f"{root_path.strip('/')}/config/"


def config_key(root_path: str, key: str) -> str:
    """Where a configuration key is written in etcd."""
    return config_prefix(root_path) + stored_spelling(key)
