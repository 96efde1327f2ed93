"""From a decision to a plan, and when a plan that waits is no longer the one to run.

A plan is named after its policy and ten hex characters of a digest over its steps, the policy's UID and generation, and
a sequence number: the same change proposed again is another plan, and the noise of the measurements makes none.

It is stale when what it was decided from is not so any more: the declared intent, the values its steps start from, the
node it takes away, or the wish itself. A decision that could not be made (frozen, numbers missing, paused, resting)
says nothing against a plan: it waits. `WANTS_NONE` names the reasons that do.

Example: a plan to go from 2 to 3 QueryNodes waits. Prometheus is away: it waits on. Somebody sets 3: stale. The load
falls and the decision is Steady: stale. The decision wants 4 now: stale, and a plan for 4 is proposed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from milvus_tuning.api import MOST_DECLARED_CHARACTERS, Approval, MilvusTuningSpec, Mode
from milvus_tuning.catalogue import normalised
from milvus_tuning.decide.config.road import road_of, trouble_on
from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.decide.gates import closed_gate
from milvus_tuning.decide.load import cluster_load
from milvus_tuning.decide.proposing.prediction import predict
from milvus_tuning.decide.proposing.risk import risk_of
from milvus_tuning.decide.readback import KEY_STEPS, Sight, integer, look
from milvus_tuning.decide.size.pressure import below
from milvus_tuning.plan import Change, Decision, Parameters, Plan, Reason, Signal, Step, StepKind
from milvus_tuning.snapshot import Snapshot

MOST_NAME_CHARACTERS = 253  # a DNS subdomain, RFC 1123, as Kubernetes names objects
NAME_DIGEST_CHARACTERS = 10
DIGEST_CHARACTERS = 16
SIGNIFICANT_DIGITS = 3

# Parts of the spec that say what may be done with a change, and when, but not which change; a profile only proposes.
_NO_INTENT = frozenset({"mode", "paused", "profile", "approval", "verification", "maintenance_windows"})

# Parts of the spec that are about Milvus's own configuration, and the fields of queryNodes that are.
_CONFIGURATION = ("configDelivery", "loadBalancing", "network", "storage", "consistency", "configOverrides")
_OF_QUERY_NODES = ("readConcurrencyPercent", "zonePreference")

# Reasons of a decision without steps that was made with full sight and wants no change of size. Each other reason says
# nothing against a plan: the decision was not made, was made and withheld, or waits for a window or a rest.
WANTS_NONE = frozenset(
    {
        Reason.STEADY,
        Reason.WITHIN_TOLERANCE,
        Reason.NOT_MANAGED,
        Reason.AT_MINIMUM,
        Reason.AT_MAXIMUM,
        Reason.SKEW_NOT_CAPACITY,
        Reason.REPLICA_MULTIPLE,
        Reason.WOULD_NOT_FIT,
        Reason.WOULD_NOT_FIT_WITH_NODE_LOST,
        Reason.WOULD_OVERLOAD,
        Reason.REPLICA_NEEDS_NODES,
        Reason.GRACE_PERIOD_TOO_SHORT,
        Reason.NO_VICTIM,
        Reason.NO_BETTER_PLACEMENT,
        Reason.NO_NEUTRAL_SWAP,
        Reason.MOVES_UNDONE,
    }
)
# The same for moves. Reasons of the size say nothing about them: a skew is no ground for a node, and the one for moves.
WANTS_NO_MOVES = frozenset(
    {
        Reason.STEADY,
        Reason.WITHIN_TOLERANCE,
        Reason.NOT_MANAGED,
        Reason.NO_BETTER_PLACEMENT,
        Reason.NO_NEUTRAL_SWAP,
        Reason.MOVES_UNDONE,
    }
)


# -- digests and names ------------------------------------------------------------------------------------------------


def intent_digest(spec: MilvusTuningSpec) -> str:
    """Of the parts of the spec that a change is decided from, defaults included; what is unset counts as absent."""
    return _digest(spec.model_dump(mode="json", by_alias=True, exclude=set(_NO_INTENT), exclude_none=True))


def inputs_digest(decision: Decision) -> str:
    """Of the numbers that the decision was made from, fractions to three significant digits."""
    return _digest({name: _rounded(value) for name, value in decision.inputs.items()})


def steps_digest(steps: Sequence[Step]) -> str:
    """Of the steps with all their parts; the same for numbers and for the text they are stored as."""
    return _digest(
        [
            [step.kind, *(_as_text(part) for part in (step.precondition, step.action, step.verification, step.undo))]
            for step in steps
        ]
    )


def declared_text(spec: MilvusTuningSpec) -> str | None:
    """What the spec declares of Milvus's configuration, as canonical JSON; None where that is too long to be kept.

    It is in no digest and no comparison: what a plan does, it does whatever else was declared.
    """
    whole = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    kept = {name: whole[name] for name in _CONFIGURATION if name in whole}
    nodes = {name: value for name, value in whole.get("queryNodes", {}).items() if name in _OF_QUERY_NODES}
    if nodes:
        kept["queryNodes"] = nodes
    text = _canonical(kept)
    return text if len(text) <= MOST_DECLARED_CHARACTERS else None


def plan_name(policy_name: str, *, steps: Sequence[Step], policy_uid: str, generation: int, sequence: int) -> str:
    """The policy's name, cut where the whole would be too long, and ten hex characters of the digest."""
    digest = _digest([steps_digest(steps), policy_uid, generation, sequence])[:NAME_DIGEST_CHARACTERS]
    room = MOST_NAME_CHARACTERS - NAME_DIGEST_CHARACTERS - 1
    return f"{policy_name[:room].rstrip('-.')}-{digest}"


def _digest(value: object) -> str:
    """The first 16 hex characters of the SHA-256 of the canonical JSON: sorted keys, no blanks, ASCII."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()[:DIGEST_CHARACTERS]


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _rounded(value: float | int | str | None) -> float | int | str | None:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value


def _as_text(part: Parameters) -> dict[str, str | None]:
    return {name: _text(value) for name, value in part.items()}


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


# -- what a change aims at --------------------------------------------------------------------------------------------


def same_change(left: Sequence[Step], right: Sequence[Step]) -> bool:
    """Whether both aim at the same thing: equal kinds in order, counts, keys and values. Who leaves may differ.

    Moves aim at the first QueryNode that they take segments from, the hot one. Which segments go, and where, follows
    the noise of the heat: a plan that waits for a word must not be another one each minute.
    """
    return _aims(left) == _aims(right)


_Aim = tuple[StepKind, str | int | None, str | int | None]


def _aims(steps: Sequence[Step]) -> list[_Aim]:
    moves = [step for step in steps if step.kind is StepKind.MOVE_SEGMENTS]
    if not moves:
        return [_aim(step) for step in steps]
    held = any(step.kind is StepKind.TAKE_PLACEMENT for step in steps)
    return [(StepKind.MOVE_SEGMENTS, moves[0].precondition.get("pod"), StepKind.TAKE_PLACEMENT if held else None)]


def _aim(step: Step) -> _Aim:
    """What a step is for, whether its numbers are numbers or the text they are stored as."""
    if step.kind is StepKind.SCALE_QUERY_NODES:
        return step.kind, integer(step.precondition, "desiredCount"), integer(step.action, "count")
    if step.kind is StepKind.DRAIN_QUERY_NODE:
        return step.kind, None, None
    if step.kind is StepKind.SET_REPLICA_NUMBER:
        name = f"{step.action.get('database')}.{step.action.get('collection')}"
        return step.kind, name, integer(step.action, "count")
    if step.kind is StepKind.RESTART_COMPONENT:
        return step.kind, step.action.get("component"), step.action.get("when")
    return step.kind, normalised(str(step.action.get("key"))), _text(step.action.get("value"))


# -- proposing --------------------------------------------------------------------------------------------------------


def propose(
    decision: Decision,
    *,
    spec: MilvusTuningSpec,
    snapshot: Snapshot,
    signal: Signal,
    policy_name: str,
    policy_uid: str,
    generation: int,
    sequence: int,
    now: datetime,
) -> Plan:
    """The plan that carries out the decision, times in whole seconds as they are stored.

    Raises ValueError for a decision without steps, or without the owner of the QueryNodes: neither is to be proposed.
    """
    if not decision.steps:
        raise ValueError(f"a decision without steps makes no plan: {decision.reason}")
    at, risk = now.replace(microsecond=0), risk_of(decision.steps)
    change = Change(
        policy_name=policy_name,
        policy_uid=policy_uid,
        policy_generation=generation,
        intent_digest=intent_digest(spec),
        inputs_digest=inputs_digest(decision),
        target=_target(snapshot),
        sequence=sequence,
        reason=decision.reason,
        message=decision.message,
        steps=decision.steps,
        risk=risk[0],
        risk_reasons=risk[1],
        prediction=predict(decision.steps, snapshot, signal, now, decision.outlook),
        proposed_at=at,
        expires_at=at + timedelta(minutes=(spec.approval or Approval()).expiry_minutes),
        declared=declared_text(spec),
    )
    name = plan_name(policy_name, steps=decision.steps, policy_uid=policy_uid, generation=generation, sequence=sequence)
    return Plan(name=name, change=change)


def _target(snapshot: Snapshot) -> str:
    workload = snapshot.workload
    if workload is None:
        raise ValueError("a plan needs the owner of the QueryNodes, and the snapshot has none")
    return f"{workload.kind} {workload.namespace}/{workload.name}"


# -- staleness --------------------------------------------------------------------------------------------------------


def staleness(
    plan: Plan, spec: MilvusTuningSpec, snapshot: Snapshot, decision: Decision | None, *, damping: bool = False
) -> str | None:
    """Why a plan that has not begun is no longer the one to run, or None. decision: what is wanted now, if decided.

    damping: Milvus moves segments to and fro now (`setting_steps`).
    """
    if plan.change.intent_digest != intent_digest(spec):
        return "what the policy declares has changed since it was proposed"
    moved_on = _moved_on(plan.change.steps, snapshot)
    if moved_on is not None or decision is None:
        return moved_on
    if decision.steps:
        if same_change(plan.change.steps, decision.steps):
            return None
        return f"another change is called for now: {decision.message}"
    return _not_wanted(plan.change, spec, snapshot, decision, damping=damping)


def _not_wanted(
    change: Change, spec: MilvusTuningSpec, snapshot: Snapshot, decision: Decision, *, damping: bool
) -> str | None:
    """Why a decision without steps stands against the change, or None: most of them say nothing about it."""
    kinds = {step.kind for step in change.steps}
    if StepKind.MOVE_SEGMENTS in kinds:
        wanted = decision.reason not in WANTS_NO_MOVES
        return None if wanted else f"no moves are called for any more: {decision.message}"
    if kinds & {*KEY_STEPS, StepKind.RESTART_COMPONENT, StepKind.SET_SCHEDULING}:
        return _setting_not_wanted(change, spec, snapshot, damping=damping)
    return _size_not_wanted(change, spec, snapshot, decision)


def _moved_on(steps: Sequence[Step], snapshot: Snapshot) -> str | None:
    """What stands against a precondition, read afresh; what cannot be read is no reason.

    All steps are looked at, since half a plan is not begun; but for the one that returns the placement after moves: it
    starts from what the first step makes.
    """
    taken = any(step.kind is StepKind.TAKE_PLACEMENT for step in steps)
    for step in steps:
        if taken and step.kind is StepKind.RETURN_PLACEMENT:
            continue
        view = look(step, snapshot)
        if view.sight is Sight.FOREIGN:
            return view.message
        if view.sight is Sight.AFTER and _is_done_by_its_write(step):
            return f"somebody did it already: {view.message}"
    return None


def _is_done_by_its_write(step: Step) -> bool:
    """Whether the value in place leaves nothing to do.

    A mark that is there already takes no node away. A key whose value is to stay is handed back: what is settled is
    the record beside it.
    """
    if step.kind is StepKind.DRAIN_QUERY_NODE:
        return False
    return step.kind not in KEY_STEPS or _text(step.precondition.get("value")) != _text(step.action.get("value"))


def _setting_not_wanted(change: Change, spec: MilvusTuningSpec, snapshot: Snapshot, *, damping: bool) -> str | None:
    """Judged from the road and the version, whether or not it may be written now: the decision is of the size then."""
    on_road = any(step.kind is not StepKind.SET_SCHEDULING for step in change.steps)
    unseen = on_road and trouble_on(road_of(spec), snapshot) is not None
    if unseen or closed_gate(spec, snapshot) is not None:
        return None
    allowed = spec.model_copy(update={"mode": Mode.AUTO, "paused": False})
    steps, statuses = setting_steps(allowed, snapshot, snapshot.taken_at, change.policy_uid, damping=damping)
    if steps:
        return None
    notes = "; ".join(f"{status.intent} {status.state}: {status.message}" for status in statuses)
    return f"the declared settings call for no write any more{f' ({notes})' if notes else ''}"


def _size_not_wanted(change: Change, spec: MilvusTuningSpec, snapshot: Snapshot, decision: Decision) -> str | None:
    if decision.reason in WANTS_NONE:
        return f"no change is called for any more: {decision.message}"
    if decision.reason is Reason.STABILIZING and _takes_node(change) and _load_rose(spec, snapshot):
        return f"the load rose: {decision.message}"
    override = spec.query_nodes.override if spec.query_nodes else None
    if change.reason is not Reason.MANUAL_OVERRIDE or override is None:
        return None
    over = snapshot.taken_at >= datetime.fromisoformat(override.expires_at)
    return f"the override that it was made for expired at {override.expires_at}" if over else None


def _takes_node(change: Change) -> bool:
    return any(step.kind is StepKind.DRAIN_QUERY_NODE for step in change.steps)


def _load_rose(spec: MilvusTuningSpec, snapshot: Snapshot) -> bool:
    """Whether a signal is not below its threshold for a scale-in now; what is not measured is not known to be."""
    if spec.query_nodes is None:
        return False
    rules, seen = spec.query_nodes.scale_in, cluster_load(snapshot, snapshot.taken_at).signal
    capacity = below(seen.capacity_ratio, seen.capacity_coverage, rules.capacity_below_percent / 100)
    computation = below(seen.computation_ratio, seen.computation_coverage, rules.computation_below_percent / 100)
    return capacity is False or computation is False
