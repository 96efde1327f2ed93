"""The API, written once: MilvusTuning (group milvustuning.io, version v1alpha1) as pydantic models.

`crd.py` turns these models into the structural schema with its CEL rules, `make manifests` writes the CRD from it, and
the operator parses objects with them: what the API server admits and what the operator reads are one definition.

A field that is unset is unmanaged: the operator neither reads it as a default nor writes what it stands for. Defaults
inside a declared block (windows, thresholds) are those of docs.zilliz.com/docs/auto-scaling, the managed service's own.
Integers carry their unit in the name; there are no floats.
"""

from __future__ import annotations

from milvus_tuning.api.base import (
    FIELD_MANAGER,
    FINALIZER,
    GROUP,
    KIND,
    PLURAL,
    SHORT_NAME,
    VERSION,
    ApiModel,
    NodeCount,
    ObjectName,
    Percent,
    Rule,
    Seconds,
)
from milvus_tuning.api.connections import (
    Connections,
    EtcdConnection,
    MilvusConnection,
    PrometheusConnection,
    PrometheusLabels,
    SecretKeyReference,
    Tls,
)
from milvus_tuning.api.spec import (
    Approval,
    AutomaticApproval,
    LoadBalancing,
    MilvusTuningSpec,
    Mode,
    Objectives,
    PlacementOwner,
    QueryNodes,
    ScaleIn,
    ScaleOut,
    TargetKind,
    TargetReference,
)
from milvus_tuning.api.status import (
    PRINTER_COLUMNS,
    Condition,
    ConditionStatus,
    ConfigStatus,
    DecisionStatus,
    Flat,
    MilvusTuningStatus,
    Observed,
    ObservedNode,
    OperationStatus,
    PrinterColumn,
    RejectedAlternative,
    StepStatus,
    Text,
    Timestamp,
    Word,
)

__all__ = [
    "FIELD_MANAGER",
    "FINALIZER",
    "GROUP",
    "KIND",
    "PLURAL",
    "PRINTER_COLUMNS",
    "SHORT_NAME",
    "VERSION",
    "ApiModel",
    "Approval",
    "AutomaticApproval",
    "Condition",
    "ConditionStatus",
    "ConfigStatus",
    "Connections",
    "DecisionStatus",
    "EtcdConnection",
    "Flat",
    "LoadBalancing",
    "MilvusConnection",
    "MilvusTuningSpec",
    "MilvusTuningStatus",
    "Mode",
    "NodeCount",
    "ObjectName",
    "Objectives",
    "Observed",
    "ObservedNode",
    "OperationStatus",
    "Percent",
    "PlacementOwner",
    "PrinterColumn",
    "PrometheusConnection",
    "PrometheusLabels",
    "QueryNodes",
    "RejectedAlternative",
    "Rule",
    "ScaleIn",
    "ScaleOut",
    "Seconds",
    "SecretKeyReference",
    "StepStatus",
    "TargetKind",
    "TargetReference",
    "Text",
    "Timestamp",
    "Tls",
    "Word",
]
