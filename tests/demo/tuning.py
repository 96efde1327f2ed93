"""What the demo sees of Kubernetes: the MilvusTuning's status and the QueryNode pods, through the API server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from kubernetes import client, config
from kubernetes.client import ApiException

from tests.placement import node_id_in

GROUP, VERSION, PLURAL = "milvustuning.io", "v1alpha1", "milvustunings"
PLANS = "milvustuningplans"
NOT_FOUND, METRICS_PORT = 404, 9091


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The columns of the live table that come from the object's status."""

    phase: str
    nodes: str
    skew: str
    reason: str
    last_action: str
    plan: str  # name of the newest plan
    plan_phase: str


class TuningWatcher:
    """Reads one MilvusTuning and the QueryNode pods of its release."""

    def __init__(self, kubeconfig: Path, namespace: str, name: str, release: str) -> None:
        api_client = cast("client.ApiClient", config.new_client_from_config(str(kubeconfig)))  # type: ignore[no-untyped-call]
        self._objects = client.CustomObjectsApi(api_client)
        self._core = client.CoreV1Api(api_client)
        self._apps = client.AppsV1Api(api_client)
        self._namespace, self._name, self._release = namespace, name, release

    def create(self, manifest: Path) -> None:
        """Apply the manifest; an object of the same name from an earlier run is replaced."""
        self.delete()
        body = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        self._objects.create_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, body)

    def delete(self) -> None:
        """Delete the object and await its end."""
        try:
            self._objects.delete_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, self._name)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise

    def scale(self, count: int) -> None:
        """Set the number of QueryNodes by hand, for the beginning of the story."""
        cast("Any", self._apps).patch_namespaced_deployment_scale(
            f"{self._release}-milvus-querynode", self._namespace, {"spec": {"replicas": count}}
        )

    def exists(self) -> bool:
        """Whether the object is there, be it on its way out."""
        return self._read() is not None

    def view(self) -> View:
        """The status now, dashes where there is none yet."""
        status = (self._read() or {}).get("status", {})
        observed, decision = status.get("observed", {}), status.get("decision", {})
        plan = status.get("lastPlan", {})
        return View(
            phase=status.get("phase", "-"),
            nodes=observed.get("nodes", "-"),
            skew=f"{observed['skewPercent']} %" if "skewPercent" in observed else "-",
            reason=decision.get("reason", "-"),
            last_action=status.get("lastAction", "-"),
            plan=plan.get("name", ""),
            plan_phase=plan.get("phase", ""),
        )

    def plans(self) -> list[dict[str, Any]]:
        """The plans of the namespace, oldest first."""
        found = self._objects.list_namespaced_custom_object(GROUP, VERSION, self._namespace, PLANS)
        plans: list[dict[str, Any]] = cast("Any", found)["items"]
        return sorted(plans, key=lambda plan: int(plan["spec"]["change"]["sequence"]))

    def query_nodes(self) -> dict[str, int]:
        """Pod name to Milvus node id of the QueryNodes that are not leaving, as the pods' own metrics say."""
        pods = cast("Any", self._core).list_namespaced_pod(
            self._namespace, label_selector=f"app.kubernetes.io/instance={self._release},component=querynode"
        )
        found = {
            pod.metadata.name: self._node_id(pod.metadata.name)
            for pod in pods.items
            if pod.metadata.deletion_timestamp is None
        }
        return {name: node_id for name, node_id in found.items() if node_id is not None}

    def _node_id(self, pod: str) -> int | None:
        try:
            metrics = self._core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod}:{METRICS_PORT}", self._namespace, "metrics"
            )
        except ApiException:  # not up yet
            return None
        return node_id_in(str(metrics))

    def _read(self) -> dict[str, Any] | None:
        try:
            answer = self._objects.get_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, self._name)
        except ApiException as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return cast("dict[str, Any]", answer)
