"""The commands themselves: read, hand to the pure part, print. Each returns its exit code."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from milvus_tuning.cli import explain, history, plans, top, votes
from milvus_tuning.cli.arguments import (
    EXIT_OK,
    EXIT_TO_DO,
    OUTPUTS,
    CommandParser,
    add_connection,
    add_output,
    repeated,
)
from milvus_tuning.cli.connecting import connected
from milvus_tuning.cli.fields import name, text
from milvus_tuning.cli.printing import print_document, screen_width
from milvus_tuning.cli.rebalance import add_rebalance
from milvus_tuning.errors import ConfigError, Conflict
from milvus_tuning.plan import Vote

if TYPE_CHECKING:
    from milvus_tuning.cli.cluster import Cluster

ATTEMPTS = 5  # the operator writes into a running plan every few seconds; each attempt judges the plan anew
LONGEST_REASON = 1024  # as in the API
VOTE_HELP = {
    "approve": "approve a plan: it is carried out as it stands",
    "reject": "reject a plan that has not begun",
    "cancel": "stop a plan; what it did so far is taken back",
}


def add_commands(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add `plan`, the three votes, `explain`, `history`, `top` and `rebalance`."""
    reading: tuple[tuple[str, str, Callable[[argparse.Namespace], int]], ...] = (
        ("plan", "show what would be done, waits or runs; exit code 2 where there is something to do", _plan),
        ("explain", "show why: rule, inputs, rejected alternatives, conditions", _explain),
        ("history", "show what was done and what it was good for", _history),
    )
    for word, says, command in reading:
        parser = commands.add_parser(word, help=says, description=f"{says[0].upper()}{says[1:]}.")
        if word == "plan":
            parser.add_argument("policy", metavar="POLICY", nargs="?", help="name of the MilvusTuning (default: all)")
        else:
            parser.add_argument("policy", metavar="POLICY", help="name of the MilvusTuning")
        add_connection(parser)
        add_output(parser)
        if word == "explain":
            parser.add_argument("--plan", help="explain this plan of the policy, and not its present decision")
        parser.set_defaults(command=command)
    for word, choice in votes.COMMANDS.items():
        parser = commands.add_parser(word, help=VOTE_HELP[word], description=f"{VOTE_HELP[word].capitalize()}.")
        parser.add_argument("plan", metavar="PLAN", help="name of the MilvusTuningPlan")
        parser.add_argument("--reason", help="why, to be kept in the plan")
        add_connection(parser)
        parser.set_defaults(command=functools.partial(_vote, choice))
    _add_top(commands)
    add_rebalance(commands)


def _add_top(commands: argparse._SubParsersAction[CommandParser]) -> None:
    says = "show the hottest QueryNodes, collections or segments: what searching them costs, an estimate"
    parser = commands.add_parser("top", help=says, description=f"{says[0].upper()}{says[1:]}.")
    parser.add_argument("subject", choices=top.SUBJECTS, help="of what")
    parser.add_argument("policy", metavar="POLICY", nargs="?", help="name of the MilvusTuning (default: the only one)")
    add_connection(parser)
    add_output(parser)
    parser.set_defaults(command=_top)


def _plan(parsed: argparse.Namespace) -> int:
    cluster = connected(parsed)
    policies = [cluster.policy(parsed.policy)] if parsed.policy else cluster.policies()
    found = plans.standings(policies, cluster.plans() if policies else [])
    if parsed.output != OUTPUTS[0]:
        print_document({"policies": [plans.document(standing) for standing in found]}, parsed.output)
    elif not found:
        print(f"no MilvusTuning in namespace {cluster.namespace}")
    else:
        command = _command(parsed, cluster)
        print("\n\n".join("\n".join(plans.render(standing, command, _now(), screen_width())) for standing in found))
    return EXIT_TO_DO if any(standing.something_to_do for standing in found) else EXIT_OK


def _explain(parsed: argparse.Namespace) -> int:
    cluster = connected(parsed)
    policy = cluster.policy(parsed.policy)
    if parsed.plan is None:
        _print(parsed, lambda: explain.document(policy), lambda: explain.render(policy, _now(), screen_width()))
        return EXIT_OK
    plan = cluster.plan(parsed.plan)
    made_for = text(plan, "spec", "change", "policy", "name")
    if made_for != name(policy):
        raise ConfigError(f"plan {name(plan)} was made for the policy {made_for}, not for {name(policy)}")
    _print(parsed, lambda: explain.plan_document(plan), lambda: explain.render_plan(plan, _now(), screen_width()))
    return EXIT_OK


def _history(parsed: argparse.Namespace) -> int:
    policy = connected(parsed).policy(parsed.policy)
    _print(parsed, lambda: history.document(policy), lambda: history.render(policy, _now(), screen_width()))
    return EXIT_OK


def _top(parsed: argparse.Namespace) -> int:
    cluster, subject = connected(parsed), parsed.subject
    policy = cluster.policy(parsed.policy) if parsed.policy else top.the_only(cluster.policies(), cluster.namespace)
    top.require_heat(policy)
    _print(
        parsed,
        lambda: top.document(policy, subject),
        lambda: top.render(policy, subject, _now(), screen_width()),
    )
    return EXIT_OK


def _vote(choice: Vote, parsed: argparse.Namespace) -> int:
    if parsed.reason is not None and len(parsed.reason) > LONGEST_REASON:
        raise ConfigError(f"--reason has {len(parsed.reason)} characters, more than {LONGEST_REASON}")
    cluster = connected(parsed)
    command = _command(parsed, cluster)
    for attempt in range(1, ATTEMPTS + 1):
        plan = cluster.plan(parsed.plan)
        judgement = votes.judge(choice, plan, command, _now())
        if not judgement.write:
            print(judgement.said)
            return EXIT_OK
        approval = {"decision": choice.value, "by": cluster.username(), "reason": parsed.reason}
        try:
            written = cluster.vote(plan, approval)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
            continue
        print("\n".join(votes.outcome(choice, plan, written, command)))
        break
    return EXIT_OK


def _command(parsed: argparse.Namespace, cluster: Cluster) -> plans.Command:
    def line(command: str, of: str) -> str:
        return repeated(parsed, command, of, cluster.namespace)

    return line


def _print(
    parsed: argparse.Namespace, document: Callable[[], dict[str, object]], lines: Callable[[], list[str]]
) -> None:
    if parsed.output == OUTPUTS[0]:
        print("\n".join(lines()))
    else:
        print_document(document(), parsed.output)


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  for ages on a screen; nothing is decided from it but an expiry
