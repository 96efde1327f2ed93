"""Whether this machine can run the embedded cluster; if not, one line says what is missing and where to go instead.

The facts are read in one place and judged by a pure function. Small tools that are missing are installed when that is
possible, none of which starts a service.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups
from tests.cluster.errors import PreflightError
from tests.cluster.images.progress import run, step

ELSEWHERE = "With Docker there is another way: make demo CLUSTER=kind"
# Bits of /proc/self/status, as in linux/capability.h.
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21}
CONTROLLERS = ("cpu", "memory", "pids")
# Tool to the Debian package that has it. Go and Debian's own tools are not here: they cannot be had that easily.
INSTALLABLE = {
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "sysctl": "procps",
    "gcc": "gcc libc6-dev",
    "mmdebstrap": "mmdebstrap",
    "mvn": "maven",
    "buildah": "buildah",
}
REQUIRED = ("go", "apt-get", "dpkg-deb")


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What the cluster needs to know about the machine."""

    system: str
    architecture: str
    user_id: int
    capabilities: int
    controllers: frozenset[str]
    absent_tools: frozenset[str]


def this_machine() -> Machine:
    """Read the facts; on another system than Linux most of them are empty."""
    linux = sys.platform == "linux"
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        user_id=os.geteuid(),
        capabilities=_capabilities(Path("/proc/self/status").read_text()) if linux else 0,
        controllers=frozenset(_controllers()) if linux else frozenset(),
        absent_tools=frozenset(tool for tool in (*INSTALLABLE, *REQUIRED) if shutil.which(tool) is None),
    )


def shortcomings(machine: Machine) -> list[str]:
    """What keeps this machine from running the cluster, the most basic first; empty if nothing does."""
    if machine.system != "Linux":
        return [f"Linux (this is {machine.system})"]
    found = [] if machine.architecture == "x86_64" else [f"an x86_64 processor (this is {machine.architecture})"]
    if machine.user_id != 0:
        return [*found, f"root (this is user {machine.user_id})"]
    found += [name for name, bit in CAPABILITIES.items() if not machine.capabilities >> bit & 1]
    return found + [f"the cgroup controller {name}" for name in CONTROLLERS if name not in machine.controllers]


def packages_for(absent: Iterable[str]) -> list[str]:
    """Debian packages that bring the absent tools."""
    return sorted({package for tool in absent if tool in INSTALLABLE for package in INSTALLABLE[tool].split()})


def complaint(missing: Sequence[str]) -> str:
    """The one line."""
    return f"The embedded cluster needs {', '.join(missing)}. {ELSEWHERE}"


def require_able_machine() -> None:
    """Raise PreflightError with the one line, unless the machine can run the cluster."""
    if missing := shortcomings(this_machine()):
        raise PreflightError(complaint(missing))


def install_missing_tools() -> None:
    """Install what is small through apt-get, and say so; raise PreflightError for what has to be there already."""
    absent = this_machine().absent_tools
    if missing := [f"the program {tool}" for tool in REQUIRED if tool in absent]:
        raise PreflightError(complaint(missing))
    if packages := packages_for(absent):
        with step(f"install missing tools with apt-get: {' '.join(packages)}"):
            run(["apt-get", "-qq", "update"])
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            run(["apt-get", "-qq", "install", "--no-install-recommends", "--yes", *packages], env=environment)


def _capabilities(status: str) -> int:
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)


def _controllers() -> set[str]:
    """Controllers that a writable hierarchy offers. A v1 mount point is named after its controllers."""
    found: set[str] = set()
    for mount, kind in cgroups.hierarchies(cgroups.MOUNTS.read_text()).items():
        if kind == "cgroup2":
            controllers = mount / "cgroup.controllers"
            found.update(controllers.read_text().split() if os.access(mount, os.W_OK) else ())
        elif os.access(mount, os.W_OK):
            found.update(mount.name.split(","))
    return found
