"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler: their command lines, the same for both ways to run.

A whole cluster runs them in a network namespace at the node's address; `control_plane_only` runs them on free loopback
ports, without any right of root. `Endpoints` is all that differs.
"""

import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.builds import Programs
from tests.cluster.layout import API_PORT, API_SERVICE_IP, NODE_IP, SERVICE_NETWORK
from tests.cluster.pki import ADMIN, PRIVATE, Authority, Identity
from tests.cluster.processes import Processes, wait_for
from tests.cluster.writing import write_if_other

ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER = "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"
ADMINISTRATOR = Identity(name=ADMIN, user="test-bed-admin", group="system:masters")
SERVER = Identity(name="apiserver", user="kube-apiserver")
KUBELET_CLIENT = Identity(name="kubelet-client", user="kube-apiserver-kubelet-client", group="system:masters")
AUDIT_POLICY = Path(__file__).parent / "files" / "audit-policy.yaml"
READY_SECONDS = 90.0
PROBE_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """Where etcd and the API server listen."""

    host: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int

    @property
    def server(self) -> str:
        """The API server as clients beside it name it."""
        return f"https://{self.host}:{self.api_port}"

    @property
    def names(self) -> list[str]:
        """What the API server's certificate has to be valid for."""
        addresses = dict.fromkeys(["127.0.0.1", self.host, API_SERVICE_IP])
        services = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        return [*(f"IP:{address}" for address in addresses), *(f"DNS:{name}" for name in ["localhost", *services])]


NODE_ENDPOINTS = Endpoints(host=NODE_IP, api_port=API_PORT, etcd_port=2379, etcd_peer_port=2380)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlPlane:
    """The four processes, their files in `root`."""

    endpoints: Endpoints
    programs: Programs
    processes: Processes
    authority: Authority
    root: Path

    def start(self) -> None:
        """Start etcd and the API server. They come up together: the API server waits for etcd."""
        self.authority.create()
        self.authority.issue(SERVER, hosts=self.endpoints.names)
        self.authority.issue(KUBELET_CLIENT)
        self.processes.start(ETCD, self._etcd())
        self.processes.start(API_SERVER, [self.programs.kubernetes / API_SERVER, *self._api_server()])

    def start_controllers(self, *names: str) -> None:
        """Start the controller manager, the scheduler or both, once the API server answers."""
        for name in names:
            identity = Identity(name=name, user=f"system:{name}")
            flags = {"kubeconfig": self.kubeconfig(identity), "bind-address": "127.0.0.1", "leader-elect": "false"}
            flags |= self._controller_manager() if name == CONTROLLER_MANAGER else {}
            self.processes.start(name, [self.programs.kubernetes / name, *_flags(flags)])

    def kubeconfig(self, identity: Identity) -> Path:
        """The kubeconfig of this identity, for use beside the API server."""
        path = self.root / "kubeconfigs" / f"{identity.name}.yaml"
        content = self.authority.kubeconfig(identity, server=self.endpoints.server)
        return write_if_other(path, content, mode=PRIVATE)

    def wait_ready(self, port: int) -> None:
        """Until the API server, reached through this loopback port, says it is ready."""
        context = _client_context(self.authority)

        def answers() -> bool:
            self.processes.require([ETCD, API_SERVER])
            return ready(port, context)

        wait_for("the API server to be ready", answers, seconds=READY_SECONDS)

    def _etcd(self) -> list[str | Path]:
        client, peer = (
            f"http://127.0.0.1:{port}" for port in (self.endpoints.etcd_port, self.endpoints.etcd_peer_port)
        )
        flags = {
            "data-dir": self.root / "etcd",
            "unsafe-no-fsync": "true",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        return [self.programs.etcd, *_flags(flags)]

    def _api_server(self) -> list[str]:
        pki, host = self.authority.folder, self.endpoints.host
        return _flags(
            {
                "etcd-servers": f"http://127.0.0.1:{self.endpoints.etcd_port}",
                "bind-address": host,
                "advertise-address": host,
                "secure-port": self.endpoints.api_port,
                # The Service `kubernetes` must not point to a loopback address, and without nodes nobody uses it.
                **({"endpoint-reconciler-type": "none"} if host == "127.0.0.1" else {}),
                "service-cluster-ip-range": SERVICE_NETWORK,
                "allow-privileged": "true",
                "authorization-mode": "Node,RBAC",
                "enable-admission-plugins": "NodeRestriction",
                "client-ca-file": self.authority.certificate,
                "tls-cert-file": pki / f"{SERVER.name}.crt",
                "tls-private-key-file": pki / f"{SERVER.name}.key",
                "kubelet-client-certificate": pki / f"{KUBELET_CLIENT.name}.crt",
                "kubelet-client-key": pki / f"{KUBELET_CLIENT.name}.key",
                # Else `kubectl logs` would look up the node's name.
                "kubelet-preferred-address-types": "InternalIP",
                "service-account-issuer": "https://kubernetes.default.svc",
                "service-account-key-file": pki / "tokens.pub",
                "service-account-signing-key-file": pki / "tokens.key",
                "audit-policy-file": AUDIT_POLICY,
                "audit-log-path": self.root / "logs" / "audit.log",
            }
        )

    def _controller_manager(self) -> dict[str, object]:
        return {
            "use-service-account-credentials": "true",
            "service-account-private-key-file": self.authority.folder / "tokens.key",
            "root-ca-file": self.authority.certificate,
        }


def ready(port: int, context: ssl.SSLContext) -> bool:
    """Whether the API server behind this loopback port says it is ready."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(f"https://127.0.0.1:{port}/readyz", timeout=PROBE_TIMEOUT_SECONDS) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _client_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    authority.issue(ADMINISTRATOR)
    context.load_cert_chain(authority.folder / f"{ADMIN}.crt", authority.folder / f"{ADMIN}.key")
    return context


def _flags(values: dict[str, object] | dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]
