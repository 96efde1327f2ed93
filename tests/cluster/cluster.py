"""One cluster: up, down, and what tests do with it while it is up.

`up` starts in the order of need and waits only where it must: network, etcd and API server (meanwhile containerd),
controllers, kubelet and proxy, DNS; then the workloads. `down` goes by what the machine holds, not by what `up` says it
did, so it also cleans up after half an `up`.
"""

import contextlib
import fcntl
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from tests.cluster import cgroups, leftovers, mounts, network
from tests.cluster.builds import Programs, programs, search_path
from tests.cluster.control_plane import (
    ADMINISTRATOR,
    API_SERVER,
    CONTROLLER_MANAGER,
    ETCD,
    NODE_ENDPOINTS,
    SCHEDULER,
    ControlPlane,
)
from tests.cluster.dns import COREDNS, RIGHTS, Dns
from tests.cluster.errors import ClusterError
from tests.cluster.images.progress import CommandError, step
from tests.cluster.layout import API_PORT, NODE_IP, NODE_NAME, Layout, layout
from tests.cluster.node import CONTAINERD, KUBE_PROXY, KUBELET, Node
from tests.cluster.pki import PRIVATE, Authority
from tests.cluster.preflight import install_missing_tools, require_able_machine
from tests.cluster.processes import Processes, wait_for
from tests.cluster.writing import write_if_other

FORWARDER = "forwarder"
COMPONENTS = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, CONTAINERD, KUBELET, KUBE_PROXY, COREDNS, FORWARDER)
# Modules with `install(cluster)`, in order. By name, because they import this one.
WORKLOADS = ("tests.cluster.milvus", "tests.cluster.prometheus")
NODE_READY_SECONDS = 90.0
READY_PATH = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
PROXY_VARIABLES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


class Cluster:
    """The cluster of this name. Making the object touches nothing."""

    def __init__(self, name: str = "dev", *, cache: Path | None = None) -> None:
        self.paths: Layout = layout(name, cache=cache)
        self.processes = Processes(
            pids=self.paths.pids, logs=self.paths.logs, enter=("nsenter", f"--net={self.paths.netns}")
        )

    @property
    def name(self) -> str:
        """The name everything is derived from."""
        return self.paths.name

    @property
    def cache(self) -> Path:
        """The cache root, which all clusters share."""
        return self.paths.cache

    @property
    def kubeconfig(self) -> Path:
        """For use outside the network namespace."""
        return self.paths.kubeconfig

    @property
    def inner_kubeconfig(self) -> Path:
        """For use inside the network namespace."""
        return self.paths.inner_kubeconfig

    @property
    def store_dir(self) -> Path:
        """A folder on the node for hostPath volumes; `down` deletes it."""
        return self.paths.store

    @property
    def log_dir(self) -> Path:
        """A log per component, and audit.log."""
        return self.paths.logs

    @cached_property
    def programs(self) -> Programs:
        """Built on first use."""
        return programs()

    @property
    def control_plane(self) -> ControlPlane:
        """etcd, API server and controllers at the node's address."""
        return ControlPlane(
            endpoints=NODE_ENDPOINTS,
            programs=self.programs,
            processes=self.processes,
            authority=Authority(folder=self.paths.pki),
            root=self.paths.root,
        )

    @property
    def node(self) -> Node:
        """containerd, kubelet and proxy."""
        return Node(paths=self.paths, programs=self.programs, processes=self.processes)

    def up(self, *, bare: bool = False) -> None:
        """Bring the cluster up, or repair it; `bare` leaves the workloads out. Doing it again changes nothing."""
        require_able_machine()
        install_missing_tools()
        _ = self.programs
        with self._locked():
            if not self.healthy():
                self._clear_ruins()
                self._start()
        if not bare:
            for workload in WORKLOADS:
                importlib.import_module(workload).install(self)

    def down(self) -> None:
        """Remove every process, mount, control group, namespace and file of this cluster, and nothing else."""
        require_able_machine()
        with self._locked(), step(f"cluster {self.name} down"):
            self._tear_down()

    def healthy(self) -> bool:
        """Whether every component runs, the API server answers and the node is ready."""
        return not self.stopped() and self._node_ready()

    def stopped(self) -> list[str]:
        """Components that should run and do not."""
        return [name for name in COMPONENTS if self.processes.running(name) is None]

    def exists(self) -> bool:
        """Whether anything of the cluster is there."""
        return self.paths.root.exists() or self.paths.netns.exists()

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """The command as it has to be called to run inside the cluster's network namespace."""
        return network.inside(self.paths, *map(str, argv))

    def environment(self) -> dict[str, str]:
        """The caller's environment, with kubectl and helm, and with nothing of theirs in the user's home."""
        home = self.paths.root / "home"
        kept = {name: value for name, value in os.environ.items() if name.lower() not in PROXY_VARIABLES}
        return kept | {
            "PATH": search_path(self.programs.clients),
            "KUBECONFIG": str(self.inner_kubeconfig),
            "KUBERC": "off",
            "KUBECACHEDIR": str(home / "kubectl"),
            "HELM_CACHE_HOME": str(home / "helm/cache"),
            "HELM_CONFIG_HOME": str(home / "helm/config"),
            "HELM_DATA_HOME": str(home / "helm/data"),
        }

    def exec(
        self,
        argv: Sequence[str | Path],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the network namespace and return it ended; with `check` a failure raises."""
        environment = self.environment() | dict(env or {})
        result = subprocess.run(
            self.command(argv), env=environment, input=stdin, capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            said = (result.stdout + result.stderr)[-3000:]
            raise CommandError(f"{' '.join(map(str, argv))} ended with {result.returncode}:\n{said}")
        return result

    def kubectl(self, *arguments: str | Path, stdin: str = "") -> str:
        """What kubectl printed, as administrator."""
        return self.exec(["kubectl", *arguments], stdin=stdin).stdout

    def helm(self, *arguments: str | Path, stdin: str = "") -> str:
        """What helm printed, as administrator."""
        return self.exec(["helm", *arguments], stdin=stdin).stdout

    def resolve(self, service: str, namespace: str = "default") -> str:
        """The address of a Service, which answers inside the network namespace only."""
        return self.kubectl("get", "service", service, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")

    def import_image(self, archive: Path) -> None:
        """Give the node the images of a docker archive; an unchanged archive is imported once."""
        self.node.import_image(archive)

    def _start(self) -> None:
        with step(f"cluster {self.name}: control plane"):
            network.create(self.paths)
            self.paths.store.mkdir(parents=True, exist_ok=True)
            self.control_plane.start()
            self._forward()
            self.node.start_containerd()
            self.control_plane.wait_ready(self._forwarded_port())
        with step(f"cluster {self.name}: node"):
            self.control_plane.start_controllers(CONTROLLER_MANAGER, SCHEDULER)
            self.node.start_kubelet(self.control_plane)
            self.kubectl("apply", "-f", RIGHTS)
            Dns(paths=self.paths, programs=self.programs, processes=self.processes).start(self.control_plane)
            wait_for("the node to be ready", self._came_up, seconds=NODE_READY_SECONDS)

    def _forward(self) -> None:
        """Write the kubeconfigs and open the way in from outside."""
        self.control_plane.kubeconfig(ADMINISTRATOR)
        outside = Processes(pids=self.paths.pids, logs=self.paths.logs)
        script = Path(__file__).with_name("forwarder.py")
        target = [str(self.paths.netns), NODE_IP, str(API_PORT), str(self.paths.forwarded_port)]
        if outside.running(FORWARDER) is None:
            # The same port as before, so that kubeconfigs handed out stay valid.
            wish = self._forwarded_port()
            self.paths.forwarded_port.unlink(missing_ok=True)
            outside.start(FORWARDER, [sys.executable, script, *target, str(wish)])
            wait_for("the forwarder to listen", lambda: self._forwards(outside), seconds=10)
        server = f"https://127.0.0.1:{self._forwarded_port()}"
        content = self.control_plane.authority.kubeconfig(ADMINISTRATOR, server=server)
        write_if_other(self.kubeconfig, content, mode=PRIVATE)

    def _forwards(self, outside: Processes) -> bool:
        outside.require([FORWARDER])
        return self._forwarded_port() != 0

    def _forwarded_port(self) -> int:
        """The port in the file, 0 if there is none."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.paths.forwarded_port.read_text())
        return 0

    def _came_up(self) -> bool:
        self.processes.require(COMPONENTS)
        return self._node_ready() and self._default_account_exists()

    def _node_ready(self) -> bool:
        with contextlib.suppress(CommandError):
            asked = ["get", "node", NODE_NAME, "--request-timeout=5s", "-o", READY_PATH]
            return self.kubectl(*asked).strip() == "True"
        return False

    def _default_account_exists(self) -> bool:
        """Pods are refused before it does."""
        return bool(self.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name").strip())

    def _clear_ruins(self) -> None:
        """Start from nothing when the machine was restarted or the namespace is gone: little could be kept."""
        alive = any(self.processes.running(name) for name in COMPONENTS)
        if self.exists() and not (alive and network.exists(self.paths)):
            with step(f"cluster {self.name}: remove what is left of an earlier one"):
                self._tear_down()

    def _tear_down(self) -> None:
        """Nothing is asked to end in good order: all that it could save is deleted anyway."""
        self.processes.stop(self.processes.names(), grace_seconds=0)
        leftovers.end_runtime(self.paths)
        cgroups.kill(self.paths.cgroup)
        leftovers.remove_log_links(self.paths)
        mounts.unmount_below(self.paths.root)
        network.remove(self.paths)
        cgroups.remove(self.paths.cgroup)
        mounts.remove_tree(self.paths.root)
        if left := cgroups.left(self.paths.cgroup):
            raise ClusterError(f"cluster {self.name} is down, but the control group {left[0]} could not be removed")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.paths.lock.parent.mkdir(parents=True, exist_ok=True)
        with self.paths.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def service_rows(cluster: Cluster) -> list[tuple[str, str, str]]:
    """Component, process id and state, for people."""
    rows = []
    for name in COMPONENTS:
        pid = cluster.processes.running(name)
        rows.append((name, str(pid or "-"), "running" if pid else "stopped"))
    return rows


def pods_not_ready(cluster: Cluster) -> list[str]:
    """`namespace/name phase` of each pod that is neither ready nor finished."""
    path = "{range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.phase} "
    path += "{.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}"
    lines = cluster.kubectl("get", "pods", "-A", "-o", f"jsonpath={path}").splitlines()
    words = [line.split() for line in lines]
    return [f"{word[0]} {word[1]}" for word in words if word[1] != "Succeeded" and word[-1] != "True"]
