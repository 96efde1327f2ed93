"""The steps around a change of keys that are read at start only."""

from __future__ import annotations

from collections.abc import Sequence

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.plan import Step, StepKind
from milvus_tuning.snapshot import Snapshot

MOST_STEPS = 10  # of a plan


def restart_bracket(
    components: Sequence[str], snapshot: Snapshot, spec: MilvusTuningSpec | None = None
) -> tuple[tuple[Step, ...], tuple[Step, ...]] | str:
    """What stands before and after the writes; or why the components cannot be restarted now."""
    del snapshot, spec
    return tuple(_restart(one, "Back") for one in components), tuple(_restart(one, "Forward") for one in components)


def _restart(component: str, when: str) -> Step:
    named = {"component": component}
    return Step(
        kind=StepKind.RESTART_COMPONENT,
        precondition=named,
        action={**named, "when": when},
        verification={**named, "deadlineSeconds": 1800},
        undo=named,
    )
