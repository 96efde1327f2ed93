"""What Kubernetes says about a target: the shared result of `helm` and `milvus_resource`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from milvus_tuning.clients.connect import Found
from milvus_tuning.snapshot import ComponentPod, Freeze, Problem, QueryNode, ResourceConfig, Scheduling, Workload

HELM_COMPONENT_LABEL = "component"  # plain, in the Milvus Helm chart
OPERATOR_COMPONENT_LABEL = "app.kubernetes.io/component"  # in what milvus-operator makes
COORDINATORS = frozenset({"mixcoord", "rootcoord", "querycoord", "datacoord", "indexcoord"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The target as Kubernetes knows it. query_nodes have no measurements yet and no Milvus node id.

    proxy_pods and coordinator_pods are names of ready pods, whose series are asked for. coordinators_started is since
    when the containers of each coordinator pod run, the latest of them. install_config and environment_config are by
    normalised key, without secrets.
    """

    workload: Workload
    found: Found
    query_nodes: tuple[QueryNode, ...] = ()
    proxy_pods: tuple[str, ...] = ()
    coordinator_pods: tuple[str, ...] = ()
    coordinators_started: tuple[tuple[str, datetime], ...] = ()
    metrics_ports: tuple[tuple[str, int], ...] = ()  # (QueryNode pod, port of its /metrics)
    components: tuple[ComponentPod, ...] = ()
    scheduling: Scheduling | None = None
    addresses: tuple[tuple[str, str], ...] = ()  # (pod of any component, its IP)
    install_config: Mapping[str, str] = field(default_factory=dict)
    environment_config: Mapping[str, str] = field(default_factory=dict)
    resource_config: ResourceConfig | None = None
    freezes: tuple[Freeze, ...] = ()
    problems: tuple[Problem, ...] = ()

    def with_freezes(self, *freezes: Freeze) -> Target:
        """The same target with more reasons to hold still."""
        return replace(self, freezes=(*self.freezes, *freezes))


class TargetUnusable(Exception):
    """The target cannot be worked with; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
