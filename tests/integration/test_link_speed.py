"""Compression Auto from the link speed that a real node_exporter tells, through a real Prometheus, to the plan's steps.

The machines are folders that stand for /sys. Kubernetes, Milvus and the other series are as they were recorded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from milvus_tuning.decide.config.settings import setting_steps
from milvus_tuning.plan import SettingStatus, Step, StepKind
from tests.clients.http_server import Asked, Reply
from tests.integration.node_exporter import Link, Scraped, scraped
from tests.observe import world as recording
from tests.observe.world import NOW, World, observe, serving

PATIENCE_SECONDS = 30.0
# What is not the machine's own link. The kernel says 10 Gbit/s of every veth, however its plugin names it.
OF_PODS = {
    "docker0": Link(megabits_per_second=10_000),
    "veth1a2b3c": Link(megabits_per_second=10_000),
    "cali12345678901": Link(megabits_per_second=10_000),  # Calico
    "lxc1234567890ab": Link(megabits_per_second=10_000),  # Cilium
    "eni0123456789a": Link(megabits_per_second=10_000),  # Amazon VPC
    "azv0123456789a": Link(megabits_per_second=10_000),  # Azure
    "gke0123456789a": Link(megabits_per_second=10_000),  # GKE
    "0123456789abcde": Link(megabits_per_second=10_000),  # OVN
    "eth1": Link(megabits_per_second=100_000, up=False),
    "eth2": Link(megabits_per_second=-1),
}
KUBE_PROMETHEUS = [{"instance": f"node-{n}", "namespace": "monitoring", "pod": f"node-exporter-{n}"} for n in (1, 2)]
CHART = [{"instance": f"10.0.0.{n}:9100", "node": f"node-{n}", "service": "node-exporter"} for n in (1, 2)]


def relaying(prometheus: Scraped) -> World:
    """The recorded world, whose Prometheus passes on what is asked about machines."""
    world = World()
    world.spec |= {"mode": "Auto", "network": {"compression": "Auto"}}
    recorded = recording._prometheus(world)

    def answer(asked: Asked) -> Reply:
        expression = parse_qs(asked.body)["query"][0]
        about_machines = "node_network" in expression
        return Reply(body=prometheus.ask(expression)) if about_machines else recorded(asked)

    world.prometheus_reply = answer
    return world


def decided(world: World) -> tuple[list[str | int | None], SettingStatus, float | None]:
    """The values that would be written, how the setting stands, and the speed that was seen."""
    snapshot = observe(world)
    steps, (status,) = setting_steps(world.parsed_spec(), snapshot, NOW, "uid")
    return (
        [_written(step) for step in steps if step.kind is StepKind.SET_CONFIG],
        status,
        snapshot.link_bits_per_second.value,
    )


def _written(step: Step) -> str | int | None:
    assert step.action["key"] == "grpc.client.compressionenabled"
    return step.action["value"]


def await_speed(world: World, expected: float) -> tuple[list[str | int | None], SettingStatus]:
    """What is decided once this speed is seen, in bits per second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        values, status, speed = decided(world)
        if speed == expected:
            return values, status
        assert time.monotonic() < deadline, f"{expected:g} bit/s is not seen, but {speed}: {status.message}"
        time.sleep(0.5)


@pytest.mark.parametrize(
    "labels", [pytest.param(KUBE_PROMETHEUS, id="kube-prometheus"), pytest.param(CHART, id="the chart of Prometheus")]
)
def test_compression_follows_the_slowest_machine(labels: list[Mapping[str, str]], tmp_path: Path) -> None:
    with scraped(tmp_path, *labels) as prometheus, serving(relaying(prometheus)) as world:
        fast, slow = prometheus.machines
        fast.write(eth0=Link(megabits_per_second=25_000), **OF_PODS)
        slow.write(eth0=Link(megabits_per_second=500), **OF_PODS)

        values, status, _ = decided(world)
        assert values == [], "without node_exporter nothing is written"
        assert status.message.startswith("Auto cannot be decided: link speed missing")

        prometheus.start_exporters()
        values, status = await_speed(world, 5e8)
        assert (values, status.desired) == (["true"], "true")
        assert "links of 0.5 Gbit/s are below 1 Gbit/s" in status.message

        slow.write(eth0=Link(megabits_per_second=25_000))
        values, status = await_speed(world, 25e9)
        assert (values, status.desired) == (["false"], "false")
        assert "links of 25 Gbit/s are above 10 Gbit/s" in status.message


def test_matchers_of_the_users_own_choose_the_machines_where_they_fit_any(tmp_path: Path) -> None:
    ours, theirs = ({**one, "cluster": name} for one, name in zip(KUBE_PROMETHEUS, ("eu", "us"), strict=True))
    with scraped(tmp_path, ours, theirs) as prometheus, serving(relaying(prometheus)) as world:
        for machine, speed in zip(prometheus.machines, (25_000, 500), strict=True):
            machine.write(eth0=Link(megabits_per_second=speed))
        prometheus.start_exporters()
        await_speed(world, 5e8)

        world.connections = {"prometheus": {"matchers": {"cluster": "eu"}}}
        assert await_speed(world, 25e9)[0] == ["false"]
        world.connections = {"prometheus": {"matchers": {"cluster": "nowhere"}}}
        assert await_speed(world, 5e8)[0] == ["true"]
