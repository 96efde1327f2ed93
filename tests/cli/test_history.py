"""What was done and what it was good for, in words that hold: nothing is rounded up, nothing unmeasured is claimed."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from milvus_tuning.cli import history
from tests.cli.objects import NOW, SCALE_OUT, SET_KEY, Object, a_policy

GROWN: Object = {
    "id": "rag-0123456789",
    "startedAt": "2026-01-05T09:00:00Z",
    "risk": "Medium",
    "outcome": "Completed",
    "verdict": "Kept",
    "steps": [SCALE_OUT],
    "measuredBefore": "mean 56 ms, 205 searches/s on 2 QueryNodes",
    "measuredAfter": "mean 48 ms, 213 searches/s on 3 QueryNodes",
    "verdictMessage": "the mean latency is 14 % lower",
}
SLOWED: Object = {
    "id": "rag-abcdefghij",
    "startedAt": "2026-01-05T11:00:00Z",
    "risk": "Low",
    "outcome": "Undone",
    "verdict": "RolledBack",
    "steps": [SET_KEY],
    "measuredBefore": "mean 48 ms",
    "measuredAfter": "mean 230 ms",
    "verdictMessage": "the mean latency rose by 379 %, more than the 20 % that are tolerated",
}
BENEFIT: Object = {
    "since": "2026-01-02T12:00:00Z",
    "objectiveSecondsMet": 17_298,
    "objectiveSecondsMeasured": 18_600,
    "nodeSeconds": 15_120,
    "nodeSecondsAtMaximum": 33_480,
    "plansKept": 5,
    "plansRolledBack": 1,
}


def shown(policy: Object, width: int) -> str:
    return "\n".join(history.render(policy, NOW, width))


def golden(text: str) -> str:
    return dedent(text).strip("\n")


def test_on_a_wide_terminal_a_plan_takes_a_row() -> None:
    assert shown(a_policy(history=[GROWN, SLOWED], benefit=BENEFIT), 120) == golden("""
        milvus/rag   mode Propose   phase Stabilizing

        PLAN             STARTED   RISK     OUTCOME     VERDICT      CHANGE
        rag-abcdefghij   60m       Low      Undone      RolledBack   common.gracefultime absent -> 0
            before    mean 48 ms
            after     mean 230 ms
            verdict   the mean latency rose by 379 %, more than the 20 % that are tolerated
        rag-0123456789   3h        Medium   Completed   Kept         QueryNodes 2 -> 3
            before    mean 56 ms, 205 searches/s on 2 QueryNodes
            after     mean 48 ms, 213 searches/s on 3 QueryNodes
            verdict   the mean latency is 14 % lower

        Since 2026-01-02T12:00:00Z (3d):
          Objective met in 93 % of 310 measured minutes.
          4.2 node-hours of QueryNodes instead of 9.3 at the maximum.
          5 plans kept, 1 rolled back.
    """)


def test_on_a_narrow_terminal_the_change_goes_below() -> None:
    assert shown(a_policy(history=[SLOWED]), 80) == golden("""
        milvus/rag   mode Propose   phase Stabilizing

        PLAN             STARTED   RISK   OUTCOME   VERDICT
            CHANGE
        rag-abcdefghij   60m       Low    Undone    RolledBack
            common.gracefultime absent -> 0
            before    mean 48 ms
            after     mean 230 ms
            verdict   the mean latency rose by 379 %, more than the 20 % that are
                      tolerated

        Benefit: not seen by the operator yet.
    """)


def test_without_plans() -> None:
    lines = history.render(a_policy(), NOW, 80)
    assert lines[2] == "No plan has been carried out yet."


def test_a_policy_that_was_never_seen() -> None:
    policy = a_policy()
    del policy["status"]
    assert history.render(policy, NOW, 80) == ["milvus/rag   mode Propose   phase not seen by the operator yet"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"objectiveSecondsMet": 18_599}, "Objective met in 99 % of 310 measured minutes.", id="99.99 % is not 100 %"
        ),
        pytest.param(
            {"objectiveSecondsMeasured": 0, "objectiveSecondsMet": 0},
            "Objective: not measured (none declared, or no searches).",
            id="nothing was measured",
        ),
        pytest.param({"nodeSecondsAtMaximum": 0}, "4.2 node-hours of QueryNodes.", id="no maximum"),
        pytest.param(
            {"plansKept": 1, "movesKept": 1200, "movesUndone": 3},
            "1 plan kept, 1 rolled back; 1,200 segment moves kept, 3 undone.",
            id="moves",
        ),
    ],
)
def test_the_account_says(changes: dict[str, Any], sentence: str) -> None:
    assert f"  {sentence}" in history.render(a_policy(benefit=BENEFIT | changes), NOW, 120)


def test_the_document_for_programs() -> None:
    document = history.document(a_policy(history=[GROWN], benefit=BENEFIT))
    assert document == {"name": "rag", "history": [GROWN], "benefit": BENEFIT}


def test_the_document_without_anything() -> None:
    assert history.document(a_policy()) == {"name": "rag", "history": [], "benefit": None}
