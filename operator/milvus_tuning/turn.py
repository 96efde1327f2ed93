"""What the parts of one pass share: the object, the facts, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.snapshot import Snapshot
from milvus_tuning.store import StoredTuning


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A Kubernetes Event: type Normal or Warning, reason in CamelCase, message with the numbers."""

    type: str
    reason: str
    message: str


Emit = Callable[[dict[str, Any], Event], None]  # the body of the object that the event is about


@dataclass(frozen=True, kw_only=True, slots=True)
class PassTurn:
    """The parts of one pass that travel together."""

    stored: StoredTuning
    spec: MilvusTuningSpec
    snapshot: Snapshot
    emit: Emit

    def tell(self, event: Event, *bodies: dict[str, Any]) -> None:
        """Emit the event on the policy, and on the other objects that it is about."""
        for body in (self.stored.body, *bodies):
            self.emit(body, event)


def utc_now() -> datetime:
    """The wall clock, read here and nowhere else."""
    return datetime.now(UTC)  # noqa: TID251
