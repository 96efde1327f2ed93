"""The operator's own image, built from the project's Dockerfile with buildah, or with docker where its daemon answers.

The wheels of the lock file are fetched on this machine, hash-checked, into build/wheels, and the project's own wheel is
built into build/project; the Dockerfile then needs no network. Where nothing can be pulled, its base is the Debian root
file system of the test bed, handed over as BASE_IMAGE.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cluster.images.base import base_layer
from tests.cluster.images.progress import run, step
from tests.cluster.images.store import built, cache_root, digest, forget_others

OPERATOR = "docker.io/local/milvus-tuning-operator:dev"
SOURCES = ("Dockerfile", "pyproject.toml", "requirements.lock", "README.md", "LICENSE")
PYTHON_TAG = ("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none")
PLATFORMS = tuple(
    f"--platform={name}_x86_64" for name in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
)


def build_operator_image(repo: Path) -> Path:
    """The image archive for the sources as they are; instant when none of them changed."""
    inputs: list[str | bytes | Path] = [str(base_layer())]
    for path in _sources(repo):
        inputs += [str(path.relative_to(repo)), path]
    entry = built("operator-image", inputs, lambda folder: _build(repo, folder / "image.tar"))
    forget_others(entry)
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


def _sources(repo: Path) -> list[Path]:
    """What the image is made from; the names at the top are required."""
    modules = (path for path in (repo / "operator").rglob("*") if path.is_file() and _is_source(path))
    return [repo / name for name in SOURCES] + sorted(modules)


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts and not any(part.endswith(".egg-info") for part in path.parts)


def _build(repo: Path, target: Path) -> None:
    with step("wheels of the operator and its dependencies"):
        _fetch_wheels(repo)
    with step("operator image"):
        if _docker_answers():
            _build_with_docker(repo, target)
        else:
            _build_with_buildah(repo, target)


def _fetch_wheels(repo: Path) -> None:
    tags = [*PYTHON_TAG, *PLATFORMS]
    locked = built("wheels", [repo / "requirements.lock", *tags], lambda folder: _download(repo, folder))
    for name in ("wheels", "project"):
        shutil.rmtree(repo / "build" / name, ignore_errors=True)
    shutil.copytree(locked, repo / "build/wheels")
    with TemporaryDirectory() as copy:
        _copy_sources(repo, Path(copy))
        run([*_pip("wheel"), "--no-deps", "--wheel-dir", repo / "build/project", copy])


def _copy_sources(repo: Path, copy: Path) -> None:
    """setuptools packs what it finds in build/lib, modules that are long deleted included: build in a fresh folder."""
    for source in _sources(repo):
        target = copy / source.relative_to(repo)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _download(repo: Path, folder: Path) -> None:
    only = ["--no-deps", "--only-binary=:all:", "--require-hashes", *PYTHON_TAG, *PLATFORMS]
    run([*_pip("download"), *only, "--dest", folder, "--requirement", repo / "requirements.lock"])


def _pip(command: str) -> list[str]:
    return [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]


def _docker_answers() -> bool:
    return (
        shutil.which("docker") is not None
        and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    )


def _build_with_docker(repo: Path, target: Path) -> None:
    run(["docker", "build", "--tag", OPERATOR, repo])
    run(["docker", "save", "--output", target, OPERATOR])


def _build_with_buildah(repo: Path, target: Path) -> None:
    base = f"BASE_IMAGE={operator_base()}"
    _buildah("bud", "--isolation", "chroot", "--layers", "--quiet", "--build-arg", base, "--tag", OPERATOR, str(repo))
    _buildah("push", "--quiet", OPERATOR, f"docker-archive:{target}:{OPERATOR}")


def _buildah(*words: str) -> str:
    return run([*_buildah_command(), *words])


def _buildah_command() -> Sequence[str]:
    state = cache_root() / "buildah"
    return ("buildah", "--storage-driver", "overlay", "--root", f"{state}/root", "--runroot", f"{state}/run")
