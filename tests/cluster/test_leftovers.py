from pathlib import Path

import pytest

from tests.cluster.layout import layout
from tests.cluster.leftovers import belongs, remove_log_links

ROOT = Path("/cache/clusters/dev")
SOCKET = "/cache/clusters/dev/containerd.sock"


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        pytest.param(["/x/containerd-shim-runc-v2", "-id", "1", "-address", SOCKET], True, id="our shim"),
        pytest.param(["runc", "--root", "/cache/clusters/dev/state/runc", "create"], True, id="our runc"),
        pytest.param(
            ["/usr/bin/containerd-shim-runc-v2", "-address", "/run/containerd/containerd.sock"],
            False,
            id="the machine's",
        ),
        pytest.param(
            ["containerd-shim-runc-v2", "-address", "/cache/clusters/dev2/containerd.sock"],
            False,
            id="another cluster's",
        ),
        pytest.param(["tail", "-f", "/cache/clusters/dev/logs/etcd.log"], False, id="somebody who looks at a log"),
        pytest.param([""], False, id="a process without a command line"),
    ],
)
def test_only_the_runtime_of_this_cluster_is_ended(command: list[str], ours: bool) -> None:
    assert belongs(command, ROOT) is ours


def test_only_links_to_logs_of_this_cluster_are_removed(tmp_path: Path) -> None:
    paths = layout("dev", cache=Path("/cache"))
    for name, target in (("ours", paths.pod_logs / "pod/0.log"), ("theirs", Path("/var/log/pods/pod/0.log"))):
        (tmp_path / name).symlink_to(target)
    remove_log_links(paths, links=tmp_path)
    assert [link.name for link in tmp_path.iterdir()] == ["theirs"]
