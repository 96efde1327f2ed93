"""What would be done, waits or runs, per policy: as a document for programs and as text for people.

There is something to do where a plan is open, or where the decision is a wish (`plan.WISHES`) that no plan carries:
mode Observe, a pause, or a plan that is still to be made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from milvus_tuning.cli import steps as step_words
from milvus_tuning.cli.fields import Body, at, entries, mapping, moment, name, number, text, words
from milvus_tuning.cli.layout import Fact, age, facts, grouped, when
from milvus_tuning.cli.meanings import meaning
from milvus_tuning.decide.words import size
from milvus_tuning.plan import WISHES, Phase, Reason, Vote

NOT_SEEN = "not seen by the operator yet"
QUIET_AFTER = timedelta(minutes=5)  # a working operator refreshes a decision's time every minute
BEGUN = (Phase.RUNNING, Phase.VERIFYING, Phase.ROLLING_BACK)

Command = Callable[[str, str], str]
"""From a command and a name to the line that a person can copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A policy and the plan that is open for it, if any."""

    policy: Body
    plan: Body | None

    @property
    def something_to_do(self) -> bool:
        """Whether anything waits, runs or is wished for."""
        return self.plan is not None or wished(self.policy)


def wished(policy: Body) -> bool:
    """Whether the last decision was for a change; a size set by hand is one until it is reached."""
    decision = mapping(policy, "status", "decision")
    if text(decision, "reason") == Reason.MANUAL_OVERRIDE:
        return at(decision, "desiredCount") != at(policy, "status", "observed", "desiredCount")
    return text(decision, "reason") in WISHES


def standings(policies: Sequence[Body], plans: Sequence[Body]) -> list[Standing]:
    """Each policy with its open plan: one that has begun before one that waits, the newest of them."""
    return [Standing(policy=policy, plan=_open_plan(policy, plans)) for policy in policies]


def _open_plan(policy: Body, plans: Sequence[Body]) -> Body | None:
    def rank(plan: Body) -> tuple[bool, int]:
        return phase(plan) in BEGUN, number(plan, "spec", "change", "sequence") or 0

    return max(
        (plan for plan in plans if is_of(plan, policy) and phase(plan) != Phase.FINISHED), key=rank, default=None
    )


def is_of(plan: Body, policy: Body) -> bool:
    """Whether the plan was made for this very policy, and not for a deleted one of the same name."""
    made_for = mapping(plan, "spec", "change", "policy")
    same_name = text(made_for, "name") == name(policy)
    return same_name and text(made_for, "uid") == text(policy, "metadata", "uid")


def phase(plan: Body) -> str:
    """How far the plan is; without a status it is a proposal."""
    return text(plan, "status", "phase") or Phase.PROPOSED


def document(standing: Standing) -> dict[str, object]:
    """The policy's entry of `plan -o json`; its fields keep their names and meaning."""
    policy, plan = standing.policy, standing.plan
    full = None
    if plan is not None:
        full = {"name": name(plan), "spec": at(plan, "spec"), "status": at(plan, "status")}
    return {
        "name": name(policy),
        "mode": mode(policy),
        "phase": text(policy, "status", "phase") or None,
        "decision": at(policy, "status", "decision"),
        "plan": full,
        "somethingToDo": standing.something_to_do,
    }


def mode(policy: Body) -> str:
    """The mode, with the API server's default."""
    return text(policy, "spec", "mode") or "Observe"


def heading(policy: Body) -> str:
    """The policy in one line."""
    place = f"{text(policy, 'metadata', 'namespace')}/{name(policy)}".removeprefix("/")
    return f"{place}   mode {mode(policy)}   phase {text(policy, 'status', 'phase') or NOT_SEEN}"


def render(standing: Standing, command: Command, now: datetime, width: int) -> list[str]:
    """What is to be done for this policy, for people."""
    policy, plan, notes = standing.policy, standing.plan, _notes(standing.policy, now)
    if plan is None:
        return [heading(policy), *facts([*notes, *_decision(standing, command, now)], width=width)]
    steps = entries(plan, "spec", "change", "steps")
    return [
        heading(policy),
        *facts([*notes, *_what(plan, now)], width=width),
        "  steps",
        *step_words.described(steps, entries(plan, "status", "steps"), width=width, indent="    "),
        *facts(_commands(plan, command), width=width),
    ]


def _notes(policy: Body, now: datetime) -> list[Fact]:
    seen, present = number(policy, "status", "observedGeneration"), number(policy, "metadata", "generation")
    found = []
    if seen is not None and present is not None and seen < present:
        found.append(Fact(label="note", text="the operator has not read the latest change of the spec yet"))
    decided = moment(policy, "status", "decision", "time")
    if decided is not None and now - decided > QUIET_AFTER:
        silence = f"last heard of the operator {age(decided, now)} ago: what follows may be out of date"
        found.append(Fact(label="note", text=silence))
    return found


def _decision(standing: Standing, command: Command, now: datetime) -> list[Fact]:
    decision = mapping(standing.policy, "status", "decision")
    reason = text(decision, "reason")
    if not reason:
        return [Fact(label="to do", text=f"unknown: {NOT_SEEN}")]
    message = text(decision, "message")
    found = [
        Fact(label="to do", text=_wish(standing.policy) if standing.something_to_do else "nothing"),
        Fact(label="decision", text=f"{reason}: {message}" if message else reason),
        Fact(label="decided", text=when(moment(decision, "time"), now)),
    ]
    more = Fact(label="more", text=command("explain", name(standing.policy)), verbatim=True)
    return [*found, more]


def _wish(policy: Body) -> str:
    if mode(policy) == "Observe":
        return "the change below; mode Observe leaves it at that"
    return "the change below; no plan is open for it yet"


def _what(plan: Body, now: datetime) -> list[Fact]:
    change, status = mapping(plan, "spec", "change"), mapping(plan, "status")
    reason, said = text(change, "reason"), meaning(text(change, "reason"))
    reasons = "; ".join(words(change, "risk", "reasons"))
    level = text(change, "risk", "level")
    waiting = phase(plan) in (Phase.PROPOSED, Phase.APPROVED)
    return [
        Fact(label="plan", text=name(plan)),
        Fact(label="change", text=step_words.in_short(entries(change, "steps"))),
        Fact(label="phase", text=_phase(plan, now)),
        Fact(label="waits for", text=text(status, "waitsFor") if waiting else ""),
        Fact(label="vote", text=vote(plan)),
        Fact(label="approval", text=approval(plan)),
        Fact(label="expires", text=when(moment(change, "expiresAt"), now) if waiting else ""),
        Fact(label="verifies", text=f"until {when(moment(status, 'verifyUntil'), now)}" if _verifying(plan) else ""),
        Fact(label="reason", text=f"{reason}: {said.meaning}" if said else reason),
        Fact(label="in numbers", text=text(change, "message")),
        Fact(label="risk", text=f"{level}: {reasons}" if reasons else level),
        Fact(label="expected", text="; ".join(predicted(mapping(change, "predicted")))),
    ]


def _phase(plan: Body, now: datetime) -> str:
    shown = phase(plan) if text(plan, "status", "phase") else f"{phase(plan)} ({NOT_SEEN})"
    proposed = moment(plan, "spec", "change", "proposedAt")
    return f"{shown}, proposed {age(proposed, now)} ago" if proposed else shown


def _verifying(plan: Body) -> bool:
    return phase(plan) == Phase.VERIFYING and moment(plan, "status", "verifyUntil") is not None


def vote(plan: Body) -> str:
    """A person's word on the plan: "Rejected by jane: not today"."""
    approval = mapping(plan, "spec", "approval")
    by, reason = text(approval, "by"), text(approval, "reason")
    said = text(approval, "decision") + (f" by {by}" if by else "")
    return f"{said}: {reason}" if said and reason else said


def approval(plan: Body) -> str:
    """On whose word the plan runs, where it is not the vote that is shown beside it."""
    ground = text(plan, "status", "approval")
    return "" if ground.startswith("spec.approval") else ground


def predicted(effect: Body) -> list[str]:
    """What the change is expected to do, in words; only what is foretold."""
    found = [
        _from_to(effect, "QueryNodes", "nodeCount"),
        _from_to(effect, "computation", "computationPercent", " %"),
        _from_to(effect, "skew", "skewPercent", " %"),
        _from_to(effect, "P99", "p99Milliseconds", " ms"),
        _moves(effect),
    ]
    headroom = number(effect, "memoryHeadroomPercent")
    found += [f"{headroom} % of the fullest QueryNode's memory stays free"] if headroom is not None else []
    return [part for part in found if part]


def _from_to(effect: Body, what: str, field: str, unit: str = "") -> str:
    before, after = number(effect, f"{field}Before"), number(effect, f"{field}After")
    if before is None or after is None:
        return ""
    return f"{what} {before} -> {after}{unit}"


def _moves(effect: Body) -> str:
    segments, rows, moved = (number(effect, f"moved{what}") for what in ("Segments", "Rows", "Bytes"))
    if not segments:
        return ""
    details = [f"{grouped(rows)} rows"] if rows else []
    details += [size(moved)] if moved else []
    word = "segment" if segments == 1 else "segments"
    return f"{grouped(segments)} {word} moved" + (f" ({', '.join(details)})" if details else "")


def _commands(plan: Body, command: Command) -> list[Fact]:
    if text(plan, "spec", "approval", "decision") in (Vote.REJECTED, Vote.CANCELLED):
        return []
    if phase(plan) == Phase.PROPOSED and not text(plan, "spec", "approval", "decision"):
        return [
            Fact(label="to approve", text=command("approve", name(plan)), verbatim=True),
            Fact(label="to reject", text=command("reject", name(plan)), verbatim=True),
        ]
    return [Fact(label="to stop it", text=command("cancel", name(plan)), verbatim=True)]
