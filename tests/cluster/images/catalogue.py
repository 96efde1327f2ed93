"""Which images the test bed runs and what is in each of them, on top of the Debian base.

pause        one static C program
etcd         Debian's etcd 3.4
kafka        Kafka 3.9.1 from Maven Central and Debian's Java 17 runtime
milvus       Milvus 2.3.5, the newest server on PyPI: the wheel carries its binaries packed with lzma
prometheus   Prometheus 3.11.3 from its Go module, about 5 minutes the first time
"""

import lzma
import os
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.images.archive import Image, write_archive, write_layer
from tests.cluster.images.base import base_layer, unpacked
from tests.cluster.images.progress import run, step
from tests.cluster.images.store import built

FILES = Path(__file__).parent / "files"
PAUSE = "docker.io/local/pause:1"
ETCD = "docker.io/local/etcd:3.4"
KAFKA = "docker.io/local/kafka:3.9.1"
MILVUS = "docker.io/local/milvus:2.3.5"
PROMETHEUS = "docker.io/local/prometheus:3.11.3"
MILVUS_WHEEL = "milvus==2.3.5 --hash=sha256:69515a0630ce29fd10e101fa442afea8ca1387b93a456cd9bd41fdf3deb93d04"
GO_TAGS = ("netgo", "remove_all_sd", "enable_kubernetes_sd")
JAVA_UNUSED = ("ct.sym", "classes_nocoops.jsa")


def archive() -> Path:
    """One archive with all images, about 700 MB; instant when nothing changed."""
    images = [pause(), etcd(), kafka(), milvus(), prometheus()]
    inputs = [part for image in images for part in (image.name, *map(str, (image.entrypoint, image.env, image.layers)))]
    return built("images", inputs, lambda folder: _write(folder / "images.tar", images)) / "images.tar"


def pause_archive() -> Path:
    """The sandbox image alone, which a node needs before it can start any pod."""
    image = pause()
    return (
        built("pause-image", [image.name, str(image.layers)], lambda f: _write(f / "images.tar", [image]))
        / "images.tar"
    )


def pause() -> Image:
    """The sandbox image: one static binary and no base."""
    return Image(name=PAUSE, layers=(_layer("pause", [FILES / "pause.c"], _pause),), entrypoint=("/pause",))


def etcd() -> Image:
    """Milvus's metadata store."""
    package = unpacked("etcd-server")
    layer = _layer("etcd", [str(package)], lambda _: {"/usr/bin/etcd": package / "usr/bin/etcd"})
    return Image(name=ETCD, layers=(base_layer(), layer), entrypoint=("/usr/bin/etcd",))


def prometheus() -> Image:
    """The server alone, built because Debian's package has no service discovery in Kubernetes; it has no other one."""
    module = FILES / "prometheus"
    inputs: list[str | bytes | Path] = [module / "go.mod", module / "go.sum", *GO_TAGS]
    layer = _layer("prometheus", inputs, lambda work: _prometheus(work, module))
    return Image(name=PROMETHEUS, layers=(base_layer(), layer), entrypoint=("/usr/bin/prometheus",))


def prometheus_program() -> Path:
    """The binary of that image, for a test that runs it without a cluster."""
    layer = prometheus().layers[-1]

    def unpack(folder: Path) -> None:
        with tarfile.open(layer) as files:
            member = files.extractfile("usr/bin/prometheus")
            assert member is not None, "usr/bin/prometheus is a file"
            (folder / "prometheus").write_bytes(member.read())
        (folder / "prometheus").chmod(0o755)

    return built("prometheus", [str(layer)], unpack) / "prometheus"


def kafka() -> Image:
    """Milvus's message queue."""
    java = unpacked("openjdk-17-jre-headless")
    layer = _layer("kafka", [str(java), FILES / "pom.xml", FILES / "run-kafka.sh"], lambda work: _kafka(work, java))
    return Image(name=KAFKA, layers=(base_layer(), layer), entrypoint=("/kafka/run-kafka.sh",))


def milvus() -> Image:
    """The Milvus server with the folders and scripts of the official image."""
    tools = {f"/milvus/tools/{name}": FILES / name for name in ("run-helm.sh", "merge.py")}
    return Image(
        name=MILVUS,
        layers=(
            base_layer(),
            _layer("milvus", [MILVUS_WHEEL], _milvus),
            _layer("milvus-tools", list(tools.values()), lambda _: tools),
        ),
        env={"LD_LIBRARY_PATH": "/milvus/lib", "PATH": "/milvus/bin:/usr/bin:/bin", "MILVUSCONF": "/milvus/configs"},
    )


def _layer(name: str, inputs: list[str | bytes | Path], files: Callable[[Path], Mapping[str, Path]]) -> Path:
    """The cached layer whose files, by their path in the image, `files(work)` prepares in a work folder."""

    def build(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        with step(f"image layer {name}"):
            write_layer(folder / "layer.tar", files(work))
        shutil.rmtree(work)

    return built(f"layer-{name}", inputs, build) / "layer.tar"


def _write(target: Path, images: list[Image]) -> None:
    with step(f"image archive {target.name}"):
        write_archive(target, images)


def _pause(work: Path) -> dict[str, Path]:
    run(["gcc", "-static", "-Os", "-o", work / "pause", FILES / "pause.c"])
    return {"/pause": work / "pause"}


def _prometheus(work: Path, module: Path) -> dict[str, Path]:
    package = "github.com/prometheus/prometheus/cmd/prometheus"
    go: list[str | Path] = [
        "go",
        "build",
        "-mod=readonly",
        "-trimpath",
        "-ldflags=-s -w",
        f"-tags={','.join(GO_TAGS)}",
        "-o",
        work,
        package,
    ]
    run(go, cwd=module, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"})
    return {"/usr/bin/prometheus": work / "prometheus"}


def _kafka(work: Path, java: Path) -> dict[str, Path]:
    libs = work / "libs"
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
    run(["mvn", "-q", "-B", "-f", FILES / "pom.xml", *goal])
    runtime = work / "java"
    shutil.copytree(java, runtime, symlinks=True, ignore=shutil.ignore_patterns(*JAVA_UNUSED))
    folders = {f"/{part}": runtime / part for part in ("etc/java-17-openjdk", "usr/lib/jvm")}
    return {"/kafka/libs": libs, "/kafka/run-kafka.sh": FILES / "run-kafka.sh", **folders}


def _milvus(work: Path) -> dict[str, Path]:
    requirement = work / "requirements.txt"
    requirement.write_text(MILVUS_WHEEL)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    run([*pip, "--platform=manylinux2014_x86_64", "-d", work, "-r", requirement])
    with zipfile.ZipFile(next(work.glob("milvus-*.whl"))) as wheel:
        return _unpack_milvus(wheel, work)


def _unpack_milvus(wheel: zipfile.ZipFile, work: Path) -> dict[str, Path]:
    files = {"/milvus/configs/milvus.yaml": work / "milvus.yaml", "/milvus/configs/glog.conf": work / "glog.conf"}
    template = wheel.read("milvus/data/config.yaml.template").decode()
    (work / "milvus.yaml").write_text(render_template(template))
    (work / "glog.conf").write_bytes(wheel.read("milvus/data/glog.conf"))
    for packed in (name for name in wheel.namelist() if name.endswith(".lzma")):
        binary = work / Path(packed).stem
        binary.write_bytes(lzma.decompress(wheel.read(packed)))
        binary.chmod(0o755)
        files[f"/milvus/{'bin' if binary.name == 'milvus' else 'lib'}/{binary.name}"] = binary
    return files


def render_template(template: str) -> str:
    """Fill the wheel's `{{ name(type): default }}` with the defaults, as the package does for its own server."""
    return re.sub(r"\{\{.*?(?::\s*(.*?))?\s*\}\}", lambda match: match.group(1) or "", template)
