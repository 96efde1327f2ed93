"""An etcd of its own for a test, from the cache of unpacked Debian packages."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.cluster.api_only import WITH_PARENT, free_ports
from tests.cluster.builds import debian

START_SECONDS = 20.0


class RunningEtcd:
    """An etcd of its own in a folder; its address is `host:port`."""

    def __init__(self, folder: Path, *options: str, scheme: str = "http") -> None:
        client_port, peer_port = free_ports(2)
        self.address = f"127.0.0.1:{client_port}"
        self._log = folder / "log"
        self._scheme = scheme
        peer = f"http://127.0.0.1:{peer_port}"
        self._command = [
            *WITH_PARENT,
            str(debian() / "usr/bin/etcd"),
            f"--data-dir={folder / 'data'}",
            f"--listen-client-urls={scheme}://{self.address}",
            f"--advertise-client-urls={scheme}://{self.address}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> str:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        _wait(self._healthy if self._scheme == "http" else self._listening)
        return self.address

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _listening(self) -> bool:
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), timeout=1):
            return True

    def _healthy(self) -> bool:
        with urllib.request.urlopen(f"http://{self.address}/health", timeout=1) as answer:
            return bool(json.load(answer)["health"] == "true")


def _wait(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if probe():
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)
