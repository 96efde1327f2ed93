"""On a real cluster of its own: what `up`, `down` and the ways in promise. About a minute."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, cgroups, mounts
from tests.cluster.builds import clients
from tests.cluster.cluster import COMPONENTS
from tests.cluster.images.archive import write_archive
from tests.cluster.images.catalogue import etcd
from tests.cluster.images.progress import run
from tests.cluster.processes import wait_for

pytestmark = pytest.mark.e2e

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
    - name: web
      image: docker.io/local/etcd:3.4
      imagePullPolicy: Never
      command: [python3, -u, -m, http.server, "8000"]
      readinessProbe: {httpGet: {port: 8000}, periodSeconds: 1}
      resources: {limits: {cpu: 200m, memory: 64Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8000}]}
"""
RESTARTS = "jsonpath={.status.containerStatuses[0].restartCount}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A bare cluster with one pod that serves HTTP."""
    made = Cluster("selftest")
    try:
        made.up(bare=True)
        archive = tmp_path_factory.mktemp("images") / "images.tar"
        write_archive(archive, [etcd()])
        made.import_image(archive)
        made.kubectl("apply", "-f", "-", stdin=POD)
        made.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
        yield made
    finally:
        made.down()


def command_line(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.cluster", "--name", "selftest", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_pod_finds_services_by_name(cluster: Cluster) -> None:
    found = cluster.kubectl("exec", "web", "--", "getent", "hosts", "kubernetes.default", "web.default")
    assert [line.split()[0] for line in found.splitlines()] == ["10.96.0.1", cluster.resolve("web")]


def test_a_service_answers_inside_the_namespace_and_its_request_is_in_the_pods_log(cluster: Cluster) -> None:
    read = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).status)"
    asked = cluster.exec([sys.executable, "-c", read, f"http://{cluster.resolve('web')}/?asked"])
    assert asked.stdout == "200\n"
    wait_for("the pod's log", lambda: "/?asked" in cluster.kubectl("logs", "web"), seconds=5)


def test_the_kubeconfig_of_the_command_line_works_outside_the_namespace(cluster: Cluster) -> None:
    path = command_line("kubeconfig").stdout.strip()
    assert path == str(cluster.kubeconfig)
    assert run([clients() / "kubectl", f"--kubeconfig={path}", "get", "pods", "-o", "name"]) == "pod/web\n"


@pytest.mark.usefixtures("cluster")
def test_exec_passes_on_the_code_of_the_command() -> None:
    assert command_line("exec", "--", "sh", "-c", "kubectl version >/dev/null && exit 7").returncode == 7


def test_a_writer_is_named_in_the_audit_log(cluster: Cluster) -> None:
    assert '"username":"test-bed-admin"' in (cluster.log_dir / "audit.log").read_text()


def test_up_again_repairs_what_was_killed_and_keeps_the_pod(cluster: Cluster) -> None:
    before = {name: cluster.processes.running(name) for name in COMPONENTS}
    victims = ["etcd", "kubelet", "containerd", "forwarder"]
    cluster.processes.stop(victims, grace_seconds=0)
    assert (command_line("status").returncode, cluster.stopped()) == (1, sorted(victims, key=COMPONENTS.index))
    cluster.up(bare=True)
    after = {name: cluster.processes.running(name) for name in COMPONENTS}
    assert {name for name in COMPONENTS if after[name] != before[name]} == set(victims)
    assert cluster.kubectl("get", "pod", "web", "-o", RESTARTS) == "0"


def test_down_leaves_nothing() -> None:
    cluster = Cluster("selftest")
    cluster.up(bare=True)
    cluster.down()
    mounted = mounts.mounts_below(cluster.paths.root, mounts.MOUNTS.read_text())
    assert (cluster.exists(), mounted, cgroups.left(cluster.paths.cgroup)) == (False, [], [])
    assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if str(cluster.paths.root) in command_of(each)]


def command_of(cmdline: Path) -> str:
    try:
        return cmdline.read_bytes().decode(errors="replace")
    except OSError:
        return ""
