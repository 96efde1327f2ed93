"""`milvus-tuning doctor`: does the operator have what it needs for this MilvusTuning, and if not, what mends it?

Runs the real observation with the rights of whoever runs it: inside the pod those of the operator, outside those of the
kubeconfig. It only reads.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from kubernetes.client import ApiClient

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.clients.kube import KubeError, KubeReader
from milvus_tuning.clients.prometheus import PrometheusClient
from milvus_tuning.doctor.check import Check, Result, failure, ok, warning
from milvus_tuning.doctor.findings import cluster_checks
from milvus_tuning.doctor.rights import rights_checks
from milvus_tuning.doctor.series import series_checks
from milvus_tuning.observe import Observer
from milvus_tuning.observe.kube import observe_target
from milvus_tuning.observe.target import TargetUnusable
from milvus_tuning.settings import Settings

__all__ = ["Check", "Result", "failure", "ok", "run_checks", "warning"]

UNDATED: Final = datetime.fromtimestamp(0, UTC)  # the checks compare nothing with the time of the snapshot


def run_checks(api_client: ApiClient, settings: Settings, namespace: str, spec: MilvusTuningSpec) -> tuple[Check, ...]:
    """All checks, in the order in which they build on each other. Raises nothing for outside trouble."""
    reader = KubeReader(api_client, timeout_seconds=settings.request_timeout_seconds)
    observer = Observer(api_client, settings)
    try:
        rights = rights_checks(reader, namespace, spec)
        snapshot = observer.observe(namespace, spec, UNDATED)
        checks = (*rights, *cluster_checks(snapshot, spec))
        return (*checks, *_series(reader, observer, namespace, spec))
    except KubeError as error:
        mend = "check the kubeconfig or service account, and that the API server can be reached"
        return (failure("kubernetes", str(error), mend),)
    finally:
        observer.close()


def _series(reader: KubeReader, observer: Observer, namespace: str, spec: MilvusTuningSpec) -> tuple[Check, ...]:
    """Each query on its own, where there is a Prometheus that can be asked."""
    declared = spec.connections.prometheus if spec.connections else None
    client = observer.connections(namespace, spec).prometheus
    if declared is None or not isinstance(client, PrometheusClient):
        return ()
    try:
        target = observe_target(reader, namespace, spec.target_ref)
    except TargetUnusable:
        return ()
    return series_checks(client, declared, target)
