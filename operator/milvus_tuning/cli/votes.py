"""Whether a vote on a plan makes sense, and what comes of it: pure, in a table over phases and former votes.

approve   a plan that waits; one that is approved or runs already needs no vote
reject    a plan that has not begun; one that has is cancelled
cancel    a plan that waits or runs: no further step is begun, and what was done is taken back
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from milvus_tuning.cli.fields import Body, moment, name, text
from milvus_tuning.cli.layout import when
from milvus_tuning.cli.plans import BEGUN, Command, phase, vote
from milvus_tuning.errors import ConfigError
from milvus_tuning.plan import Phase, Vote

COMMANDS: Mapping[str, Vote] = {"approve": Vote.APPROVED, "reject": Vote.REJECTED, "cancel": Vote.CANCELLED}
NEXT: Mapping[Vote, str] = {
    Vote.APPROVED: "the operator checks that the cluster is still as the plan assumes, and begins",
    Vote.REJECTED: "the operator ends the plan; nothing of it is done",
    Vote.CANCELLED: "the operator ends the plan; nothing of it was begun",
}
NEXT_WHILE_BEGUN = "the operator begins no further step and takes back what was done, but no QueryNode that serves"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """Whether the vote is to be written; if not, `said` tells why none is needed."""

    write: bool
    said: str = ""


def judge(choice: Vote, plan: Body, command: Command, now: datetime) -> Judgement:
    """What this vote on this plan comes to. Raises ConfigError where it makes no sense."""
    _require_open(choice, plan, now)
    former = text(plan, "spec", "approval", "decision")
    if former == choice:
        return Judgement(write=False, said=f"plan {name(plan)} is so already: {vote(plan)}")
    if former in (Vote.REJECTED, Vote.CANCELLED):
        raise ConfigError(f"plan {name(plan)} is {vote(plan)}, which stands; what is still needed is proposed anew")
    if choice is Vote.APPROVED:
        return _judge_approval(plan)
    if choice is Vote.REJECTED and phase(plan) in BEGUN:
        line = f"plan {name(plan)} is {phase(plan)}, too late to reject it; to stop it and take it back: "
        raise ConfigError(line + command("cancel", name(plan)))
    if phase(plan) == Phase.ROLLING_BACK:
        return Judgement(write=False, said=f"plan {name(plan)} is being taken back already")
    return Judgement(write=True)


def _judge_approval(plan: Body) -> Judgement:
    if phase(plan) == Phase.PROPOSED:
        return Judgement(write=True)
    ground = text(plan, "status", "approval")
    ground = f" ({ground})" if ground else ""
    return Judgement(write=False, said=f"plan {name(plan)} is {phase(plan)} already{ground}")


def _require_open(choice: Vote, plan: Body, now: datetime) -> None:
    wish = next(word for word, meant in COMMANDS.items() if meant is choice)
    if phase(plan) == Phase.FINISHED:
        verdict = text(plan, "status", "verdict") or "no verdict"
        raise ConfigError(f"cannot {wish} plan {name(plan)}: it is finished ({verdict})")
    if text(plan, "metadata", "deletionTimestamp"):
        raise ConfigError(f"cannot {wish} plan {name(plan)}: it is being deleted")
    expires = moment(plan, "spec", "change", "expiresAt")
    if choice is Vote.APPROVED and phase(plan) == Phase.PROPOSED and expires is not None and expires <= now:
        line = f"cannot approve plan {name(plan)}: it expired {when(expires, now)}; what is still needed is proposed"
        raise ConfigError(f"{line} anew")


def outcome(choice: Vote, before: Body, written: Body, command: Command) -> list[str]:
    """What was done, what happens next, and how to watch it."""
    begun = phase(before) in BEGUN
    follows = NEXT_WHILE_BEGUN if begun and choice is Vote.CANCELLED else NEXT[choice]
    policy = text(written, "spec", "change", "policy", "name")
    return [
        f"plan {name(written)}: {vote(written)}",
        f"next: {follows}",
        f"watch: {command('plan', policy)}",
    ]
