"""What becomes of a configuration key in one exact release: whether it exists, acts, is readable, and needs a restart.

Milvus itself never says: an unknown key is stored, a dead one is parsed, a wrong type is 0.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from milvus_tuning.catalogue.environment import PREFIX_CERTAIN_SINCE, PREFIX_SINCE, dotted, variable_of
from milvus_tuning.catalogue.keys import ENVIRONMENT_PREFIX, environment_key, normalised
from milvus_tuning.catalogue.levers import EVERY_COMPONENT
from milvus_tuning.catalogue.registry import LINES, Catalogue, ConfigKey, Effect, EffectState, Evidence, ValueType
from milvus_tuning.catalogue.together import conflicts
from milvus_tuning.catalogue.values import range_error, same, type_error
from milvus_tuning.catalogue.version import ServerVersion, parse_version

ALIKE = 0.84
"""Names this alike (difflib's ratio of what Milvus matches by) are taken for a slip of the pen."""
NOT_CHECKED = "no tuning key that is known here: neither that it exists nor its value is checked"


class KeyState(enum.StrEnum):
    """What becomes of a key; all but the first two are wrong."""

    OK = "ok"  # in force without a restart, or nothing to be said against it
    RESTART = "restart"  # in force after a restart
    DEAD = "dead"  # read by nothing in this release
    NOOP = "noop"  # read, without effect
    UNKNOWN = "unknown"  # no key of this release
    TYPE = "type"  # Milvus cannot read the value
    RANGE = "range"  # readable, and outside of what is safe or possible
    MANAGED = "managed"  # the install's own

    @property
    def wrong(self) -> bool:
        """Whether a person must look."""
        return self not in {KeyState.OK, KeyState.RESTART}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A key with its value as Milvus would read it, and where it stands."""

    key: str
    value: str
    file: str = ""
    line: int = 0
    """From 1; 0 where it is not known."""
    environment: str = ""
    """Of an environment variable, whose name is the key: the component that has it; "" for a key in a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is to be said of one setting."""

    setting: Setting
    state: KeyState
    reason: str
    suggestion: str = ""
    since: str = ""
    removed: str = ""
    component: str = ""
    """What must restart; empty where nothing must, or it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The release to check for; `caution` says why it is not exactly the one that was named."""

    version: ServerVersion
    caution: str = ""


def target(text: str, known: Catalogue) -> Target:
    """The release that a person named; raises ValueError, saying what is known, where nothing is known of it."""
    version = parse_version(text)
    if version is None:
        raise ValueError(f"{text!r} is not a Milvus version; write it as the server does, such as 2.5.4")
    line = f"{version.major}.{version.minor}"
    if line not in known.newest:
        raise ValueError(f"Milvus {version} is not in the catalogue, which has {LINES[0]} to {LINES[-1]}")
    if not version.released:
        raise ValueError(f"{version} is not a release; keys are known for releases only")
    newest = known.newest[line]
    if version > newest and version.patch > newest.patch:
        return Target(version=newest, caution=f"{version} is newer than what is known; checked as {newest}")
    return Target(version=version)


def lint(settings: Sequence[Setting], version: ServerVersion, known: Catalogue) -> list[Finding]:
    """One finding for each setting of one file, in their order; what is wrong with them together is a `range`.

    The variables of a component are checked together with the files, over which they go.
    """
    findings = [judge(setting, version, known) for setting in settings]
    for environment in dict.fromkeys(setting.environment for setting in settings):
        together = _together(settings, environment)
        pairs = [(_as_key(settings[index]), settings[index].value) for index in together]
        for place, conflict in conflicts(pairs, version, known).items():
            index = together[place]
            if settings[index].environment == environment and not findings[index].state.wrong:
                reason, suggestion = conflict.reason, conflict.suggestion
                findings[index] = replace(findings[index], state=KeyState.RANGE, reason=reason, suggestion=suggestion)
    return findings


def _together(settings: Sequence[Setting], environment: str) -> list[int]:
    """Which settings hold in a component: its own variables, over those of all components, over those in files."""
    chosen: list[int] = []
    taken: set[str] = set()
    for layer in dict.fromkeys((environment, *((EVERY_COMPONENT, "") if environment else ()))):
        found = [index for index, setting in enumerate(settings) if setting.environment == layer]
        chosen += [index for index in found if normalised(_as_key(settings[index])) not in taken]
        taken |= {normalised(_as_key(settings[index])) for index in found}
    return sorted(chosen)


def _as_key(setting: Setting) -> str:
    return dotted(setting.key) if setting.environment else setting.key


def judge(setting: Setting, version: ServerVersion, known: Catalogue) -> Finding:
    """What becomes of one setting by itself: `queryCoord.autoBalance` = "false" on 2.5.4 is ok, live."""
    if setting.environment:
        return _judge_variable(setting, version, known)
    owner = owner_of(setting.key, known)
    if owner:
        reason = f"belongs to {owner}; change it there"
        return Finding(setting=setting, state=KeyState.MANAGED, reason=reason)
    name = normalised(setting.key)
    key = known.keys.get(name)
    if key is not None:
        return _known(setting, key, version, known)
    current = known.find(known.old_names.get(name, ""))
    if current is not None and current.exists(version):
        found = _known(setting, current, version, known)
        if found.state.wrong:
            return found
        return Finding(
            setting=setting,
            state=found.state,
            reason=f"old name, read only where {current.name} is not set; {found.reason}",
            suggestion=current.name,
            component=found.component,
        )
    return _unlisted(setting, name, version, known)


def _judge_variable(setting: Setting, version: ServerVersion, known: Catalogue) -> Finding:
    """A variable is judged as the key that it is to Milvus; in force it is only when its pods have been replaced."""
    prefixed, plain = setting.key.startswith(ENVIRONMENT_PREFIX), setting.key.removeprefix(ENVIRONMENT_PREFIX)
    if prefixed and version < PREFIX_SINCE:
        reason = f"{version} knows no variables with the prefix {ENVIRONMENT_PREFIX}"
        return Finding(setting=setting, state=KeyState.UNKNOWN, reason=reason, suggestion=plain)
    found = judge(replace(setting, key=_as_key(setting), environment=""), version, known)
    meant = known.find(found.suggestion)
    found = replace(found, setting=setting, suggestion=variable_of(meant.name) if meant else found.suggestion)
    if found.state.wrong or found.reason == NOT_CHECKED:
        return found
    reason = f"read at start, over files and below etcd: in force once the pods of {setting.environment} are replaced"
    if prefixed and version < PREFIX_CERTAIN_SINCE:
        reason += f"; from which release on the prefix {ENVIRONMENT_PREFIX} is known, before 2.6, is not known here"
        found = replace(found, suggestion=plain)
    return replace(found, state=KeyState.RESTART, reason=reason, component=setting.environment)


def _known(setting: Setting, key: ConfigKey, version: ServerVersion, known: Catalogue) -> Finding:
    removed = key.removed(version)
    dates = {"since": str(key.since(version)), "removed": str(removed or "")}
    if not key.exists(version):
        return _absent(setting, key, version, known, dates)
    effect = key.effect(version)
    if effect is not None:
        state = KeyState(effect.state.value)
        suggestion = _first_there((*effect.instead, key.renamed), version, known)
        return Finding(setting=setting, state=state, reason=_why(effect), suggestion=suggestion, **dates)
    wrong = type_error(key, setting.value)
    if wrong:
        return Finding(setting=setting, state=KeyState.TYPE, reason=wrong, suggestion=_default(key, version), **dates)
    wrong = range_error(key, setting.value, version)
    if wrong:
        return Finding(setting=setting, state=KeyState.RANGE, reason=wrong, suggestion=_default(key, version), **dates)
    doubt = "" if key.certain(version) else "; from which patch of this line on the key is there is not known"
    doubt += f"; {key.note(version)}" if key.note(version) else ""
    renamed = _first_there((key.renamed,), version, known)
    if key.is_live(version):
        return Finding(setting=setting, state=KeyState.OK, reason=f"live{doubt}", suggestion=renamed, **dates)
    component = key.restarts(version)
    reason = f"in force after a restart of {component}{doubt}"
    return Finding(
        setting=setting, state=KeyState.RESTART, reason=reason, suggestion=renamed, component=component, **dates
    )


def _absent(
    setting: Setting, key: ConfigKey, version: ServerVersion, known: Catalogue, dates: dict[str, str]
) -> Finding:
    suggestion = _first_there((key.renamed,), version, known)
    if not suggestion:
        suggestion = next((name for name in _heirs(key, known) if _acts(name, version, known)), "")
    later = any(version < span.since for span in key.present)
    if dates["removed"] and not later:
        reason = f"gone from {dates['removed']} on"
        return Finding(setting=setting, state=KeyState.DEAD, reason=reason, suggestion=suggestion, **dates)
    reason = f"{version} does not have it; it came with {dates['since']}"
    if dates["removed"]:
        reason += ", and an older line has it, too"
    return Finding(setting=setting, state=KeyState.UNKNOWN, reason=reason, suggestion=suggestion, **dates)


def _heirs(key: ConfigKey, known: Catalogue) -> list[str]:
    """Keys that read this one where they are absent, and those that it reads where it is absent itself."""
    name = normalised(key.name)
    later = [other.name for other in known.keys.values() if name in map(normalised, other.fallbacks)]
    return [*later, *key.fallbacks]


def _unlisted(setting: Setting, name: str, version: ServerVersion, known: Catalogue) -> Finding:
    if environment_key(name) != name and environment_key(name) in known.keys:
        meant = known.keys[environment_key(name)].name
        reason = f"{ENVIRONMENT_PREFIX} is for environment variables; a file has the key itself"
        return Finding(setting=setting, state=KeyState.UNKNOWN, reason=reason, suggestion=meant)
    fake = known.never.get(name)
    if fake is not None:
        suggestion = _first_there(fake.instead, version, known)
        reason = f"a key of no release: {fake.reason}"
        return Finding(setting=setting, state=KeyState.UNKNOWN, reason=reason, suggestion=suggestion)
    section = setting.key.replace("/", ".").split(".")[0].lower()
    dotted = setting.key.replace("/", ".").lower()
    if name in known.other or any(fnmatchcase(dotted, pattern) for pattern in known.unchecked):
        return Finding(setting=setting, state=KeyState.OK, reason=NOT_CHECKED)
    suggestion = suggest(setting.key, version, known)
    complete = any(dotted.startswith(f"{prefix}.") for prefix in known.sections)
    if section in known.outside and not complete and not suggestion:
        return Finding(setting=setting, state=KeyState.OK, reason=NOT_CHECKED)
    what = f"no key of {version}" if complete or section in known.outside else f"Milvus has no section {section!r}"
    return Finding(setting=setting, state=KeyState.UNKNOWN, reason=what, suggestion=suggestion)


def suggest(name: str, version: ServerVersion, known: Catalogue) -> str:
    """The key of this release that was probably meant: the same last word elsewhere, else the name most alike."""
    sought = normalised(name)
    there = {match: key for match, key in known.keys.items() if _acts(key.name, version, known)}
    alike = difflib.get_close_matches(sought, there, n=1, cutoff=ALIKE)
    last = normalised(name.replace("/", ".").rsplit(".", 1)[-1])
    section = name.split(".", maxsplit=1)[0].lower()
    namesakes = [key.name for key in there.values() if normalised(key.name.rsplit(".", 1)[-1]) == last]
    same_section = [found for found in namesakes if found.split(".")[0].lower() == section]
    for candidates in (same_section, namesakes):
        if len(candidates) == 1 and len(last) > len("enabled"):
            return candidates[0]
    return there[alike[0]].name if alike else ""


def owner_of(name: str, known: Catalogue) -> str:
    """Who decides a key that no tuning may touch, `mq.type` in any spelling; "" where it is free."""
    dotted, plain = name.replace("/", ".").lower(), normalised(name)
    owners = (row.owner for row in known.managed if plain in row.names or row.below.match(dotted))
    return next(owners, "")


def evidence_of(name: str, version: ServerVersion, value: str, known: Catalogue) -> Evidence:
    """What a value of a key rests on in this release: the weakest of what is known of effect, range and presence.

    A switch and the default need no range. A number or text of a key without a range is inferred: that Milvus reads it
    says nothing of what it does. So is a name that the catalogue does not hold, and a patch that may lack the key.
    """
    key = known.find(name)
    if key is None or not key.certain(version):
        return Evidence.INFERRED
    effect = key.effect(version)
    grounds = [key.evidence_in(version, known.ran)]
    if effect is not None:
        grounds.append(effect.evidence)
    if key.type is not ValueType.BOOL and value and not same(key.type, value, key.default(version) or ""):
        grounds.append(key.range.evidence if key.range is not None else Evidence.INFERRED)
    return max(grounds, key=list(Evidence).index)


def _first_there(names: Iterable[str], version: ServerVersion, known: Catalogue) -> str:
    """The first of the names that exists and acts in this release."""
    return next((name for name in names if _acts(name, version, known)), "")


def _acts(name: str, version: ServerVersion, known: Catalogue) -> bool:
    key = known.find(name)
    return key is not None and key.exists(version) and key.effect(version) is None and not owner_of(key.name, known)


def _why(effect: Effect) -> str:
    if effect.state is not EffectState.NOOP:
        return effect.reason
    mended = f"; mended in {effect.span.until}" if effect.span.until is not None else ""
    return f"{effect.reason}, from {effect.span.since} on{mended}"


def _default(key: ConfigKey, version: ServerVersion) -> str:
    default = key.default(version)
    return f"{default} is the default" if default else ""
