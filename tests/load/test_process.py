"""The process as the demo uses it: started, steered, read and stopped, against a server on loopback."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.load.commands import calibrate_by_process
from tests.load.control import parse_command
from tests.load.errors import LoadError
from tests.load.fake_milvus import a_milvus
from tests.load.options import RunOptions
from tests.load.process import LoadProcess
from tests.load.report import Second, parse_line, summarise
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with a_milvus() as (address, _):
        yield address


def a_run(uri: str, *, seconds: float | None = None, out: Path | None = None) -> RunOptions:
    return RunOptions(
        uri=uri, collections=("docs",), rate=20, seconds=seconds, report_every_seconds=0.25, timeout_seconds=2, out=out
    )


def test_a_load_is_steered_read_and_stopped(uri: str) -> None:
    with LoadProcess(a_run(uri)) as load:
        wait_for(lambda: load.latest() is not None, "the first second", seconds=20, every=0.05)
        load.set_rate(200)
        wait_for(lambda: any(second.offered > 25 for second in load.seconds), "more load", seconds=20, every=0.05)
        summary = load.stop()
    assert (summary.failed, summary.dropped, summary.in_flight) == (0, 0, 0)
    assert summary.ok == summary.sent == summary.offered > 25
    assert summary == summarise(load.seconds) == load.stop()
    assert not load.is_running


def test_a_load_with_an_end_writes_the_same_lines_to_a_file(uri: str, tmp_path: Path) -> None:
    with LoadProcess(a_run(uri, seconds=1.0, out=tmp_path / "load.jsonl")) as load:
        summary = load.wait(20.0)
    lines = [parse_line(line) for line in (tmp_path / "load.jsonl").read_text().splitlines()]
    assert lines == [*load.seconds, summary]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_load_with_its_summary(uri: str, number: signal.Signals) -> None:
    with LoadProcess(a_run(uri), argv_prefix=("env", "--")) as load:
        wait_for(lambda: load.latest() is not None, "the first second", seconds=20, every=0.05)
        os.kill(load.pid, number)
        assert load.wait(20.0).failed == 0


def test_a_load_stopped_at_birth_has_an_empty_summary(uri: str) -> None:
    assert LoadProcess(a_run(uri, seconds=60)).stop().ok < 20


def test_a_load_without_a_server_says_so() -> None:
    with a_milvus() as (gone, _):
        pass
    with LoadProcess(a_run(gone)) as load, pytest.raises(LoadError, match="ended with 2"):
        load.wait(30.0)


def test_a_calibration_by_process_gives_the_capacity(uri: str) -> None:
    capacity = calibrate_by_process(a_run(uri), seconds=1.0, argv_prefix=("env", "--"))
    assert [step.concurrency for step in capacity.steps] == [1, 2, 4, 8, 16]
    assert capacity.capacity_qps == max(step.qps for step in capacity.steps) > 0


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(LoadError, match="http://HOST:PORT"):
        calibrate_by_process(a_run("https://milvus:19530"))


@pytest.mark.parametrize(
    "line", ["", "60", "{}", '{"rate": "60"}', '{"rate": -1}', '{"rate": true}', '{"rate": 1, "x": 2}']
)
def test_a_command_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own and ours
        parse_command(line)


def test_a_second_is_read_back_as_it_was_written() -> None:
    second = Second(t=1.0, unix=1e9, interval_seconds=1.0, offered=3, sent=2, ok=1, dropped=1, in_flight=1)
    assert parse_line(second.to_line()) == second
