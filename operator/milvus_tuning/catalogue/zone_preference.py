"""QueryNodes that prefer the zone of the proxies, or of each other: the pod affinity that says so.

It is a preference and never a demand, so no pod stays Pending for it. The scheduler reads it when it places a pod: pods
that run already stay where they are until they are replaced.

    WithProxies       the zone of the install's proxies      saves traffic and latency from proxy to delegator
    WithQueryNodes    the zone of its other QueryNodes       saves them from delegator to worker

The harm of both: the loss of a zone takes more QueryNodes at once, and where all are in one zone the in-memory replicas
are gone with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

ZONE_LABEL: Final = "topology.kubernetes.io/zone"
ZONE_PREFERENCE: Final = "queryNodes.zonePreference"
PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
SCHEDULING_FIELD: Final = f"spec.components.queryNode.affinity.podAffinity.{PREFERRED}"
_WEIGHT: Final = 100  # the highest that Kubernetes takes; the scheduler adds it to what else it goes by
_COMPONENTS: Final[Mapping[str, str]] = {"WithProxies": "proxy", "WithQueryNodes": "querynode"}

Terms = list[dict[str, Any]]


def zone_terms(preference: str, instance: str) -> Terms:
    """The terms of a preference for an install that milvus-operator made, in Kubernetes' words.

    Raises KeyError for a preference that is none.
    """
    labels = {
        "app.kubernetes.io/component": _COMPONENTS[preference],
        "app.kubernetes.io/instance": instance,
        "app.kubernetes.io/managed-by": "milvus-operator",
        "app.kubernetes.io/name": "milvus",
    }
    return _terms(labels)


def preference_of(terms: Sequence[Any], instance: str) -> str | None:
    """The preference whose terms exactly these are; None for any others."""
    return next((word for word in _COMPONENTS if list(terms) == zone_terms(word, instance)), None)


def chart_values(preference: str, release: str) -> dict[str, Any]:
    """The same for a release of the Milvus Helm chart, as values of it. Raises KeyError as `zone_terms` does."""
    labels = {
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/name": "milvus",
        "component": _COMPONENTS[preference],
    }
    return {"queryNode": {"affinity": {"podAffinity": {PREFERRED: _terms(labels)}}}}


def _terms(labels: Mapping[str, str]) -> Terms:
    term = {"labelSelector": {"matchLabels": dict(labels)}, "topologyKey": ZONE_LABEL}
    return [{"podAffinityTerm": term, "weight": _WEIGHT}]
