"""The plans of one policy in one pass, and which of them matters now."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_tuning.api import MilvusTuningStatus
from milvus_tuning.plan import Operation, Phase, Plan
from milvus_tuning.plan_store import StoredPlan
from milvus_tuning.status import finished_operations


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyPlans:
    """The plans of one policy, oldest first."""

    stored: tuple[StoredPlan, ...]

    @property
    def current(self) -> StoredPlan | None:
        """The open plan; of several the one that is furthest, and of those that wait the newest."""
        open_ones = [one for one in self.stored if one.plan.open]
        begun = [one for one in open_ones if one.plan.course.phase is not Phase.PROPOSED]
        return next(iter(begun), None) or next(reversed(open_ones), None)

    @property
    def newest(self) -> Plan | None:
        """The open plan, or the last one that there was."""
        shown = self.current or next(reversed(self.stored), None)
        return None if shown is None else shown.plan

    @property
    def at_work(self) -> bool:
        """Whether steps of a plan are being made or taken back."""
        return self.current is not None and self.current.plan.at_work

    def with_current(self, changed: StoredPlan) -> PolicyPlans:
        """The plans with one of them as it is now."""
        others = [one for one in self.stored if one.plan.name != changed.plan.name]
        return PolicyPlans(stored=(*others, changed))

    def history(self, status: MilvusTuningStatus) -> tuple[Operation, ...]:
        """What was carried out, oldest first: the finished plans, and the steps of the one that is being verified."""
        finished = finished_operations(status)
        current = self.current.plan.course.operation if self.current else None
        return finished if current is None or self.at_work else (*finished, current)

    def operations(self, status: MilvusTuningStatus) -> tuple[Operation, ...]:
        """The history, and what is under way."""
        current = self.current.plan.course.operation if self.current and self.at_work else None
        return self.history(status) if current is None else (*self.history(status), current)
