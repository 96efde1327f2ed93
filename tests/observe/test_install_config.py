"""Addresses from an install's configuration, as its pods would read it."""

import pytest

from milvus_tuning.observe.install_config import as_text, complete, endpoints_of, environment_config, flat_config

DEFAULT = "etcd:\n  endpoints: [a-etcd:2379]\n  rootPath: by-dev\n"
SERVICES = frozenset({"my-etcd", "my-etcd-headless"})


@pytest.mark.parametrize(
    ("files", "environment", "root_path"),
    [
        pytest.param([DEFAULT], {}, "by-dev", id="one file"),
        pytest.param([DEFAULT, "etcd: {rootPath: mine}"], {}, "mine", id="the later file wins"),
        pytest.param([DEFAULT, "etcd: {ROOTPATH: mine}"], {}, "mine", id="in another spelling"),
        pytest.param([DEFAULT, "# only a comment\n"], {}, "by-dev", id="a file of comments"),
        pytest.param([DEFAULT, "etcd: [unclosed"], {}, "by-dev", id="a file that is no YAML"),
        pytest.param([DEFAULT, "[" * 20_000], {}, "by-dev", id="a file that is nested beyond reason"),
        pytest.param([DEFAULT], {"ETCD_ROOTPATH": "env"}, "env", id="the environment wins"),
        pytest.param([DEFAULT], {"MILVUS_CONF_ETCD_ROOTPATH": "env"}, "env", id="with its newer prefix"),
        pytest.param([], {}, None, id="nothing"),
    ],
)
def test_the_root_path_is_read_as_milvus_reads_it(
    files: list[str], environment: dict[str, str], root_path: str | None
) -> None:
    assert flat_config(files, environment).get("etcdrootpath") == root_path


@pytest.mark.parametrize(
    ("value", "endpoints"),
    [
        pytest.param(["a:2379", "b:2379"], ("a:2379", "b:2379"), id="a list"),
        pytest.param("a:2379, b:2379", ("a:2379", "b:2379"), id="text with commas"),
        pytest.param("http://a:2379/", ("a:2379",), id="with a scheme"),
        pytest.param(None, (), id="none"),
    ],
)
def test_endpoints_come_in_either_form(value: object, endpoints: tuple[str, ...]) -> None:
    assert endpoints_of(value) == endpoints


@pytest.mark.parametrize(
    ("endpoint", "completed"),
    [
        pytest.param("my-etcd:2379", "my-etcd.milvus.svc:2379", id="a Service"),
        pytest.param(
            "my-etcd-0.my-etcd-headless:2379", "my-etcd-0.my-etcd-headless.milvus.svc:2379", id="a pod of a Service"
        ),
        pytest.param("my-etcd.other:2379", "my-etcd.other:2379", id="a Service of another namespace"),
        pytest.param("etcd.example.org:2379", "etcd.example.org:2379", id="a public name"),
        pytest.param("10.0.0.1:2379", "10.0.0.1:2379", id="an address"),
        pytest.param("[fd00::1]:2379", "[fd00::1]:2379", id="an IPv6 address"),
        pytest.param("unknown:2379", "unknown:2379", id="a name that is no Service here"),
    ],
)
def test_short_names_are_completed_with_the_namespace(endpoint: str, completed: str) -> None:
    assert complete(endpoint, "milvus", SERVICES) == completed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(True, "true", id="a switch"),
        pytest.param(60, "60", id="a number"),
        pytest.param(0.05, "0.05", id="a fraction"),
        pytest.param(["a", "b"], "a,b", id="a list"),
        pytest.param(None, "", id="an empty value"),
    ],
)
def test_values_are_told_as_milvus_reads_them(value: object, text: str) -> None:
    assert as_text({"querycoordx": value}) == {"querycoordx": text}


def test_secrets_are_never_told() -> None:
    config = {"miniosecretaccesskey": "a", "kafkasaslpassword": "b", "pulsarauthparams": "c", "minioport": 9000}
    assert as_text(config) == {"minioport": "9000"}
    environment = {"MINIO_SECRET_ACCESS_KEY": "a", "COMMON_GRACEFULTIME": "1", "HOME": "/root"}
    assert environment_config(environment) == {"commongracefultime": "1"}
