"""The two roads to a cluster for the demo: the embedded one, and kind for people with Docker.

Neither touches the user's own kubeconfig: both work with a file of their own.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import Cluster
from tests.cluster.api_only import free_ports
from tests.cluster.images.operator_image import OPERATOR, build_operator_image
from tests.cluster.images.progress import CommandError
from tests.demo.operator_install import CHART, NAMESPACE, RELEASE, REPO, install_operator

CLONE_NEWNET = 0x40000000
EMBEDDED_NAME = "demo"
KIND_NAME = "milvus-tuning-demo"
MILVUS_NAMESPACE, MILVUS_RELEASE = "milvus", "my-release"
# The version that manifests/demo-kind/milvus-values.yaml is written for (Milvus 2.5.9).
MILVUS_CHARTS, MILVUS_CHART_VERSION = "https://zilliztech.github.io/milvus-helm", "4.2.45"
IMAGE_REPOSITORY, _, IMAGE_TAG = OPERATOR.rpartition(":")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A cluster that is ready for the story."""

    kubeconfig: Path
    uri: str


class DemoError(Exception):
    """The stage cannot be set; the message says what is missing and what to do."""


def enter_network_namespace(path: Path) -> None:
    """Move this process into a network namespace; threads and processes it starts later are there too.

    Raises OSError without the right to. Whatever needs the network outside must be done before.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {path}")
    finally:
        os.close(descriptor)


@contextmanager
def embedded() -> Iterator[Stage]:
    """The embedded cluster, left running afterwards for a look around (`make demo-down` removes it)."""
    cluster = Cluster(EMBEDDED_NAME)
    cluster.up()
    install_operator(cluster)
    uri = f"http://{cluster.resolve(f'{MILVUS_RELEASE}-milvus', MILVUS_NAMESPACE)}:19530"
    os.environ.update(cluster.environment())
    enter_network_namespace(cluster.paths.netns)
    yield Stage(kubeconfig=cluster.inner_kubeconfig, uri=uri)


def embedded_down() -> None:
    """Remove the embedded cluster of the demo."""
    Cluster(EMBEDDED_NAME).down()


@contextmanager
def kind() -> Iterator[Stage]:
    """A kind cluster with Milvus from its own chart; needs docker, kind, kubectl and helm, and the internet."""
    _require_tools("docker", "kind", "kubectl", "helm")
    kubeconfig = _kind_kubeconfig()
    if KIND_NAME not in _run("kind", "get", "clusters").split():
        config = REPO / "kind-config.yaml"
        _run("kind", "create", "cluster", "--name", KIND_NAME, "--config", str(config), "--kubeconfig", str(kubeconfig))
    archive = _operator_archive()
    _run("kind", "load", "image-archive", str(archive), "--name", KIND_NAME)
    _install_on_kind(kubeconfig, archive)
    with _forwarded(kubeconfig) as uri:
        yield Stage(kubeconfig=kubeconfig, uri=uri)


def kind_down() -> None:
    """Remove the kind cluster of the demo."""
    _require_tools("docker", "kind")
    _run("kind", "delete", "cluster", "--name", KIND_NAME, "--kubeconfig", str(_kind_kubeconfig()))


def _require_tools(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise DemoError(f"CLUSTER=kind needs {', '.join(missing)} in PATH; CLUSTER=embedded needs none of them")


def _operator_archive() -> Path:
    try:
        return build_operator_image(REPO)
    except CommandError as error:
        raise DemoError(f"the operator's image could not be built: {error}") from error


def _install_on_kind(kubeconfig: Path, archive: Path) -> None:
    manifests = REPO / "manifests" / "demo-kind"
    flags = ("--kubeconfig", str(kubeconfig))
    query_nodes = f"deployment/{MILVUS_RELEASE}-milvus-querynode"
    patch = str(manifests / "querynode-patch.yaml")
    _run("kubectl", *flags, "apply", "-f", str(manifests / "prometheus.yaml"))
    _run(
        *("helm", "upgrade", "--install", MILVUS_RELEASE, "milvus", "--repo", MILVUS_CHARTS),
        *("--version", MILVUS_CHART_VERSION, "--namespace", MILVUS_NAMESPACE, "--create-namespace"),
        *("--wait", "--timeout", "15m", "--values", str(manifests / "milvus-values.yaml"), *flags),
    )
    _run("kubectl", *flags, "--namespace", MILVUS_NAMESPACE, "patch", query_nodes, "--patch-file", patch)
    _run(
        *("kubectl", *flags, "--namespace", MILVUS_NAMESPACE, "rollout", "status", query_nodes),
        *("--timeout", "10m"),  # the patch replaces the QueryNodes
    )
    _install_operator_on_kind(flags, archive)


def _install_operator_on_kind(flags: tuple[str, ...], archive: Path) -> None:
    _run(
        *("helm", "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace"),
        *("--set", f"image.repository={IMAGE_REPOSITORY},image.tag={IMAGE_TAG},image.pullPolicy=Never"),
        *("--set", f"watchNamespaces={{{MILVUS_NAMESPACE}}},intervalSeconds=3"),
        # Another build of the same tag is a roll.
        *("--set-string", f"podAnnotations.milvustuning\\.io/image={archive.parent.name}"),
        *("--wait", "--timeout", "5m", *flags),
    )


@contextmanager
def _forwarded(kubeconfig: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    forward = subprocess.Popen(
        [
            *("kubectl", "--kubeconfig", str(kubeconfig), "--namespace", MILVUS_NAMESPACE, "port-forward"),
            *(f"service/{MILVUS_RELEASE}-milvus", f"{port}:19530"),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        _await_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        forward.terminate()
        forward.wait()


def _await_port(port: int, *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise DemoError(f"port {port} was not forwarded to Milvus within {seconds:.0f} s")


def _kind_kubeconfig() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "milvus-tuning-operator"
    cache.mkdir(parents=True, exist_ok=True)
    return cache / "kind-kubeconfig"


def _run(*arguments: str) -> str:
    """What the command printed. The variable covers subcommands that know no --kubeconfig (`kind load`)."""
    environment = os.environ | {"KUBECONFIG": str(_kind_kubeconfig())}
    done = subprocess.run(arguments, text=True, capture_output=True, check=False, env=environment)
    if done.returncode != 0:
        raise DemoError(f"{' '.join(arguments)}\n{done.stderr}")
    return done.stdout
