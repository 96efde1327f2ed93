"""The story of a hot node: found, explained and cured.

Four collections of equal rows lie two and two on two QueryNodes, which is even to Milvus. Two on the same QueryNode are
searched, the others are not: one QueryNode works, the other waits. `milvus-tuning top` and `explain` show it, a plan
lets a hot collection change places with a cold one, and both QueryNodes work.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests import hot
from tests.demo.stage import START_COUNT, Stage, at_rest
from tests.demo.tuning import View
from tests.load.process import LoadProcess

SEED = 11
OVERLOAD = 1.1  # of what the searches of one QueryNode carry
MEASURE_SECONDS = 6.0
FOUND_DEADLINE_SECONDS, CURED_DEADLINE_SECONDS, VERDICT_DEADLINE_SECONDS = 90.0, 120.0, 120.0
LEAST_GAIN = 1.2


def play(stage: Stage, manifest: Path) -> int:
    """The whole story; returns the exit code."""
    stage.clear()
    uri, names = stage.options.uri, hot.names_of(SEED)
    hot.make(uri, names)
    stage.await_even(START_COUNT)
    where = hot.settled(uri, names)
    pair = hot.pair_on_one_node(where, SEED)
    if pair is None:
        stage.expect(False, f"Milvus did not put the collections two and two: {where}")
        return stage.close()
    print(f"\nfour collections of {hot.DATASET.rows} rows; searched are {' and '.join(pair)}, the others are not")
    _tell_places(stage, where, pair)
    before = hot.figures(uri, pair, MEASURE_SECONDS)
    print(f"as Milvus placed them they carry {before.qps:.0f} searches per second, P99 {before.p99_ms:.0f} ms\n")
    stage.apply(manifest)
    with LoadProcess(stage.load(OVERLOAD * before.qps, *pair)) as process:
        _chapters_under(stage, process)
    after = hot.figures(uri, pair, MEASURE_SECONDS)
    return _judge(stage, pair, before, after)


def _chapters_under(stage: Stage, process: LoadProcess) -> None:
    stage.header()
    found = stage.chapter("hot node found", process, lambda view: bool(view.plan), FOUND_DEADLINE_SECONDS)
    stage.expect(found, "the hot node was not found")
    for command in (("top", "nodes"), ("top", "collections"), ("explain",)):
        _show(stage, *command)
    cured = stage.chapter("segments change places", process, at_rest, CURED_DEADLINE_SECONDS)
    stage.expect(cured, "the plan did not end")
    verified = stage.chapter("hot node cured", process, _verified, VERDICT_DEADLINE_SECONDS)
    stage.expect(verified, "the plan was not judged")


def _judge(stage: Stage, pair: tuple[str, str], before: hot.Figures, after: hot.Figures) -> int:
    stage.tell_the_end()
    names = hot.names_of(SEED)
    where = hot.settled(stage.options.uri, names)
    _tell_places(stage, where, pair)
    gain = after.qps / before.qps
    print(
        f"before {before.qps:.0f} searches per second, P99 {before.p99_ms:.0f} ms; after {after.qps:.0f} and "
        f"{after.p99_ms:.0f} ms: {gain:.2f} times as many, {stage.lost()} failed meanwhile"
    )
    stage.expect(not hot.together(where, pair), "the hot collections are still on one QueryNode")
    stage.expect(gain >= LEAST_GAIN, f"throughput is {gain:.2f} of what it was, at least {LEAST_GAIN} expected")
    stage.expect(stage.lost() == 0, f"{stage.lost()} searches failed")
    stage.watcher.delete()
    hot.release(stage.options.uri, names)
    return stage.close()


def _tell_places(stage: Stage, where: Mapping[str, hot.Seat], pair: tuple[str, str]) -> None:
    pods = {node_id: pod for pod, node_id in stage.watcher.query_nodes().items()}
    for name, seat in sorted(where.items(), key=lambda item: (item[1].node_id, item[0])):
        print(f"  {pods.get(seat.node_id, seat.node_id)}  {name:12} {'searched' if name in pair else 'not searched'}")


def _show(stage: Stage, *command: str) -> None:
    """What the command line tells a person, as they would see it."""
    flags = ["-n", stage.options.namespace, "--kubeconfig", str(stage.options.kubeconfig)]
    print(f"\n$ milvus-tuning {' '.join(command)} {stage.options.name} -n {stage.options.namespace}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "milvus_tuning", *command, stage.options.name, *flags], check=False, timeout=60
    )
    stage.expect(done.returncode == 0, f"milvus-tuning {' '.join(command)} ended with {done.returncode}")
    print(flush=True)


def _verified(view: View) -> bool:
    return view.plan_phase == "Finished"
