"""Where everything of one cluster is, and what it is called: derived from the cluster's name and nothing else.

Addresses are the same in every cluster, because each has a network namespace of its own. Everything the machine shares
(namespace, control groups, folders) carries the name: for `dev` the namespace is mto-dev, the control group /mto-dev,
and every file lies under `CACHE/clusters/dev`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.images.store import cache_root

NODE_NAME = "node"
NODE_IP = "10.244.0.1"
NODE_NETWORK = f"{NODE_IP}/24"
# Nothing answers there: kube-apiserver and kubelet only want a default route to exist.
GATEWAY_IP = "10.244.0.254"
POD_NETWORK = "10.245.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
API_PORT = 6443
DNS_DOMAIN = "cluster.local"
SOCKET_PATH_LENGTH = 107  # sun_path of unix(7), without its closing zero
NETNS_FOLDER = Path("/run/netns")
NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """All paths and names of the cluster `name`, under the cache root `cache`."""

    name: str
    cache: Path

    @property
    def root(self) -> Path:
        """The folder of everything this cluster writes."""
        return self.cache / "clusters" / self.name

    @property
    def lock(self) -> Path:
        """Held while the cluster is changed; beside the folder, because `down` removes that."""
        return self.cache / "clusters" / f"{self.name}.lock"

    @property
    def namespace(self) -> str:
        """The network namespace, as `ip netns` lists it."""
        return f"mto-{self.name}"

    @property
    def netns(self) -> Path:
        """The file that nsenter enters the network namespace by."""
        return NETNS_FOLDER / self.namespace

    @property
    def cgroup(self) -> str:
        """The control group under which the kubelet keeps all pods, in every hierarchy."""
        return f"/mto-{self.name}"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def kubeconfigs(self) -> Path:
        """One kubeconfig per identity."""
        return self.root / "kubeconfigs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, through the forwarded loopback port: for use outside the namespace."""
        return self.kubeconfigs / "outside.yaml"

    @property
    def inner_kubeconfig(self) -> Path:
        """The administrator's, with the node's address: for use inside the namespace."""
        return self.kubeconfigs / "admin.yaml"

    @property
    def config(self) -> Path:
        """Configuration files of the components."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One log per component, and the API server's audit log."""
        return self.root / "logs"

    @property
    def pod_logs(self) -> Path:
        """Logs of containers; the kubelet's default folder would be shared by all clusters."""
        return self.root / "pod-logs"

    @property
    def audit_log(self) -> Path:
        """Every write that the API server was asked for, one JSON event a line."""
        return self.logs / "audit.log"

    @property
    def pids(self) -> Path:
        """One record per started process."""
        return self.root / "pids"

    @property
    def forwarded_port(self) -> Path:
        """Holds the loopback port outside that leads to the API server inside."""
        return self.root / "forwarded-port"

    @property
    def etcd(self) -> Path:
        """Data of the cluster's own etcd."""
        return self.root / "etcd"

    @property
    def kubelet(self) -> Path:
        """The kubelet's root folder: pods' volumes."""
        return self.root / "kubelet"

    @property
    def containerd(self) -> Path:
        """Images and snapshots."""
        return self.root / "containerd"

    @property
    def containerd_state(self) -> Path:
        """Running containers: bundles, mounts and pods' network namespaces."""
        return self.root / "state"

    @property
    def containerd_socket(self) -> Path:
        """Also the mark by which the shims of this cluster are told from others'."""
        return self.root / "containerd.sock"

    @property
    def imported(self) -> Path:
        """One empty file per image archive already imported."""
        return self.root / "imported"

    @property
    def store(self) -> Path:
        """A folder on the node for hostPath volumes."""
        return self.root / "store"


def layout(name: str, *, cache: Path | None = None) -> Layout:
    """The layout of a valid name; a ClusterError says what is wrong with the name or with the cache's place."""
    if not NAME_PATTERN.fullmatch(name):
        raise ClusterError(f"cluster name {name!r}: use 1 to 24 lower-case letters, digits and inner hyphens")
    paths = Layout(name=name, cache=cache or cache_root())
    longest = max((f"{paths.containerd_socket}.ttrpc", f"{paths.kubelet}/pod-resources/kubelet.sock"), key=len)
    if len(longest) > SOCKET_PATH_LENGTH:
        raise ClusterError(f"{longest} is too long for a socket; choose a shorter XDG_CACHE_HOME or cluster name")
    return paths
