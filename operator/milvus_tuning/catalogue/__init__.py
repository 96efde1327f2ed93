"""What is known about Milvus itself: versions, the spelling of keys, and which key carries which intent."""

from milvus_tuning.catalogue.collection_levels import LEVEL_PROPERTY, level_is_fixed
from milvus_tuning.catalogue.keys import config_key, config_prefix, environment_key, normalised, stored_spelling
from milvus_tuning.catalogue.levers import (
    EVERY_COMPONENT,
    Conversion,
    Intent,
    Lever,
    NoLever,
    find_lever,
    lever_with_key,
    levers_of,
)
from milvus_tuning.catalogue.version import ServerVersion, parse_version
from milvus_tuning.catalogue.zone_preference import (
    SCHEDULING_FIELD,
    ZONE_PREFERENCE,
    chart_values,
    preference_of,
    zone_terms,
)

__all__ = [
    "EVERY_COMPONENT",
    "LEVEL_PROPERTY",
    "SCHEDULING_FIELD",
    "ZONE_PREFERENCE",
    "Conversion",
    "Intent",
    "Lever",
    "NoLever",
    "ServerVersion",
    "chart_values",
    "config_key",
    "config_prefix",
    "environment_key",
    "find_lever",
    "level_is_fixed",
    "lever_with_key",
    "levers_of",
    "normalised",
    "parse_version",
    "preference_of",
    "stored_spelling",
    "zone_terms",
]
