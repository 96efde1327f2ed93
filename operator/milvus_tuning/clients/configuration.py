"""What a running Milvus process says its configuration is.

For most that is the internal call ShowConfigurations. Every component but the proxy answers it on its internal gRPC
port, with the values of its own configuration manager (etcd over environment over files). The messages are
`internal.proto` of Milvus, the same from 2.3 to 2.6; pymilvus has only the messages inside of them, so the two are
described here.

The answer names shared keys too, those of passwords among them. So the caller says which keys it wants, and nothing
else leaves this module. An answer is 15 KB on 2.3.5.

MixCoord of 2.6 answers it for RootCoord alone. From 2.6.14 it has `GET /management/config/get?keys=a,b` on the port of
its metrics: {"configs": [{"key": ..., "value": ..., "source": ...}, {"key": ..., "error": "..."}]}.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
import urllib3
from google.protobuf import descriptor_pb2, message_factory  # type: ignore[import-untyped]
from pymilvus.grpc_gen import common_pb2

from milvus_tuning.catalogue import normalised
from milvus_tuning.errors import ObserveError

METHOD: Final = "ShowConfigurations"
MANAGEMENT_PATH: Final = "/management/config/get"
LARGEST_REPLY_BYTES: Final = 4 * 1024 * 1024
_PACKAGE: Final = "milvus.proto.internal"
_COMMON: Final = ".milvus.proto.common."
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", LARGEST_REPLY_BYTES),
    ("grpc.enable_http_proxy", 0),
)
_SECRET_WORDS: Final = ("password", "secret", "token", "credential", "accesskey", "sasl", "authparams")


class ConfigurationError(ObserveError):
    """A process did not say what its configuration is."""


def is_secret(key: str) -> bool:
    """Whether a key may hold a secret, by the words in its name: `minio.secretAccessKey`, `kafka.saslPassword`."""
    name = normalised(key)
    return any(word in name for word in _SECRET_WORDS)


def read_configuration(address: str, service: str, keys: Collection[str], *, timeout_seconds: float) -> dict[str, str]:
    """The values of these keys by normalised key, as the process at `host:port` has them; one that it lacks is absent.

    service is the gRPC service that the component serves, such as `milvus.proto.query.QueryNode`. Raises
    ConfigurationError where it does not answer, refuses, or has no such call.
    """
    asked = [key for key in keys if not is_secret(key)]
    if not asked:
        return {}
    request = Request(base=common_pb2.MsgBase(), pattern=shared_pattern(asked))
    answer = _call(address, service, request, timeout_seconds)
    if answer.status.code != 0 or answer.status.error_code != common_pb2.Success:
        raise ConfigurationError(f"{service} at {address} refused {METHOD}: {answer.status.reason}")
    return _values({pair.key: pair.value for pair in answer.configuations}, {normalised(key) for key in asked})


def shared_pattern(keys: Collection[str]) -> str:
    """What all keys begin with, in the spelling of the answer: less crosses the wire, where that is possible."""
    first, last = min(key.lower() for key in keys), max(key.lower() for key in keys)
    same = (pair[0] == pair[1] for pair in zip(first, last, strict=False))
    return first[: next((place for place, equal in enumerate(same) if not equal), min(len(first), len(last)))]


def read_management(address: str, keys: Collection[str], *, timeout_seconds: float) -> dict[str, str]:
    """As `read_configuration`, by the HTTP call that MixCoord has from 2.6.14; address is that of its metrics."""
    asked = sorted(key for key in keys if not is_secret(key))
    if not asked:
        return {}
    url = f"http://{address}{MANAGEMENT_PATH}"
    try:
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout_seconds)) as pool:
            reply = pool.request("GET", url, fields={"keys": ",".join(asked)}, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        raise ConfigurationError(f"{url} did not answer: {error}") from error
    if reply.status != 200:
        raise ConfigurationError(f"{url} answered HTTP {reply.status}")
    try:
        found = json.loads(reply.data)["configs"]
        pairs = {str(one["key"]): str(one.get("value", "")) for one in found if not one.get("error")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{url} gave no list of configs") from error
    return _values(pairs, {normalised(key) for key in asked})


def _values(pairs: Mapping[str, str], wanted: Collection[str]) -> dict[str, str]:
    """Those that are wanted; a key that is named in two spellings has the same value in both."""
    return {normalised(key): value for key, value in pairs.items() if normalised(key) in wanted}


def _call(address: str, service: str, request: Any, timeout_seconds: float) -> Any:  # noqa: ANN401
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        call = channel.unary_unary(
            f"/{service}/{METHOD}",
            request_serializer=Request.SerializeToString,
            response_deserializer=Response.FromString,
        )
        try:
            return call(request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            text = f"{service} at {address} did not answer {METHOD} ({error.code().name}): {error.details()}"
            raise ConfigurationError(text) from error


def _messages() -> tuple[Any, Any]:
    """ShowConfigurationsRequest and ShowConfigurationsResponse; Milvus itself spells the field `configuations`."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="milvus_tuning/show_configurations.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[common_pb2.DESCRIPTOR.name],
    )
    one, many, message = kind.LABEL_OPTIONAL, kind.LABEL_REPEATED, kind.TYPE_MESSAGE
    request = file.message_type.add(name=f"{METHOD}Request")
    request.field.add(name="base", number=1, label=one, type=message, type_name=f"{_COMMON}MsgBase")
    request.field.add(name="pattern", number=2, label=one, type=kind.TYPE_STRING)
    response = file.message_type.add(name=f"{METHOD}Response")
    response.field.add(name="status", number=1, label=one, type=message, type_name=f"{_COMMON}Status")
    response.field.add(name="configuations", number=2, label=many, type=message, type_name=f"{_COMMON}KeyValuePair")
    pool = common_pb2.DESCRIPTOR.pool
    pool.Add(file)
    found = [pool.FindMessageTypeByName(f"{_PACKAGE}.{found.name}") for found in file.message_type]
    return message_factory.GetMessageClass(found[0]), message_factory.GetMessageClass(found[1])


Request, Response = _messages()
