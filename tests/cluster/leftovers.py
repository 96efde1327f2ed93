"""What a node leaves on the machine outside its folder, found without asking containerd, which may be gone.

Containers themselves are found by their control group (cgroups.py), mounts by the cluster's folder (mounts.py).
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.layout import Layout
from tests.cluster.processes import start_ticks, wait_for

RUNTIME_PROGRAMS = ("containerd-shim-runc-v2", "runc")
# The kubelet links each container's log here; it has no setting for it.
LOG_LINKS = Path("/var/log/containers")


def end_runtime(paths: Layout) -> None:
    """End the processes that hold the pods, and remove their sockets, which lie in a folder all clusters share."""
    sockets = list(paths.containerd_state.glob("io.containerd.runtime.v2.task/*/*/address"))

    def ended() -> bool:
        left = list(_runtime(paths))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_for("the shims of containerd to end", ended, seconds=10)
    for address in sockets:
        with contextlib.suppress(OSError):
            Path(address.read_text().removeprefix("unix://")).unlink()


def _runtime(paths: Layout) -> Iterator[int]:
    """Process ids of the shims and of runc."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if belongs(command, paths.root) and start_ticks(int(process.name)) is not None:
                yield int(process.name)


def belongs(command: list[str], root: Path) -> bool:
    """Whether this is a shim or runc with a path of this cluster among its arguments."""
    program, *arguments = command
    return Path(program).name in RUNTIME_PROGRAMS and any(word.startswith(f"{root}/") for word in arguments)


def remove_log_links(paths: Layout, links: Path = LOG_LINKS) -> None:
    """Remove the links to logs of this cluster's containers."""
    for link in links.glob("*"):
        with contextlib.suppress(OSError):
            if Path(os.readlink(link)).is_relative_to(paths.pod_logs):
                link.unlink()
