"""Reads from the Kubernetes API: few calls, each with a timeout, each failure in words.

`load_api_client` builds the one ApiClient of the process: from the pod's service account where there is one, else from
the user's kubeconfig (for `doctor`, `record` and development). `KubeReader` only reads; what writes is in `apply`.
"""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import urllib3
from kubernetes import config
from kubernetes.client import (
    ApiClient,
    ApiException,
    AppsV1Api,
    AuthorizationV1Api,
    AutoscalingV2Api,
    Configuration,
    CoreV1Api,
    CustomObjectsApi,
)

from milvus_tuning.errors import ConfigError, ObserveError
from milvus_tuning.settings import Settings

# The kubernetes package's own models (V1Deployment and so on). Its annotations call every field optional, also those
# that the API server always sets; checking each would hide what matters, so the models are taken as they come.
Deployment: TypeAlias = Any
ReplicaSet: TypeAlias = Any
Pod: TypeAlias = Any
ContainerStatus: TypeAlias = Any
Service: TypeAlias = Any
Autoscaler: TypeAlias = Any
ManagedFieldsEntry: TypeAlias = Any

RETRIES = 1  # a kept connection that the server has closed meanwhile; more would multiply the timeout
_FORBIDDEN = (401, 403)
_NOT_FOUND = (404,)


class KubeFailure(enum.StrEnum):
    """What kind of trouble it was."""

    NOT_FOUND = "NotFound"
    FORBIDDEN = "Forbidden"
    UNREACHABLE = "Unreachable"


class KubeError(ObserveError):
    """A read from the Kubernetes API failed."""

    def __init__(self, message: str, failure: KubeFailure) -> None:
        super().__init__(message)
        self.failure = failure


def load_api_client(settings: Settings) -> ApiClient:
    """The client of the cluster we run in, or of the kubeconfig's current context; ConfigError where neither is."""
    configuration = Configuration()
    try:
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise ConfigError(f"no service account and no kubeconfig to reach Kubernetes with: {error}") from error
    configuration.retries = RETRIES
    client = ApiClient(configuration)
    client.user_agent = f"milvus-tuning/{settings.pod_name}"
    return client


class KubeReader:
    """What the operator reads from Kubernetes. Objects come as the kubernetes package's own models."""

    def __init__(self, api_client: ApiClient, *, timeout_seconds: float) -> None:
        self._core = CoreV1Api(api_client)
        self._apps = AppsV1Api(api_client)
        self._autoscaling = AutoscalingV2Api(api_client)
        self._custom = CustomObjectsApi(api_client)
        self._authorization = AuthorizationV1Api(api_client)
        self._timeout_seconds = timeout_seconds

    def deployments(self, namespace: str, labels: Mapping[str, str]) -> list[Deployment]:
        """Deployments that carry all these labels."""
        return self._list("deployments", self._apps.list_namespaced_deployment, namespace, labels)

    def replica_sets(self, namespace: str, labels: Mapping[str, str]) -> list[ReplicaSet]:
        """ReplicaSets that carry all these labels."""
        return self._list("replicasets", self._apps.list_namespaced_replica_set, namespace, labels)

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Pod]:
        """Pods that carry all these labels."""
        return self._list("pods", self._core.list_namespaced_pod, namespace, labels)

    def services(self, namespace: str) -> list[Service]:
        """All Services of the namespace."""
        return self._list("services", self._core.list_namespaced_service, namespace, {})

    def autoscalers(self, namespace: str) -> list[Autoscaler]:
        """All HorizontalPodAutoscalers of the namespace."""
        call = self._autoscaling.list_namespaced_horizontal_pod_autoscaler
        return self._list("horizontalpodautoscalers", call, namespace, {})

    def config_map(self, namespace: str, name: str) -> Mapping[str, str]:
        """The text entries of a ConfigMap."""
        found = self._ask(f"configmap {namespace}/{name}", self._core.read_namespaced_config_map, name, namespace)
        return dict(found.data or {})

    def secret_value(self, namespace: str, name: str, key: str) -> str:
        """One entry of a Secret as text, without surrounding white space."""
        what = f"secret {namespace}/{name}"
        found = self._ask(what, self._core.read_namespaced_secret, name, namespace)
        encoded = (found.data or {}).get(key)
        if encoded is None:
            raise KubeError(f"{what} has no key {key!r}", KubeFailure.NOT_FOUND)
        try:
            return base64.b64decode(encoded).decode().strip()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise KubeError(f"{what}, key {key!r} is not text", KubeFailure.NOT_FOUND) from error

    def custom_object(self, group: str, version: str, namespace: str, plural: str, name: str) -> dict[str, Any]:
        """A custom resource as it is stored."""
        call = self._custom.get_namespaced_custom_object
        found: dict[str, Any] = self._ask(
            f"{plural}.{group} {namespace}/{name}", call, group, version, namespace, plural, name
        )
        return found

    def custom_objects(self, group: str, version: str, namespace: str, plural: str) -> list[dict[str, Any]]:
        """All custom resources of a kind in the namespace; none where the kind is not installed."""
        call = self._custom.list_namespaced_custom_object
        try:
            found = self._ask(f"{plural}.{group} in {namespace}", call, group, version, namespace, plural)
        except KubeError as error:
            if error.failure is KubeFailure.NOT_FOUND:
                return []
            raise
        return list(found.get("items", []))

    def may(self, namespace: str, *, verb: str, group: str, resource: str, subresource: str = "") -> bool:
        """Whether we ourselves have this right, in the API server's own judgement (SelfSubjectAccessReview)."""
        attributes = {
            "namespace": namespace,
            "verb": verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        call = self._authorization.create_self_subject_access_review
        return bool(self._ask("selfsubjectaccessreviews", call, body).status.allowed)

    def _list(self, what: str, call: Callable[..., Any], namespace: str, labels: Mapping[str, str]) -> list[Any]:
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        return list(self._ask(f"{what} in {namespace}", call, namespace, label_selector=selector).items)

    def _ask(self, what: str, call: Callable[..., Any], *arguments: object, **options: object) -> Any:  # noqa: ANN401
        try:
            return call(*arguments, _request_timeout=self._timeout_seconds, **options)
        except ApiException as error:
            raise KubeError(f"cannot read {what}: {error.status} {error.reason}", _failure(error.status)) from error
        except urllib3.exceptions.HTTPError as error:
            raise KubeError(f"cannot read {what}: {error}", KubeFailure.UNREACHABLE) from error
        except ValueError as error:  # pydantic, in the package's models: an object that its schema does not know
            raise KubeError(f"cannot understand {what}: {error}", KubeFailure.UNREACHABLE) from error


def _failure(status: int) -> KubeFailure:
    if status in _NOT_FOUND:
        return KubeFailure.NOT_FOUND
    return KubeFailure.FORBIDDEN if status in _FORBIDDEN else KubeFailure.UNREACHABLE
