import json
import os
from pathlib import Path

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.processes import Processes, start_ticks, wait_for


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(pids=tmp_path / "pids", logs=tmp_path / "logs")


def test_a_started_process_runs_until_it_is_stopped(processes: Processes) -> None:
    processes.start("sleeper", ["sleep", "60"])
    pid = processes.running("sleeper")
    assert pid is not None
    processes.stop(["sleeper"], grace_seconds=5)
    assert (processes.running("sleeper"), processes.names(), start_ticks(pid)) == (None, [], None)


def test_a_process_that_ignores_the_request_is_killed(processes: Processes) -> None:
    processes.start("deaf", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
    wait_for("the trap", lambda: "ready" in processes.tail("deaf"), seconds=5)
    processes.stop(["deaf"], grace_seconds=0.2)
    assert processes.running("deaf") is None


def test_starting_again_keeps_the_process_that_runs(processes: Processes) -> None:
    processes.start("sleeper", ["sleep", "60"])
    first = processes.running("sleeper")
    processes.start("sleeper", ["sleep", "60"])
    assert processes.running("sleeper") == first
    processes.stop(["sleeper"], grace_seconds=5)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"start_ticks": 1}, id="the id was given to another process"),
        pytest.param({"boot_id": "another"}, id="the machine was restarted"),
    ],
)
def test_somebody_elses_process_is_neither_ours_nor_stopped(processes: Processes, change: dict[str, object]) -> None:
    processes.start("sleeper", ["sleep", "60"])
    record = processes.pids / "sleeper"
    true_entry = json.loads(record.read_text())
    record.write_text(json.dumps(true_entry | change))
    processes.stop(["sleeper"], grace_seconds=0)
    assert start_ticks(true_entry["pid"]) == true_entry["start_ticks"]
    record.write_text(json.dumps(true_entry))
    processes.stop(["sleeper"], grace_seconds=0)


def test_a_process_that_ended_is_told_with_the_end_of_its_log(processes: Processes) -> None:
    processes.start("broken", ["sh", "-c", "echo bad flag; exit 1"])
    wait_for("its end", lambda: processes.running("broken") is None, seconds=5)
    with pytest.raises(ClusterError, match="broken has ended:\nbad flag"):
        processes.require(["broken"])


def test_waiting_ends_with_what_was_waited_for() -> None:
    with pytest.raises(ClusterError, match="waited 0 s for a sign"):
        wait_for("a sign", lambda: False, seconds=0.1)


def test_this_very_process_has_a_start() -> None:
    assert start_ticks(os.getpid())
