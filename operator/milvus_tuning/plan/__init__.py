"""Frozen outcomes of a decision: what to do, why, and what was turned down.

A `Decision` always has a reason, also when it says to do nothing. What is to be done is a sequence of `Step`s, each
with the four parts that make it safe to run and to interrupt:

    precondition   what must be true right before it (read afresh)
    action         the absolute write (replicas to 3, key to "false"), safe to repeat
    verification   what shows that it had its effect
    undo           the absolute write that takes it back

A step says what it means in terms of pods and counts; Milvus node ids change on every restart and are looked up when
used.
"""

from __future__ import annotations

from milvus_tuning.plan.change import (
    Ballot,
    Change,
    Course,
    Measurement,
    Phase,
    Plan,
    Prediction,
    Risk,
    Vote,
)
from milvus_tuning.plan.decision import (
    Decision,
    History,
    Outlook,
    Rejection,
    SettingState,
    SettingStatus,
    Signal,
)
from milvus_tuning.plan.reasons import (
    WISHES,
    Reason,
)
from milvus_tuning.plan.steps import (
    MILVUS_RESOURCE,
    ROAD,
    Operation,
    Parameters,
    Step,
    StepKind,
    StepRecord,
    StepState,
    on_resource,
    segment_ids,
)
from milvus_tuning.plan.verdicts import (
    Verdict,
)

__all__ = [
    "MILVUS_RESOURCE",
    "ROAD",
    "WISHES",
    "Ballot",
    "Change",
    "Course",
    "Decision",
    "History",
    "Measurement",
    "Operation",
    "Outlook",
    "Parameters",
    "Phase",
    "Plan",
    "Prediction",
    "Reason",
    "Rejection",
    "Risk",
    "SettingState",
    "SettingStatus",
    "Signal",
    "Step",
    "StepKind",
    "StepRecord",
    "StepState",
    "Verdict",
    "Vote",
    "on_resource",
    "segment_ids",
]
