"""The decision of one pass, in pure functions: the same spec, facts, memory and time give the same answer.

    gates       what is in the way at all (target, version, conflict, missing numbers, freeze)      gates.py
    settings    declared settings that are not in effect yet; those above risk Low come last       config/
    size        how many QueryNodes there should be, and who leaves                                size/
    places      where segments are (placement/), how many replicas (replicas/); one of it all      choice.py
    failing     nothing is taken away while many searches fail                                     running/failing.py
    permission  not mode Observe, not paused, not read-only                                        here

What has a higher risk waits for a person or a window as a rule: a restart that nobody has approved yet must not keep
QueryNodes from being added.

Without the permission the decision is made all the same and says what it would do; only its steps are left out. How the
steps become a plan is in proposing/, and how that is then carried out in running/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from milvus_tuning.api import MilvusTuningSpec, Mode
from milvus_tuning.decide.choice import choose_one
from milvus_tuning.decide.config.consistency import level_in_words
from milvus_tuning.decide.config.dropped import keeping
from milvus_tuning.decide.config.road import RESOURCE, owned_on
from milvus_tuning.decide.config.rollbacks import recent_rollbacks
from milvus_tuning.decide.config.settings import declares_settings, setting_steps
from milvus_tuning.decide.gates import closed_gate, closed_size_gate
from milvus_tuning.decide.heat import HeatMap
from milvus_tuning.decide.proposing.proposal import intent_digest
from milvus_tuning.decide.proposing.risk import risk_of
from milvus_tuning.decide.running.failing import hold_while_failing
from milvus_tuning.decide.size.answers import changes_size
from milvus_tuning.decide.size.context import build_context
from milvus_tuning.decide.size.reverts import with_reverts
from milvus_tuning.decide.size.scaling import decide_size
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Decision, History, Reason, Rejection, Risk, Step, StepKind, on_resource
from milvus_tuning.plan.moves import CollectionMoves, PlacementMoves, moves_in_words
from milvus_tuning.snapshot import Snapshot

SETTINGS_REST = timedelta(minutes=5)  # after a change of settings that did not go through, so that size gets its turn
# Taken back is not failed: what was taken back is held off by its value (config/rollbacks.py), another value is not.
_WENT_THROUGH = frozenset({Reason.COMPLETED, Reason.ROLLED_BACK, Reason.CANCELLED})
_PLACEMENT = frozenset({StepKind.TAKE_PLACEMENT, StepKind.RETURN_PLACEMENT})

__all__ = ["decide"]


def decide(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    history: History,
    now: datetime,
    *,
    read_only: bool = False,
    policy_uid: str = "",
    why_paused: str | None = None,
    heat: HeatMap | None = None,
    moves: PlacementMoves | None = None,
) -> Decision:
    """What to do now that no plan is at work, and why; see the module's text.

    heat is None where nothing needs it. moves is what Milvus's balancer does; None: it is not watched.
    """
    ping_pong = moves.ping_pong if moves else ()
    settings = _settings(spec, snapshot, history, now, policy_uid, ping_pong=ping_pong)
    if settings is not None and risk_of(settings.steps)[0] is Risk.LOW:
        decision = settings
    else:
        decision = _size(spec, snapshot, history, now)
        if heat is not None:
            decision = choose_one(
                decision, spec=spec, snapshot=snapshot, heat=heat, history=history, now=now, moves=moves
            )
        decision = settings if settings is not None and not decision.steps else decision
    paused = why_paused or ("spec.paused is true" if spec.paused else None)
    return _permitted(hold_while_failing(decision, snapshot.traffic), spec, paused, read_only=read_only)


def _settings(
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    history: History,
    now: datetime,
    policy_uid: str,
    *,
    ping_pong: Sequence[CollectionMoves],
) -> Decision | None:
    leaves = owned_on(RESOURCE, snapshot, policy_uid)
    placed = snapshot.scheduling is not None and snapshot.scheduling.ours
    taken = snapshot.owned_keys.get(policy_uid) or snapshot.owned_levels.get(policy_uid) or leaves or placed
    if (not declares_settings(spec) and not taken) or closed_gate(spec, snapshot) or _settings_failed(history, now):
        return None
    rollbacks = recent_rollbacks(history.operations, intent_digest(spec), now)
    steps, _ = setting_steps(spec, snapshot, now, policy_uid, rollbacks=rollbacks, damping=bool(ping_pong))
    if not steps:
        return None
    why = ""
    if ping_pong and steps != setting_steps(spec, snapshot, now, policy_uid, rollbacks=rollbacks)[0]:
        why = f" (segments are moved to and fro: {moves_in_words(ping_pong)})"
    kept = keeping(steps, leaves, snapshot)
    why += f" ({kept})" if kept else ""
    placement = any(step.kind in _PLACEMENT for step in steps)
    return Decision(
        reason=Reason.PLACEMENT_CHANGED if placement else Reason.SETTING_CHANGED,
        message="; ".join(words for step in steps if (words := _setting_in_words(step))) + why,
        steps=steps,
        inputs={"settingsToChange": sum(step.kind is not StepKind.RESTART_COMPONENT for step in steps)},
        desired_count=snapshot.workload.desired_count if snapshot.workload else None,
    )


def _setting_in_words(step: Step) -> str:
    """A step in a few words; none for the half of a restart that is for the way back alone."""
    if step.kind is StepKind.RESTART_COMPONENT:
        keys = f" for {step.action['keys']}" if "keys" in step.action else ""
        return f"restart of {step.action.get('component')}{keys}" if step.action.get("when") == "Forward" else ""
    before, after = step.precondition.get("value"), step.action.get("value")
    shown = ["absent" if value is None else str(value) for value in (before, after)]
    if step.kind is StepKind.SET_COLLECTION_PROPERTY:
        return level_in_words(step)
    place = "spec.config " if on_resource(step) else ""
    return f"{place}{step.action.get('key')} {shown[0]} -> {shown[1]}"


def _settings_failed(history: History, now: datetime) -> bool:
    """Whether the last change of settings ended badly a short while ago."""
    last = next((one for one in reversed(history.operations) if not changes_size(one)), None)
    if last is None or last.finished_at is None or last.outcome in _WENT_THROUGH:
        return False
    return now - last.finished_at < SETTINGS_REST


def _size(spec: MilvusTuningSpec, snapshot: Snapshot, history: History, now: datetime) -> Decision:
    rules = spec.query_nodes
    if rules is None:
        return closed_gate(spec, snapshot) or _not_managed(spec)
    closed = closed_size_gate(spec, with_reverts(snapshot, history.operations, now))
    return closed or decide_size(build_context(spec, rules, snapshot, history, now))


def _not_managed(spec: MilvusTuningSpec) -> Decision:
    if declares_settings(spec):
        return Decision(
            reason=Reason.STEADY,
            message="nothing is to be written for the declared settings (status.config says how each stands); "
            "queryNodes is not declared",
        )
    return Decision(
        reason=Reason.NOT_MANAGED,
        message="none of queryNodes, loadBalancing, inMemoryReplicas, network, storage, consistency and "
        "configOverrides is declared: there is nothing that this object would change",
    )


def _permitted(decision: Decision, spec: MilvusTuningSpec, paused: str | None, *, read_only: bool) -> Decision:
    if not decision.steps:
        return decision
    if spec.mode is Mode.OBSERVE:
        return _withheld(decision, Reason.OBSERVE_ONLY, f"mode is {spec.mode}")
    if paused is not None:
        return _withheld(decision, Reason.PAUSED, paused)
    if read_only:
        return _withheld(decision, Reason.READ_ONLY, "the operator runs read-only")
    return decision


def _withheld(decision: Decision, reason: Reason, why: str) -> Decision:
    kinds = listed(dict.fromkeys(str(step.kind) for step in decision.steps))
    return replace(
        decision,
        message=f"{decision.message} (not done: {why})",
        steps=(),
        rejected=(*decision.rejected, Rejection(alternative=kinds, reason=reason, message=why)),
    )
