from pathlib import Path

import pytest

from tests.cluster import mounts
from tests.cluster.errors import ClusterError

MOUNTINFO = r"""
22 1 254:0 / / rw - ext4 /dev/vda rw
90 22 0:4 / /cache/clusters/dev/kubelet rw shared:1 - ext4 /dev/vda rw
91 90 0:5 / /cache/clusters/dev/kubelet/pods/a\040b rw - tmpfs tmpfs rw
92 22 0:6 / /cache/clusters/dev2/kubelet rw - tmpfs tmpfs rw
""".strip()


def test_mounts_of_this_cluster_alone_come_innermost_first() -> None:
    assert mounts.mounts_below(Path("/cache/clusters/dev"), MOUNTINFO) == [
        Path("/cache/clusters/dev/kubelet/pods/a b"),
        Path("/cache/clusters/dev/kubelet"),
    ]


def test_a_folder_with_a_mount_in_it_is_never_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "dev"
    folder.mkdir()
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"91 90 0:5 / {folder}/store rw - ext4 /dev/vda rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", mountinfo)
    with pytest.raises(ClusterError, match="still mounted"):
        mounts.remove_tree(folder)
    assert folder.exists()


def test_a_folder_without_mounts_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    (folder / "store").mkdir(parents=True)
    mounts.remove_tree(folder)
    assert not folder.exists()
