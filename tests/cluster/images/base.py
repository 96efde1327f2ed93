"""The root file system that all images stand on: Debian 12 with Python 3.11, made by mmdebstrap from Debian's packages.

The same run downloads the Debian packages that single images unpack on top (etcd, a Java runtime), so that
they fit the base. They are unpacked and never installed: installing etcd-server would start a service.
"""

import sys
from pathlib import Path

from tests.cluster.images.progress import run, step
from tests.cluster.images.store import built

SUITE = "bookworm"
INSTALLED = ("ca-certificates", "libstdc++6", "python3", "python3-venv", "python3-yaml", "zlib1g")
UNPACKED = ("etcd-server", "openjdk-17-jre-headless")
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
RECIPE = "1"  # raise it to fetch newer Debian packages


def base_layer() -> Path:
    """The base root file system as a tar file of about 150 MB."""
    return _debian() / "rootfs.tar"


def unpacked(package: str) -> Path:
    """The files of a Debian package as a folder tree; its dependencies are in the base."""
    deb = next(_debian().glob(f"debs/{package}_*.deb"))
    return built(f"deb-{package}", [deb.name], lambda folder: _unpack(deb, folder))


def _debian() -> Path:
    return built("debian", [SUITE, *INSTALLED, "/", *UNPACKED, *LEFT_OUT, RECIPE, sys.platform], _bootstrap)


def _bootstrap(folder: Path) -> None:
    debs = folder / "debs"
    debs.mkdir()
    download = f'cd {debs} && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq download {" ".join(UNPACKED)}'
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(INSTALLED)}", *options]
    with step("Debian base root file system"):
        run(
            [*command, "--aptopt=APT::Sandbox::User root", f"--customize-hook={download}", SUITE, folder / "rootfs.tar"]
        )


def _unpack(deb: Path, folder: Path) -> None:
    run(["dpkg-deb", "-x", deb, folder])
