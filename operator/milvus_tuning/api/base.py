"""What all API types share: the names of the API, the base model with its CEL rules, and the bounded scalars."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "milvustuning.io"
VERSION = "v1alpha1"
PLURAL = "milvustunings"
KIND = "MilvusTuning"
SHORT_NAME = "mvt"
FINALIZER = f"{GROUP}/finalizer"
FIELD_MANAGER = GROUP


class Rule(NamedTuple):
    """A CEL rule of the CRD: the expression over `self`, and what a user is told when it is false."""

    expression: str
    message: str


def _add_cel_rules(schema: dict[str, Any], model: type[BaseModel]) -> None:
    rules: tuple[Rule, ...] = getattr(model, "cel_rules", ())
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule.expression, "message": rule.message} for rule in rules]


class ApiModel(BaseModel):
    """Base of all API types: camelCase outside, frozen, unknown fields refused.

    cel_rules become `x-kubernetes-validations` of the type; each has its twin in a validator here (except those over
    `oldSelf`, which only the API server can see), because an object may have reached the operator past the API server's
    checks (an older CRD, a direct restore).
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        json_schema_extra=_add_cel_rules,
    )
    cel_rules: ClassVar[tuple[Rule, ...]] = ()


Percent = Annotated[int, Field(ge=1, le=100)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
NodeCount = Annotated[int, Field(ge=1, le=1000)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
