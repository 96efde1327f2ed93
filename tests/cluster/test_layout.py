from pathlib import Path

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout, layout

CACHE = Path("/cache")


def machine_wide_names(paths: Layout) -> set[str]:
    return {paths.namespace, str(paths.netns), paths.cgroup, str(paths.root), str(paths.lock)}


def test_two_clusters_share_no_name_that_the_machine_has_once() -> None:
    assert machine_wide_names(layout("dev", cache=CACHE)).isdisjoint(machine_wide_names(layout("two", cache=CACHE)))


def test_every_path_but_the_lock_and_the_namespace_lies_in_the_folder_that_down_deletes() -> None:
    paths = layout("dev", cache=CACHE)
    values = {name: getattr(paths, name) for name, kind in vars(Layout).items() if isinstance(kind, property)}
    outside = {
        name
        for name, path in values.items()
        if isinstance(path, Path) and not path.is_relative_to("/cache/clusters/dev")
    }
    assert outside == {"lock", "netns"}


def test_a_cache_too_deep_for_a_socket_is_refused_before_anything_starts() -> None:
    with pytest.raises(ClusterError, match="choose a shorter XDG_CACHE_HOME"):
        layout("dev", cache=Path("/home") / ("deep/" * 20))


@pytest.mark.parametrize("name", ["a", "dev", "ci-1", "a" * 24])
def test_a_short_lower_case_name_is_accepted(name: str) -> None:
    assert layout(name, cache=CACHE).name == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("Dev", id="upper case"),
        pytest.param("-dev", id="hyphen in front"),
        pytest.param("dev-", id="hyphen behind"),
        pytest.param("a/b", id="a path"),
        pytest.param("..", id="the parent folder"),
        pytest.param("a" * 25, id="too long"),
        pytest.param("dev\n", id="newline"),
    ],
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="use 1 to 24 lower-case letters"):
        layout(name, cache=CACHE)
