"""Which class a change has, and which of its steps give it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.decide.proposing.risk import risk_of
from milvus_tuning.plan import Risk, Step, StepKind
from tests.decide.steps import (
    HAND_BACK,
    INTERVAL,
    TAKE,
    a_drain,
    a_key,
    a_level,
    a_move,
    a_preference,
    a_replica_change,
    a_restart,
    a_scale,
    a_scale_in,
)

GRACEFUL = a_key("common.gracefultime", before=None, after="0")
INFERRED = replace(INTERVAL, action={**INTERVAL.action, "evidence": "inferred"})
SETS_OF_STEPS = st.lists(
    st.sampled_from([a_scale(2, 3), *a_scale_in(), INTERVAL, TAKE, HAND_BACK, GRACEFUL]), max_size=5
)


@pytest.mark.parametrize(
    ("steps", "risk", "words"),
    [
        pytest.param((), Risk.LOW, (), id="nothing"),
        pytest.param((a_preference(),), Risk.HIGH, ("replaces all 3 QueryNodes",), id="a zone is preferred"),
        pytest.param((INTERVAL,), Risk.LOW, ("querycoord.autobalanceinterval is a live key",), id="a live key"),
        pytest.param((TAKE,), Risk.LOW, ("under a lease",), id="the placement is taken"),
        pytest.param((HAND_BACK,), Risk.LOW, ("handed back",), id="the placement is handed back"),
        pytest.param((INTERVAL, TAKE), Risk.LOW, ("live key", "lease"), id="both Low steps give the class"),
        pytest.param((a_drain(),), Risk.LOW, ("mark",), id="a mark alone takes no node away"),
        pytest.param((a_scale(2, 3),), Risk.MEDIUM, ("QueryNodes more (2 -> 3)",), id="a node more"),
        pytest.param((a_scale("9", "10"),), Risk.MEDIUM, ("9 -> 10",), id="numbers kept as text"),
        pytest.param((a_scale("10", "9"),), Risk.HIGH, ("10 -> 9",), id="numbers kept as text, downwards"),
        pytest.param((INTERVAL, a_scale(2, 3)), Risk.MEDIUM, ("2 -> 3",), id="the highest alone gives the class"),
        pytest.param(a_scale_in(), Risk.HIGH, ("3 -> 2): qn-2",), id="a node less, by name"),
        pytest.param((a_move(7, 8),), Risk.MEDIUM, ("moves 2 segments from qn-1 to qn-2",), id="free moves"),
        pytest.param(
            (TAKE, a_move(7), a_move(9, source="qn-2", destination="qn-1"), HAND_BACK),
            Risk.LOW,
            ("lease", "row-neutral swap: 1 segment from qn-1 to qn-2", "from qn-2 to qn-1", "handed back"),
            id="a swap, with the balancer held off meanwhile",
        ),
        pytest.param(
            (TAKE, a_move(7)), Risk.MEDIUM, ("moves 1 segment",), id="moves under a placement that is not returned"
        ),
        pytest.param((a_replica_change(1, 2),), Risk.MEDIUM, ("default.products (1 -> 2)",), id="a replica more"),
        pytest.param((a_replica_change(2, 1),), Risk.HIGH, ("default.products (2 -> 1)",), id="a replica less"),
        pytest.param(
            (a_restart("Proxy", back=True), INTERVAL, a_restart("Proxy")),
            Risk.HIGH,
            ("restarts Proxy: 2 pods, one at a time",),
            id="a restart, said once",
        ),
        pytest.param(
            (a_restart("Proxy", count=1),),
            Risk.HIGH,
            ("restarts Proxy: 1 pod, so all searches and writes fail until another one is ready",),
            id="a restart of the only proxy",
        ),
        pytest.param(
            (a_restart("MixCoord", count=1),), Risk.HIGH, ("so requests wait or fail",), id="of the only coordinator"
        ),
        pytest.param((GRACEFUL,), Risk.HIGH, ("common.gracefultime carries consistency",), id="consistency"),
        pytest.param(
            (a_key("common/gracefulTime", before="0", after=None),),
            Risk.HIGH,
            ("consistency",),
            id="its other spelling",
        ),
        pytest.param(
            (a_key("common.gracefulStopTimeout", before=None, after="1"),), Risk.LOW, ("live key",), id="a like name"
        ),
        pytest.param((a_level(),), Risk.HIGH, ("default.products: Bounded -> Strong",), id="a collection's level"),
        pytest.param(
            (a_level("Strong", "Bounded"),),
            Risk.HIGH,
            ("default.products: Strong -> Bounded",),
            id="a level handed back",
        ),
        pytest.param(
            (a_level("Session", "Bounded", remains="Session"),),
            Risk.LOW,
            ("default.products stays Session: only the record",),
            id="a level of others that stays",
        ),
        pytest.param((INFERRED,), Risk.MEDIUM, ("effect or range is inferred",), id="a key by inference"),
        pytest.param((INTERVAL, INFERRED), Risk.MEDIUM, ("is set; its effect",), id="inference beside a live key"),
        pytest.param(
            (replace(GRACEFUL, action={**GRACEFUL.action, "evidence": "inferred"}),),
            Risk.HIGH,
            ("how old the data of a search may be; its effect or range is inferred",),
            id="consistency by inference",
        ),
        pytest.param((INTERVAL, GRACEFUL), Risk.HIGH, ("consistency",), id="a live key beside consistency"),
    ],
)
def test_a_change_has_the_highest_class_of_its_steps(steps: Sequence[Step], risk: Risk, words: tuple[str, ...]) -> None:
    found, reasons = risk_of(steps)

    assert found is risk
    assert len(reasons) == len(words)
    assert all(word in reason for word, reason in zip(words, reasons, strict=True))


@given(SETS_OF_STEPS, SETS_OF_STEPS)
def test_more_steps_never_lower_the_class_and_order_does_not_matter(left: list[Step], right: list[Step]) -> None:
    together = risk_of([*left, *right])[0]

    assert together.rank == max(risk_of(left)[0].rank, risk_of(right)[0].rank)
    assert together is risk_of([*right, *left])[0]


@pytest.mark.parametrize("kind", StepKind)
def test_every_kind_of_step_has_a_class_with_a_reason(kind: StepKind) -> None:
    step = Step(kind=kind, precondition={}, action={"key": "a"}, verification={}, undo={})

    assert len(risk_of((step,))[1]) == 1
