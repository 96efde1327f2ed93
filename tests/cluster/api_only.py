"""A real API server without a node, for tests of the API: etcd and kube-apiserver on free loopback ports.

It needs no right of root and no network namespace, is up in a few seconds, and ends with the process that asked for it.
"""

import contextlib
import secrets
import shutil
import socket
import tempfile
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
    """Different loopback ports that are free now, and that no outgoing connection is given by the kernel meanwhile."""
    lowest_given = int(EPHEMERAL_PORTS.read_text().split()[0]) if EPHEMERAL_PORTS.exists() else LAST_PORT
    found: set[int] = set()
    while len(found) < count:
        port = FIRST_PORT + secrets.randbelow(lowest_given - FIRST_PORT)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)
