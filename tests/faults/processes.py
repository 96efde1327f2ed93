"""Starting and killing operator processes: by fork from a warm launcher, or by the command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.cluster.api_only import WITH_PARENT
from tests.integration.conftest import ROOT


class Starter(Protocol):
    """Starts operators and ends them without a warning; only those that it started itself."""

    def start(self, environment: Mapping[str, str], log: Path) -> int:
        """Start `milvus-tuning run`; its process id."""
        ...

    def kill(self, pid: int) -> None:
        """SIGKILL, and wait for the end; nothing where it has ended before."""
        ...

    def alive(self, pid: int) -> bool:
        """Whether the process still runs."""
        ...


class Launcher:
    """The warm process of launcher.py. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [*WITH_PARENT, sys.executable, "-m", "tests.faults.launcher"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'operator'}{os.pathsep}{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, environment: Mapping[str, str], log: Path) -> int:
        return int(self._order({"start": {"environment": dict(environment), "log": str(log)}})["pid"])

    def kill(self, pid: int) -> None:
        self._order({"kill": pid})

    def alive(self, pid: int) -> bool:
        return bool(self._order({"alive": pid})["alive"])

    def close(self) -> None:
        """End it, and with it every operator that it started."""
        self._process.communicate(timeout=20)

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


class Command:
    """`python -m milvus_tuning run`, as a container runs it."""

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, environment: Mapping[str, str], log: Path) -> int:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*WITH_PARENT, sys.executable, "-m", "milvus_tuning", "run"],
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT / "operator"), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._processes[process.pid] = process
        return process.pid

    def kill(self, pid: int) -> None:
        self._processes[pid].kill()
        self._processes[pid].wait()

    def alive(self, pid: int) -> bool:
        return self._processes[pid].poll() is None
