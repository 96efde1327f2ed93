"""The operator's own image, built from the project's Dockerfile with buildah, or with docker where its daemon answers.

The wheels of the lock file are fetched on this machine, hash-checked, and the project's own wheel is built, both into a
copy of the sources; the Dockerfile then needs no network. Where nothing can be pulled, its base is the Debian root
file system of the test bed, handed over as BASE_IMAGE.
"""

import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cluster.images.base import base_layer
from tests.cluster.images.progress import run, step
from tests.cluster.images.store import built, cache_root, digest, forget_older

OPERATOR = "docker.io/local/milvus-tuning-operator:dev"
KEPT_IMAGES = 3  # of 450 MB each
SOURCES = ("Dockerfile", "pyproject.toml", "requirements.lock", "README.md", "LICENSE")
PYTHON_TAG = ("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none")
MACHINE = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())
PLATFORMS = tuple(
    f"--platform={name}_{MACHINE}" for name in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
)


def build_operator_image(repo: Path) -> Path:
    """The image archive for the sources as they are; instant when none of them changed.

    The sources are copied first, and the copy is what is digested and built: an edit meanwhile changes neither.
    """
    with TemporaryDirectory() as folder:
        context = Path(folder)
        sources = _copy_sources(repo, context)
        inputs: list[str | bytes | Path] = ["docker" if _docker_answers() else str(base_layer())]
        for path in sources:
            inputs += [str(path.relative_to(context)), path]
        entry = built("operator-image", inputs, lambda target: _build(context, target))
    forget_older(entry, kept=KEPT_IMAGES)
    return entry / "image.tar"


def operator_base() -> str:
    """The name, in buildah's storage, of the Dockerfile's base image: Debian with Python 3.11 and CA certificates."""
    name = f"localhost/milvus-tuning-base:{digest([str(base_layer())])}"
    if not _buildah("images", "--quiet", "--filter", f"reference={name}").strip():
        with step("base image for the operator"):
            container = _buildah("from", "scratch").strip()
            _buildah("add", "--quiet", container, str(base_layer()))
            _buildah("commit", "--quiet", "--rm", container, name)
    return name


def _copy_sources(repo: Path, context: Path) -> list[Path]:
    """Copy what the image is made from, with its times, which buildah's layer cache compares; return the copies."""
    modules = (path for path in (repo / "operator").rglob("*") if path.is_file() and _is_source(path))
    copies = []
    for source in [*(repo / name for name in SOURCES), *sorted(modules)]:
        copy = context / source.relative_to(repo)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copies.append(Path(shutil.copy2(source, copy)))
    return copies


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts and not any(part.endswith(".egg-info") for part in path.parts)


def _build(context: Path, target: Path) -> None:
    with step("wheels of the operator and its dependencies"):
        _fetch_wheels(context)
    with step("operator image"):
        if _docker_answers():
            _build_with_docker(context, target / "image.tar")
        else:
            _build_with_buildah(context, target)


def _fetch_wheels(context: Path) -> None:
    tags = [*PYTHON_TAG, *PLATFORMS]
    locked = built("wheels", [context / "requirements.lock", *tags], lambda folder: _download(context, folder))
    with TemporaryDirectory() as project:
        run([*_pip("wheel"), "--no-deps", "--wheel-dir", project, context])
        # setuptools leaves a build folder behind.
        shutil.rmtree(context / "build", ignore_errors=True)
        shutil.copytree(project, context / "build/project")
    shutil.copytree(locked, context / "build/wheels")


def _download(context: Path, folder: Path) -> None:
    only = ["--no-deps", "--only-binary=:all:", "--require-hashes", *PYTHON_TAG, *PLATFORMS]
    run([*_pip("download"), *only, "--dest", folder, "--requirement", context / "requirements.lock"])


def _pip(command: str) -> list[str]:
    return [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]


def _docker_answers() -> bool:
    return (
        shutil.which("docker") is not None
        and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    )


def _build_with_docker(context: Path, archive: Path) -> None:
    run(["docker", "build", "--tag", OPERATOR, context])
    run(["docker", "save", "--output", archive, OPERATOR])


def _build_with_buildah(context: Path, target: Path) -> None:
    """Push by id, not by tag: a build of other sources at the same time moves the tag."""
    base, iid = f"BASE_IMAGE={operator_base()}", target / "image.id"
    options = ["--isolation", "chroot", "--layers", "--quiet", "--build-arg", base, "--iidfile", str(iid)]
    _buildah("bud", *options, "--tag", OPERATOR, str(context))
    _buildah("push", "--quiet", iid.read_text().strip(), f"docker-archive:{target / 'image.tar'}:{OPERATOR}")


def _buildah(*words: str) -> str:
    return run([*_buildah_command(), *words])


def _buildah_command() -> Sequence[str]:
    state = cache_root() / "buildah"
    return ("buildah", "--storage-driver", "overlay", "--root", f"{state}/root", "--runroot", f"{state}/run")
