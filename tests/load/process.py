"""The load as a process of its own, for the demo and the end-to-end tests: start it, steer it, read it, stop it.

It runs under an argv prefix where the cluster lives in a network namespace (`nsenter --net=...`), apart from the
interpreter that watches it, so that a busy test does not delay the schedule. It ends by itself when its parent goes.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.load.errors import LoadError
from tests.load.options import RunOptions
from tests.load.report import Second, Summary, parse_line

ROOT = Path(__file__).resolve().parents[2]
STOP_MARGIN_SECONDS = 15.0  # beyond the timeout of the last search: a run stopped at birth imports and looks up first


class LoadProcess:
    """A running load; `seconds` grows while it runs. Leaving the `with` block stops it."""

    def __init__(self, options: RunOptions, *, argv_prefix: Sequence[str] = ()) -> None:
        self._options = options
        self._seconds: list[Second] = []
        self._summary: Summary | None = None
        self._process = subprocess.Popen(
            [*argv_prefix, sys.executable, "-m", "tests.load", *options.argv()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "LoadProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def seconds(self) -> Sequence[Second]:
        """All lines so far, oldest first."""
        return tuple(self._seconds)

    @property
    def pid(self) -> int:
        """The process started, which is the load itself where the prefix replaces itself by it, as nsenter does."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def latest(self) -> Second | None:
        """The newest line; None before the first."""
        return self._seconds[-1] if self._seconds else None

    def set_rate(self, qps: float) -> None:
        """Go on at this rate from now on; raises LoadError if the load has ended."""
        try:
            self._stdin.write(json.dumps({"rate": qps}) + "\n")
            self._stdin.flush()
        except (BrokenPipeError, ValueError):
            raise LoadError(f"the load has ended ({self._process.poll()}), its rate cannot be set to {qps}") from None

    def stop(self) -> Summary:
        """Send nothing more, await the replies in flight, give the totals; again gives the same."""
        self._end()
        return self._take_summary()

    def wait(self, timeout_seconds: float) -> Summary:
        """Await the end of a run that has `seconds`; raises LoadError if it takes longer."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise LoadError(f"the load still runs after {timeout_seconds} s") from None
        return self._take_summary()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                match parse_line(line):
                    case Second() as second:
                        self._seconds.append(second)
                    case summary:
                        self._summary = summary

    def _end(self) -> None:
        """The end of its input ends the run even before it has begun, where a signal would only kill it."""
        with suppress(BrokenPipeError):
            self._stdin.close()
        try:
            self._process.wait(self._options.timeout_seconds + STOP_MARGIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _take_summary(self) -> Summary:
        self._reader.join()
        if self._summary is None:
            raise LoadError(f"the load ended with {self._process.returncode} and without a summary")
        return self._summary
