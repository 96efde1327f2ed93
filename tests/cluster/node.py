"""The only node: containerd, kubelet and kube-proxy, with everything they share by default moved to the cluster.

What would be shared: the control group /kubepods, /var/log/pods, /var/lib/cni, /run/netns/cni-*, /run/containerd/runc.
Two clusters on one machine would end each other's containers through the first alone.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster import cgroups
from tests.cluster.builds import Programs, search_path
from tests.cluster.control_plane import ControlPlane
from tests.cluster.images.catalogue import PAUSE, pause_archive
from tests.cluster.images.progress import CommandError, run
from tests.cluster.layout import DNS_DOMAIN, NODE_IP, NODE_NAME, POD_NETWORK, Layout
from tests.cluster.pki import Identity
from tests.cluster.processes import Processes, wait_for
from tests.cluster.writing import write_if_other

CONTAINERD, KUBELET, KUBE_PROXY = "containerd", "kubelet", "kube-proxy"
KUBERNETES_NAMESPACE = "k8s.io"  # in containerd; its CRI plugin knows no other
KUBELET_SERVER = Identity(name="kubelet-server", user=NODE_NAME)
KUBELET_IDENTITY = Identity(name=KUBELET, user=f"system:node:{NODE_NAME}", group="system:nodes")
PROXY_IDENTITY = Identity(name=KUBE_PROXY, user="system:kube-proxy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """The node's processes."""

    paths: Layout
    programs: Programs
    processes: Processes

    def start_containerd(self) -> None:
        """Start containerd and give it the sandbox image."""
        self._write("cni/10-pods.conflist", json.dumps(self._cni()))
        config = self._write("containerd.toml", self._containerd())
        env = {**os.environ, "PATH": search_path(self.programs.containerd.parent, self.programs.runc.parent)}
        self.processes.start(CONTAINERD, [self.programs.containerd, "-c", config], env)
        wait_for("containerd to answer", self._containerd_answers, seconds=30)
        self.import_image(pause_archive())

    def start_kubelet(self, control_plane: ControlPlane) -> None:
        """Start the kubelet and the proxy, which both need the API server."""
        cgroups.create(self.paths.cgroup)
        control_plane.authority.issue(KUBELET_SERVER, hosts=[f"IP:{NODE_IP}", f"DNS:{NODE_NAME}"])
        self._write("resolv.conf", f"nameserver {NODE_IP}\n")
        config = self._write("kubelet.yaml", yaml.safe_dump(self._kubelet()))
        flags = [f"--config={config}", f"--kubeconfig={control_plane.kubeconfig(KUBELET_IDENTITY)}"]
        flags += [f"--root-dir={self.paths.kubelet}", f"--cert-dir={self.paths.pki}"]
        flags += [f"--hostname-override={NODE_NAME}", f"--node-ip={NODE_IP}"]
        self.processes.start(KUBELET, [self.programs.kubernetes / KUBELET, *flags])
        proxy = self._write("kube-proxy.yaml", yaml.safe_dump(_proxy(control_plane.kubeconfig(PROXY_IDENTITY))))
        self.processes.start(KUBE_PROXY, [self.programs.kubernetes / KUBE_PROXY, f"--config={proxy}"])

    def import_image(self, archive: Path) -> None:
        """Give containerd the images of this archive; an unchanged archive is given once."""
        status = archive.stat()
        mark = self.paths.imported / f"{archive.parent.name}-{archive.name}-{status.st_size}-{status.st_mtime_ns}"
        if not mark.exists():
            self.ctr("images", "import", archive)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()

    def ctr(self, *arguments: str | Path) -> str:
        """Ask containerd something."""
        return run(
            [self.programs.ctr, "-a", self.paths.containerd_socket, "-n", KUBERNETES_NAMESPACE, *map(str, arguments)]
        )

    def _containerd_answers(self) -> bool:
        self.processes.require([CONTAINERD])
        try:
            return bool(self.ctr("version"))
        except CommandError:
            return False

    def _write(self, name: str, content: str) -> Path:
        return write_if_other(self.paths.config / name, content)

    def _cni(self) -> dict[str, object]:
        ipam = {
            "type": "host-local",
            "dataDir": str(self.paths.root / "ipam"),
            "ranges": [[{"subnet": POD_NETWORK}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]}

    def _containerd(self) -> str:
        paths = self.paths
        return f"""version = 2
root = "{paths.containerd}"
state = "{paths.containerd_state}"
[grpc]
  address = "{paths.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{paths.root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  netns_mounts_under_state_dir = true
  # Without CAP_SYS_RESOURCE runc fails with "can't get final child's PID from pipe".
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{self.programs.runc}"
      Root = "{paths.containerd_state}/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self.programs.cni}"
    conf_dir = "{paths.config}/cni"
"""

    def _kubelet(self) -> dict[str, object]:
        pki = self.paths.pki
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_IP,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki / f"{KUBELET_SERVER.name}.crt"),
            "tlsPrivateKeyFile": str(pki / f"{KUBELET_SERVER.name}.key"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.paths.cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{self.paths.containerd_socket}",
            "podLogsDir": str(self.paths.pod_logs),
            "volumePluginDir": str(self.paths.root / "volume-plugins"),
            "clusterDNS": [NODE_IP],
            "clusterDomain": DNS_DOMAIN,
            # Else pods would ask the name servers of the machine, which they cannot reach.
            "resolvConf": str(self.paths.config / "resolv.conf"),
            "healthzBindAddress": "127.0.0.1",
            "evictionHard": {"memory.available": "100Mi"},
            # Images come from no registry, so one that is collected would be gone for good.
            "imageGCHighThresholdPercent": 100,
        }


def _proxy(kubeconfig: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NODE_NAME,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # Limits of connection tracking belong to the whole machine.
        "conntrack": {"maxPerCore": 0},
        # Tests start and end pods by the second.
        "iptables": {"minSyncPeriod": "200ms"},
    }
