"""The root file system that all images stand on: Debian 12 with Python 3.11, made by mmdebstrap from Debian's packages.

The same run downloads the Debian packages that single images unpack on top (etcd, a Java runtime), so that
they fit the base. They are unpacked and never installed: installing etcd-server would start a service.
"""

import sys
from pathlib import Path

from tests.cluster.images.progress import run, step
from tests.cluster.images.store import built

SUITE = "bookworm"
INSTALLED = ("ca-certificates", "libstdc++6", "python3", "python3-venv", "python3-yaml", "usr-is-merged", "zlib1g")
UNPACKED = ("etcd-server", "openjdk-17-jre-headless")
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
# Merge /bin and the like into /usr from the start; otherwise the package usrmerge does it and brings 50 MB of Perl.
MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"
RECIPE = "1"  # raise it to fetch newer Debian packages


def base_layer() -> Path:
    """The base root file system as a tar file of about 100 MB."""
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
    options = [f"--include={','.join(INSTALLED)}", *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT)]
    # As root apt would download as the user _apt, who may not write here.
    options += ["--aptopt=APT::Sandbox::User root", f"--hook-dir={MERGED_USR}", f"--customize-hook={download}"]
    with step("Debian base root file system"):
        run(["mmdebstrap", "--quiet", "--variant=essential", *options, SUITE, folder / "rootfs.tar"])


def _unpack(deb: Path, folder: Path) -> None:
    run(["dpkg-deb", "-x", deb, folder])
