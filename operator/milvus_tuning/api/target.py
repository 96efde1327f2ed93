"""The Milvus cluster to tune, and the road by which configuration keys reach it."""

from __future__ import annotations

import enum
from typing import ClassVar, Self

from pydantic import Field, model_validator

from milvus_tuning.api.base import ApiModel, ObjectName, Rule

RESOURCE_ROAD = (
    "configDelivery MilvusResource needs targetRef.kind Milvus: a Helm release has no Milvus object whose spec.config "
    "could be written, and its pods never see a change of their ConfigMap (subPath); use configDelivery: Etcd"
)


class TargetKind(enum.StrEnum):
    """What installed the Milvus cluster."""

    MILVUS = "Milvus"
    HELM_RELEASE = "HelmRelease"


class ConfigDelivery(enum.StrEnum):
    """The road by which configuration keys reach Milvus."""

    ETCD = "Etcd"
    MILVUS_RESOURCE = "MilvusResource"


class TargetReference(ApiModel):
    """The Milvus cluster to tune, in the namespace of the MilvusTuning itself."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.kind == 'HelmRelease' || !has(self.allowHelmOwnedFields)",
            "allowHelmOwnedFields goes with kind HelmRelease only",
        ),
        Rule(
            "self.kind == oldSelf.kind && self.name == oldSelf.name",
            "targetRef is immutable: delete the MilvusTuning and create another one",
        ),
    )

    kind: TargetKind = Field(
        description="Milvus: a custom resource of milvus-operator. HelmRelease: an install of the Milvus Helm chart."
    )
    name: ObjectName = Field(description="Name of the Milvus object, or of the Helm release.")
    allow_helm_owned_fields: bool | None = Field(
        default=None,
        strict=True,
        description="Write the QueryNode Deployment's replica count although Helm renders it. A later helm upgrade "
        "puts its own value back (Helm 3) or fails with a conflict (Helm 4). Setting queryNode.replicas to -1 in the "
        "chart's values avoids both.",
    )

    @model_validator(mode="after")
    def _only_for_helm(self) -> Self:
        if self.allow_helm_owned_fields is not None and self.kind is not TargetKind.HELM_RELEASE:
            raise ValueError("allowHelmOwnedFields goes with kind HelmRelease only")
        return self
