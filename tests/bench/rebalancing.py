"""How fast and how good the planner of moves is, on seeded clusters of four sizes, beside two other balancers.

    python -m tests.bench.rebalancing [--write] [--sizes 1000x20,10000x100]

Each cluster goes through the command itself, as a file and in a process of its own, so that time and memory are those
of `milvus-tuning rebalance plan`. The moves are carried out by tests/rebalancing/validator.py, which shares no code
with the planner. What misses a target is named below the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.page import PAGE, ROOT, machine, row, write_section
from tests.rebalancing.balancers import greedy, score_based
from tests.rebalancing.instances import SHAPES, Shape, an_instance
from tests.rebalancing.planning import CLUSTER
from tests.rebalancing.programme import least_bytes, least_max_load, least_whole_bytes
from tests.rebalancing.validator import Document, replay

HEADING = "Placement of hot segments"
SEED = 1
GIBIBYTE, KIBIBYTE = 2**30, 2**10
WHOLE_SECONDS = 15.0
WITH_PEAK = """
import sys
from milvus_tuning.__main__ import main
code = main(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")), file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How large, how long planning may take, which shapes, and what is compared with."""

    segments: int
    nodes: int
    most_seconds: float
    shapes: tuple[Shape, ...] = SHAPES
    bytes_bound: bool = False
    load_bound: bool = False
    repeats: int = 1

    def __str__(self) -> str:
        return f"{self.segments}x{self.nodes}"


SIZES = (
    Size(segments=200, nodes=6, most_seconds=0.05, bytes_bound=True, load_bound=True, repeats=3),
    Size(segments=1000, nodes=20, most_seconds=0.05, bytes_bound=True, load_bound=True, repeats=3),
    Size(segments=10_000, nodes=100, most_seconds=1.0, load_bound=True, repeats=3),
    Size(segments=100_000, nodes=500, most_seconds=15.0),
    Size(segments=1_000_000, nodes=1000, most_seconds=180.0, shapes=(SHAPES[1], SHAPES[5])),
)
NEUTRAL = SIZES[1:3]
NEUTRAL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one run of the command gave."""

    plan: Document
    peak_bytes: int


def main() -> int:
    """Measure, print, and with --write keep the section."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rebalancing", description="Measure the planner.")
    parser.add_argument("--write", action="store_true", help=f"write its section of {PAGE.relative_to(ROOT)}")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="default: all, %(default)s")
    arguments = parser.parse_args()
    wanted = arguments.sizes.split(",")
    misses: list[str] = []
    free = _table(COLUMNS, _measured, [size for size in SIZES if str(size) in wanted], misses)
    neutral = _table(NEUTRAL_COLUMNS, _neutral, [size for size in NEUTRAL if str(size) in wanted], misses)
    verdict = "Every target was met." if not misses else "Targets missed:\n\n" + "\n".join(misses)
    text = f"{free}\n\n{NEUTRAL_INTRODUCTION}\n\n{neutral}\n\n{verdict}\n\n{machine()}\n"
    print(text)
    if arguments.write:
        write_section(HEADING, f"{INTRODUCTION}\n\n{text}")
    return 0


Measure = Callable[[Size, Shape], tuple[list[str], list[str]]]


def _table(columns: Sequence[str], measure: Measure, sizes: Sequence[Size], misses: list[str]) -> str:
    lines = [row(columns), row(["---"] * len(columns))]
    for size in sizes:
        for shape in size.shapes:
            print(f"... {size} {shape.name}", file=sys.stderr, flush=True)
            cells, missed = measure(size, shape)
            lines.append(row(cells))
            misses += [f"- {size}, {shape.name}: {what}" for what in missed]
    return "\n".join(lines)


INTRODUCTION = """\
What `milvus-tuning rebalance plan` costs and gives, written by `python -m tests.bench.rebalancing --write`. Clusters
are seeded; their rows are even over the nodes, as Milvus leaves them, and their heat is not. Planning and reading are
the command's own `seconds` and `reading_seconds`, up to 10,000 segments the best of three runs; the peak is the
resident memory of its process.

Load figures are maximum over mean. The bound is the larger of the mean and the heaviest segment on the strongest
node; up to 10,000 segments it is the linear programme's (HiGHS) where that is higher. Bytes over LP: moved bytes over
the fewest bytes by which fractions of segments would reach the same maximum. Fractions are far below what whole
segments can do where one hot segment is more than a node has to lose, so beside it stands the same over the bound
that HiGHS proves in 15 s for whole segments, memory counted at the end only; the target is held against the sharper
of the two. ScoreBased is the model of Milvus's balancer, greedy sends the hottest segment that helps from the hottest
node to the coolest; each with its moves.

Targets: planning in 50 ms, 1 s, 15 s and 180 s; maximum at most 1.05 of the mean or 1.02 of the bound; bytes at most
1.2 of the bound; no rule broken at any step; no move in a second run."""
COLUMNS = (
    *("cluster", "shape", "planning", "reading", "peak MiB", "moves", "moved GiB", "load before", "after"),
    *("over bound", "bytes over LP", "over whole bound", "ScoreBased", "greedy", "second run"),
)
NEUTRAL_INTRODUCTION = f"""\
The same with `--row-neutral`, from the placement in which the model of Milvus's balancer comes to rest. What the
balancer would move afterwards has to be nothing, and planning to take at most {NEUTRAL_SECONDS:g} s."""
NEUTRAL_COLUMNS = (
    *("cluster", "shape", "planning", "moves", "load before", "after", "free planner", "balancer afterwards"),
)


def _measured(size: Size, shape: Shape) -> tuple[list[str], list[str]]:
    cluster = an_instance(shape, segments=size.segments, nodes=size.nodes, seed=SEED)
    document: Document = CLUSTER.dump_python(cluster, mode="json", exclude_defaults=True)
    run = _command(document, repeats=size.repeats)
    plan = run.plan
    replayed = replay(document, plan["moves"])
    mean, after = plan["before"]["mean_load"], max(replayed.loads_after.values())
    bound = max(plan["lower_bound"], least_max_load(cluster) if size.load_bound else 0.0)
    second = len(_command(replayed.after).plan["moves"])
    fractions = least_bytes(cluster, after) if size.bytes_bound else None
    whole = least_whole_bytes(cluster, after, seconds=WHOLE_SECONDS) if size.bytes_bound else None
    ratio = replayed.moved_bytes / max(fractions, whole) if fractions and whole else None
    missed = [f"broken rule: {complaint}" for complaint in replayed.complaints[:3]]
    missed += [f"planned in {plan['seconds']:.3f} s"] if plan["seconds"] > size.most_seconds else []
    missed += [f"{after / mean:.3f} of the mean"] if after > 1.05 * mean and after > 1.02 * bound else []
    missed += [f"{ratio:.2f} of the bytes' bound"] if ratio is not None and ratio > 1.2 else []
    missed += [f"{second} moves in a second run"] if second else []
    cells = [
        str(size),
        shape.name,
        _time(plan["seconds"]),
        _time(plan["reading_seconds"]),
        f"{run.peak_bytes / 2**20:,.0f}",
        f"{len(plan['moves']):,}",
        f"{replayed.moved_bytes / GIBIBYTE:,.1f}",
        f"{max(replayed.loads_before.values()) / mean:.2f}",
        f"{after / mean:.3f}",
        f"{after / bound:.3f}",
        f"{replayed.moved_bytes / fractions:.2f}" if fractions else "",
        f"{replayed.moved_bytes / whole:.2f}" if whole else "",
        *(_other(document, balance(document), mean) for balance in (score_based, greedy)),
        str(second),
    ]
    return cells, missed


def _neutral(size: Size, shape: Shape) -> tuple[list[str], list[str]]:
    start: Document = CLUSTER.dump_python(
        an_instance(shape, segments=size.segments, nodes=size.nodes, seed=SEED), mode="json", exclude_defaults=True
    )
    document = replay(start, score_based(start)).after
    plan = _command(document, "--row-neutral", repeats=size.repeats).plan
    replayed = replay(document, plan["moves"])
    afterwards = len(score_based(replayed.after))
    mean, free = plan["before"]["mean_load"], _command(document).plan["after"]["max_load"]
    missed = [f"row-neutral, broken rule: {complaint}" for complaint in replayed.complaints[:3]]
    missed += [f"row-neutral, planned in {plan['seconds']:.3f} s"] if plan["seconds"] > NEUTRAL_SECONDS else []
    missed += [f"row-neutral, {afterwards} moves of the balancer"] if afterwards else []
    cells = [
        str(size),
        shape.name,
        _time(plan["seconds"]),
        f"{len(plan['moves']):,}",
        f"{max(replayed.loads_before.values()) / mean:.3f}",
        f"{max(replayed.loads_after.values()) / mean:.3f}",
        f"{free / mean:.3f}",
        str(afterwards),
    ]
    return cells, missed


def _other(document: Document, moves: list[Document], mean: float) -> str:
    return f"{max(replay(document, moves).loads_after.values()) / mean:.2f} ({len(moves):,})"


def _command(document: Document, *options: str, repeats: int = 1) -> Run:
    """Run the command on a document, in a process of its own; the fastest of some runs."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "cluster.json", Path(folder) / "plan.json"
        with file.open("w", encoding="utf-8") as content:
            json.dump(document, content)
        command = [sys.executable, "-c", WITH_PEAK, "rebalance", "plan", "--input", str(file), "-o", "json", *options]
        runs = [_run(command, out) for _ in range(repeats)]
    return min(runs, key=lambda run: float(run.plan["seconds"]))


def _run(command: Sequence[str], out: Path) -> Run:
    with out.open("wb") as answer:
        ended = subprocess.run(command, stdout=answer, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    if ended.returncode not in {0, 2}:
        raise ChildProcessError(f"rebalance plan ended with {ended.returncode}: {ended.stderr}")
    peak_bytes = int(ended.stderr.split()[-2]) * KIBIBYTE
    return Run(plan=json.loads(out.read_text(encoding="utf-8")), peak_bytes=peak_bytes)


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


if __name__ == "__main__":
    sys.exit(main())
