"""The story of size, told by the load client and Milvus's own placement.

Load rises, the operator adds a QueryNode because its rule says so, the backlog clears, load falls, and a QueryNode is
drained and removed without a failed search. It runs where Milvus is reachable (inside the cluster's network namespace,
or through a forwarded port) and judges at the end: the exit code is 0 only if everything happened that should.
"""

import time
from pathlib import Path

from tests.demo.stage import START_COUNT, Stage, at_rest
from tests.demo.table import incomplete_replies, lost_searches
from tests.demo.tuning import View
from tests.load.commands import calibrate_by_process
from tests.load.prepare import Dataset, prepare
from tests.load.process import LoadProcess

COLLECTION = "demo"
DATASET = Dataset(rows=120_000, dim=128, segments=24, shards=3)  # scanning outweighs the calls between nodes
LOW_SHARE, HIGH_SHARE, CALM_SHARE = 0.3, 1.25, 0.15  # of what two nodes carry
CALIBRATION_SECONDS, CALM_SECONDS, RISE_SECONDS = 16.0, 12.0, 30.0
OUT_DEADLINE_SECONDS, CLEAR_DEADLINE_SECONDS, IN_DEADLINE_SECONDS = 120.0, 150.0, 150.0
CLEAR_P99_MILLISECONDS = 500.0
VERDICT_DEADLINE_SECONDS = 90.0
FORGET_SECONDS = 35.0  # the operator's rates go over the last 30 s


class Rise:
    """Raises the rate evenly from low to high; to be called at each line of the table."""

    def __init__(self, process: LoadProcess, *, low: float, high: float, seconds: float) -> None:
        self._process, self._low, self._high, self._seconds = process, low, high, seconds
        self._start = time.monotonic()

    def step(self, _: View) -> bool:
        """Set the rate of this moment; never the end of a chapter."""
        share = min(1.0, (time.monotonic() - self._start) / self._seconds)
        self._process.set_rate(self._low + share * (self._high - self._low))
        return False


def play(stage: Stage, manifest: Path) -> int:
    """The whole story; returns the exit code."""
    stage.clear()
    prepared = prepare(stage.options.uri, COLLECTION, DATASET)
    print(f"dataset: {prepared.rows} rows in {prepared.segments} segments, loaded in {prepared.seconds:.0f} s")
    stage.await_even(START_COUNT)
    capacity = calibrate_by_process(stage.load(0, COLLECTION), seconds=CALIBRATION_SECONDS).capacity_qps
    print(f"two QueryNodes carry {capacity:.0f} searches per second")
    print(f"waiting {FORGET_SECONDS:.0f} s until that measurement is out of the metrics")
    time.sleep(FORGET_SECONDS)
    stage.apply(manifest)
    with LoadProcess(stage.load(LOW_SHARE * capacity, COLLECTION)) as process:
        _chapters_under(stage, process, capacity)
    return _judge(stage)


def _chapters_under(stage: Stage, process: LoadProcess, capacity: float) -> None:
    stage.header()
    early = stage.chapter("calm, 2 QueryNodes", process, _grown, CALM_SECONDS)
    stage.expect(not early, "QueryNodes were added without load")
    rise = Rise(process, low=LOW_SHARE * capacity, high=HIGH_SHARE * capacity, seconds=RISE_SECONDS)
    stage.chapter("load rises", process, rise.step, RISE_SECONDS)
    process.set_rate(HIGH_SHARE * capacity)
    grown = stage.chapter("overload until a QueryNode is added", process, _grown, OUT_DEADLINE_SECONDS)
    stage.expect(grown, "QueryNodes were not added under overload")
    cleared = stage.chapter("backlog clears", process, lambda _: _clear(process), CLEAR_DEADLINE_SECONDS)
    stage.expect(cleared, "the backlog did not clear")
    stage.chapter("overload, more QueryNodes", process, lambda _: False, CALM_SECONDS)
    before = stage.placement()
    process.set_rate(CALM_SHARE * capacity)
    shrunk = stage.chapter("load falls, scale-in", process, _shrunk, IN_DEADLINE_SECONDS)
    stage.expect(shrunk, f"QueryNodes did not return to {START_COUNT}")
    stage.chapter("calm again", process, lambda _: False, CALM_SECONDS)
    verified = stage.chapter("calm, the scale-in verified", process, _verified, VERDICT_DEADLINE_SECONDS)
    stage.expect(verified, "the scale-in was not judged")
    _tell_victims(stage, before)


def _tell_victims(stage: Stage, before: dict[str, tuple[int, int]]) -> None:
    rows_before, rows_after = sum(rows for rows, _ in before.values()), stage.rows()
    gone = before.keys() - stage.watcher.query_nodes().keys()
    for pod in sorted(gone):
        rows, leaders = before[pod]
        print(f"\ndrained: {pod} held {rows} of {rows_before} rows and {leaders} shard leader(s)")
        stage.expect(leaders > 0, "the drained QueryNode held no shard leader")
    stage.expect(len(gone) == 1, f"{len(gone)} QueryNodes were drained, not one")
    stage.expect(rows_after == rows_before, f"{rows_before} rows were served before the scale-in, {rows_after} after")


def _judge(stage: Stage) -> int:
    stage.tell_the_end()
    scale_in = [chapter.summary for chapter in stage.chapters[-3:]]
    lost, incomplete = sum(map(lost_searches, scale_in)), sum(map(incomplete_replies, scale_in))
    sent = sum(chapter.summary.sent for chapter in stage.chapters)
    print(f"searches: {sent} sent, {stage.lost()} failed; during and after the scale-in {lost} failed")
    if incomplete:
        print(f"{incomplete} replies of the scale-in were not failures but lacked rows: Milvus 2.3.5 answers so")
        print("while a shard leader moves; the client compares each reply with the first to the same request")
    stage.expect(lost == 0, f"{lost} searches failed during the scale-in")
    return stage.close()


def _count(view: View) -> tuple[int, int]:
    serving, _, desired = view.nodes.partition("/")
    return (int(serving), int(desired)) if desired else (0, 0)


def _grown(view: View) -> bool:
    return at_rest(view) and min(_count(view)) > START_COUNT


def _shrunk(view: View) -> bool:
    return at_rest(view) and _count(view) == (START_COUNT, START_COUNT)


def _verified(view: View) -> bool:
    return view.plan_phase == "Finished"


def _clear(process: LoadProcess) -> bool:
    recent = process.seconds[-4:]
    return all(second.p99_ms is not None and second.p99_ms < CLEAR_P99_MILLISECONDS for second in recent)
