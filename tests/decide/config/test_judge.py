"""How a wish stands: every state with every cause of it, and what is written for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from milvus_tuning.decide.config.judge import judged
from milvus_tuning.decide.config.wishes import Wish
from milvus_tuning.plan import SettingState, StepKind
from tests.decide.config.judging import AT_START, DEAD, LIVE, OTHERWISE, Expected, World, seen
from tests.decide.config.live_wishes import LIVE_ROWS
from tests.decide.config.placement_wishes import PLACEMENT_ROWS
from tests.decide.config.start_wishes import START_ROWS

CASES = [*LIVE_ROWS, *START_ROWS, *PLACEMENT_ROWS]


@pytest.mark.parametrize(("wish", "world", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_how_a_wish_stands(wish: Wish, world: World, expected: Expected) -> None:
    outcome = judged(wish, seen(wish, world))
    status = outcome.status
    message = status.message[: len(expected[4])] if wish is DEAD else status.message
    assert (status.state, status.effective, status.source, outcome.step is not None, message) == expected
    assert (status.intent, status.key, status.desired) == (wish.intent, wish.name, wish.desired)
    assert status.component == (None if wish.live else "Proxy")


def test_every_state_of_a_wish_with_a_key_is_in_the_table() -> None:
    elsewhere = {SettingState.STANDING_BY, SettingState.UNSUPPORTED, SettingState.REFUSED}
    assert {case[3][0] for case in CASES} == set(SettingState) - elsewhere


@pytest.mark.parametrize("wish", [LIVE, AT_START], ids=["live", "at start"])
def test_a_step_writes_the_key_in_one_spelling_and_names_who_must_restart(wish: Wish) -> None:
    outcome = judged(wish, seen(wish, World(stored="3000", shown=OTHERWISE)))
    before, after = {"key": wish.key, "value": "3000"}, {"key": wish.key, "value": "60000"}
    assert outcome.step is not None
    assert (outcome.step.kind, outcome.step.precondition, outcome.step.action) == (StepKind.SET_CONFIG, before, after)
    assert (outcome.step.verification, outcome.step.undo) == (after, before)
    assert (outcome.key, outcome.components) == (wish.key, () if wish.live else ("Proxy",))


def test_what_is_inferred_is_marked_where_it_is_written() -> None:
    outcome = judged(replace(LIVE, inferred=True), seen(LIVE, World()))
    assert outcome.step is not None
    assert outcome.step.action == {"key": LIVE.key, "value": "60000", "evidence": "inferred"}
    assert outcome.step.verification == {"key": LIVE.key, "value": "60000"}
