"""A real API server without a node, for tests of the API: etcd and kube-apiserver on free loopback ports.

It needs no right of root and no network namespace, is up in a few seconds, and ends with the process that asked for it.
"""

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.builds import programs
from tests.cluster.control_plane import ADMINISTRATOR, CONTROLLER_MANAGER, ControlPlane, Endpoints
from tests.cluster.pki import Authority
from tests.cluster.processes import Processes

EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST_PORT, LAST_PORT = 10_240, 32_768  # above what is registered most, below what Linux gives by default
# The kernel ends the servers when the thread that started them is gone, even if its process was killed.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
_given: set[int] = set()
_given_lock = threading.Lock()


@contextlib.contextmanager
def control_plane_only(name: str = "api", *, controller_manager: bool = False) -> Iterator[Path]:
    """Yield the administrator's kubeconfig; the controller manager adds ServiceAccounts and garbage collection."""
    root = Path(tempfile.mkdtemp(prefix=f"milvus-tuning-{name}-"))
    api_port, etcd_port, peer_port = free_ports(3)
    plane = ControlPlane(
        endpoints=Endpoints(host="127.0.0.1", api_port=api_port, etcd_port=etcd_port, etcd_peer_port=peer_port),
        programs=programs(),
        processes=Processes(pids=root / "pids", logs=root / "logs", enter=WITH_PARENT),
        authority=Authority(folder=root / "pki"),
        root=root,
    )
    try:
        plane.start()
        plane.wait_ready(api_port)
        if controller_manager:
            plane.start_controllers(CONTROLLER_MANAGER)
        yield plane.kubeconfig(ADMINISTRATOR)
    finally:
        plane.processes.stop(plane.processes.names(), grace_seconds=0)
        shutil.rmtree(root)


def free_ports(count: int) -> list[int]:
    """Different loopback ports that are free now, and that nobody else is given meanwhile.

    That is neither the kernel, for an outgoing connection, nor another caller of this test run: a port is given once,
    and of workers that run side by side each has ports of its own.
    """
    lowest_given = int(EPHEMERAL_PORTS.read_text().split()[0]) if EPHEMERAL_PORTS.exists() else LAST_PORT
    worker, workers = _worker()
    own = range(FIRST_PORT + worker, lowest_given, workers)
    found: list[int] = []
    while len(found) < count:
        port = own[secrets.randbelow(len(own))]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if _take(port):
                found.append(port)
    return found


def _worker() -> tuple[int, int]:
    """Which worker of pytest-xdist this is, from 0, and of how many."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return int(name.removeprefix("gw")), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def _take(port: int) -> bool:
    """Whether it was not given before."""
    with _given_lock:
        known = len(_given)
        _given.add(port)
        return len(_given) > known
