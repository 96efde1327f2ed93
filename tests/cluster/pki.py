"""Keys, certificates and kubeconfigs: one authority per cluster, one identity per component.

The names of the identities are those that the RBAC roles which Kubernetes brings along are bound to, so every component
has the rights it has in any other cluster. Elliptic curves, because RSA keys would take seconds.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.images.progress import run

PRIVATE = 0o600
DAYS = "365"
ADMIN = "admin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who a client certificate stands for: a user and, at most, one group."""

    name: str
    user: str
    group: str | None = None

    @property
    def subject(self) -> str:
        """In the form of openssl."""
        return (f"/O={self.group}" if self.group else "") + f"/CN={self.user}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """A certificate authority that lives in `folder`; making what is already there does nothing."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """What clients and servers trust."""
        return self.folder / "ca.crt"

    def create(self) -> None:
        """Make the authority and the key pair that signs the tokens of ServiceAccounts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self.certificate.exists():
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.folder / "tokens.key")
            _openssl("ec", "-in", self.folder / "tokens.key", "-pubout", "-out", self.folder / "tokens.pub")
            self._create_root()

    def _create_root(self) -> None:
        key, unfinished = self.folder / "ca.key", self.folder / "ca.part"
        _openssl("req", "-x509", *_new_key(key), "-out", unfinished, "-days", DAYS, "-subj", "/CN=test-bed")
        unfinished.rename(self.certificate)

    def issue(self, identity: Identity, *, hosts: Sequence[str] = ()) -> None:
        """Sign `name.crt` for `name.key`; with hosts (`IP:...`, `DNS:...`) for a server, else for a client."""
        name, certificate = identity.name, self.folder / f"{identity.name}.crt"
        if certificate.exists():
            return
        request, unfinished, extensions = (self.folder / f"{name}.{suffix}" for suffix in ("csr", "part", "ext"))
        usage = "serverAuth" if hosts else "clientAuth"
        names = f"subjectAltName={','.join(hosts)}\n" if hosts else ""
        extensions.write_text(f"extendedKeyUsage={usage}\n{names}")
        _openssl("req", *_new_key(self.folder / f"{name}.key"), "-out", request, "-subj", identity.subject)
        signer = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial"]
        _openssl("x509", "-req", "-in", request, *signer, "-out", unfinished, "-days", DAYS, "-extfile", extensions)
        unfinished.rename(certificate)

    def kubeconfig(self, identity: Identity, *, server: str) -> str:
        """A kubeconfig that carries the identity and the authority in itself. JSON is YAML too."""
        self.issue(identity)
        user = {
            "client-certificate-data": _encoded(self.folder / f"{identity.name}.crt"),
            "client-key-data": _encoded(self.folder / f"{identity.name}.key"),
        }
        cluster = {"server": server, "certificate-authority-data": _encoded(self.certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test-bed", "cluster": cluster}],
            "users": [{"name": identity.user, "user": user}],
            "contexts": [{"name": "test-bed", "context": {"cluster": "test-bed", "user": identity.user}}],
            "current-context": "test-bed",
        }
        return json.dumps(content, indent=1)


def _new_key(key: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]


def _openssl(*arguments: str | Path) -> None:
    run(["openssl", *arguments])


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
