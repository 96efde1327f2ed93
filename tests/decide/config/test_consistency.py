"""The level of a collection is changed where it is declared, and goes back where it is not any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import ServerVersion, parse_version
from milvus_tuning.decide.config.consistency import MOST_AT_ONCE, collection_consistency, level_in_words
from milvus_tuning.plan import Operation, Reason, SettingState, SettingStatus, Step, StepRecord, StepState, Verdict
from milvus_tuning.snapshot import Collection, OwnedLevel, Problem, ProblemKind, Snapshot
from tests.builders import NOON, a_spec
from tests.decide.steps import a_level

UID, INTENT = "policy-1", "consistency.collections (default.products)"
NOW_2_5 = ServerVersion(2, 5, 27)
OURS = OwnedLevel(database="default", collection="products", previous="Bounded", written=("Strong",))


def declaring(*levels: tuple[str, str]) -> MilvusTuningSpec:
    """A policy about the levels of collections of the default database."""
    return a_spec(consistency={"collections": [{"name": name, "level": level} for name, level in levels]})


STRONG = declaring(("products", "Strong"))


def a_cluster(level: str | None = "Bounded", *, owned: tuple[OwnedLevel, ...] = (), **changes: Any) -> Snapshot:
    """A Milvus 2.5.27 with the collection products."""
    snapshot = Snapshot(
        taken_at=NOON,
        milvus_version="v2.5.27",
        collections=(Collection(collection_id=1, name="products", consistency_level=level),),
        settings_readable=True,
        etcd_root_path="by-dev",
        owned_levels={UID: owned} if owned else {},
    )
    return replace(snapshot, **changes)


def judged(spec: MilvusTuningSpec, snapshot: Snapshot, **more: Any) -> tuple[tuple[Step, ...], SettingStatus]:
    version = parse_version(snapshot.milvus_version)
    steps, (status,) = collection_consistency(spec, snapshot, version, policy_uid=UID, **more)
    return steps, status


def test_a_level_that_differs_is_set_and_the_former_one_is_its_undo() -> None:
    steps, status = judged(STRONG, a_cluster())
    assert steps == (a_level("Bounded", "Strong"),)
    assert status == SettingStatus(
        intent=INTENT,
        key="consistency_level",
        desired="Strong",
        effective="Bounded",
        source="collection",
        state=SettingState.APPLYING,
        message="setting Bounded -> Strong",
    )


def test_it_is_effective_once_milvus_tells_it() -> None:
    steps, status = judged(STRONG, a_cluster("Strong", owned=(OURS,)))
    assert (steps, status.state, status.effective) == ((), SettingState.EFFECTIVE, "Strong")


@pytest.mark.parametrize("spec", [a_spec(), a_spec(consistency={}), a_spec(consistency={"collections": []})])
def test_nothing_is_chosen_that_is_not_declared(spec: MilvusTuningSpec) -> None:
    assert collection_consistency(spec, a_cluster(), NOW_2_5, policy_uid=UID) == ((), ())


AWAY = (Problem(kind=ProblemKind.MILVUS_UNREACHABLE, message="Milvus does not answer"),)


@pytest.mark.parametrize(
    ("snapshot", "state", "words"),
    [
        pytest.param(
            a_cluster(milvus_version="v2.3.5"), SettingState.UNSUPPORTED, "fixed when it is created", id="2.3"
        ),
        pytest.param(
            a_cluster(milvus_version="v2.4.22"), SettingState.UNSUPPORTED, "from 2.4.23", id="2.4 before it could"
        ),
        pytest.param(
            a_cluster("Strong", milvus_version="v2.3.5"),
            SettingState.UNSUPPORTED,
            "level of its own",
            id="2.3, created as declared",
        ),
        pytest.param(a_cluster(milvus_version="master"), SettingState.NOT_APPLIED, "version is not known", id="which?"),
        pytest.param(a_cluster(problems=AWAY), SettingState.NOT_APPLIED, "does not answer", id="Milvus away"),
        pytest.param(
            a_cluster(collections=()), SettingState.NOT_APPLIED, "no loaded collection default.products", id="unknown"
        ),
        pytest.param(a_cluster(None), SettingState.NOT_APPLIED, "not told the level", id="not read yet"),
        pytest.param(
            a_cluster(settings_readable=False), SettingState.NOT_APPLIED, "recorded; would set Bounded", id="no etcd"
        ),
        pytest.param(
            a_cluster(etcd_root_path=None), SettingState.NOT_APPLIED, "root path in etcd is not proven", id="no root"
        ),
    ],
)
def test_what_cannot_be_done_is_no_step_and_says_why(snapshot: Snapshot, state: SettingState, words: str) -> None:
    steps, status = judged(STRONG, snapshot)
    assert (steps, status.state) == ((), state)
    assert words in status.message


def test_a_collection_of_another_database_is_another_one() -> None:
    elsewhere = a_cluster(collections=(Collection(collection_id=1, name="products", database="shop"),))
    assert judged(STRONG, elsewhere)[1].state is SettingState.NOT_APPLIED


def test_a_hindrance_leaves_what_would_be_done_in_words() -> None:
    steps, status = judged(STRONG, a_cluster(), hindrance="mode is Observe")
    assert (steps, status.state) == ((), SettingState.NOT_APPLIED)
    assert status.message == "mode is Observe; would set Bounded -> Strong"


def rolled_back(step: Step) -> Operation:
    return Operation(
        operation_id="rag-1",
        reason=Reason.SETTING_CHANGED,
        message="",
        started_at=NOON,
        steps=(StepRecord(step=step, state=StepState.UNDONE),),
        verdict=Verdict.ROLLED_BACK,
        verdict_message="mean 21 ms -> 180 ms",
    )


@pytest.mark.parametrize(
    ("before", "count"),
    [
        pytest.param(a_level(), 0, id="the same"),
        pytest.param(a_level(collection="users"), 1, id="the same level of another collection"),
        pytest.param(a_level(after="Session"), 1, id="another level"),
    ],
)
def test_what_was_rolled_back_is_not_tried_again(before: Step, count: int) -> None:
    steps, status = judged(STRONG, a_cluster(), rollbacks=(rolled_back(before),))
    assert len(steps) == count
    assert ("180 ms" in status.message) is (count == 0)


# -- handing back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "owned", "step"),
    [
        pytest.param("Strong", OURS, a_level("Strong", "Bounded"), id="ours"),
        pytest.param(
            "Session",
            replace(OURS, written=("Strong", "Session")),
            a_level("Session", "Bounded"),
            id="ours, after a crash between two of them",
        ),
        pytest.param("Session", OURS, a_level("Session", "Bounded", remains="Session"), id="of others: it stays"),
        pytest.param("Bounded", OURS, a_level("Bounded", "Bounded"), id="back already: the record goes"),
    ],
)
def test_what_is_not_declared_any_more_goes_back(level: str, owned: OwnedLevel, step: Step) -> None:
    steps, status = judged(a_spec(), a_cluster(level, owned=(owned,)))
    assert steps == (step,)
    assert (status.intent, status.desired, status.state) == (INTENT, None, SettingState.APPLYING)


def test_the_record_of_another_policy_is_none_of_ours() -> None:
    snapshot = a_cluster("Strong", owned_levels={"policy-2": (OURS,)})
    assert collection_consistency(a_spec(), snapshot, NOW_2_5, policy_uid=UID) == ((), ())


def test_it_waits_for_a_collection_that_is_released() -> None:
    steps, status = judged(a_spec(), a_cluster(owned=(OURS,), collections=()))
    assert (steps, status.state) == ((), SettingState.NOT_APPLIED)
    assert "goes back to Bounded once that can be done: there is no loaded collection" in status.message


def test_it_is_handed_back_before_others_are_set() -> None:
    users = Collection(collection_id=2, name="users", consistency_level="Bounded")
    snapshot = a_cluster("Strong", owned=(OURS,))
    snapshot = replace(snapshot, collections=(*snapshot.collections, users))
    steps, _ = collection_consistency(declaring(("users", "Session")), snapshot, NOW_2_5, policy_uid=UID)
    assert steps == (a_level("Strong", "Bounded"), a_level("Bounded", "Session", collection="users"))


def test_a_plan_changes_a_few_and_the_rest_waits() -> None:
    names = [f"c{number}" for number in range(MOST_AT_ONCE + 2)]
    found = tuple(
        Collection(collection_id=key, name=name, consistency_level="Bounded") for key, name in enumerate(names)
    )
    spec = declaring(*((name, "Strong") for name in names))
    steps, statuses = collection_consistency(spec, a_cluster(collections=found), NOW_2_5, policy_uid=UID)
    assert [step.action["collection"] for step in steps] == names[:MOST_AT_ONCE]
    assert [status.state for status in statuses] == [SettingState.APPLYING] * MOST_AT_ONCE + [
        SettingState.NOT_APPLIED
    ] * 2
    assert statuses[-1].message.startswith("waits for other collections")


def test_a_step_in_words() -> None:
    assert level_in_words(a_level()) == "consistency level of default.products Bounded -> Strong"
