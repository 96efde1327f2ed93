"""The control group of a cluster, one folder in each hierarchy: cgroup v1, v2 or both mounted side by side.

All containers of the cluster live below it, which makes it the sure way to find and end them even when containerd is
gone.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.processes import POLL_SECONDS, wait_for

MOUNTS = Path("/proc/self/mountinfo")
# Those that the kubelet refuses to miss, if the machine has them.
V2_CONTROLLERS = {"cpu", "cpuset", "hugetlb", "memory", "pids"}


def hierarchies(mountinfo: str) -> dict[Path, str]:
    """Mount point of each control group hierarchy to its type, `cgroup` or `cgroup2`."""
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind = after.split()[0] if after else ""
        if kind in ("cgroup", "cgroup2"):
            found[Path(before.split()[4])] = kind
    return found


def create(group: str) -> None:
    """Make the group in every hierarchy; the kubelet refuses a root that does not exist."""
    for mount, kind in hierarchies(MOUNTS.read_text()).items():
        folder = _folder(mount, group)
        folder.mkdir(exist_ok=True)
        if kind == "cgroup2":
            _delegate(mount)
            _delegate(folder)


def _delegate(folder: Path) -> None:
    """Let the children use the controllers; beside v1 hierarchies v2 has none of them."""
    for controller in sorted(V2_CONTROLLERS & _words(folder / "cgroup.controllers")):
        try:
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError as error:
            raise ClusterError(
                f"{folder} does not hand the cgroup controller {controller} to its children: {error.strerror}. "
                "In a container, start it with the control groups of the host"
            ) from error


def _words(file: Path) -> set[str]:
    return set(file.read_text().split())


def members(group: str) -> set[int]:
    """Process ids in the group and below it."""
    pids: set[int] = set()
    for folder in _folders(group):
        with contextlib.suppress(OSError):
            pids.update(map(int, (folder / "cgroup.procs").read_text().split()))
    return pids


def kill(group: str) -> None:
    """End every process of the group, including those that start meanwhile."""

    def ended() -> bool:
        left = members(group)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_for(f"the processes of the control group {group} to end", ended, seconds=20)


def remove(group: str) -> None:
    """Remove the empty group from every hierarchy, children first; the kernel needs a moment after the last process."""
    for folder in _folders(group):
        for _ in range(40):
            with contextlib.suppress(FileNotFoundError):
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(POLL_SECONDS)
                    continue
            break


def left(group: str) -> list[Path]:
    """What is still there of the group."""
    return [folder for mount in hierarchies(MOUNTS.read_text()) if (folder := _folder(mount, group)).exists()]


def _folder(mount: Path, group: str) -> Path:
    return mount / group.lstrip("/")


def _folders(group: str) -> Iterator[Path]:
    """Each folder of the group, children before their parents."""
    for mount in hierarchies(MOUNTS.read_text()):
        for folder, _, _ in os.walk(_folder(mount, group), topdown=False):
            yield Path(folder)
