"""Mounts below a folder: volumes of pods, root file systems of containers, network namespaces of pods.

A folder with a mount in it must never be deleted: a hostPath volume would lose the files of the machine.
"""

import re
import shutil
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.images.progress import run

MOUNTS = Path("/proc/self/mountinfo")
ESCAPED = re.compile(r"\\([0-7]{3})")


def mounts_below(folder: Path, mountinfo: str) -> list[Path]:
    """Mount points in the folder, the innermost first. The kernel writes a space in a path as `\\040`."""
    points = [ESCAPED.sub(lambda code: chr(int(code[1], 8)), line.split()[4]) for line in mountinfo.splitlines()]
    return [Path(point) for point in reversed(points) if Path(point).is_relative_to(folder)]


def unmount_below(folder: Path) -> None:
    """Unmount everything in the folder; what is still in use goes as soon as it is free."""
    while points := mounts_below(folder, MOUNTS.read_text()):
        run(["umount", "--lazy", points[0]])


def remove_tree(folder: Path) -> None:
    """Delete the folder, unless something is mounted in it."""
    if points := mounts_below(folder, MOUNTS.read_text()):
        raise ClusterError(f"{folder} is not deleted: {points[0]} is still mounted")
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder)
