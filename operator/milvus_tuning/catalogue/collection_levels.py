"""The default consistency level of a collection: since when it can be changed, and as what.

A collection gets its level when it is created; a search that names no level of its own gets that one. AlterCollection
with the property `consistency_level` changes it from 2.4.23 in the 2.4 line, from 2.5.5 in the 2.5 line, and in every
later one (Milvus pull requests 39906 and 39902). Before, the property is stored, the call succeeds, the level stays.
"""

from __future__ import annotations

from milvus_tuning.catalogue.version import ServerVersion

LEVEL_PROPERTY = "consistency_level"
_FIRST_OF_2_4 = ServerVersion(2, 4, 23)
_FIRST_OF_2_5 = ServerVersion(2, 5, 5)


def level_is_fixed(version: ServerVersion) -> str | None:
    """Why this version cannot change the level of a collection, in words; None where it can.

    Example: 2.4.22 cannot, 2.4.23 can, 2.5.4 cannot, 2.5.5 can.
    """
    in_2_5 = (version.major, version.minor) == (2, 5)
    if version >= (_FIRST_OF_2_5 if in_2_5 else _FIRST_OF_2_4):
        return None
    return (
        f"in Milvus {version} the level of a collection is fixed when it is created; it can be changed from "
        f"{_FIRST_OF_2_4} and from {_FIRST_OF_2_5} on. A search may name a level of its own in every version"
    )
