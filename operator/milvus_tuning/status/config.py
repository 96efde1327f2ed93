"""How the declared settings stand, as status shows it: each since when, within the bounds of the object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from milvus_tuning.api import ConfigStatus
from milvus_tuning.plan import SettingState, SettingStatus
from milvus_tuning.status.records import format_time

MOST_SETTINGS = 100
_WORD, _TEXT = 253, 2048  # the lengths that the API allows
_AS_DECLARED = frozenset({SettingState.EFFECTIVE, SettingState.STANDING_BY})


def config_status(
    before: Sequence[ConfigStatus], settings: Sequence[SettingStatus], now: datetime
) -> list[ConfigStatus]:
    """One entry per intent; `since` stays as long as the state does. Of too many those in force are left out first."""
    known = {entry.intent: entry for entry in before}
    return [_entry(setting, known.get(setting.intent[:_WORD]), now) for setting in _most_telling(settings)]


def _most_telling(settings: Sequence[SettingStatus]) -> list[SettingStatus]:
    ranked = sorted(range(len(settings)), key=lambda place: settings[place].state in _AS_DECLARED)
    return [settings[place] for place in sorted(ranked[:MOST_SETTINGS])]


def _entry(setting: SettingStatus, before: ConfigStatus | None, now: datetime) -> ConfigStatus:
    stays = before is not None and before.state == setting.state
    since = format_time(setting.since) if setting.since is not None else before.since if stays and before else None
    return ConfigStatus(
        intent=setting.intent[:_WORD],
        key=_word(setting.key),
        desired=_word(setting.desired),
        effective=_word(setting.effective),
        source=_word(setting.source),
        state=setting.state,
        component=_word(setting.component),
        since=since or format_time(now),
        message=setting.message[:_TEXT],
    )


def _word(text: str | None) -> str | None:
    return None if text is None else text[:_WORD]
