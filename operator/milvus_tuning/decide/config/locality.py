"""The zone that QueryNodes prefer: how the declared preference stands, and the step that it needs.

milvus-operator carries it as one field of the Milvus object, and replaces all QueryNodes for it, one after the other
and one more at first. So it is a change of its own, the last one of all settings, under the checks of a restart of the
QueryNodes. A chart takes it from its values alone, which nobody but their owner writes: there it is advice.

    field as declared, all ready pods were placed with it      Effective
    field as declared, some pods are older                     PendingRestart
    field empty or ours with another preference                PendingRestart, with a plan where nothing is in the way
    an affinity of somebody else, a spread that is a demand    Refused, with the terms to add by hand
    Helm release                                               Unsupported, with the values to set
    not declared, ours                                         PendingRestart: a plan takes it away
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from milvus_tuning.api import MilvusTuningSpec, ZonePreference
from milvus_tuning.catalogue import SCHEDULING_FIELD, ZONE_PREFERENCE, chart_values, zone_terms
from milvus_tuning.decide.config.judge import rolled_back
from milvus_tuning.decide.config.restart_steps import longest_drain_seconds, roll_deadline_seconds
from milvus_tuning.decide.config.rollbacks import rollback_of
from milvus_tuning.decide.seen.pods import QUERY_NODE, pods_of
from milvus_tuning.decide.seen.scheduling import AT_ONCE
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Operation, SettingState, SettingStatus, Step, StepKind
from milvus_tuning.snapshot import ComponentPod, Scheduling, Snapshot, WorkloadKind

_Outcome = tuple[Step | None, SettingState, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """What the judgement rests on. at_work: a plan writes the field now. hindrance: why nothing may be written."""

    spec: MilvusTuningSpec
    snapshot: Snapshot
    desired: ZonePreference | None
    hindrance: str | None
    rollbacks: Sequence[Operation]
    at_work: bool


def zone_preference(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    *,
    hindrance: str | None = None,
    rollbacks: Sequence[Operation] = (),
    at_work: Sequence[Step] = (),
) -> tuple[tuple[Step, ...], tuple[SettingStatus, ...]]:
    """The one step that the preference needs, and how it stands; neither where it is not declared and not ours."""
    desired = spec.query_nodes.zone_preference if spec.query_nodes else None
    found = snapshot.scheduling
    if desired is None and (found is None or not found.ours):
        return (), ()
    busy = any(step.kind is StepKind.SET_SCHEDULING for step in at_work)
    case = _Case(spec=spec, snapshot=snapshot, desired=desired, hindrance=hindrance, rollbacks=rollbacks, at_work=busy)
    step, state, message = _without_field(case) if found is None else _judged(case, found)
    return (() if step is None else (step,)), (_status(case, state, message),)


def _without_field(case: _Case) -> _Outcome:
    """Where there is no field of ours to write."""
    workload = case.snapshot.workload
    if workload is None or workload.kind is WorkloadKind.MILVUS or case.desired is None:
        problems = "; ".join(problem.message for problem in case.snapshot.problems)
        return None, SettingState.NOT_APPLIED, f"the target was not read{f': {problems}' if problems else ''}"
    values = json.dumps(chart_values(case.desired, case.spec.target_ref.name))
    message = (
        "the chart takes it from its values only, which Helm owns; nearest: set them and run helm upgrade, which "
        f"replaces the QueryNodes: {values}"
    )
    return None, SettingState.UNSUPPORTED, message


def _judged(case: _Case, found: Scheduling) -> _Outcome:
    """How it stands on a Milvus object."""
    if found.preference == case.desired and (case.desired is not None or not found.ours):
        return _stands(case, found)
    foreign = _foreign(case, found)
    return (None, SettingState.REFUSED, foreign) if foreign else _wanted(case, found)


def _stands(case: _Case, found: Scheduling) -> _Outcome:
    """The field is as declared: what the pods say."""
    older = [pod.pod for pod in _ready(case.snapshot) if pod.zone_preference != case.desired]
    if older or not _ready(case.snapshot):
        message = f"milvus-operator replaces the QueryNodes; {listed(older) or 'none'} placed without it"
        return None, SettingState.PENDING_RESTART, message
    beside = f"; {'; '.join(found.others)}" if found.others else ""
    return None, SettingState.EFFECTIVE, f"each ready QueryNode was placed with it{_risk(case.snapshot)}{beside}"


def _foreign(case: _Case, found: Scheduling) -> str | None:
    """What of somebody else stands against the write, and what he can do himself; None where nothing does."""
    if found.ours or case.desired is None:
        return None
    others = list(found.others)
    if found.preference is not None:
        others.append(f"{SCHEDULING_FIELD} is {found.preference}, and not set by this operator")
    if not others:
        return None
    terms = json.dumps(zone_terms(case.desired, case.snapshot.workload.name if case.snapshot.workload else ""))
    return f"nothing is written: {'; '.join(others)}. To have it add to {SCHEDULING_FIELD} yourself: {terms}"


def _wanted(case: _Case, found: Scheduling) -> _Outcome:
    """The step, unless something is against it now."""
    words = f"{found.preference or 'none'} -> {case.desired or 'none'}"
    if case.at_work:
        return None, SettingState.APPLYING, f"setting {words}"
    declared = "" if case.desired else "no longer declared; "
    drain_seconds = longest_drain_seconds(case.snapshot, case.spec)
    step = _step(case, found, 0.0 if isinstance(drain_seconds, str) else drain_seconds)
    rollback = rollback_of(step, case.rollbacks)
    if rollback is not None:
        message = f"{declared}{words}: {rolled_back(rollback)}; it is tried again a day later"
        return None, SettingState.NOT_APPLIED, message
    held = case.hindrance or (AT_ONCE if found.all_at_once else _autoscaler(case.snapshot))
    if held is not None:
        return None, SettingState.NOT_APPLIED, f"{declared}{held}; would set {words}"
    message = f"{declared}a plan sets {words}, for which milvus-operator replaces all QueryNodes"
    if isinstance(drain_seconds, str):
        return None, SettingState.PENDING_RESTART, f"{message}; {drain_seconds}"
    return step, SettingState.PENDING_RESTART, message


def _autoscaler(snapshot: Snapshot) -> str | None:
    """Under an autoscaler of the QueryNodes milvus-operator's change of slots does not come to its end by itself."""
    who = snapshot.workload.autoscalers if snapshot.workload else ()
    return f"{listed(who)} scales the QueryNodes, which keeps milvus-operator from replacing them" if who else None


def _step(case: _Case, found: Scheduling, drain_seconds: float) -> Step:
    before: dict[str, str | int | None] = {"key": SCHEDULING_FIELD, "value": found.preference}
    after: dict[str, str | int | None] = {
        "key": SCHEDULING_FIELD,
        "value": None if case.desired is None else str(case.desired),
    }
    deadline = roll_deadline_seconds(QUERY_NODE, case.snapshot, drain_seconds)
    return Step(
        kind=StepKind.SET_SCHEDULING,
        precondition={**before, "count": len(case.snapshot.members)},
        action=after,
        verification={**after, "deadlineSeconds": deadline},
        undo=before,
    )


# -- in words ----------------------------------------------------------------------------------------------------------


def _status(case: _Case, state: SettingState, message: str) -> SettingStatus:
    found, workload = case.snapshot.scheduling, case.snapshot.workload
    there = found is not None and found.preference is not None and workload is not None
    return SettingStatus(
        intent=ZONE_PREFERENCE,
        key=None if state is SettingState.UNSUPPORTED else SCHEDULING_FIELD,
        desired=None if case.desired is None else str(case.desired),
        effective=_effective(case.snapshot) if found is not None else None,
        source=f"{workload.kind} {workload.namespace}/{workload.name}" if there and workload else None,
        state=state,
        message=message,
        component=QUERY_NODE if state is SettingState.PENDING_RESTART else None,
    )


def _effective(snapshot: Snapshot) -> str | None:
    """What the ready QueryNodes were placed with, and where they are: "WithProxies on 3 of 3; 2 of 3 in its zone"."""
    pods = _ready(snapshot)
    if not pods:
        return None
    counts = Counter(pod.zone_preference or "none" for pod in pods)
    placed = ", ".join(f"{word} on {counts[word]} of {len(pods)}" for word in sorted(counts))
    near = _near(pods, snapshot)
    return placed if near is None else f"{placed}; {near} of {len(pods)} in a preferred zone"


def _near(pods: Sequence[ComponentPod], snapshot: Snapshot) -> int | None:
    """How many are in the zone that they prefer; None where that is not known of all, or none is preferred."""
    found = snapshot.scheduling
    if found is None or found.preference is None or any(pod.zone is None for pod in pods):
        return None
    if found.preference == ZonePreference.WITH_QUERY_NODES:
        return max(Counter(pod.zone for pod in pods).values())
    proxies = [pod for pod in pods_of("Proxy", snapshot) if pod.ready and not pod.terminating]
    if not proxies or any(pod.zone is None for pod in proxies):
        return None
    zones = {pod.zone for pod in proxies}
    return sum(1 for pod in pods if pod.zone in zones)


def _risk(snapshot: Snapshot) -> str:
    """The harm, once it is there."""
    pods = _ready(snapshot)
    zones = {pod.zone for pod in pods}
    if len(pods) < 2 or len(zones) != 1 or None in zones:
        return ""
    return f"; all of them are in zone {pods[0].zone}: no in-memory replica survives its loss"


def _ready(snapshot: Snapshot) -> list[ComponentPod]:
    return [pod for pod in pods_of(QUERY_NODE, snapshot) if pod.ready and not pod.terminating]
