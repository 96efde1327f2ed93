"""Each vote against each phase and each former vote: written, not needed, or refused with what to do instead."""

from __future__ import annotations

import pytest

from milvus_tuning.cli import votes
from milvus_tuning.errors import ConfigError
from milvus_tuning.plan import Phase, Verdict, Vote
from tests.cli.objects import NOW, Object, a_plan

APPROVE, REJECT, CANCEL = Vote.APPROVED, Vote.REJECTED, Vote.CANCELLED
BY_JANE = {"by": "jane", "reason": "not today"}


def command(word: str, name: str) -> str:
    return f"milvus-tuning {word} {name}"


def judged(choice: Vote, plan: Object) -> str:
    """written, "no need: ..." or "refused: ..."."""
    try:
        judgement = votes.judge(choice, plan, command, NOW)
    except ConfigError as error:
        return f"refused: {error}"
    return "written" if judgement.write else f"no need: {judgement.said}"


@pytest.mark.parametrize(
    ("phase", "choice", "comes_to"),
    [
        (Phase.PROPOSED, APPROVE, "written"),
        (Phase.PROPOSED, REJECT, "written"),
        (Phase.PROPOSED, CANCEL, "written"),
        (Phase.APPROVED, APPROVE, "no need: plan rag-0123456789 is Approved already"),
        (Phase.APPROVED, REJECT, "written"),
        (Phase.APPROVED, CANCEL, "written"),
        (Phase.RUNNING, APPROVE, "no need: plan rag-0123456789 is Running already"),
        (
            Phase.RUNNING,
            REJECT,
            "refused: plan rag-0123456789 is Running, too late to reject it; to stop it and take it back: "
            "milvus-tuning cancel rag-0123456789",
        ),
        (Phase.RUNNING, CANCEL, "written"),
        (Phase.VERIFYING, APPROVE, "no need: plan rag-0123456789 is Verifying already"),
        (Phase.VERIFYING, CANCEL, "written"),
        (Phase.ROLLING_BACK, CANCEL, "no need: plan rag-0123456789 is being taken back already"),
        (Phase.FINISHED, APPROVE, "refused: cannot approve plan rag-0123456789: it is finished (Kept)"),
        (Phase.FINISHED, REJECT, "refused: cannot reject plan rag-0123456789: it is finished (Kept)"),
        (Phase.FINISHED, CANCEL, "refused: cannot cancel plan rag-0123456789: it is finished (Kept)"),
    ],
)
def test_by_phase(phase: Phase, choice: Vote, comes_to: str) -> None:
    plan = a_plan(phase=phase)
    plan["status"] |= {"verdict": Verdict.KEPT} if phase is Phase.FINISHED else {}
    assert judged(choice, plan) == comes_to


def test_says_on_whose_word_it_is_approved() -> None:
    plan = a_plan(phase=Phase.RUNNING)
    plan["status"]["approval"] = "the policy: within approval.automatic"
    said = "no need: plan rag-0123456789 is Running already (the policy: within approval.automatic)"
    assert judged(APPROVE, plan) == said


@pytest.mark.parametrize(
    ("former", "choice", "comes_to"),
    [
        (APPROVE, APPROVE, "no need: plan rag-0123456789 is so already: Approved by jane: not today"),
        (APPROVE, REJECT, "written"),
        (APPROVE, CANCEL, "written"),
        (REJECT, REJECT, "no need: plan rag-0123456789 is so already: Rejected by jane: not today"),
        (
            REJECT,
            APPROVE,
            "refused: plan rag-0123456789 is Rejected by jane: not today, which stands; "
            "what is still needed is proposed anew",
        ),
        (
            CANCEL,
            APPROVE,
            "refused: plan rag-0123456789 is Cancelled by jane: not today, which stands; "
            "what is still needed is proposed anew",
        ),
        (CANCEL, CANCEL, "no need: plan rag-0123456789 is so already: Cancelled by jane: not today"),
    ],
)
def test_by_former_vote(former: Vote, choice: Vote, comes_to: str) -> None:
    plan = a_plan(phase=Phase.PROPOSED, approval={"decision": former, **BY_JANE})
    assert judged(choice, plan) == comes_to


@pytest.mark.parametrize(
    ("choice", "expires", "comes_to"),
    [
        (
            APPROVE,
            "2026-01-05T12:00:00Z",
            "refused: cannot approve plan rag-0123456789: it expired 0s ago (2026-01-05T12:00:00Z); "
            "what is still needed is proposed anew",
        ),
        (APPROVE, "2026-01-05T12:00:01Z", "written"),
        (REJECT, "2026-01-05T12:00:00Z", "written"),
    ],
)
def test_an_expired_plan_is_not_approved(choice: Vote, expires: str, comes_to: str) -> None:
    assert judged(choice, a_plan(phase=Phase.PROPOSED, expires=expires)) == comes_to


def test_a_plan_that_is_being_deleted_takes_no_vote() -> None:
    plan = a_plan(phase=Phase.RUNNING)
    plan["metadata"]["deletionTimestamp"] = "2026-01-05T11:59:00Z"
    assert judged(CANCEL, plan) == "refused: cannot cancel plan rag-0123456789: it is being deleted"


def test_a_plan_without_a_status_takes_a_vote() -> None:
    assert judged(APPROVE, a_plan()) == "written"


@pytest.mark.parametrize(
    ("phase", "choice", "follows"),
    [
        (Phase.PROPOSED, APPROVE, "the operator checks that the cluster is still as the plan assumes, and begins"),
        (Phase.PROPOSED, REJECT, "the operator ends the plan; nothing of it is done"),
        (Phase.APPROVED, CANCEL, "the operator ends the plan; nothing of it was begun"),
        (
            Phase.RUNNING,
            CANCEL,
            "the operator begins no further step and takes back what was done, but no QueryNode that serves",
        ),
    ],
)
def test_says_what_follows(phase: Phase, choice: Vote, follows: str) -> None:
    written = a_plan(phase=phase, approval={"decision": choice, **BY_JANE})
    assert votes.outcome(choice, a_plan(phase=phase), written, command) == [
        f"plan rag-0123456789: {choice} by jane: not today",
        f"next: {follows}",
        "watch: milvus-tuning plan rag",
    ]
