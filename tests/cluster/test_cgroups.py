from pathlib import Path

import pytest

from tests.cluster import cgroups
from tests.cluster.errors import ClusterError

MOUNTINFO = """\
24 30 0:22 / /sys rw,nosuid - sysfs sysfs rw
33 24 0:28 / {root}/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw
35 24 0:30 / {root}/cpu,cpuacct rw,nosuid shared:12 master:3 - cgroup cgroup rw,cpu,cpuacct
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders in place of the two hierarchies of a machine that has both generations."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(MOUNTINFO.format(root=tmp_path))
    monkeypatch.setattr(cgroups, "MOUNTS", mountinfo)
    for hierarchy in ("unified", "cpu,cpuacct"):
        (tmp_path / hierarchy).mkdir()
    return tmp_path


def test_both_generations_of_control_groups_are_found() -> None:
    found = cgroups.hierarchies(MOUNTINFO.format(root="/sys/fs/cgroup"))
    assert found == {Path("/sys/fs/cgroup/unified"): "cgroup2", Path("/sys/fs/cgroup/cpu,cpuacct"): "cgroup"}


def test_members_are_found_in_every_hierarchy_and_depth(machine: Path) -> None:
    for folder, pids in (("unified/mto-dev", "1\n2\n"), ("cpu,cpuacct/mto-dev/kubepods/pod1", "2\n3\n")):
        (machine / folder).mkdir(parents=True)
        (machine / folder / "cgroup.procs").write_text(pids)
    assert cgroups.members("/mto-dev") == {1, 2, 3}


def test_removing_takes_this_group_with_its_children_and_no_other(machine: Path) -> None:
    for folder in ("unified/mto-dev/kubepods/pod1", "cpu,cpuacct/mto-dev", "unified/mto-dev2"):
        (machine / folder).mkdir(parents=True)
    cgroups.remove("/mto-dev")
    assert (cgroups.left("/mto-dev"), cgroups.left("/mto-dev2")) == ([], [machine / "unified/mto-dev2"])


def test_a_v2_group_that_hands_no_controllers_down_is_told(machine: Path) -> None:
    (machine / "unified" / "cgroup.controllers").write_text("cpu io memory\n")
    (machine / "unified" / "cgroup.subtree_control").mkdir()
    with pytest.raises(ClusterError, match="does not hand the cgroup controller cpu to its children"):
        cgroups.create("/mto-dev")
