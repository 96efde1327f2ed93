import base64
import json
from pathlib import Path

import pytest

from tests.cluster.control_plane import Endpoints
from tests.cluster.images.progress import run
from tests.cluster.pki import Authority, Identity

ADA = Identity(name="ada", user="ada", group="system:masters")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(folder=tmp_path_factory.mktemp("pki"))
    made.create()
    return made


def shown(certificate: Path, what: str) -> str:
    return run(["openssl", "x509", "-in", certificate, "-noout", *what.split()])


def test_a_kubeconfig_carries_its_identity_and_its_authority(authority: Authority) -> None:
    content = json.loads(authority.kubeconfig(ADA, server="https://127.0.0.1:1"))
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    assert base64.b64decode(cluster["certificate-authority-data"]) == authority.certificate.read_bytes()
    assert base64.b64decode(user["client-key-data"]).startswith(b"-----BEGIN PRIVATE KEY-----")
    assert shown(authority.folder / "ada.crt", "-subject") == "subject=O = system:masters, CN = ada\n"
    run(["openssl", "verify", "-CAfile", authority.certificate, authority.folder / "ada.crt"])


def test_a_server_certificate_is_valid_for_its_addresses_and_for_the_service(authority: Authority) -> None:
    endpoints = Endpoints(host="10.244.0.1", api_port=6443, etcd_port=1, etcd_peer_port=2)
    authority.issue(Identity(name="server", user="kube-apiserver"), hosts=endpoints.names)
    names = shown(authority.folder / "server.crt", "-ext subjectAltName")
    for name in ("IP Address:127.0.0.1", "IP Address:10.244.0.1", "IP Address:10.96.0.1", "DNS:kubernetes.default.svc"):
        assert name in names


def test_issuing_again_keeps_the_certificate(authority: Authority) -> None:
    authority.issue(ADA)
    before = (authority.folder / "ada.crt").read_bytes()
    authority.issue(ADA)
    assert (authority.folder / "ada.crt").read_bytes() == before


def test_only_its_owner_enters_the_folder_of_the_keys(authority: Authority) -> None:
    assert authority.folder.stat().st_mode & 0o777 == 0o700
