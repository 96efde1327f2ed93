"""What the tests of declared intents share: a policy about settings alone, and what etcd holds."""

from __future__ import annotations

from typing import Any

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.catalogue import ServerVersion, normalised, parse_version
from milvus_tuning.snapshot import EtcdSetting

PROMETHEUS = {"prometheus": {"url": "http://prometheus:9090"}}
GUARD = "queryCoord.overloadedMemoryThresholdPercentage"
COMPRESSION = "grpc.client.compressionEnabled"
TIERED = "queryNode.segcore.tieredStorage"
LOW, HIGH = f"{TIERED}.memoryLowWatermarkRatio", f"{TIERED}.memoryHighWatermarkRatio"
EVICTION = f"{TIERED}.evictionEnabled"


def a_policy(**fields: Any) -> MilvusTuningSpec:
    """A policy with these fields, as a user writes them, and nothing else that declares anything."""
    target = {"kind": "HelmRelease", "name": "my-release"}
    return MilvusTuningSpec.model_validate({"targetRef": target, "connections": PROMETHEUS, **fields})


def in_etcd(**values: str) -> dict[str, EtcdSetting]:
    """What etcd holds, by normalised key: in_etcd(**{GUARD: "80"})."""
    return {
        normalised(key): EtcdSetting(key=key.lower(), value=value, spellings=(key.lower(),), revision=7)
        for key, value in values.items()
    }


def in_files(**values: str) -> dict[str, str]:
    """What the files of the install hold, by normalised key."""
    return {normalised(key): value for key, value in values.items()}


def the_version(text: str) -> ServerVersion:
    """A version that can be read."""
    version = parse_version(text)
    assert version is not None
    return version
