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
from milvus_tuning.catalogue.lint import NOT_CHECKED, Finding, KeyState, Setting, lint, target
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.catalogue.registry import Catalogue
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
from milvus_tuning.cli.config_revert import add_config_revert
from milvus_tuning.cli.config_status import add_config_status
from milvus_tuning.cli.layout import fit, plural, table
from milvus_tuning.errors import ConfigError

WIDTH_WITHOUT_TERMINAL = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A key whose effective value differs between two files; None is one that a file leaves to the default."""

    key: str
    before: str | None
    after: str | None
    finding: Finding


def add_config_commands(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add `config lint`, `diff`, `status` and `revert`."""
    parser = commands.add_parser("config", help="Milvus's configuration: files, offline; and what a policy declares")
    inner = parser.add_subparsers(required=True, metavar="COMMAND")
    add_config_status(inner)
    add_config_revert(inner)
    says = "say of each key whether it acts in a release; exit code 1 where anything is wrong"
    checker = inner.add_parser("lint", help=says, description=f"{says[0].upper()}{says[1:]}.")
    checker.add_argument("files", metavar="FILE", nargs="+", type=Path, help="milvus.yaml, Helm values or a Milvus CR")
    checker.add_argument("--all", action="store_true", help="show keys that nothing is wrong with, too (table)")
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
    findings = [found for file in parsed.files for found in lint(read_settings_file(file), version, known)]
    if parsed.output != OUTPUTS[0]:
        _print_document([_document(found) for found in findings], parsed.output)
    else:
        print("\n".join(render(findings, version, _width(), everything=parsed.all)))
    return EXIT_FAILURE if any(found.state.wrong for found in findings) else EXIT_OK


def _diff(parsed: argparse.Namespace) -> int:
    known, version = _known(parsed)
    found = differences(read_settings_file(parsed.before), read_settings_file(parsed.after), version, known)
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
    """The table for people: what is wrong, worst state first, and how many keys are fine."""
    order = list(KeyState)
    shown = [found for found in findings if everything or found.state.wrong]
    shown.sort(key=lambda found: (-order.index(found.state), found.setting.file, found.setting.line))
    lines: list[str] = []
    if shown:
        several = len({found.setting.file for found in findings}) > 1
        lines += [*table(("STATE", "KEY", "WHERE", "WHY"), _rows(shown, several=several), width=width), ""]
    counts = Counter(found.state for found in findings)
    tally = ", ".join(f"{counts[state]} {state.value}" for state in order if counts[state])
    passed_over = sum(found.reason == NOT_CHECKED for found in findings)
    tally += f"; {passed_over} ok keys are no known tuning keys and were not checked" if passed_over else ""
    return [*lines, f"{plural(len(findings), 'key')} for Milvus {version}" + (f": {tally}" if tally else "")]


def differences(
    before: Sequence[Setting], after: Sequence[Setting], version: ServerVersion, known: Catalogue
) -> list[Difference]:
    """What is another value in effect: a default written out is no difference to a key left out."""
    old = {normalised(setting.key): setting for setting in before}
    new = {normalised(setting.key): setting for setting in after}
    found: list[Difference] = []
    for match in dict.fromkeys([*old, *new]):
        values = [side[match].value if match in side else None for side in (old, new)]
        if _effective(match, values[0], version, known) == _effective(match, values[1], version, known):
            continue
        setting = new.get(match) or old[match]
        [finding] = lint([setting], version, known)
        name = known.keys[match].name if match in known.keys else setting.key
        found.append(Difference(key=name, before=values[0], after=values[1], finding=finding))
    return sorted(found, key=lambda difference: difference.key.lower())


def _effective(match: str, value: str | None, version: ServerVersion, known: Catalogue) -> str | None:
    """What a value amounts to; None is a default that is not known."""
    key = known.keys.get(match)
    default = key.defaults.get(f"{version.major}.{version.minor}") if key is not None else None
    if value is None or (value == "" and default is not None):
        return default
    if key is not None and key.type.value == "bool":
        return str(value in {"1", "t", "T", "TRUE", "true", "True"}).lower()
    return value


def render_differences(found: Sequence[Difference], version: ServerVersion, width: int) -> list[str]:
    """The table for people."""
    if not found:
        return [f"no difference in effect for Milvus {version}"]
    rows = [
        (d.key, _side(d.before), _side(d.after), d.finding.state.value.upper(), _explained(d.finding)) for d in found
    ]
    return table(("KEY", "BEFORE", "AFTER", "STATE", "HOW"), rows, width=width)


def _side(value: str | None) -> str:
    return "(default)" if value is None else value or '""'


def _rows(shown: Sequence[Finding], *, several: bool) -> list[tuple[str, str, str, str]]:
    """One row for each finding; keys of the install are one row for each reason, for a whole milvus.yaml has dozens."""
    rows: list[tuple[str, str, str, str]] = []
    alike = Counter((found.setting.file, found.reason) for found in shown if found.state is KeyState.MANAGED)
    for found in shown:
        count = 1
        if found.state is KeyState.MANAGED:
            count = alike.pop((found.setting.file, found.reason), 0)
        if count:
            more = f" and {count - 1} more" if count > 1 else ""
            where = _where(found.setting, several=several)
            rows.append((found.state.value.upper(), f"{found.setting.key}{more}", where, _explained(found)))
    return rows


def _where(setting: Setting, *, several: bool) -> str:
    if several:
        return f"{setting.file}:{setting.line}"
    return f"line {setting.line}"


def _explained(found: Finding) -> str:
    return found.reason + (f" -> {found.suggestion}" if found.suggestion else "")


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
        "state": finding.state.value,
        "component": finding.component or None,
        "reason": finding.reason,
    }


def _print_document(document: object, output: str) -> None:
    if output == "json":
        print(json.dumps(document, indent=2))
    else:
        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")


def _width() -> int:
    return fit(shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns)
