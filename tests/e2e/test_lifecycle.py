"""From install to removal: nothing declared, a restart in the middle, hand-back, an operator that is gone."""

import json
import time
from collections.abc import Callable

import pytest

from tests.demo.table import lost_searches
from tests.e2e.world import DEPLOYMENT, NAMESPACE, OPERATOR, OPERATOR_NAMESPACE, World, spec
from tests.load.report import summarise
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e

CONFIG_PREFIX = "by-dev/config/"
LOW = 0.15


def test_a_target_alone_changes_nothing_but_status(calm: World) -> None:
    before, settings = calm.get("-n", NAMESPACE, "deployments"), calm.settings()
    calm.tune("main", {"targetRef": {"kind": "HelmRelease", "name": "my-release"}, "mode": "Auto"})
    wait_for(lambda: calm.reason("main") == "NotManaged", "the first pass")
    time.sleep(12)
    after = calm.get("-n", NAMESPACE, "deployments")
    assert _generations(after) == _generations(before)
    assert calm.settings() == settings
    observed = calm.status("main")["observed"]
    assert observed["milvusVersion"].startswith("v2.3.5")
    assert observed["nodes"] == "2/2"


def _generations(deployments: dict[str, object]) -> dict[str, int]:
    items = deployments["items"]
    assert isinstance(items, list)
    return {item["metadata"]["name"]: item["metadata"]["generation"] for item in items}


def test_a_restart_in_the_middle_of_a_scale_in_goes_on_where_it_was(calm: World) -> None:
    calm.scale(3)
    rows = calm.placement().rows
    writes_before = calm.scale_writes()
    with calm.load(LOW) as load:
        calm.tune("main", spec())
        wait_for(lambda: calm.plans("main"), "a scale-in to be proposed", seconds=150, every=0.2)
        wait_for(lambda: calm.desired() == 2, "its outside write", seconds=60, every=0.2)
        first = len(load.seconds)
        calm.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pods", "--all", "--force", "--grace-period=0")
        wait_for(lambda: calm.outcomes("main") == ["Completed"], "the plan's steps to be done", seconds=180)
        time.sleep(10)
        during = summarise(load.seconds[first:])
    assert calm.desired() == 2
    assert len(calm.outcomes("main")) == 1
    assert calm.scale_writes() - writes_before == 1, "the size was written once"
    assert calm.placement().rows == rows
    assert lost_searches(during) == 0


STAGES: dict[str, Callable[[World, int], bool]] = {
    "as soon as it is proposed": lambda world, _: True,
    "right after the write": lambda world, count: world.desired() == count,
    "once the write is recorded": lambda world, _: "Applied" in _step_states(world),
}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_a_stage_of_a_scale_out_and_of_a_scale_in(calm: World, stage: str) -> None:
    rows, writes_before = calm.placement().rows, calm.scale_writes()
    with calm.load(LOW) as load:
        _resize_with_a_kill(calm, plan=1, count=3, stage=stage)
        _resize_with_a_kill(calm, plan=2, count=2, stage=stage)
        everything = load.stop()
    assert calm.scale_writes() - writes_before == 2, "each size was written once"
    assert calm.placement().rows == rows
    assert lost_searches(everything) == 0


def _resize_with_a_kill(world: World, *, plan: int, count: int, stage: str) -> None:
    """Have so many QueryNodes by the policy's plan of this number, and kill the operator at the stage."""
    world.tune("main", spec(queryNodes={"minCount": count}))
    _kill_once(world, lambda: len(world.plans("main")) == plan and STAGES[stage](world, count))

    def carried_out() -> bool:
        return world.outcomes("main") == ["Completed"] * plan and not world.at_work("main")

    wait_for(carried_out, f"plan {plan} to be carried out", seconds=180)
    assert world.desired() == count
    world.await_even(count)


def _kill_once(world: World, reached: Callable[[], bool]) -> None:
    """SIGKILL the operator as soon as the stage is reached."""
    wait_for(reached, "the stage to be reached", seconds=150, every=0.05)
    world.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pods", "--all", "--force", "--grace-period=0")


def _step_states(world: World) -> list[str]:
    steps = world.plans("main")[-1].get("status", {}).get("steps") or []
    return [step["state"] for step in steps]


def test_placement_is_taken_proved_by_effect_and_handed_back(calm: World) -> None:
    calm.tune("main", spec(queryNodes=None, loadBalancing={"placementOwner": "Operator"}))
    wait_for(lambda: calm.settings().get(f"{CONFIG_PREFIX}querycoord.autobalance") == "false", "the balancer held off")
    time.sleep(8)  # Milvus reads its settings every 5 s
    calm.kubectl("-n", NAMESPACE, "scale", "deployment", DEPLOYMENT, "--replicas=3")
    wait_for(
        lambda: len(calm.ready_query_nodes()) == 3 and len(calm.placement().nodes) == 3, "a third node", seconds=90
    )
    time.sleep(20)
    assert min(node.rows for node in calm.placement().nodes.values()) == 0, "a held-off balancer fills no new node"
    calm.untune()
    assert calm.settings() == {}
    calm.await_even(3)


def test_a_live_setting_is_written_read_back_and_handed_back(calm: World) -> None:
    key = f"{CONFIG_PREFIX}querycoord.overloadedmemorythresholdpercentage"
    calm.tune(
        "main", spec(queryNodes=None, loadBalancing={"overloadedMemoryPercent": 88, "balanceIntervalSeconds": 30})
    )
    wait_for(lambda: calm.settings().get(key) == "88", "the setting to be written")

    def states() -> dict[str, str]:
        return {entry["intent"]: entry["state"] for entry in calm.status("main").get("config", [])}

    expected = {
        "loadBalancing.overloadedMemoryPercent": "Effective",
        "loadBalancing.balanceIntervalSeconds": "PendingRestart",
    }
    wait_for(lambda: states() == expected, f"states {expected}")
    assert set(calm.settings()) == {key}, "a restart-only key is not armed"
    calm.untune()
    assert calm.settings() == {}


def test_without_its_operator_a_policy_is_freed_by_the_documented_patch(calm: World) -> None:
    calm.tune("main", spec(mode="Observe"))
    wait_for(lambda: calm.reason("main"), "the first pass")
    calm.kubectl("-n", OPERATOR_NAMESPACE, "scale", "deployment", OPERATOR, "--replicas=0")
    calm.kubectl("-n", OPERATOR_NAMESPACE, "wait", "pods", "--all", "--for=delete", "--timeout=60s")
    try:
        calm.kubectl("-n", NAMESPACE, "delete", "milvustuning", "main", "--wait=false")
        time.sleep(3)
        assert calm.get("-n", NAMESPACE, "milvustuning", "main")["metadata"]["deletionTimestamp"]
        patch = json.dumps({"metadata": {"finalizers": None}})
        calm.kubectl("-n", NAMESPACE, "patch", "milvustuning", "main", "--type=merge", "-p", patch)
        gone = calm.try_kubectl("-n", NAMESPACE, "get", "milvustuning", "main")
        assert "NotFound" in gone.stderr
    finally:
        calm.kubectl("-n", OPERATOR_NAMESPACE, "scale", "deployment", OPERATOR, "--replicas=1")
        calm.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment", OPERATOR, "--timeout=60s")
