"""The words in which a read-back is told, and how a step's parameters are looked up in a snapshot."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from milvus_tuning.plan import Parameters
from milvus_tuning.snapshot import QueryNode, Snapshot


class Sight(enum.Enum):
    """What can be seen of an absolute write."""

    BEFORE = enum.auto()  # the value the step starts from
    AFTER = enum.auto()  # the value the step writes
    FOREIGN = enum.auto()  # neither: somebody else wrote
    UNKNOWN = enum.auto()  # cannot be read now


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What is seen, and in words."""

    sight: Sight
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Whether the effect is there; the message says what is, or what is still missing."""

    reached: bool
    message: str


def find_pod(snapshot: Snapshot, pod: str | int | None, uid: str | int | None) -> QueryNode | None:
    """The pod of this name and uid; another pod of the same name is not it."""
    found = (node for node in snapshot.query_nodes if node.pod == pod and (uid is None or node.pod_uid == uid))
    return next(found, None)


def integer(parameters: Parameters, name: str) -> int | None:
    """A parameter as a number; status may have kept it as text."""
    value = parameters.get(name)
    return None if value is None else int(value)
