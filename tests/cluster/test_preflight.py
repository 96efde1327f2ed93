from dataclasses import replace

import pytest

from tests.cluster import preflight
from tests.cluster.preflight import Machine, complaint, packages_for, shortcomings

ALL_CAPABILITIES = (1 << 41) - 1
ABLE = Machine(
    system="Linux",
    architecture="x86_64",
    user_id=0,
    capabilities=ALL_CAPABILITIES,
    controllers=frozenset({"cpu", "memory", "pids"}),
    absent_tools=frozenset(),
)
WITHOUT_NET_ADMIN = ALL_CAPABILITIES & ~(1 << 12)


def test_an_able_machine_lacks_nothing() -> None:
    assert shortcomings(ABLE) == []


@pytest.mark.parametrize(
    ("machine", "missing"),
    [
        pytest.param(replace(ABLE, system="Darwin", user_id=501), ["Linux (this is Darwin)"], id="not Linux"),
        pytest.param(replace(ABLE, user_id=1000), ["root (this is user 1000)"], id="not root"),
        pytest.param(
            replace(ABLE, architecture="aarch64"), ["an x86_64 processor (this is aarch64)"], id="other processor"
        ),
        pytest.param(replace(ABLE, capabilities=WITHOUT_NET_ADMIN), ["CAP_NET_ADMIN"], id="root of a container"),
        pytest.param(
            replace(ABLE, controllers=frozenset({"cpu", "pids"})),
            ["the cgroup controller memory"],
            id="no memory limits",
        ),
        pytest.param(
            replace(ABLE, controllers=frozenset(), capabilities=0),
            [
                *["CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN"],
                *["the cgroup controller cpu", "the cgroup controller memory", "the cgroup controller pids"],
            ],
            id="nothing at all",
        ),
    ],
)
def test_what_is_missing_is_named(machine: Machine, missing: list[str]) -> None:
    assert shortcomings(machine) == missing


def test_the_complaint_is_one_line_that_points_to_kind() -> None:
    assert complaint(["root (this is user 1000)"]) == (
        "The embedded cluster needs root (this is user 1000). With Docker there is another way: make demo CLUSTER=kind"
    )


@pytest.mark.parametrize(
    ("absent", "packages"),
    [
        pytest.param([], [], id="nothing absent"),
        pytest.param(["ip", "nsenter"], ["iproute2", "util-linux"], id="one package per tool"),
        pytest.param(["gcc"], ["gcc", "libc6-dev"], id="a tool that needs two packages"),
        pytest.param(["go"], [], id="a tool that cannot be installed"),
    ],
)
def test_absent_tools_are_installed_by_their_packages(absent: list[str], packages: list[str]) -> None:
    assert packages_for(absent) == packages


def test_no_package_starts_a_service() -> None:
    services = {"etcd-server", "containerd", "docker.io", "prometheus"}
    assert services.isdisjoint(packages_for(preflight.INSTALLABLE))
