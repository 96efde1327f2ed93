"""The install's own configuration: its values, and where Milvus and its etcd are.

Milvus merges default.yaml, then user.yaml, over its built-in milvus.yaml; environment variables beat the files. What
leads to etcd is read from it: etcd.endpoints, etcd.rootPath, etcd.metaSubPath, etcd.ssl.enabled, and
common.security.tlsMode for the scheme of the proxy. The rest is handed on as text, without what may hold a secret.

2.3 knows no variable with the prefix MILVUS_CONF_ (seen on 2.3.5: it changes nothing), later versions do; which of them
acts is for the process itself to say (clients/configuration.py).

Names in that file are meant for the pods of its namespace. `my-etcd` and `my-etcd-0.my-etcd-headless` are completed
with it when their last part is a Service there; everything else is taken as it stands.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import yaml

from milvus_tuning.catalogue import environment_key, normalised
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.clients.configuration import is_secret
from milvus_tuning.clients.connect import DEFAULT_META_PATH, DEFAULT_ROOT_PATH, Found
from milvus_tuning.clients.kube import Service
from milvus_tuning.clients.milvus import DEFAULT_PORT
from milvus_tuning.clients.resource_config import as_text as value_text

MILVUS_PORT_NAME = "milvus"
FILES = ("milvus.yaml", "default.yaml", "user.yaml")  # later ones win
FILES_KEPT = 32  # three of each of ten clusters

Flat = Mapping[str, Any]


def flat_config(files: Iterable[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """All values by normalised key (`etcdrootpath`); later files win over earlier ones, the environment over all.

    A file that is not a mapping counts as empty: Milvus itself would not start from it.
    """
    return with_environment(file_config(files), environment)


def with_environment(config: Flat, environment: Mapping[str, str]) -> dict[str, Any]:
    """The values with those of the environment over them."""
    return {**config, **_by_key(environment)}


def file_config(files: Iterable[str]) -> dict[str, Any]:
    """All values of the files by normalised key; later files win over earlier ones."""
    values: dict[str, Any] = {}
    for text in files:
        values |= _values_of(text)
    return values


@lru_cache(maxsize=FILES_KEPT)
def _values_of(text: str) -> Flat:
    """The values of one file. Files seldom change, and reading a whole milvus.yaml takes most of a second.

    libyaml would be quicker, but it takes the process down where somebody's text is nested a few ten thousand deep.
    """
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return {}
    return flattened(tree) if isinstance(tree, Mapping) else {}


def environment_config(environment: Mapping[str, str]) -> dict[str, str]:
    """The values of Milvus's own keys among environment variables, without those of secrets, by normalised key.

    Milvus takes every variable for a key; what is none of its keys (PATH, a password of somebody else) is left out.
    """
    return {key: text for key, text in _by_key(environment).items() if key in catalogue().keys and not is_secret(key)}


def as_text(config: Flat) -> dict[str, str]:
    """The values as Milvus reads them, without those of secrets: true becomes "true", a list has commas."""
    return {key: value_text(value) for key, value in config.items() if not is_secret(key)}


def _by_key(environment: Mapping[str, str]) -> dict[str, str]:
    return {environment_key(name): text for name, text in environment.items()}


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of settings by normalised key; lists stay whole."""
    values: dict[str, Any] = {}
    for name, value in tree.items():
        key = normalised(prefix + str(name))
        if isinstance(value, Mapping):
            values |= flattened(value, key)
        else:
            values[key] = value
    return values


def found_addresses(
    config: Flat,
    services: Iterable[Service],
    *,
    namespace: str,
    milvus_service: str,
    root_path: str = DEFAULT_ROOT_PATH,
) -> Found:
    """The addresses in a configuration; root_path is what holds where the configuration names none."""
    by_name = {service.metadata.name: service for service in services}
    secure = _truth(config.get("etcdsslenabled"))
    names = frozenset(by_name)
    endpoints = (complete(endpoint, namespace, names) for endpoint in endpoints_of(config.get("etcdendpoints")))
    return Found(
        milvus_address=milvus_address(by_name.get(milvus_service), namespace),
        milvus_tls=str(config.get("commonsecuritytlsmode", "0")) in {"1", "2"},
        etcd_endpoints=tuple(f"https://{endpoint}" if secure else endpoint for endpoint in endpoints),
        root_path=str(config.get("etcdrootpath") or root_path),
        meta_path=str(config.get("etcdmetasubpath") or DEFAULT_META_PATH),
    )


def milvus_address(service: Service | None, namespace: str) -> str | None:
    """host:port of the Service that leads to the proxies, or None where there is no such Service or port."""
    if service is None:
        return None
    ports = [port for port in service.spec.ports or () if MILVUS_PORT_NAME in (port.name, port.target_port)]
    ports = ports or [port for port in service.spec.ports or () if port.port == DEFAULT_PORT]
    return f"{service.metadata.name}.{namespace}.svc:{ports[0].port}" if ports else None


def endpoints_of(value: object) -> tuple[str, ...]:
    """The endpoints in a list or in text with commas, without scheme."""
    parts = value if isinstance(value, list) else str(value or "").split(",")
    stripped = (str(part).strip().removeprefix("http://").removeprefix("https://").rstrip("/") for part in parts)
    return tuple(part for part in stripped if part)


def complete(endpoint: str, namespace: str, services: frozenset[str]) -> str:
    """The endpoint as it must be written outside its namespace: `my-etcd:2379` becomes `my-etcd.milvus.svc:2379`."""
    host, colon, port = endpoint.rpartition(":") if ":" in endpoint else (endpoint, "", "")
    if _is_address(host) or host.rpartition(".")[2] not in services:
        return endpoint
    return f"{host}.{namespace}.svc{colon}{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _truth(value: object) -> bool:
    return str(value).lower() == "true"
