"""How declared settings are shown: since when, at most a hundred, and never more than the object may hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.api import ConfigStatus, MilvusTuningStatus
from milvus_tuning.plan import SettingState, SettingStatus
from milvus_tuning.status.bounds import LARGEST_STATUS_BYTES, fitted
from milvus_tuning.status.config import config_status

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def a_setting(intent: str = "loadBalancing.routing", state: SettingState = SettingState.EFFECTIVE) -> SettingStatus:
    return SettingStatus(
        intent=intent, key="k", desired="2", effective="1", source="etcd", state=state, message="m", component="Proxy"
    )


def test_a_setting_is_shown_whole() -> None:
    assert config_status([], [a_setting()], NOW) == [
        ConfigStatus(
            intent="loadBalancing.routing",
            key="k",
            desired="2",
            effective="1",
            source="etcd",
            state="Effective",
            component="Proxy",
            since="2026-03-01T12:00:00Z",
            message="m",
        )
    ]


def test_its_time_stays_as_long_as_its_state() -> None:
    first = config_status([], [a_setting(state=SettingState.APPLYING)], NOW)
    second = config_status(first, [a_setting(state=SettingState.APPLYING)], LATER)
    third = config_status(second, [a_setting()], LATER)
    assert [one.since for one in (*first, *second, *third)] == [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:05:00Z",
    ]


def test_a_setting_without_a_time_on_record_counts_from_now() -> None:
    before = [ConfigStatus(intent="loadBalancing.routing", state="Effective")]
    (found,) = config_status(before, [a_setting()], NOW)
    assert found.since == "2026-03-01T12:00:00Z"


def test_of_more_than_a_hundred_those_in_force_are_left_out() -> None:
    many = [a_setting(f"configOverrides.k{one}", list(SettingState)[one % 2 * 6]) for one in range(180)]
    shown = config_status([], many, NOW)
    assert len(shown) == 100
    assert sum(one.state == "Effective" for one in shown) == 10
    assert [one.intent for one in shown] == [one.intent for one in many if one.intent in {two.intent for two in shown}]


TEXTS = st.text(min_size=150, max_size=3000)


@given(TEXTS, TEXTS, st.integers(0, 130))
@settings(max_examples=25, deadline=None)
def test_any_settings_fit_the_object(word: str, message: str, count: int) -> None:
    many = [
        SettingStatus(
            intent=f"configOverrides.{one}{word}",
            key=word,
            desired=word,
            effective=word,
            source="etcd",
            state=SettingState.SHADOWED,
            message=message,
            component=word,
        )
        for one in range(count)
    ]
    status = fitted(MilvusTuningStatus(config=config_status([], many, NOW) or None))
    assert len(status.model_dump_json(by_alias=True, exclude_none=True).encode()) <= LARGEST_STATUS_BYTES
    assert (status.config is None) is (count == 0)
    MilvusTuningStatus.model_validate(status.model_dump(mode="json", by_alias=True))
