"""Settings of the operator process. This is the only module that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "MILVUS_TUNING_"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the chart hands to the process.

    namespaces: where MilvusTuning objects are watched (empty: everywhere). lease_seconds: how long a silent operator
    keeps the right to write; a successor waits that long. request_timeout_seconds bounds each single outside call.
    plans_kept_count, plans_kept_days: finished plans of one MilvusTuning that stay; the first limit met counts.
    """

    namespaces: tuple[str, ...] = ()
    pod_name: str = "local"
    pod_namespace: str = "default"
    read_only: bool = False
    interval_seconds: float = 15.0
    request_timeout_seconds: float = 10.0
    lease_name: str = "milvus-tuning-operator"
    lease_seconds: int = 15
    http_port: int = 8080
    log_format: str = "json"
    plans_kept_count: int = 20
    plans_kept_days: int = 14


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from environment variables MILVUS_TUNING_*; ValueError names the variable that cannot be read."""
    source = os.environ if environment is None else environment
    values = {name.removeprefix(PREFIX).lower(): value for name, value in source.items() if name.startswith(PREFIX)}
    defaults = Settings()
    return Settings(
        namespaces=tuple(part.strip() for part in values.get("namespaces", "").split(",") if part.strip()),
        pod_name=values.get("pod_name", defaults.pod_name),
        pod_namespace=values.get("pod_namespace", defaults.pod_namespace),
        read_only=_boolean(values, "read_only", default=defaults.read_only),
        interval_seconds=_number(values, "interval_seconds", default=defaults.interval_seconds),
        request_timeout_seconds=_number(values, "request_timeout_seconds", default=defaults.request_timeout_seconds),
        lease_name=values.get("lease_name", defaults.lease_name),
        lease_seconds=int(_number(values, "lease_seconds", default=defaults.lease_seconds)),
        http_port=int(_number(values, "http_port", default=defaults.http_port)),
        log_format=values.get("log_format", defaults.log_format),
        plans_kept_count=int(_number(values, "plans_kept_count", default=defaults.plans_kept_count)),
        plans_kept_days=int(_number(values, "plans_kept_days", default=defaults.plans_kept_days)),
    )


def _number(values: Mapping[str, str], name: str, *, default: float) -> float:
    text = values.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e6:
        raise ValueError(f"{PREFIX}{name.upper()} must be a positive number, got {text!r}")
    return number


def _boolean(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name, str(default)).lower()
    if text not in {"true", "false"}:
        raise ValueError(f"{PREFIX}{name.upper()} must be true or false, got {text!r}")
    return text == "true"
