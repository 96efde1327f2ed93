"""CoreDNS as a process beside the kubelet: pods ask it at the node's address.

It answers for the cluster's own names and for nothing else, because there is no way out of the network namespace.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.builds import Programs
from tests.cluster.control_plane import ControlPlane
from tests.cluster.layout import DNS_DOMAIN, NODE_IP, Layout
from tests.cluster.pki import Identity
from tests.cluster.processes import Processes
from tests.cluster.writing import write_if_other

COREDNS = "coredns"
IDENTITY = Identity(name=COREDNS, user="system:coredns")
RIGHTS = Path(__file__).parent / "files" / "dns.yaml"
READY_PORT = 8181


@dataclass(frozen=True, kw_only=True, slots=True)
class Dns:
    """The cluster's DNS server. Its rights (`RIGHTS`) have to be applied by the caller."""

    paths: Layout
    programs: Programs
    processes: Processes

    def start(self, control_plane: ControlPlane) -> None:
        """Start it; it serves as soon as it has listed the Services."""
        text = corefile_text(control_plane.kubeconfig(IDENTITY))
        corefile = write_if_other(self.paths.config / "Corefile", text)
        self.processes.start(COREDNS, [self.programs.coredns / "coredns", "-conf", corefile])


def corefile_text(kubeconfig: Path) -> str:
    """Short lifetimes, because pods come and go by the second here."""
    return f"""{DNS_DOMAIN} in-addr.arpa {{
    bind {NODE_IP}
    errors
    ready 127.0.0.1:{READY_PORT}
    kubernetes {DNS_DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 2
    }}
    cache 2
}}
"""
