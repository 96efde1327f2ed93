"""`milvus-tuning config`: what becomes of configuration files in one exact release of Milvus. Works offline."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from milvus_tuning.catalogue.keys import normalised
from milvus_tuning.catalogue.lint import NOT_CHECKED, Finding, KeyState, Setting, judge, lint, target
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.catalogue.registry import Catalogue, ConfigKey
from milvus_tuning.catalogue.values import same
from milvus_tuning.catalogue.version import ServerVersion
from milvus_tuning.cli.arguments import (
    EXIT_FAILURE,
    EXIT_OK,
    EXIT_TO_DO,
    OUTPUTS,
    CommandParser,
    add_output,
)
from milvus_tuning.cli.config_files import read_settings_file
from milvus_tuning.cli.config_render import add_config_render
from milvus_tuning.cli.config_revert import add_config_revert
from milvus_tuning.cli.config_status import add_config_status
from milvus_tuning.cli.layout import fit, hanging, plural
from milvus_tuning.errors import ConfigError

WIDTH_WITHOUT_TERMINAL = 120
INDENT = "    "
EMPTY = '""'


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A key whose effective value differs between two files; None is one that a file leaves to the default."""

    key: str
    before: str | None
    after: str | None
    default: str | None
    """What Milvus takes where nobody sets it; None where that is not known."""
    finding: Finding
    """Of the value after, or of the one before where a file leaves the key out."""


def add_config_commands(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add `config lint`, `diff`, `render`, `status` and `revert`."""
    parser = commands.add_parser("config", help="Milvus's configuration: files, offline; and what a policy declares")
    inner = parser.add_subparsers(required=True, metavar="COMMAND")
    add_config_status(inner)
    add_config_revert(inner)
    add_config_render(inner)
    says = "say of each key whether it acts in a release; exit code 1 where anything is wrong"
    checker = inner.add_parser("lint", help=says, description=f"{says[0].upper()}{says[1:]}.")
    checker.add_argument("files", metavar="FILE", nargs="+", type=Path, help="milvus.yaml, Helm values or manifests")
    checker.add_argument("--all", action="store_true", help="show keys that nothing is wrong with, too")
    checker.set_defaults(command=_lint)
    says = "show what differs in effect between two files; exit code 2 where anything does"
    differ = inner.add_parser("diff", help=says, description=f"{says[0].upper()}{says[1:]}.")
    differ.add_argument("before", metavar="A", type=Path, help="file before")
    differ.add_argument("after", metavar="B", type=Path, help="file after")
    differ.set_defaults(command=_diff)
    for each in (checker, differ):
        each.add_argument("--milvus-version", required=True, metavar="VERSION", help="exact release, such as 2.5.4")
        add_output(each)


def _lint(parsed: argparse.Namespace) -> int:
    known, version = _known(parsed)
    documents = [document for file in parsed.files for document in read_settings_file(file)]
    findings = [found for document in documents for found in lint(document, version, known)]
    if parsed.output != OUTPUTS[0]:
        _print_document([_document(found) for found in findings], parsed.output)
    else:
        print("\n".join(render(findings, version, _width(), everything=parsed.all)))
    return EXIT_FAILURE if any(found.state.wrong for found in findings) else EXIT_OK


def _diff(parsed: argparse.Namespace) -> int:
    known, version = _known(parsed)
    sides = [
        [one for document in read_settings_file(file) for one in document if not one.environment]
        for file in (parsed.before, parsed.after)
    ]
    found = differences(sides[0], sides[1], version, known)
    if parsed.output != OUTPUTS[0]:
        _print_document([_difference_document(difference) for difference in found], parsed.output)
    else:
        print("\n".join(render_differences(found, version, _width())))
    return EXIT_TO_DO if found else EXIT_OK


def _known(parsed: argparse.Namespace) -> tuple[Catalogue, ServerVersion]:
    known = catalogue()
    try:
        wanted = target(parsed.milvus_version, known)
    except ValueError as error:
        raise ConfigError(f"--milvus-version: {error}") from error
    if wanted.caution:
        print(f"{parsed.program}: {wanted.caution}", file=sys.stderr)
    return known, wanted.version


def render(findings: Sequence[Finding], version: ServerVersion, width: int, *, everything: bool) -> list[str]:
    """For people: each finding with its place, in the order of the files, and last what is the install's own."""
    shown = [found for found in findings if everything or found.state.wrong]
    places = max((len(_where(found.setting)) for found in shown), default=0)
    lines: list[str] = []
    for found, more in _grouped(shown):
        name = f"{found.setting.key} and {more} more" if more else _named(found)
        lines.append(f"{_where(found.setting):{places}}   {found.state.value.upper():7}   {name}")
        for text in (found.reason, f"-> {found.suggestion}" if found.suggestion else ""):
            lines += hanging(text, first=INDENT, rest=INDENT, width=width) if text else []
    return [*lines, *([""] if lines else []), _tally(findings, version)]


def _grouped(shown: Sequence[Finding]) -> list[tuple[Finding, int]]:
    """Findings with how many more are alike: a whole milvus.yaml has dozens of keys of the install."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for found in shown:
        if found.state is KeyState.MANAGED:
            alike.setdefault((found.setting.file, found.reason), []).append(found)
    own = [(found, 0) for found in shown if found.state is not KeyState.MANAGED]
    return [*own, *((group[0], len(group) - 1) for group in alike.values())]


def _tally(findings: Sequence[Finding], version: ServerVersion) -> str:
    counts = Counter(found.state for found in findings)
    parts = [f"{counts[state]} {state.value}" for state in reversed(KeyState) if counts[state]]
    passed_over = sum(found.reason == NOT_CHECKED for found in findings)
    if passed_over:
        parts[-1] += f" ({passed_over} of them not checked, for they are no known tuning keys)"
    return f"{plural(len(findings), 'key')} for Milvus {version}" + (f": {', '.join(parts)}" if parts else "")


def differences(
    before: Sequence[Setting], after: Sequence[Setting], version: ServerVersion, known: Catalogue
) -> list[Difference]:
    """What is another value in effect: a default written out is no difference to a key left out."""
    old = {normalised(setting.key): setting for setting in before}
    new = {normalised(found.setting.key): found for found in lint(after, version, known)}
    found: list[Difference] = []
    for match in dict.fromkeys([*old, *new]):
        key = known.keys.get(match)
        values = (old[match].value if match in old else None, new[match].setting.value if match in new else None)
        if _alike(key, values, version):
            continue
        finding = new[match] if match in new else judge(old[match], version, known)
        name = key.name if key is not None else finding.setting.key
        default = key.default(version) if key is not None else None
        found.append(Difference(key=name, before=values[0], after=values[1], default=default, finding=finding))
    return sorted(found, key=lambda difference: difference.key.lower())


def _alike(key: ConfigKey | None, values: Sequence[str | None], version: ServerVersion) -> bool:
    """Whether two values amount to the same; None, and an empty text, is the default."""
    default = key.default(version) if key is not None else None
    before, after = (value if value or default is None else default for value in values)
    if key is None or before is None or after is None:
        return before == after
    return same(key.type, before, after)


def render_differences(found: Sequence[Difference], version: ServerVersion, width: int) -> list[str]:
    """For people: each key from what to what, how that comes into force, and what must restart in all."""
    if not found:
        return [f"no difference in effect for Milvus {version}"]
    lines: list[str] = []
    for one in found:
        lines.append(f"{one.key}: {_side(one.before, one)} -> {_side(one.after, one)}")
        lines += hanging(
            f"{one.finding.state.value.upper()}, {one.finding.reason}", first=INDENT, rest=INDENT, width=width
        )
        if one.finding.suggestion:
            lines += hanging(f"-> {one.finding.suggestion}", first=INDENT, rest=INDENT, width=width)
    restarts = sorted({one.finding.component for one in found if one.finding.state is KeyState.RESTART})
    total = f"{plural(len(found), 'key')} {'differs' if len(found) == 1 else 'differ'} in effect for Milvus {version}"
    needed = f"restart of {', '.join(restarts)}" if restarts else "nothing must restart"
    return [*lines, "", f"{total}; {needed}"]


def _side(value: str | None, one: Difference) -> str:
    if value:
        return value
    if one.default is None:
        return "not set" if value is None else EMPTY
    return f"{one.default or EMPTY} (default)"


def _where(setting: Setting) -> str:
    return f"{setting.file}:{setting.line}"


def _named(found: Finding) -> str:
    """The key with its value; without it where that may be a password."""
    setting = found.setting
    return setting.key if found.state is KeyState.MANAGED else f"{setting.key}: {setting.value or EMPTY}"


def _document(found: Finding) -> dict[str, object]:
    return {
        "key": found.setting.key,
        "state": found.state.value,
        "reason": found.reason,
        "suggestion": found.suggestion or None,
        "since": found.since or None,
        "removed": found.removed or None,
        "file": found.setting.file or None,
        "line": found.setting.line or None,
    }


def _difference_document(difference: Difference) -> dict[str, object]:
    finding = difference.finding
    return {
        "key": difference.key,
        "before": difference.before,
        "after": difference.after,
        "default": difference.default,
        "state": finding.state.value,
        "component": finding.component or None,
        "reason": finding.reason,
        "suggestion": finding.suggestion or None,
    }


def _print_document(document: object, output: str) -> None:
    if output == "json":
        print(json.dumps(document, indent=2))
    else:
        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")


def _width() -> int:
    return fit(shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns)
