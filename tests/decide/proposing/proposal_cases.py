"""Plans that are proposed from decisions, and the worlds that they meet again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.load import signal
from milvus_tuning.decide.proposing.proposal import (
    propose,
)
from milvus_tuning.plan import Decision, Parameters, Plan, Reason, Step
from milvus_tuning.snapshot import (
    EtcdSetting,
    Snapshot,
)
from tests.builders import NOON, a_snapshot, a_spec
from tests.decide.steps import (
    HAND_BACK,
    INTERVAL,
    INTERVAL_KEY,
    TAKE,
    a_drain,
    a_scale,
    a_scale_in,
)

UID = "6f1a2c9e-0b1d-4a55-9c1e-2f6d3e8b7a10"
SPEC = a_spec()
SETTINGS_SPEC = a_spec(load_balancing={"balanceIntervalSeconds": 30})
BUSY = a_snapshot(2, cpu=0.9)
IDLE = a_snapshot(3, cpu=0.1, memory=0.25)
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
STEPS = (a_scale(2, 3), a_scale(2, 4), *a_scale_in(), a_drain("qn-1"), INTERVAL, TAKE, HAND_BACK)


def a_decision(*steps: Step, reason: Reason = Reason.STEADY, **changes: Any) -> Decision:
    return Decision(reason=reason, message=f"because of {reason}", steps=steps, **changes)


def a_plan(steps: Sequence[Step], snapshot: Snapshot, spec: MilvusTuningSpec = SPEC) -> Plan:
    """A plan that was proposed from this snapshot at noon."""
    return propose(
        a_decision(*steps, reason=Reason.SCALE_OUT_COMPUTATION),
        spec=spec,
        snapshot=snapshot,
        signal=signal(snapshot, NOON),
        policy_name="rag",
        policy_uid=UID,
        generation=3,
        sequence=7,
        now=NOON,
    )


def with_key(value: str | None, key: str = INTERVAL_KEY, **changes: Any) -> Snapshot:
    """Two QueryNodes of a Milvus that reads the balance interval live, and what etcd holds."""
    entry = {} if value is None else {key: EtcdSetting(key=key, value=value, spellings=(key,), revision=1)}
    settings = {normalised(name): setting for name, setting in entry.items()}
    reading = {"settings_readable": True, "etcd_root_path": "by-dev", "milvus_version": "2.5.27"}
    return replace(a_snapshot(2), settings=settings, **{**reading, **changes})


def with_victim(snapshot: Snapshot = IDLE, **changes: Any) -> Snapshot:
    nodes = [replace(node, **changes) if node.pod == "qn-2" else node for node in snapshot.query_nodes]
    return replace(snapshot, query_nodes=tuple(nodes))


def asked_for(snapshot: Snapshot, count: int) -> Snapshot:
    assert snapshot.workload is not None
    return replace(snapshot, workload=replace(snapshot.workload, desired_count=count))


def as_stored(step: Step) -> Step:
    """With its numbers as text, as the API keeps them."""

    def text(part: Parameters) -> Parameters:
        return {name: None if value is None else str(value) for name, value in part.items()}

    return Step(
        kind=step.kind,
        precondition=text(step.precondition),
        action=text(step.action),
        verification=text(step.verification),
        undo=text(step.undo),
    )
