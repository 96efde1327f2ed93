"""Trust: in the given authority alone, else in the system's; nothing is read where nothing is encrypted."""

from __future__ import annotations

import ssl

import pytest

from milvus_tuning.clients.tls import context_for
from tests.cluster.pki import Authority


@pytest.fixture(scope="module")
def authority_pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate authority of the test's own."""
    made = Authority(folder=tmp_path_factory.mktemp("pki"))
    made.create()
    return made.certificate.read_text(encoding="utf-8")


def authorities(context: ssl.SSLContext) -> int:
    return len(context.get_ca_certs())


def test_plain_http_needs_no_trust() -> None:
    assert context_for(("http://etcd-0:2379", "http://etcd-1:2379"), None) is None


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(("https://etcd:2379",), id="https"),
        pytest.param(("HTTPS://etcd:2379",), id="https in capitals"),
        pytest.param(("http://etcd-0:2379", "https://etcd-1:2379"), id="one of several"),
    ],
)
def test_what_may_be_encrypted_must_prove_its_name_to_the_system(addresses: tuple[str, ...]) -> None:
    context = context_for(addresses, None)

    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert authorities(context) == authorities(ssl.create_default_context())


@pytest.mark.parametrize("address", ["https://etcd:2379", "http://etcd:2379"])
def test_a_given_authority_is_the_only_one(address: str, authority_pem: str) -> None:
    context = context_for((address,), authority_pem)

    assert context is not None
    assert (context.verify_mode, context.check_hostname, authorities(context)) == (ssl.CERT_REQUIRED, True, 1)


@pytest.mark.parametrize("address", ["https://etcd:2379", "http://etcd:2379"])
def test_an_authority_that_is_no_pem_is_refused(address: str) -> None:
    with pytest.raises(ssl.SSLError):
        context_for((address,), "not a PEM")
