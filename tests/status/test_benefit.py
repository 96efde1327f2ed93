"""The benefit account: what was measured counts, what was not is in no sum, and fractions are not lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.api import Benefit, MilvusTuningSpec
from milvus_tuning.decide.running.operation import begin
from milvus_tuning.plan import Course, Phase, Plan, Prediction, StepState, Verdict
from milvus_tuning.snapshot import Sample, Snapshot, Traffic
from milvus_tuning.status.benefit import Account
from tests.builders import NOON, a_change, a_sample, a_snapshot, a_spec
from tests.decide.steps import a_move

OBJECTIVE = {"search_latency_p99_milliseconds": 100}
START = Account.from_status(None, NOON)


def seen(p99: Sample | float | None = 64.0, *, nodes: int = 3, **changes: Any) -> Snapshot:
    sample = p99 if isinstance(p99, Sample) else a_sample(p99)
    return a_snapshot(nodes, traffic=Traffic(p99_milliseconds=sample), **changes)


def declared(**changes: Any) -> MilvusTuningSpec:
    return a_spec(**{"objectives": OBJECTIVE, "max_count": 6, **changes})


def sums(account: Account) -> tuple[float, float, float, float]:
    return (
        account.objective_seconds_met,
        account.objective_seconds_measured,
        account.node_seconds,
        account.node_seconds_at_maximum,
    )


@pytest.mark.parametrize(
    ("seconds", "spec", "snapshot", "expected"),
    [
        pytest.param(15, declared(), seen(64), (15, 15, 45, 90), id="met"),
        pytest.param(15, declared(), seen(100), (15, 15, 45, 90), id="met exactly"),
        pytest.param(15, declared(), seen(128), (0, 15, 45, 90), id="missed"),
        pytest.param(15, declared(), seen(None), (0, 0, 45, 90), id="not measured"),
        pytest.param(15, declared(), seen(float("nan")), (0, 0, 45, 90), id="not a number"),
        pytest.param(15, declared(), seen(a_sample(64, age=61)), (0, 0, 45, 90), id="too old"),
        pytest.param(15, declared(), seen(a_sample(64, coverage=0.5)), (0, 0, 45, 90), id="of half the proxies"),
        pytest.param(15, declared(objectives=None), seen(64), (0, 0, 45, 90), id="no objective"),
        pytest.param(15, declared(objectives={}), seen(64), (0, 0, 45, 90), id="an objective of another kind"),
        pytest.param(15, declared(), seen(64, nodes=6), (15, 15, 90, 90), id="at the maximum"),
        pytest.param(
            15,
            declared(),
            seen(64, workload={"desired_count": 4}),
            (15, 15, 60, 90),
            id="more are asked for than serve",
        ),
        pytest.param(15, declared(), replace(seen(64), workload=None), (15, 15, 0, 0), id="no target"),
        pytest.param(120, declared(), seen(64), (120, 120, 360, 720), id="two minutes"),
        pytest.param(120.5, declared(), seen(64), (0, 0, 0, 0), id="a gap"),
        pytest.param(0, declared(), seen(64), (0, 0, 0, 0), id="no time"),
        pytest.param(-15, declared(), seen(64), (0, 0, 0, 0), id="a clock that was set back"),
    ],
)
def test_what_a_while_adds(
    seconds: float, spec: MilvusTuningSpec, snapshot: Snapshot, expected: tuple[float, ...]
) -> None:
    assert sums(START.elapsed(seconds, spec, snapshot)) == expected


def test_without_bounds_there_are_no_node_seconds() -> None:
    spec = declared().model_copy(update={"query_nodes": None})
    assert sums(START.elapsed(15, spec, seen(64))) == (15, 15, 0, 0)


def test_the_example_of_the_docstring() -> None:
    account = START
    for _ in range(10):
        account = account.elapsed(15, declared(), seen(64))
    assert sums(account) == (150, 150, 450, 900)
    for _ in range(2):
        account = account.elapsed(15, declared(), seen(128, nodes=4))
    assert sums(account) == (150, 180, 570, 1080)
    account = account.elapsed(3600, declared(), seen(64))
    assert sums(account) == (150, 180, 570, 1080)
    assert sums(account.elapsed(15, declared(), seen(None, nodes=4))) == (150, 180, 630, 1170)


def test_fractions_add_up() -> None:
    account = START
    for _ in range(40):
        account = account.elapsed(0.25, declared(), seen(64))
    assert account.to_status().objective_seconds_met == 10


def a_plan(verdict: Verdict | None) -> Plan:
    change = a_change(prediction=Prediction(moved_segments=8))
    return Plan(name="rag-1", change=change, course=Course(phase=Phase.FINISHED, verdict=verdict))


@pytest.mark.parametrize(
    ("verdict", "counts"),
    [
        (Verdict.KEPT, (1, 0, 8, 0)),
        (Verdict.INCONCLUSIVE, (1, 0, 8, 0)),
        (Verdict.ROLLED_BACK, (0, 1, 0, 8)),
        (Verdict.FAILED, (0, 0, 0, 0)),
        (Verdict.STALE, (0, 0, 0, 0)),
        (Verdict.CANCELLED, (0, 0, 0, 0)),
        (Verdict.EXPIRED, (0, 0, 0, 0)),
        (Verdict.REJECTED, (0, 0, 0, 0)),
        (None, (0, 0, 0, 0)),
    ],
)
def test_what_a_plan_adds(verdict: Verdict | None, counts: tuple[int, ...]) -> None:
    account = START.finished(a_plan(verdict))
    assert (account.plans_kept, account.plans_rolled_back, account.moves_kept, account.moves_undone) == counts


def test_of_moves_those_that_were_made_count() -> None:
    change = a_change(steps=(a_move(7, 8), a_move(9)), prediction=Prediction(moved_segments=3))
    begun = begin(change, operation_id="rag-1", now=NOON)
    records = (replace(begun.steps[0], state=StepState.DONE), replace(begun.steps[1], state=StepState.LEFT_OUT))
    course = Course(phase=Phase.FINISHED, verdict=Verdict.KEPT, operation=replace(begun, steps=records))

    assert START.finished(Plan(name="rag-1", change=change, course=course)).moves_kept == 2


def test_an_account_begins_when_it_is_first_kept() -> None:
    assert START.to_status() == Benefit(since="2026-01-05T12:00:00Z")


def test_a_stored_account_goes_on() -> None:
    earlier = Benefit(
        since="2026-01-01T00:00:00Z",
        objective_seconds_met=10,
        objective_seconds_measured=20,
        node_seconds=30,
        node_seconds_at_maximum=40,
        plans_kept=1,
        plans_rolled_back=2,
        moves_kept=3,
        moves_undone=4,
    )
    account = Account.from_status(earlier, NOON + timedelta(days=1))
    assert account.to_status() == earlier
    assert account.elapsed(15, declared(), seen(64)).finished(a_plan(Verdict.KEPT)).to_status() == Benefit(
        since="2026-01-01T00:00:00Z",
        objective_seconds_met=25,
        objective_seconds_measured=35,
        node_seconds=75,
        node_seconds_at_maximum=130,
        plans_kept=2,
        plans_rolled_back=2,
        moves_kept=11,
        moves_undone=4,
    )


WHILES = st.tuples(
    st.floats(-10, 300, allow_nan=False),
    st.none() | st.floats(0, 500),
    st.integers(1, 6),
    st.none() | st.just(OBJECTIVE),
)


@settings(deadline=None)
@given(st.lists(WHILES, max_size=8))
def test_no_sum_is_above_the_one_that_it_is_a_part_of(whiles: list[tuple[float, float | None, int, Any]]) -> None:
    account = START
    for seconds, p99, nodes, objective in whiles:
        after = account.elapsed(seconds, declared(objectives=objective), seen(p99, nodes=nodes))
        assert all(later >= earlier for later, earlier in zip(sums(after), sums(account), strict=True))
        account = after
    stored = account.to_status()
    assert stored.objective_seconds_met <= stored.objective_seconds_measured <= sum(max(0, one[0]) for one in whiles)
    assert stored.node_seconds <= stored.node_seconds_at_maximum
