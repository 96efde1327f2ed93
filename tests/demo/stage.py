"""What the stories of the demo are played on: the live table, the chapters, and what was found wrong."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pymilvus import MilvusClient

from tests.demo.plans import told_in_full, told_in_short
from tests.demo.table import LiveTable, closing_table, lost_searches
from tests.demo.tuning import TuningWatcher, View
from tests.load.options import RunOptions
from tests.load.process import LoadProcess
from tests.load.report import Summary, summarise
from tests.placement import read_placement

SEARCH_TIMEOUT_SECONDS = 60.0  # while two nodes are overloaded a search waits; it must not count as lost
START_COUNT = 2
AT_WORK = frozenset({"Proposed", "Approved", "Running", "RollingBack"})
GOOD_VERDICTS = frozenset({"Kept", "Inconclusive"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Where everything is."""

    kubeconfig: Path
    uri: str
    namespace: str
    release: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """A stretch of the story: what the clients saw, and how many QueryNodes served at its end."""

    title: str
    summary: Summary
    nodes: str


class Stage:
    """Plays chapters one after the other and keeps what was seen."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.watcher = TuningWatcher(options.kubeconfig, options.namespace, options.name, options.release)
        self.chapters: list[Chapter] = []
        self._milvus = MilvusClient(options.uri)
        self._table = LiveTable()
        self._faults: list[str] = []
        self._plan_phase = ("", "")

    def clear(self) -> None:
        """No MilvusTuning, and the QueryNodes of the beginning."""
        self.watcher.delete()
        until(lambda: not self.watcher.exists(), 60.0, "the MilvusTuning of an earlier story to be gone")
        self.watcher.scale(START_COUNT)

    def await_even(self, count: int) -> None:
        """Await that the rows lie evenly on so many QueryNodes."""

        def even() -> bool:
            rows = [node.rows for node in read_placement(self._milvus).nodes.values()]
            return len(rows) == count and max(rows) <= 1.2 * sum(rows) / count

        until(even, 90.0, f"rows to be even on {count} QueryNodes")

    def apply(self, manifest: Path) -> None:
        """Apply the story's MilvusTuning."""
        self.watcher.create(manifest)
        print(f"applied {manifest.name}; its windows are shortened for the demo, see the file\n")

    def load(self, rate: float, *collections: str) -> RunOptions:
        """Searches whose replies are compared, so that missing rows are noticed."""
        return RunOptions(
            uri=self.options.uri,
            collections=collections,
            rate=rate,
            timeout_seconds=SEARCH_TIMEOUT_SECONDS,
            max_in_flight=8192,
            verify=True,
        )

    def header(self) -> None:
        """The live table begins."""
        self._table.header()

    def chapter(self, title: str, process: LoadProcess, done: Callable[[View], bool], deadline_seconds: float) -> bool:
        """A line every two seconds until it is done; whether it was done in time."""
        first, start = len(process.seconds), time.monotonic()
        reached = False
        while not reached and time.monotonic() - start < deadline_seconds:
            time.sleep(2.0)
            view = self.watcher.view()
            self._table.row(process.latest(), view)
            self._tell_plans(view)
            reached = done(view)
        summary = summarise(process.seconds[first:])
        self.chapters.append(Chapter(title=title, summary=summary, nodes=self.watcher.view().nodes))
        return reached

    def _tell_plans(self, view: View) -> None:
        """A line below the table for each step of a plan from one phase to another."""
        phase = (view.plan, view.plan_phase)
        if view.plan and phase != self._plan_phase:
            self._plan_phase = phase
            found = [plan for plan in self.watcher.plans() if plan["metadata"]["name"] == view.plan]
            for plan in found:
                print(f"        plan {told_in_short(plan)}", flush=True)

    def placement(self) -> dict[str, tuple[int, int]]:
        """Pod to (rows, shard leaders) now, as Milvus says."""
        nodes = read_placement(self._milvus).nodes
        found = {pod: nodes.get(node_id) for pod, node_id in self.watcher.query_nodes().items()}
        return {pod: (node.rows, len(node.leaders)) for pod, node in found.items() if node is not None}

    def rows(self) -> int:
        """Rows that are served."""
        return read_placement(self._milvus).rows

    def expect(self, holds: bool, fault: str) -> None:
        """Keep what is not as it should be."""
        if not holds:
            self._faults.append(fault)

    def tell_the_end(self) -> None:
        """The chapters side by side, and the plans with what was measured before and after."""
        print(closing_table([(chapter.title, chapter.nodes, chapter.summary) for chapter in self.chapters]))
        for plan in self.watcher.plans():
            print(f"\n{told_in_full(plan)}")
            verdict = plan["status"].get("verdict")
            self.expect(verdict in GOOD_VERDICTS, f"plan {plan['metadata']['name']} ended as {verdict}")
        print()

    def lost(self) -> int:
        """Searches of all chapters that got no answer."""
        return sum(lost_searches(chapter.summary) for chapter in self.chapters)

    def close(self) -> int:
        """Say what was not as it should be; the exit code."""
        self._milvus.close()
        for fault in self._faults:
            print(f"NOT AS IT SHOULD BE: {fault}")
        return 1 if self._faults else 0


def at_rest(view: View) -> bool:
    """Whether no plan is being carried out."""
    return view.plan_phase not in AT_WORK


def until(holds: Callable[[], bool], deadline_seconds: float, what: str) -> None:
    """Await it."""
    end = time.monotonic() + deadline_seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_seconds:.0f} s for {what}")
        time.sleep(1.0)
