"""Where Milvus, its etcd and Prometheus are, and what to show them. All of it optional; what is unset is found."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from milvus_tuning.api.base import ApiModel, ObjectName


class SecretKeyReference(ApiModel):
    """A key of a Secret in the namespace of the MilvusTuning."""

    name: ObjectName = Field(description="Name of the Secret, in this object's namespace.")
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Key inside the Secret.")


class Tls(ApiModel):
    """How to verify a server, and which certificate to show it."""

    ca_secret_ref: SecretKeyReference | None = Field(
        default=None, description="PEM bundle of the certificate authority to trust."
    )
    server_name: str | None = Field(
        default=None, min_length=1, max_length=253, description="Name to verify in place of the host of the address."
    )


class MilvusConnection(ApiModel):
    """Where the Milvus proxy is; found from the target where unset."""

    uri: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://[^/@\s]+$",
        description="http://host:port or https://host:port of the proxy, without user or path.",
    )
    credentials_secret_ref: SecretKeyReference | None = Field(
        default=None, description="Holds username:password, or a token."
    )
    tls: Tls | None = None


class EtcdConnection(ApiModel):
    """Where Milvus's etcd is; found from the target's own configuration where unset."""

    endpoints: list[Annotated[str, Field(min_length=1, max_length=512, pattern=r"^(https?://)?[^/@\s]+$")]] | None = (
        Field(
            default=None, min_length=1, max_length=16, description="host:port, or with http:// or https:// before it."
        )
    )
    root_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=r"^[^\s/][^\s]*$",
        description="etcd.rootPath of the Milvus cluster.",
    )
    credentials_secret_ref: SecretKeyReference | None = Field(default=None, description="Holds username:password.")
    tls: Tls | None = None


class PrometheusLabels(ApiModel):
    """Names of the labels that the scrape configuration gives to every series."""

    pod: str = Field(
        default="pod",
        max_length=128,
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label that holds the pod's name.",
    )
    namespace: str = Field(
        default="namespace",
        max_length=128,
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label that holds the pod's namespace.",
    )


class PrometheusConnection(ApiModel):
    """Where the series of the cluster are. Without it nothing is scaled."""

    url: str = Field(
        max_length=512,
        pattern=r"^https?://[^@\s]+$",
        description="Base address of the Prometheus HTTP API, without user.",
    )
    labels: PrometheusLabels = Field(default_factory=PrometheusLabels)
    matchers: (
        dict[
            Annotated[str, Field(max_length=128, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")],
            Annotated[str, Field(max_length=253)],
        ]
        | None
    ) = Field(
        default=None,
        max_length=8,
        description="Further label values that every series must have, for a Prometheus that several Kubernetes "
        "clusters share.",
    )
    credentials_secret_ref: SecretKeyReference | None = Field(
        default=None, description="Holds username:password, or a bearer token."
    )
    tls: Tls | None = None


class Connections(ApiModel):
    """Addresses of, and credentials for, what the operator talks to.

    Credentials are sent to the address beside them and nowhere else.
    """

    milvus: MilvusConnection | None = None
    etcd: EtcdConnection | None = None
    prometheus: PrometheusConnection | None = None
