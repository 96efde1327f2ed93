"""A real Prometheus that scrapes real node_exporters, each of which sees the machine that the test writes for it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.cluster.api_only import WITH_PARENT, free_ports
from tests.cluster.builds import node_exporter
from tests.cluster.images.catalogue import prometheus_program

START_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A network device as the kernel shows it; speed in Mbit/s, which it gives as -1 where it is not known."""

    megabits_per_second: int
    up: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A folder that stands for /sys of a machine, its exporter's port, and the labels that its series carry."""

    folder: Path
    port: int
    labels: Mapping[str, str]

    def write(self, **links: Link) -> None:
        """Have these devices, beside those that are there."""
        for name, link in links.items():
            device = self.folder / "class" / "net" / name
            device.mkdir(parents=True, exist_ok=True)
            state = "up" if link.up else "down"
            for attribute, text in {"speed": str(link.megabits_per_second), "operstate": state}.items():
                written = device / f".{attribute}"
                written.write_text(f"{text}\n")
                written.rename(device / attribute)


@dataclass(kw_only=True)
class Scraped:
    """A Prometheus in a folder, and the machines that it is to scrape whether they are there or not."""

    folder: Path
    machines: tuple[Machine, ...]
    url: str = ""
    _stack: ExitStack = field(default_factory=ExitStack)

    def start_exporters(self) -> None:
        """Have the machines scraped from now on."""
        for machine in self.machines:
            log = self.folder / f"exporter-{machine.port}.log"
            self._stack.enter_context(_running(_exporter(machine), log))
            _await(f"http://127.0.0.1:{machine.port}/metrics")

    def ask(self, expression: str) -> Any:
        """What Prometheus answers to an expression, as JSON."""
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{urlencode({'query': expression})}", timeout=5) as reply:
            return json.load(reply)


@contextmanager
def scraped(folder: Path, *labels: Mapping[str, str]) -> Iterator[Scraped]:
    """A machine for each set of labels, none of which has an exporter yet."""
    port, *ports = free_ports(1 + len(labels))
    machines = tuple(
        Machine(folder=folder / f"machine-{number}", port=own, labels=one)
        for number, (own, one) in enumerate(zip(ports, labels, strict=True))
    )
    (folder / "prometheus.yml").write_text(json.dumps(_configuration(machines)))
    command = [
        str(prometheus_program()),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with ExitStack() as stack:
        stack.enter_context(_running(command, folder / "prometheus.log"))
        url = f"http://127.0.0.1:{port}"
        _await(f"{url}/-/ready")
        yield Scraped(folder=folder, machines=machines, url=url, _stack=stack)


def _configuration(machines: tuple[Machine, ...]) -> dict[str, Any]:
    """Each machine with its labels as a relabelling would have set them."""
    targets = [{"targets": [f"127.0.0.1:{one.port}"], "labels": dict(one.labels)} for one in machines]
    job = {"job_name": "node-exporter", "scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": targets}
    return {"scrape_configs": [job]}


def _exporter(machine: Machine) -> list[str]:
    return [
        str(node_exporter()),
        f"--path.sysfs={machine.folder}",
        f"--path.procfs={machine.folder}",
        "--collector.disable-defaults",
        "--collector.netclass",
        f"--web.listen-address=127.0.0.1:{machine.port}",
    ]


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen([*WITH_PARENT, *command], stdout=output, stderr=output)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _await(url: str) -> None:
    """Await that an address answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
