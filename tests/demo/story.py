"""The story of the demo, told by the load client and Milvus's own placement.

Load rises, the operator adds a QueryNode because its rule says so, the backlog clears, load falls, and a QueryNode is
drained and removed without a failed search. It runs where Milvus is reachable (inside the cluster's network namespace,
or through a forwarded port) and judges at the end: the exit code is 0 only if everything happened that should.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pymilvus import MilvusClient

from tests.demo.plans import told_in_full, told_in_short
from tests.demo.table import LiveTable, closing_table, incomplete_replies, lost_searches
from tests.demo.tuning import TuningWatcher, View
from tests.load.commands import calibrate_by_process
from tests.load.options import RunOptions
from tests.load.prepare import Dataset, prepare
from tests.load.process import LoadProcess
from tests.load.report import Summary, summarise
from tests.placement import read_placement

COLLECTION = "demo"
DATASET = Dataset(rows=120_000, dim=128, segments=24, shards=3)  # scanning outweighs the calls between nodes
LOW_SHARE, HIGH_SHARE, CALM_SHARE = 0.3, 1.25, 0.15  # of what two nodes carry
CALIBRATION_SECONDS, CALM_SECONDS, RISE_SECONDS = 16.0, 12.0, 30.0
OUT_DEADLINE_SECONDS, CLEAR_DEADLINE_SECONDS, IN_DEADLINE_SECONDS = 120.0, 150.0, 150.0
SEARCH_TIMEOUT_SECONDS = 60.0  # while two nodes are overloaded a search waits; it must not count as lost
CLEAR_P99_MILLISECONDS = 500.0
START_COUNT = 2
VERDICT_DEADLINE_SECONDS = 90.0
AT_WORK = frozenset({"Proposed", "Approved", "Running", "RollingBack"})
GOOD_VERDICTS = frozenset({"Kept", "Inconclusive"})
FORGET_SECONDS = 35.0  # the operator's rates go over the last 30 s


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Where everything is."""

    kubeconfig: Path
    uri: str
    namespace: str
    release: str
    manifest: Path
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """A stretch of the story: what the clients saw, and how many QueryNodes served at its end."""

    title: str
    summary: Summary
    nodes: str


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


class Story:
    """Plays the chapters one after the other and keeps what was seen."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._watcher = TuningWatcher(options.kubeconfig, options.namespace, options.name, options.release)
        self._milvus = MilvusClient(options.uri)
        self._table = LiveTable()
        self._chapters: list[Chapter] = []
        self._faults: list[str] = []
        self._plan_phase = ("", "")

    def play(self) -> int:
        """The whole story; returns the exit code."""
        self._clear_stage()
        prepared = prepare(self._options.uri, COLLECTION, DATASET)
        print(f"dataset: {prepared.rows} rows in {prepared.segments} segments, loaded in {prepared.seconds:.0f} s")
        self._await_even(START_COUNT)
        capacity = calibrate_by_process(self._load(0), seconds=CALIBRATION_SECONDS).capacity_qps
        print(f"two QueryNodes carry {capacity:.0f} searches per second")
        print(f"waiting {FORGET_SECONDS:.0f} s until that measurement is out of the metrics")
        time.sleep(FORGET_SECONDS)
        self._watcher.create(self._options.manifest)
        print(f"applied {self._options.manifest.name}; its windows are shortened for the demo, see the file\n")
        with LoadProcess(self._load(LOW_SHARE * capacity)) as process:
            self._chapters_under(process, capacity)
        self._milvus.close()
        return self._judge()

    def _clear_stage(self) -> None:
        self._watcher.delete()
        _until(lambda: not self._watcher.exists(), 60.0, "the MilvusTuning of an earlier run to be gone")
        self._watcher.scale(START_COUNT)

    def _await_even(self, count: int) -> None:
        def even() -> bool:
            rows = [node.rows for node in read_placement(self._milvus).nodes.values()]
            return len(rows) == count and max(rows) <= 1.2 * sum(rows) / count

        _until(even, 90.0, f"rows to be even on {count} QueryNodes")

    def _load(self, rate: float) -> RunOptions:
        return RunOptions(
            uri=self._options.uri,
            collections=(COLLECTION,),
            rate=rate,
            timeout_seconds=SEARCH_TIMEOUT_SECONDS,
            max_in_flight=8192,
            verify=True,
        )

    def _chapters_under(self, process: LoadProcess, capacity: float) -> None:
        self._table.header()
        early = self._chapter("calm, 2 QueryNodes", process, _grown, CALM_SECONDS)
        self._expect(not early, "QueryNodes were added without load")
        rise = Rise(process, low=LOW_SHARE * capacity, high=HIGH_SHARE * capacity, seconds=RISE_SECONDS)
        self._chapter("load rises", process, rise.step, RISE_SECONDS)
        process.set_rate(HIGH_SHARE * capacity)
        grown = self._chapter("overload until a QueryNode is added", process, _grown, OUT_DEADLINE_SECONDS)
        self._expect(grown, "QueryNodes were not added under overload")
        cleared = self._chapter("backlog clears", process, lambda _: _clear(process), CLEAR_DEADLINE_SECONDS)
        self._expect(cleared, "the backlog did not clear")
        self._chapter("overload, more QueryNodes", process, lambda _: False, CALM_SECONDS)
        before = self._placement()
        process.set_rate(CALM_SHARE * capacity)
        shrunk = self._chapter("load falls, scale-in", process, _shrunk, IN_DEADLINE_SECONDS)
        self._expect(shrunk, f"QueryNodes did not return to {START_COUNT}")
        self._chapter("calm again", process, lambda _: False, CALM_SECONDS)
        verified = self._chapter("calm, the scale-in verified", process, _verified, VERDICT_DEADLINE_SECONDS)
        self._expect(verified, "the scale-in was not judged")
        self._tell_victims(before)

    def _chapter(self, title: str, process: LoadProcess, done: Callable[[View], bool], deadline_seconds: float) -> bool:
        first, start = len(process.seconds), time.monotonic()
        reached = False
        while not reached and time.monotonic() - start < deadline_seconds:
            time.sleep(2.0)
            view = self._watcher.view()
            self._table.row(process.latest(), view)
            self._tell_plans(view)
            reached = done(view)
        summary = summarise(process.seconds[first:])
        self._chapters.append(Chapter(title=title, summary=summary, nodes=self._watcher.view().nodes))
        return reached

    def _tell_plans(self, view: View) -> None:
        """A line below the table for each step of a plan from one phase to another."""
        phase = (view.plan, view.plan_phase)
        if view.plan and phase != self._plan_phase:
            self._plan_phase = phase
            found = [plan for plan in self._watcher.plans() if plan["metadata"]["name"] == view.plan]
            for plan in found:
                print(f"        plan {told_in_short(plan)}", flush=True)

    def _placement(self) -> dict[str, tuple[int, int]]:
        """Pod to (rows, shard leaders) now, as Milvus says."""
        nodes = read_placement(self._milvus).nodes
        found = {pod: nodes.get(node_id) for pod, node_id in self._watcher.query_nodes().items()}
        return {pod: (node.rows, len(node.leaders)) for pod, node in found.items() if node is not None}

    def _tell_victims(self, before: dict[str, tuple[int, int]]) -> None:
        rows_before, rows_after = sum(rows for rows, _ in before.values()), read_placement(self._milvus).rows
        gone = before.keys() - self._watcher.query_nodes().keys()
        for pod in sorted(gone):
            rows, leaders = before[pod]
            print(f"\ndrained: {pod} held {rows} of {rows_before} rows and {leaders} shard leader(s)")
            self._expect(leaders > 0, "the drained QueryNode held no shard leader")
        self._expect(len(gone) == 1, f"{len(gone)} QueryNodes were drained, not one")
        self._expect(
            rows_after == rows_before, f"{rows_before} rows were served before the scale-in, {rows_after} after"
        )

    def _expect(self, holds: bool, fault: str) -> None:
        if not holds:
            self._faults.append(fault)

    def _judge(self) -> int:
        print(closing_table([(chapter.title, chapter.nodes, chapter.summary) for chapter in self._chapters]))
        for plan in self._watcher.plans():
            print(f"\n{told_in_full(plan)}")
            verdict = plan["status"].get("verdict")
            self._expect(verdict in GOOD_VERDICTS, f"plan {plan['metadata']['name']} ended as {verdict}")
        print()
        scale_in = [chapter.summary for chapter in self._chapters[-3:]]
        lost, incomplete = sum(map(lost_searches, scale_in)), sum(map(incomplete_replies, scale_in))
        sent = sum(chapter.summary.sent for chapter in self._chapters)
        total = sum(lost_searches(chapter.summary) for chapter in self._chapters)
        print(f"searches: {sent} sent, {total} failed; during and after the scale-in {lost} failed")
        if incomplete:
            print(f"{incomplete} replies of the scale-in were not failures but lacked rows: Milvus 2.3.5 answers so")
            print("while a shard leader moves; the client compares each reply with the first to the same request")
        self._expect(lost == 0, f"{lost} searches failed during the scale-in")
        for fault in self._faults:
            print(f"NOT AS IT SHOULD BE: {fault}")
        return 1 if self._faults else 0


def _count(view: View) -> tuple[int, int]:
    serving, _, desired = view.nodes.partition("/")
    return (int(serving), int(desired)) if desired else (0, 0)


def _grown(view: View) -> bool:
    return view.plan_phase not in AT_WORK and min(_count(view)) > START_COUNT


def _shrunk(view: View) -> bool:
    return view.plan_phase not in AT_WORK and _count(view) == (START_COUNT, START_COUNT)


def _verified(view: View) -> bool:
    return view.plan_phase == "Finished"


def _clear(process: LoadProcess) -> bool:
    recent = process.seconds[-4:]
    return all(second.p99_ms is not None and second.p99_ms < CLEAR_P99_MILLISECONDS for second in recent)


def _until(holds: Callable[[], bool], deadline_seconds: float, what: str) -> None:
    end = time.monotonic() + deadline_seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_seconds:.0f} s for {what}")
        time.sleep(1.0)
