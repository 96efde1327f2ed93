"""Milvus's own configuration on a real Milvus 2.3.5: what acts at once, what after a restart, and what never does.

The probe of a key that is read at start is `proxy.grpc.serverMaxSendSize`: with 1 MiB a reply of 512 x 512 hits (3 MiB)
is refused by the proxy, with the default of 256 MiB it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from pymilvus import MilvusClient, MilvusException

from tests.e2e.etcd import read_prefix, write_key
from tests.e2e.world import COLLECTION, DATASET, NAMESPACE, RELEASE, World, spec, wait_for

pytestmark = pytest.mark.e2e

CONFIG = "by-dev/config/"
SIZE = "proxy.grpc.serverMaxSendSize"
SIZE_INTENT = f"configOverrides.{SIZE}"
SMALL = {SIZE: "1048576"}
GUARD_KEY = f"{CONFIG}querycoord.overloadedmemorythresholdpercentage"
GUARD_INTENT = "loadBalancing.overloadedMemoryPercent"
LARGE, HITS = 512, 512  # vectors, and hits of each
PASSES_SECONDS = 15.0  # some passes of the operator, one each 3 s, and the 5 s after which Milvus reads etcd again


def declaring(**changes: Any) -> dict[str, Any]:
    """A policy about settings alone."""
    return spec(queryNodes=None, **changes)


def entries(world: World) -> Mapping[str, Mapping[str, Any]]:
    """How the declared settings stand, by intent."""
    return {entry["intent"]: entry for entry in world.status("main").get("config", [])}


def state(world: World, intent: str) -> str:
    """The state of one setting, empty before the first pass."""
    return str(entries(world).get(intent, {}).get("state", ""))


def pods(world: World) -> Mapping[str, frozenset[str]]:
    """The pods of the install by component, as their UIDs."""
    found = world.get("-n", NAMESPACE, "pods", "-l", f"app.kubernetes.io/instance={RELEASE}")["items"]
    uids: dict[str, set[str]] = {}
    for pod in found:
        component = pod["metadata"]["labels"].get("component")
        if component is not None and "deletionTimestamp" not in pod["metadata"]:
            uids.setdefault(component, set()).add(pod["metadata"]["uid"])
    return {component: frozenset(found) for component, found in uids.items()}


def answers(client: MilvusClient, vectors: int) -> bool | None:
    """Whether so many vectors are answered at once; None where they fail for another reason than the size."""
    try:
        client.search(COLLECTION, [[0.5] * DATASET.dim] * vectors, limit=HITS, timeout=60)
    except (MilvusException, grpc.RpcError) as refused:
        return False if "larger than max" in str(refused) else None
    return True


def sends_large_replies(world: World) -> bool | None:
    """Whether the proxy sends 3 MiB at once; None while it cannot be asked at all."""
    try:
        client = MilvusClient(world.uri, timeout=20)
    except MilvusException:
        return None
    try:
        return answers(client, LARGE) if answers(client, 1) else None
    finally:
        client.close()


def await_large_replies(world: World, expected: bool) -> None:
    """Await that a large reply is sent, or refused."""

    def is_so() -> bool:
        return sends_large_replies(world) is expected

    wait_for(is_so, f"a reply of 3 MiB to be {'sent' if expected else 'refused'}", seconds=120, every=2)


def others(found: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """The pods of all components but the proxies."""
    return {component: uids for component, uids in found.items() if component != "proxy"}


def test_a_key_read_at_start_rolls_its_component_and_no_other(calm: World) -> None:
    await_large_replies(calm, True)
    before = pods(calm)
    calm.tune("main", declaring(configOverrides=SMALL))
    plan = wait_for(lambda: calm.plans("main"), "a plan")[-1]
    wait_for(lambda: state(calm, SIZE_INTENT) == "PendingRestart", "the restart to be due")
    time.sleep(PASSES_SECONDS)
    assert calm.settings() == {}, "such a key is not armed before its plan runs"
    assert pods(calm) == before, "its range is inferred: mode Auto waits for a person"

    calm.vote(plan, "Approved")
    wait_for(lambda: calm.outcomes("main") == ["Completed"], "the proxy to be restarted", seconds=240)
    wait_for(lambda: state(calm, SIZE_INTENT) == "NoEvidence", "proxies tell nobody what they read")
    after = pods(calm)
    assert calm.settings() == {f"{CONFIG}{SIZE.lower()}": SMALL[SIZE]}
    assert after["proxy"].isdisjoint(before["proxy"])
    assert others(after) == others(before), "the pods of the others stay"
    await_large_replies(calm, False)

    calm.untune()
    assert calm.settings() == {}, "handed back at once, in force with the next start"
    assert pods(calm) == after
    calm.kubectl("-n", NAMESPACE, "delete", "pods", "-l", "component=proxy", "--wait")
    await_large_replies(calm, True)


def test_what_cannot_act_is_never_written_nor_called_effective(calm: World) -> None:
    before = pods(calm)
    calm.tune(
        "main",
        declaring(
            loadBalancing={"overloadedMemoryPercent": 88},
            configOverrides={
                "queryCoord.taskMergeCap": "4",  # declared in 2.3.5, read by nothing
                "queryCoord.autoBalence": "true",  # misspelt
                "queryCoord.globalRowCountFactor": "none",  # of the wrong type
                "etcd.rootPath": "elsewhere",  # the install's own
                "queryCoord.autoBalanceChannel": "false",  # real and live
            },
        ),
    )
    expected = {
        GUARD_INTENT: "Effective",
        "configOverrides.queryCoord.taskMergeCap": "Dead",
        "configOverrides.queryCoord.autoBalence": "Refused",
        "configOverrides.queryCoord.globalRowCountFactor": "Refused",
        "configOverrides.etcd.rootPath": "Refused",
        "configOverrides.queryCoord.autoBalanceChannel": "Effective",
    }
    wait_for(
        lambda: {intent: entry["state"] for intent, entry in entries(calm).items()} == expected,
        f"states {expected}",
        seconds=120,
    )

    assert calm.settings() == {GUARD_KEY: "88", f"{CONFIG}querycoord.autobalancechannel": "false"}
    assert "queryCoord.autoBalance" in entries(calm)["configOverrides.queryCoord.autoBalence"]["message"]
    assert pods(calm) == before, "live keys need no restart"

    shadow = f"{CONFIG}queryCoord/overloadedMemoryThresholdPercentage"
    write_key(calm.etcd, shadow, "91")
    try:
        wait_for(lambda: state(calm, GUARD_INTENT) == "Shadowed", "the second spelling to be seen")
    finally:
        write_key(calm.etcd, shadow, None)
    wait_for(lambda: state(calm, GUARD_INTENT) == "Effective", "the key to act alone again")
    calm.untune()
    assert calm.settings() == {}


def test_under_a_wrong_root_path_nothing_is_written_and_nothing_effective(calm: World) -> None:
    wrong = {"prometheus": {"url": "http://prometheus.monitoring:9090"}, "etcd": {"rootPath": "elsewhere"}}
    calm.tune("main", declaring(connections=wrong, loadBalancing={"overloadedMemoryPercent": 88}))
    wait_for(lambda: state(calm, GUARD_INTENT), "the first pass")
    end = time.monotonic() + PASSES_SECONDS
    while time.monotonic() < end:
        assert state(calm, GUARD_INTENT) == "NotApplied"
        time.sleep(1)
    assert calm.settings() == {}
    assert read_prefix(calm.etcd, "elsewhere/") == {}
