"""`milvus-tuning rebalance plan`: plan the moves for a cluster described in a file; nothing is asked, nothing changed.

Input and output are documented in docs/rebalancing.md and are stable: fields may be added, none changes its meaning.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from milvus_tuning.cli.arguments import EXIT_OK, EXIT_TO_DO, OUTPUTS, CommandParser, add_output
from milvus_tuning.cli.layout import Fact, facts, grouped, plural, table
from milvus_tuning.cli.printing import print_document, screen_width
from milvus_tuning.decide.rebalancing import Cluster, LoadSummary, RebalancePlan, plan_rebalance, row_neutral_moves
from milvus_tuning.errors import ConfigError

STDIN = "-"
MOST_FAULTS = 5
MEBIBYTE = 2**20
MEND = {"missing": "add it", "unexpected_keyword_argument": "remove it, or correct its spelling"}
"""What to do, by pydantic's type of error; the other messages say themselves what the value should be."""


def add_rebalance(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add `rebalance plan`."""
    rebalance = commands.add_parser("rebalance", help="plan better places for hot segments, offline")
    actions = rebalance.add_subparsers(required=True, metavar="ACTION")
    says = "plan the moves for a cluster described in a file; exit code 2 where there is something to do"
    plan = actions.add_parser("plan", help=says, description=f"{says[0].upper()}{says[1:]}.")
    plan.add_argument("--input", required=True, metavar="FILE", help="the cluster as JSON; - is standard input")
    plan.add_argument("--row-neutral", action="store_true", help="only moves that Milvus's own balancer leaves alone")
    add_output(plan)
    plan.set_defaults(command=_plan)


def document(plan: RebalancePlan, *, seconds: float, reading_seconds: float) -> dict[str, object]:
    """The plan for programs."""
    return {
        "moves": [
            {"segment": move.segment, "source": move.source, "destination": move.destination} for move in plan.moves
        ],
        "before": dataclasses.asdict(plan.before),
        "after": dataclasses.asdict(plan.after),
        "lower_bound": plan.lower_bound,
        "moved_bytes": plan.moved_bytes,
        "seconds": seconds,
        "reading_seconds": reading_seconds,
        "truncated": plan.truncated,
        "rejected": [
            {"segment": one.segment, "destination": one.destination, "reason": one.reason.value}
            for one in plan.rejected
        ],
        "groups": [dataclasses.asdict(group) | {"nodes": list(group.nodes)} for group in plan.groups],
    }


def render(plan: RebalancePlan, *, seconds: float, reading_seconds: float, width: int) -> list[str]:
    """The plan for people."""
    cut = "; the search was cut off, this is the best so far" if plan.truncated else ""
    count = plural(len(plan.moves), "move") if plan.moves else "none: no better placement is worth its moves"
    size = f", {grouped(round(plan.moved_bytes / MEBIBYTE))} MiB" if plan.moves else ""
    lines = facts(
        [
            Fact(label="before", text=_loads(plan.before)),
            Fact(label="after", text=_loads(plan.after)),
            Fact(label="possible", text=f"no placement has a lower maximum than {plan.lower_bound:.6g}"),
            Fact(label="moves", text=f"{count}{size}"),
            Fact(label="took", text=f"{seconds:.3f} s to plan, {reading_seconds:.3f} s to read{cut}"),
        ],
        width=width,
        indent="",
    )
    if plan.moves:
        rows = [[str(move.segment), str(move.source), str(move.destination)] for move in plan.moves]
        lines += ["", *table(["SEGMENT", "SOURCE", "DESTINATION"], rows, width=width)]
    if plan.rejected:
        refused = [[str(one.segment), str(one.destination), one.reason.value] for one in plan.rejected]
        lines += ["", "not moved", *table(["SEGMENT", "DESTINATION", "REASON"], refused, width=width, indent="  ")]
    return lines


def _plan(parsed: argparse.Namespace) -> int:
    started = time.perf_counter()
    cluster = read(parsed.input)
    begun = time.perf_counter()
    end = begun + cluster.limits.time_budget_seconds
    planner = row_neutral_moves if parsed.row_neutral else plan_rebalance
    plan = planner(cluster, out_of_time=lambda: time.perf_counter() > end)
    seconds, reading_seconds = time.perf_counter() - begun, begun - started
    if parsed.output == OUTPUTS[0]:
        width = screen_width()
        print("\n".join(render(plan, seconds=seconds, reading_seconds=reading_seconds, width=width)))
    else:
        print_document(document(plan, seconds=seconds, reading_seconds=reading_seconds), parsed.output)
    return EXIT_TO_DO if plan.moves else EXIT_OK


def read(path: str) -> Cluster:
    """The cluster in a file. Raises ConfigError with the place of what is wrong and how to mend it."""
    try:
        content = sys.stdin.buffer.read() if path == STDIN else _bytes(path)
        return TypeAdapter(Cluster).validate_json(content)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {_faults(error)}") from error


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _faults(error: ValidationError) -> str:
    shown: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        mend = MEND.get(detail["type"])
        shown.setdefault(_place(detail["loc"]), f"{detail['msg']}{f': {mend}' if mend else ''}")
    lines = [f"{place}: {message}" if place else message for place, message in list(shown.items())[:MOST_FAULTS]]
    more = f"; and {grouped(len(shown) - MOST_FAULTS)} more" if len(shown) > MOST_FAULTS else ""
    return "; ".join(lines) + more


def _place(location: Sequence[int | str]) -> str:
    """("segments", 3, "node", "int") -> "segments[3].node": the variants of a union are no part of the file."""
    parts = [part for part in location if part not in {"int", "str"}]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _loads(summary: LoadSummary) -> str:
    return (
        f"maximum load {summary.max_load:.6g}, mean {summary.mean_load:.6g}, "
        f"imbalance {summary.imbalance_ratio * 100:.1f} %"
    )
