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

from milvus_tuning.catalogue import Conversion, ServerVersion, lever_with_key, normalised
from milvus_tuning.catalogue.lint import Finding, KeyState, Setting, Target, evidence_of, lint, suggest, target
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
    if view.version is None:
        return tuple(_unchecked(key, "the server version is not known") for key in sorted(declared))
    try:
        release = target(str(view.version), catalogue())
    except ValueError as error:
        return tuple(_unchecked(key, f"keys cannot be checked: {error}") for key in sorted(declared))
    spellings = Counter(normalised(key) for key in declared)
    once = tuple((key, value) for key, value in sorted(declared.items()) if spellings[normalised(key)] == 1)
    judged_once = {
        key: _override(key, value, finding, release, view)
        for (key, value), finding in zip(once, _findings(once, release.version), strict=True)
    }
    return tuple(judged_once[key] if key in judged_once else _twice(key, declared) for key in sorted(declared))


def _override(key: str, value: str, finding: Finding, release: Target, view: View) -> Outcome:
    if finding.state.wrong:
        return _wrong(key, finding)
    known = catalogue().find(key)
    if known is None:
        return _not_listed(key, finding)
    lever = lever_with_key(key, release.version)
    if lever is not None:
        message = f"{known.name} is carried by {lever.intent.field}: declare that instead"
        return without_key(_intent(key), SettingState.REFUSED, message, key=known.name)
    return judged(_wish(key, value, known, release), view)


@lru_cache(maxsize=64)
def _findings(declared: tuple[tuple[str, str], ...], version: ServerVersion) -> tuple[Finding, ...]:
    """What the catalogue says of the overrides together; what was meant by a misspelt one takes a while to find.

    One that is refused is not there for the others: of two watermarks the second alone is held against a default.
    """
    found: dict[str, Finding] = {}
    while len(found) < len(declared):
        rest = [Setting(key=key, value=value) for key, value in declared if key not in found]
        said = lint(rest, version, catalogue())
        wrong = [finding for finding in said if finding.state.wrong]
        found |= {finding.setting.key: finding for finding in wrong or said}
    return tuple(_with_suggestion(found[key], version) for key, _ in declared)


def _with_suggestion(finding: Finding, version: ServerVersion) -> Finding:
    if finding.state.wrong or finding.suggestion or catalogue().find(finding.setting.key) is not None:
        return finding
    return replace(finding, suggestion=suggest(finding.setting.key, version, catalogue()))


def _unchecked(key: str, why: str) -> Outcome:
    return without_key(_intent(key), SettingState.NOT_APPLIED, why)


def _wish(key: str, value: str, known: ConfigKey, release: Target) -> Wish:
    live = known.is_live(release.version)
    inferred = bool(release.caution) or evidence_of(key, release.version, value, catalogue()) is Evidence.INFERRED
    return Wish(
        intent=_intent(key),
        name=known.name,
        desired=value,
        conversion=_CONVERSIONS.get(known.type, Conversion.MILLISECONDS),
        live=live,
        component=known.restarts(release.version),
        evidence="read again by the running component" if live else "read at start",
        inferred=inferred,
        note="effect or range is inferred" if inferred else "",
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


def _intent(key: str) -> str:
    return f"configOverrides.{key}"
