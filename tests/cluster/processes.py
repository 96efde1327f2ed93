"""Start processes that outlive this one, remember them, and stop exactly those.

A process id alone is not enough: after a crash it may belong to somebody else. Each record therefore holds the id, the
process's start time in clock ticks since boot (field 22 of /proc/PID/stat) and the boot id; a process is ours only
while all three still hold.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

POLL_SECONDS = 0.05
LOG_TAIL_BYTES = 1500


def start_ticks(pid: int) -> int | None:
    """When the process started, in ticks since boot; None when it has ended (a zombie has ended)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def boot_id() -> str:
    """Differs after each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """The named processes of one cluster: records in `pids`, output in `logs`.

    `enter` stands before each command. It must become the command, as nsenter and setpriv do, so that the id of one is
    the id of the other.
    """

    pids: Path
    logs: Path
    enter: tuple[str, ...] = ()

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start the process unless it runs already."""
        if self.running(name) is not None:
            return
        for folder in (self.pids, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as output:
            process = subprocess.Popen(
                [*self.enter, *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        self._record(name, process)

    def _record(self, name: str, process: subprocess.Popen[bytes]) -> None:
        # From now on /proc tells the state and `stop` reaps: Popen's own bookkeeping would warn when it is collected.
        process.returncode = 0
        entry = {"pid": process.pid, "start_ticks": start_ticks(process.pid), "boot_id": boot_id()}
        (self.pids / name).write_text(json.dumps(entry))

    def log(self, name: str) -> Path:
        """Where the process's output goes."""
        return self.logs / f"{name}.log"

    def names(self) -> list[str]:
        """Every process that was started and not stopped, whether it lives or not."""
        return sorted(path.name for path in self.pids.glob("*"))

    def running(self, name: str) -> int | None:
        """The process id, or None if it does not run or its id is now somebody else's."""
        try:
            entry = json.loads((self.pids / name).read_text())
        except (OSError, ValueError):
            return None
        ticks = start_ticks(entry["pid"])
        ours = ticks is not None and ticks == entry["start_ticks"] and entry["boot_id"] == boot_id()
        return int(entry["pid"]) if ours else None

    def stop(self, names: Iterable[str], *, grace_seconds: float) -> None:
        """End these processes together: ask first, kill what still runs after the grace, forget them."""
        chosen = list(names)
        self._signal(chosen, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while any(map(self.running, chosen)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self._signal(chosen, signal.SIGKILL)
        wait_for(f"the end of {', '.join(chosen)}", lambda: not any(map(self.running, chosen)), seconds=10)
        for name in chosen:
            self._forget(name)

    def _signal(self, names: Iterable[str], number: signal.Signals) -> None:
        for pid in filter(None, map(self.running, names)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _forget(self, name: str) -> None:
        record = self.pids / name
        with contextlib.suppress(OSError, ValueError):
            # Reap it if it was started by this very process.
            os.waitpid(json.loads(record.read_text())["pid"], os.WNOHANG)
        record.unlink(missing_ok=True)

    def require(self, names: Iterable[str]) -> None:
        """Raise with the end of its log if one of these has ended."""
        for name in names:
            if self.running(name) is None:
                raise ClusterError(f"{name} has ended:\n{self.tail(name)}")

    def tail(self, name: str) -> str:
        """The end of the process's log."""
        try:
            return self.log(name).read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return "(no log)"


def wait_for(what: str, reached: Callable[[], bool], *, seconds: float) -> None:
    """Poll until it is so; a ClusterError names what did not happen in time."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {seconds:.0f} s for {what}")
        time.sleep(POLL_SECONDS)
