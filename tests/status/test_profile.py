"""The profile in status: proposals as they are, goals beside what is measured, and no write for noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningStatus, ProfileName, ProfileStatus, ProposedField
from milvus_tuning.decide.config.profile import profile_view
from milvus_tuning.decide.load import signal
from milvus_tuning.plan import Decision, Reason
from milvus_tuning.snapshot import Traffic
from milvus_tuning.status import Facts, build_status, worth_writing
from milvus_tuning.status.profile import profile_status
from tests.builders import NOON, a_sample, a_snapshot, a_spec

LARGEST_BYTES = 8 * 1024


def status_of(name: str = "RAG", traffic: Traffic | None = None, **changes: Any) -> ProfileStatus:
    view = profile_view(a_spec(profile={"name": name, "revision": 1}, **changes))
    assert view is not None
    return profile_status(view, traffic or Traffic())


def a_traffic(*, searches: float | None = None, p99: float | None = None, failed: float | None = None) -> Traffic:
    return Traffic(
        searches_per_second=a_sample(searches), p99_milliseconds=a_sample(p99), failed_per_second=a_sample(failed)
    )


def test_a_proposal_is_shown_with_what_is_declared_and_what_it_costs() -> None:
    found = status_of("Finance", storage={"cache": {"mmap": "Enabled"}})
    assert (found.name, found.revision, found.newest_revision, found.goals) == ("Finance", 1, 1, None)
    assert found.proposed == [
        ProposedField(
            field="consistency.collections",
            value="Strong",
            note="each search takes 200 to 400 ms more (pymilvus#2881), for it waits for a time tick of Milvus",
        ),
        ProposedField(field="inMemoryReplicas.minCount", value="2", note="the data takes its memory twice"),
        ProposedField(field="storage.cache.mmap", value="Disabled", declared="Enabled"),
    ]


@pytest.mark.parametrize(
    ("traffic", "states"),
    [
        pytest.param(
            a_traffic(), ["6500 None NotMeasured", "85 None NotMeasured", "99.95 None NotMeasured"], id="none"
        ),
        pytest.param(
            a_traffic(searches=7049, p99=62.4, failed=0.0),
            ["6500 7000 Met", "85 62 Met", "99.95 100.00 Met"],
            id="all are met",
        ),
        pytest.param(
            a_traffic(searches=120, p99=131.0, failed=1.2),
            ["6500 120 NotAskedFor", "85 130 Missed", "99.95 99.00 Missed"],
            id="little traffic, slow, one of a hundred fails",
        ),
        pytest.param(
            a_traffic(searches=10_000, p99=85, failed=0.4),
            ["6500 10000 Met", "85 85 Met", "99.95 99.99 Met"],
            id="at the bound",
        ),
        pytest.param(
            a_traffic(searches=0, p99=None, failed=0),
            ["6500 0 NotAskedFor", "85 None NotMeasured", "99.95 None NotMeasured"],
            id="nobody searches",
        ),
        pytest.param(
            a_traffic(searches=100, failed=120),
            ["6500 100 NotAskedFor", "85 None NotMeasured", "99.95 0.00 Missed"],
            id="more failures than searches: the samples are not of one moment",
        ),
    ],
)
def test_goals_stand_beside_what_is_measured(traffic: Traffic, states: list[str]) -> None:
    goals = status_of(traffic=traffic).goals or []
    assert [f"{goal.wanted} {goal.measured} {goal.state.value}" for goal in goals] == states


def test_a_declared_objective_is_the_goal() -> None:
    traffic = a_traffic(searches=120, p99=131.0)
    goals = status_of(traffic=traffic, objectives={"searchesPerSecond": 100, "searchLatencyP99Milliseconds": 150}).goals
    assert [(goal.wanted, goal.state.value) for goal in (goals or [])[:2]] == [("100", "Met"), ("150", "Met")]


def whole_status(traffic: Traffic, *, pin: bool = True) -> MilvusTuningStatus:
    spec = a_spec(profile={"name": "RAG", "revision": 1} if pin else None)
    snapshot = replace(a_snapshot(), traffic=traffic)
    facts = Facts(
        spec=spec,
        snapshot=snapshot,
        decision=Decision(reason=Reason.STEADY, message="steady"),
        signal=signal(snapshot, NOON),
        profile=profile_view(spec),
    )
    return build_status(MilvusTuningStatus(), facts, generation=1, now=NOON)


def test_the_status_has_the_profile_only_while_one_is_pinned() -> None:
    assert whole_status(a_traffic(searches=100), pin=False).profile is None
    assert whole_status(a_traffic(searches=100)).profile == status_of(traffic=a_traffic(searches=100))


@pytest.mark.parametrize(
    ("failed", "written"), [pytest.param(0.03, False, id="within the goal"), pytest.param(3.0, True, id="missed now")]
)
def test_a_measured_number_is_no_ground_for_a_write_and_a_missed_goal_is(failed: float, written: bool) -> None:
    before = whole_status(a_traffic(searches=100, p99=30, failed=0.0))
    after = whole_status(a_traffic(searches=100, p99=30, failed=failed))
    assert before.profile != after.profile
    assert worth_writing(before, after, now=NOON) is written


@pytest.mark.parametrize("name", list(ProfileName))
def test_a_profile_takes_little_of_the_status(name: str) -> None:
    found = status_of(name, a_traffic(searches=1, p99=1, failed=0))
    assert len(found.model_dump_json(by_alias=True, exclude_none=True)) < LARGEST_BYTES
