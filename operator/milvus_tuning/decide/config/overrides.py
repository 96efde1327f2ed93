"""`configOverrides`: real keys of Milvus that no intent covers, each checked for exactly the running version.

    unknown, misspelt, of the wrong type, out of range, the install's own    Refused, with what was meant
    read by nothing in this version                                          Dead
    carried by an intent in this version                                     Refused: the intent is declared instead
    two spellings of what Milvus takes for one key                           Refused, both
    anything else                                                            a wish like that of an intent

Nothing is written by guess: a key that the catalogue does not have is refused, even where Milvus may have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from milvus_tuning.catalogue import Conversion, Intent, Lever, ServerVersion, find_lever, normalised
from milvus_tuning.catalogue.lint import Finding, KeyState, Setting, Target, lint, suggest, target
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.catalogue.registry import ConfigKey, Evidence, ValueType
from milvus_tuning.decide.config.judge import judged
from milvus_tuning.decide.config.wishes import Outcome, View, Wish, without_key
from milvus_tuning.plan import SettingState

_CONVERSIONS = {ValueType.BOOL: Conversion.SWITCH, ValueType.DURATION: Conversion.DURATION_MILLISECONDS}
"""How a value is compared by meaning; all others as numbers, where they are such."""
_DEAD = frozenset({KeyState.DEAD, KeyState.NOOP})


def overrides(declared: Mapping[str, str], view: View) -> tuple[Outcome, ...]:
    """How each override stands, by key; view.version is that of the server, None where it is not known."""
    spellings = Counter(normalised(key) for key in declared)
    return tuple(
        _twice(key, declared) if spellings[normalised(key)] > 1 else _override(key, declared[key], view)
        for key in sorted(declared)
    )


def _override(key: str, value: str, view: View) -> Outcome:
    if view.version is None:
        return without_key(_intent(key), SettingState.NOT_APPLIED, "the server version is not known")
    try:
        release = target(str(view.version), catalogue())
    except ValueError as error:
        return without_key(_intent(key), SettingState.NOT_APPLIED, f"keys cannot be checked: {error}")
    finding = _finding(key, value, release.version)
    if finding.state.wrong:
        return _wrong(key, finding)
    known = catalogue().find(key)
    if known is None:
        return _not_listed(key, finding)
    carrier = _carrier(key, view.version)
    if carrier is not None:
        message = f"{known.name} is carried by {carrier.field}: declare that instead"
        return without_key(_intent(key), SettingState.REFUSED, message, key=known.name)
    return judged(_wish(key, value, known, release), view)


@lru_cache(maxsize=512)
def _finding(key: str, value: str, version: ServerVersion) -> Finding:
    """What the catalogue says of one override; what was meant by a misspelt one takes a while to find."""
    (finding,) = lint([Setting(key=key, value=value)], version, catalogue())
    if finding.state.wrong or catalogue().find(key) is not None or finding.suggestion:
        return finding
    return replace(finding, suggestion=suggest(key, version, catalogue()))


def _wish(key: str, value: str, known: ConfigKey, release: Target) -> Wish:
    live = known.is_live(release.version)
    inferred = [
        *(["that it acts"] if known.evidence is Evidence.INFERRED else []),
        *(["its range"] if known.range is not None and known.range.evidence is Evidence.INFERRED else []),
        *(["that this patch has it"] if release.caution or not known.certain(release.version) else []),
    ]
    return Wish(
        intent=_intent(key),
        name=known.name,
        desired=value,
        conversion=_CONVERSIONS.get(known.type, Conversion.MILLISECONDS),
        live=live,
        component=known.restarts(release.version),
        evidence="read again by the running component" if live else "read at start",
        inferred=bool(inferred),
        note=f"inferred: {', '.join(inferred)}" if inferred else "",
    )


def _wrong(key: str, finding: Finding) -> Outcome:
    state = SettingState.DEAD if finding.state in _DEAD else SettingState.REFUSED
    suggestion = f"; instead: {finding.suggestion}" if finding.suggestion else ""
    return without_key(_intent(key), state, f"{finding.reason}{suggestion}")


def _not_listed(key: str, finding: Finding) -> Outcome:
    """Nothing is wrong with it as far as that can be told, and that is not enough to write it."""
    message = "not in the catalogue of keys, so that neither that it exists nor its value can be checked"
    meant = f"; instead: {finding.suggestion}" if finding.suggestion else ""
    return without_key(_intent(key), SettingState.REFUSED, f"{message}{meant}")


def _twice(key: str, declared: Mapping[str, str]) -> Outcome:
    same = [other for other in sorted(declared) if normalised(other) == normalised(key)]
    message = f"{' and '.join(same)} are one key to Milvus: write one of them"
    return without_key(_intent(key), SettingState.REFUSED, message)


def _carrier(key: str, version: ServerVersion) -> Intent | None:
    """The intent whose lever is this key in this version."""
    levers = (find_lever(intent, version) for intent in Intent)
    return next(
        (lever.intent for lever in levers if isinstance(lever, Lever) and normalised(lever.key) == normalised(key)),
        None,
    )


def _intent(key: str) -> str:
    return f"configOverrides.{key}"
