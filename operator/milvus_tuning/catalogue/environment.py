"""Environment variables as configuration: Milvus takes each of them for a key, over its files and below etcd.

What an install sets there is mostly not meant for Milvus: GODEBUG, AWS_REGION, POD_IP. A variable counts as meant where
it is a key, has Milvus's prefix, begins as keys do whose section is known whole, or is nearly a key:

    QUERYCOORD_AUTOBALANCE    a key               PROXY_GRPC_SERVERMAXRECV   begins with a section that is known whole
    MILVUS_CONF_ANYTHING      has the prefix      QUERYNODECACHEWARMUPS      nearly queryNode.cache.warmup
    GRPC_GO_LOG_SEVERITY_LEVEL, ETCD_UNSUPPORTED_ARCH, MINIO_ROOT_USER       other programs' own: left alone
"""

from __future__ import annotations

import difflib

from milvus_tuning.catalogue.keys import ENVIRONMENT_PREFIX, environment_key
from milvus_tuning.catalogue.registry import Catalogue
from milvus_tuning.catalogue.version import ServerVersion

ALIKE = 0.9
"""More than in a file (lint.ALIKE): there all names are meant for Milvus."""
PREFIX_SINCE = ServerVersion(2, 4, 0)
"""2.3 was seen not to know the prefix; which release of 2.4 or 2.5 brought it is not known."""
PREFIX_CERTAIN_SINCE = ServerVersion(2, 6, 0)
_OTHERS = ("grpc",)
"""Sections of Milvus whose name begins the variables of libraries, too."""


def dotted(variable: str) -> str:
    """The name as a key is written: `QUERYCOORD_AUTOBALANCE` becomes `querycoord.autobalance`, without the prefix."""
    return variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", ".")


def variable_of(key: str) -> str:
    """The variable that sets a key in every release: `queryCoord.autoBalance` becomes `QUERYCOORD_AUTOBALANCE`."""
    return key.upper().replace(".", "_")


def may_be_meant(variable: str, known: Catalogue) -> bool:
    """Whether a variable may have been set for Milvus; see the module's text."""
    name = environment_key(variable)
    named = known.keys.keys() | known.old_names.keys() | known.never.keys()
    if variable.startswith(ENVIRONMENT_PREFIX) or name in named or any(name in row.names for row in known.managed):
        return True
    key = dotted(variable)
    whole = (prefix for prefix in known.sections if prefix not in _OTHERS)
    if any(key.startswith(f"{prefix}.") for prefix in whole):
        return True
    return bool(difflib.get_close_matches(name, known.keys, n=1, cutoff=ALIKE))
