"""What a pass costs, and how that grows with the cluster. No pass or fail: times depend on the machine, ratios hardly.

    python -m tests.bench [--write]      --write puts the table into docs/benchmarks.md

All figures of one table come from one process in one run. Each is the best of several repetitions: the least disturbed
one. With ten times the QueryNodes and ten times the segments a cost that is linear has a ratio of 10.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from milvus_tuning.api import MilvusTuningStatus
from milvus_tuning.decide import decide
from milvus_tuning.decide.load import signal
from milvus_tuning.plan import Reason
from milvus_tuning.simulate import read_scenario, run
from milvus_tuning.simulate.scenario import ClusterModel, LoadPoint
from milvus_tuning.snapshot import Segment, Snapshot
from milvus_tuning.snapshot_json import dump_snapshot, load_snapshot
from milvus_tuning.status import Facts, build_status
from tests.bench.page import PAGE, ROOT, machine, row, write_section
from tests.builders import NOON, SEGMENT_ROWS, a_history, a_snapshot, a_spec

SCENARIO = ROOT / "tests" / "scenarios" / "follows_the_load_up_and_down.yaml"
SIZES = (3, 30, 300)
SEGMENTS_PER_NODE = 10
REPEAT_SECONDS = 1.0
LEAST_REPEATS = 3
MODEL_SECONDS = 3600.0
LARGEST_MODEL = 30  # the model searches all nodes for each segment it places; it is made for tens of nodes
MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """One operation on one size of cluster."""

    seconds: float
    peak_bytes: int


Operation = Callable[[], object]


def main() -> int:
    """Measure, print, and with --write keep the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what a pass costs.")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    text = f"{_table(_measured())}\n\n{machine()}\n"
    print(text)
    if arguments.write:
        write_section("What a pass costs", f"{INTRODUCTION}\n\n{text}")
    return 0


INTRODUCTION = (
    "What a pass costs the operator, written by `python -m tests.bench --write`. Nothing passes or fails by time: the\n"
    "figures depend on the machine, the ratios hardly. A ratio is the cost at this size over the cost at the size\n"
    "before it, for ten times the QueryNodes and ten times the segments. The peak is what Python allocates during the\n"
    "operation, measured in a run of its own. The model runs at a steady load with a pass every 15 s."
)


def _measured() -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {}
    for nodes in SIZES:
        for name, operation in _operations(nodes).items():
            print(f"... {nodes} QueryNodes: {name}", file=sys.stderr, flush=True)
            costs.setdefault(name, []).append(_cost(operation))
    return costs


def _operations(nodes: int) -> dict[str, Operation]:
    """What is measured: a scale-in, the dearest decision, since every node is weighed as the one that leaves."""
    spec = a_spec(min_count=2, max_count=1000)
    snapshot = _snapshot(nodes)
    history = a_history(snapshot)
    decision = decide(spec, snapshot, history, NOON)
    if decision.reason is not Reason.SCALE_IN:
        raise AssertionError(f"a scale-in is to be measured, this is {decision.reason}: {decision.message}")
    facts = Facts(spec=spec, snapshot=snapshot, decision=decision, signal=signal(snapshot, NOON))
    text = json.dumps(dump_snapshot(snapshot))
    model = {"model, virtual hour": _virtual_time(nodes)} if nodes <= LARGEST_MODEL else {}
    return {
        "decision (scale-in)": lambda: decide(spec, snapshot, history, NOON),
        "status": lambda: build_status(MilvusTuningStatus(), facts, generation=1, now=NOON + timedelta(minutes=1)),
        "snapshot to JSON": lambda: json.dumps(dump_snapshot(snapshot)),
        "JSON to snapshot": lambda: load_snapshot(json.loads(text)),
        **model,
    }


def _snapshot(nodes: int) -> Snapshot:
    """A cluster with little to do: each segment on one node, in turn."""
    snapshot = a_snapshot(nodes=nodes, cpu=0.1, memory=0.2)
    ids = [node.node_id for node in snapshot.query_nodes if node.node_id is not None]
    segments = tuple(
        Segment(segment_id=number, collection_id=100, rows=SEGMENT_ROWS, node_ids=(ids[number % nodes],))
        for number in range(nodes * SEGMENTS_PER_NODE)
    )
    return replace(snapshot, segments=segments)


def _virtual_time(nodes: int) -> Operation:
    """The model cluster with a steady load and a pass every 15 s."""
    scenario = read_scenario(SCENARIO)
    spec: dict[str, Any] = {"queryNodes": {"minCount": nodes, "maxCount": nodes}}
    model = ClusterModel(nodes=nodes, segments=nodes * SEGMENTS_PER_NODE)
    load = (LoadPoint(at_seconds=0, cores=nodes * model.cpu_cores / 2),)
    steady = scenario.model_copy(
        update={"cluster": model, "load": load, "spec": spec, "faults": (), "run_seconds": MODEL_SECONDS}
    )
    return lambda: run(steady)


def _cost(operation: Operation) -> Cost:
    """The best time of some repetitions, then the peak of one more under the allocation tracer, which slows it."""
    best, spent, repeats = float("inf"), 0.0, 0
    while spent < REPEAT_SECONDS or (repeats < LEAST_REPEATS and best < REPEAT_SECONDS):
        start = time.perf_counter()
        operation()
        taken = time.perf_counter() - start
        best, spent, repeats = min(best, taken), spent + taken, repeats + 1
    tracemalloc.start()
    operation()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Cost(seconds=best, peak_bytes=peak)


def _table(costs: dict[str, list[Cost]]) -> str:
    heads = [f"{nodes} nodes, {nodes * SEGMENTS_PER_NODE} segments" for nodes in SIZES]
    lines = [row(["", *heads, "ratios", "peak memory"]), row(["---"] * (len(SIZES) + 3))]
    return "\n".join(lines + [row([name, *_cells(each)]) for name, each in costs.items()])


def _cells(costs: Sequence[Cost]) -> list[str]:
    ratios = [f"{later.seconds / earlier.seconds:.1f}" for earlier, later in itertools.pairwise(costs)]
    peaks = [f"{cost.peak_bytes / MEBIBYTE:.1f}" for cost in costs]
    times = [_time(cost.seconds) for cost in costs] + ["not measured"] * (len(SIZES) - len(costs))
    return [*times, ", ".join(ratios), f"{', '.join(peaks)} MiB"]


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


if __name__ == "__main__":
    sys.exit(main())
