"""The probe against the chart's own policy on a real API server: with it, without it, and outside of its reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kubernetes import client, config

from milvus_tuning import api
from milvus_tuning.api.plan import PLAN_PLURAL
from milvus_tuning.clients.admission import PROBE_NAME, AdmissionProbe
from tests.integration.conftest import CHART, Api, a_namespace, eventually

HOME, WATCHED, ELSEWHERE = "probe-home", "probe-watched", "probe-elsewhere"
RELEASE = "probe"
USER = f"system:serviceaccount:{HOME}:{RELEASE}-milvus-tuning-operator"


@pytest.fixture(scope="module", autouse=True)
def release(server: Api, helm: Callable[..., str]) -> None:
    """The chart with its policy, installed in one namespace to watch another."""
    for namespace in (HOME, WATCHED, ELSEWHERE):
        a_namespace(server, namespace)
    helm("install", RELEASE, str(CHART), "--namespace", HOME, "--set", f"watchNamespaces={{{WATCHED}}}")


@pytest.fixture
def operator(kubeconfig: Path) -> client.ApiClient:
    """The API server as the operator's own ServiceAccount sees it."""
    connect: Callable[..., client.ApiClient] = config.new_client_from_config
    connected = connect(config_file=str(kubeconfig))
    set_header: Callable[[str, str], None] = connected.set_default_header
    set_header("Impersonate-User", USER)
    return connected


def asked_anew(as_whom: client.ApiClient, namespace: str) -> bool:
    return AdmissionProbe(as_whom, timeout_seconds=5).in_force(namespace)


@contextmanager
def without_the_policy(helm: Callable[..., str]) -> Iterator[None]:
    settings = ("--reset-values", "--set", f"watchNamespaces={{{WATCHED}}}")
    helm("upgrade", RELEASE, str(CHART), "--namespace", HOME, *settings, "--set", "admissionPolicy.enabled=false")
    try:
        yield
    finally:
        helm("upgrade", RELEASE, str(CHART), "--namespace", HOME, *settings)


def test_with_the_policy_the_operator_finds_it_in_force(operator: client.ApiClient) -> None:
    eventually(lambda: True if asked_anew(operator, WATCHED) else None)


def test_where_the_policy_does_not_reach_it_is_not_in_force(
    operator: client.ApiClient, api_client: client.ApiClient
) -> None:
    eventually(lambda: True if asked_anew(operator, WATCHED) else None)
    assert not asked_anew(api_client, ELSEWHERE)  # admitted: the administrator may create plans there
    assert not asked_anew(operator, ELSEWHERE)  # refused, for want of a right


def test_the_probe_leaves_nothing_behind(server: Api, api_client: client.ApiClient) -> None:
    assert not asked_anew(api_client, ELSEWHERE)
    plans = server.call("GET", f"/apis/{api.GROUP}/{api.VERSION}/namespaces/{ELSEWHERE}/{PLAN_PLURAL}")
    assert PROBE_NAME not in [plan["metadata"]["name"] for plan in plans["items"]]


def test_without_the_policy_nothing_refuses_the_probe_and_it_is_not_in_force(
    operator: client.ApiClient, api_client: client.ApiClient, helm: Callable[..., str]
) -> None:
    everybody = (operator, api_client)  # both may create plans, so False means that the probe was admitted
    eventually(lambda: True if all(asked_anew(one, WATCHED) for one in everybody) else None)
    with without_the_policy(helm):
        eventually(lambda: None if any(asked_anew(one, WATCHED) for one in everybody) else True)
    eventually(lambda: True if all(asked_anew(one, WATCHED) for one in everybody) else None)
