"""`milvus-tuning config status`: each declared setting as it stands, and what a pinned profile proposes beside it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime

from milvus_tuning.cli.arguments import EXIT_OK, OUTPUTS, CommandParser, add_connection, add_output
from milvus_tuning.cli.connecting import connected
from milvus_tuning.cli.fields import Body, at, entries, mapping, moment, name, text
from milvus_tuning.cli.layout import Fact, age, facts, hanging, table
from milvus_tuning.cli.plans import heading
from milvus_tuning.cli.printing import print_document, screen_width
from milvus_tuning.plan import SettingState

NOTHING = "-"
UNBROKEN = 1000  # as kubectl, a row of settings is one line, however wide the terminal is
DECLARED, PROFILE = "Declared", "Profile"
FROM = {DECLARED: "spec", PROFILE: "profile, not in force"}


def add_config_status(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add `config status`."""
    says = "show each declared setting as it stands in the running cluster, and what the profile proposes"
    parser = commands.add_parser("status", help=says, description=f"{says[0].upper()}{says[1:]}.")
    parser.add_argument("policy", metavar="NAME", help="name of the MilvusTuning")
    add_connection(parser)
    add_output(parser)
    parser.set_defaults(command=_status)


def _status(parsed: argparse.Namespace) -> int:
    policy = connected(parsed).policy(parsed.policy)
    if parsed.output == OUTPUTS[0]:
        now = datetime.now(UTC)  # noqa: TID251  for ages on a screen
        print("\n".join(render(policy, now, screen_width())))
    else:
        print_document(document(policy), parsed.output)
    return EXIT_OK


def document(policy: Body) -> dict[str, object]:
    """What `config status -o json` says; `effective` is what is declared, or else what the profile proposes."""
    return {
        "name": name(policy),
        "config": at(policy, "status", "config") or [],
        "profile": at(policy, "status", "profile"),
        "effective": [
            {"field": text(row, "field"), "value": _value(row), "from": _origin(row)} for row in _proposed(policy)
        ],
    }


def render(policy: Body, now: datetime, width: int) -> list[str]:
    """The settings for people, then the profile."""
    if not mapping(policy, "status"):
        return [heading(policy)]
    settings = entries(policy, "status", "config")
    shown = _settings(settings, now, width) if settings else ["Nothing of Milvus's configuration is declared."]
    return [heading(policy), "", *shown, *_profile(policy, width)]


def _settings(settings: Sequence[Body], now: datetime, width: int) -> list[str]:
    rows = [
        (
            text(one, "intent"),
            *(text(one, field) or NOTHING for field in ("key", "desired", "effective", "source", "state")),
            _since(one, now),
        )
        for one in settings
    ]
    lines = table(("INTENT", "KEY", "DESIRED", "EFFECTIVE", "SOURCE", "STATE", "SINCE"), rows, width=UNBROKEN)
    told = [one for one in settings if text(one, "state") != SettingState.EFFECTIVE and text(one, "message")]
    return [*lines, *([""] if told else []), *(line for one in told for line in _told(one, width))]


def _since(setting: Body, now: datetime) -> str:
    since = moment(setting, "since")
    return NOTHING if since is None else age(since, now)


def _told(setting: Body, width: int) -> list[str]:
    component = text(setting, "component")
    restart = f" (restart of {component})" if component else ""
    told = f"{text(setting, 'intent')}: {text(setting, 'state')}{restart}: {text(setting, 'message')}"
    return hanging(told, first="", rest="    ", width=width)


# -- the profile -------------------------------------------------------------------------------------------------------


def _profile(policy: Body, width: int) -> list[str]:
    profile = mapping(policy, "status", "profile")
    if not profile:
        return []
    title = f"profile {text(profile, 'name')}, revision {text(profile, 'revision')}"
    lines = ["", f"{title}: proposals, none of them in force by itself"]
    lines += facts([Fact(label="note", text=text(profile, "message"))], width=width)
    goals = [
        [text(goal, field) or NOTHING for field in ("goal", "wanted", "measured", "state")]
        for goal in entries(profile, "goals")
    ]
    if goals:
        lines += table(("GOAL", "WANTED", "MEASURED", "STATE"), goals, width=width, indent="  ")
    rows = [(text(row, "field"), _value(row), FROM[_origin(row)], _note(row)) for row in _proposed(policy)]
    if rows:
        lines += ["", *table(("FIELD", "VALUE", "FROM", "NOTE"), rows, width=width, indent="  ")]
    return lines


def _proposed(policy: Body) -> list[Body]:
    return entries(policy, "status", "profile", "proposed")


def _origin(row: Body) -> str:
    return DECLARED if text(row, "declared") else PROFILE


def _value(row: Body) -> str:
    return text(row, "declared") or text(row, "value")


def _note(row: Body) -> str:
    """What is left to tell: of a proposal what it costs, of a declared field what the profile would have."""
    declared, value, note = text(row, "declared"), text(row, "value"), text(row, "note")
    if declared:
        return "" if declared == value else f"the profile proposes {value}"
    return "declare it to have it" + (f"; {note}" if note else "")
