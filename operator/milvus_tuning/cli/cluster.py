"""The API server, spoken to with the caller's own rights. Objects come as plain maps, refusals as one line of text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, AuthenticationV1Api, Configuration, CustomObjectsApi

from milvus_tuning import __version__
from milvus_tuning.api import GROUP, KIND, PLAN_KIND, PLAN_PLURAL, PLURAL, VERSION
from milvus_tuning.cli.fields import Body, text
from milvus_tuning.clients.kube import RETRIES
from milvus_tuning.errors import ApplyError, ConfigError, Conflict, ObserveError

MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "milvus-tuning"  # not the operator's own: what a person writes is theirs
TIMEOUT_SECONDS = 15.0
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Which cluster and namespace a person named; None is what their kubeconfig says."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None

    @property
    def explicit(self) -> bool:
        """Whether a kubeconfig or a context was named, so that no other road may be taken."""
        return self.context is not None or self.kubeconfig is not None


class Cluster:
    """The policies and plans of one namespace."""

    def __init__(self, api_client: ApiClient, namespace: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.namespace = namespace
        self._objects = CustomObjectsApi(api_client)
        self._authentication = AuthenticationV1Api(api_client)
        self._timeout_seconds = timeout_seconds

    def policy(self, name: str) -> Body:
        """The MilvusTuning of this name."""
        return self._get(KIND, PLURAL, name)

    def policies(self) -> list[Body]:
        """All MilvusTunings, by name."""
        return self._list(KIND, PLURAL)

    def plan(self, name: str) -> Body:
        """The MilvusTuningPlan of this name."""
        return self._get(PLAN_KIND, PLAN_PLURAL, name)

    def plans(self) -> list[Body]:
        """All MilvusTuningPlans, by name."""
        return self._list(PLAN_KIND, PLAN_PLURAL)

    def vote(self, plan: Body, approval: dict[str, str | None]) -> Body:
        """Write spec.approval on exactly the plan that was read; Conflict where it has changed, else ApplyError."""
        return self._patch(PLAN_KIND, PLAN_PLURAL, plan, {"approval": approval})

    def change_spec(self, policy: Body, spec: Body) -> Body:
        """Merge this into the spec of exactly the policy that was read, None taking a field away.

        Raises Conflict where the policy has changed, else ApplyError.
        """
        return self._patch(KIND, PLURAL, policy, spec)

    def _patch(self, kind: str, plural: str, read: Body, spec: Body) -> Body:
        name = text(read, "metadata", "name")
        version = text(read, "metadata", "resourceVersion")
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        call = self._objects.patch_namespaced_custom_object
        arguments = (GROUP, VERSION, self.namespace, plural, name, patch)
        what = f"{kind} {self.namespace}/{name}"
        try:
            written: Body = self._call(call, *arguments, field_manager=FIELD_MANAGER, _content_type=MERGE_PATCH)
        except ApiException as error:
            if error.status == HTTPStatus.CONFLICT:
                raise Conflict(f"{what} keeps changing; try again", retryable=True) from error
            raise ApplyError(f"cannot write {what}: {_told(error)}", retryable=False) from error
        except urllib3.exceptions.HTTPError as error:
            line = f"no answer while writing {what}, look whether it was written: {_one_line(str(error))}"
            raise ApplyError(line, retryable=True) from error
        return written

    def username(self) -> str | None:
        """Who we are in the API server's eyes; None where it does not say (before Kubernetes 1.28)."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            review = self._call(self._authentication.create_self_subject_review, body)
        except (ApiException, urllib3.exceptions.HTTPError):
            return None
        return str(review.status.user_info.username) or None

    def _get(self, kind: str, plural: str, name: str) -> Body:
        call = self._objects.get_namespaced_custom_object
        found: Body = self._read(f"{kind} {self.namespace}/{name}", call, plural, name)
        return found

    def _list(self, kind: str, plural: str) -> list[Body]:
        call = self._objects.list_namespaced_custom_object
        found = self._read(f"{kind} objects in {self.namespace}", call, plural)
        return sorted(found.get("items", []), key=lambda body: text(body, "metadata", "name"))

    def _read(self, what: str, call: Callable[..., Any], *arguments: str) -> Any:  # noqa: ANN401
        try:
            return self._call(call, GROUP, VERSION, self.namespace, *arguments)
        except ApiException as error:
            raise ObserveError(f"cannot read {what}: {_told(error)}") from error
        except urllib3.exceptions.HTTPError as error:
            raise ObserveError(f"cannot read {what}: {_one_line(str(error))}") from error

    def _call(self, call: Callable[..., Any], *arguments: object, **options: object) -> Any:  # noqa: ANN401
        return call(*arguments, _request_timeout=self._timeout_seconds, **options)


def connect(address: Address) -> Cluster:
    """The cluster that a person means: their kubeconfig, or the service account where there is none.

    Raises ConfigError where neither is. The kubeconfig is never written, its current context never changed.
    """
    configuration = Configuration()
    try:
        namespace = _load(address, configuration)
    except (config.ConfigException, OSError, yaml.YAMLError) as error:
        where = f" {address.kubeconfig}" if address.kubeconfig else ""
        raise ConfigError(f"cannot use the kubeconfig{where}: {_one_line(str(error))}") from error
    configuration.retries = RETRIES
    client = ApiClient(configuration)
    client.user_agent = f"milvus-tuning/{__version__}"
    return Cluster(client, address.namespace or namespace or DEFAULT_NAMESPACE)


def _load(address: Address, configuration: Configuration) -> str | None:
    """Fill the configuration in; returns the namespace that goes with it."""
    file = str(address.kubeconfig) if address.kubeconfig else None
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=file, context=address.context, client_configuration=configuration, persist_config=False
        )
    except config.ConfigException as error:
        if address.explicit:
            raise
        return _load_service_account(configuration, error)
    contexts, current = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
    chosen = next((entry for entry in contexts if entry["name"] == address.context), current)
    return text(chosen, "context", "namespace") or None


def _load_service_account(configuration: Configuration, error: config.ConfigException) -> str | None:
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        raise error from None  # a person is told about the kubeconfig, which they may have meant to have
    return NAMESPACE_FILE.read_text(encoding="utf-8").strip() or None


def _told(error: ApiException) -> str:
    """The API server's own words in one line."""
    try:
        answer = json.loads(error.body or "")
    except ValueError:
        answer = None
    told = _one_line(text(answer, "message"))
    if told:
        return told
    if error.status == HTTPStatus.NOT_FOUND:
        return f"the API server does not know {GROUP}/{VERSION}: the CustomResourceDefinitions are not installed"
    return f"{error.status} {error.reason}"


def _one_line(message: str) -> str:
    return " ".join(message.split())
