"""What is known about Milvus itself: versions, the spelling of keys, and which key carries which intent."""

from milvus_tuning.catalogue.keys import config_key, config_prefix, normalised, stored_spelling
from milvus_tuning.catalogue.levers import Conversion, Intent, Lever, NoLever, components_of, find_lever, levers_of
from milvus_tuning.catalogue.version import ServerVersion, parse_version

__all__ = [
    "Conversion",
    "Intent",
    "Lever",
    "NoLever",
    "ServerVersion",
    "components_of",
    "config_key",
    "config_prefix",
    "find_lever",
    "levers_of",
    "normalised",
    "parse_version",
    "stored_spelling",
]
