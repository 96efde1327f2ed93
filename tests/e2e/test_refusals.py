"""What the operator must not do, on the real cluster: each refusal names its reason, and nothing has moved."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pymilvus import MilvusClient

from tests.e2e.world import DEPLOYMENT, NAMESPACE, World, measure_capacity, spec
from tests.load.prepare import Dataset, prepare
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e

LOW = 0.15  # share of what two QueryNodes carry
HOT = "hot"
ONE_SEGMENT = Dataset(rows=20_000, dim=64, segments=1, shards=1)


@pytest.fixture
def hot(calm: World) -> Iterator[str]:
    """A collection of one segment, which can only be on one node."""
    prepare(calm.uri, HOT, ONE_SEGMENT)
    yield HOT
    client = MilvusClient(calm.uri)
    client.drop_collection(HOT)
    client.close()


def test_a_hot_collection_on_one_node_is_skew_and_gets_no_node(calm: World, hot: str) -> None:
    # Its node then works at about three quarters, the mean of both at a half: above and below the 60 % of the rule.
    hot_share = 0.62 * measure_capacity(calm.uri, hot) / calm.capacity_qps
    calm.tune("main", spec())
    with calm.load(hot_share, collections=(hot,)) as load:
        wait_for(lambda: calm.reason("main") == "SkewNotCapacity", "the skew to be named", seconds=120)
        time.sleep(30)  # twice the window of a scale-out
        assert calm.desired() == 2
        assert calm.outcomes("main") == []
        assert calm.condition("main", "Balanced")["status"] == "False"
        assert load.stop().ok > 100


def test_a_grace_period_of_30_s_is_refused_and_of_120_s_is_not(calm: World) -> None:
    calm.scale(3)
    with _grace_period(calm, 30):
        calm.tune("main", spec())
        wait_for(lambda: calm.reason("main") == "GracePeriodTooShort", "the refusal", seconds=150)
        time.sleep(15)
        assert calm.desired() == 3
        assert "terminationGracePeriodSeconds" in calm.status("main")["decision"]["message"]
    wait_for(lambda: calm.outcomes("main") == ["Completed"], "the scale-in with enough grace", seconds=240)
    assert calm.desired() == 2


@contextmanager
def _grace_period(world: World, seconds: int) -> Iterator[None]:
    before = world.get("-n", NAMESPACE, "deployment", DEPLOYMENT)["spec"]["template"]["spec"]
    _set_grace_period(world, seconds)
    world.await_even(3)
    try:
        yield
    finally:  # rows need not become even: a policy that is there may take a node away as soon as it may
        _set_grace_period(world, before["terminationGracePeriodSeconds"])


def _set_grace_period(world: World, seconds: int) -> None:
    patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": seconds}}}}
    world.kubectl("-n", NAMESPACE, "patch", "deployment", DEPLOYMENT, "-p", json.dumps(patch))
    world.kubectl("-n", NAMESPACE, "rollout", "status", "deployment", DEPLOYMENT, "--timeout=180s")


def test_a_node_that_never_comes_is_given_up_and_the_size_restored(calm: World) -> None:
    pods = len(calm.get("-n", NAMESPACE, "pods")["items"])
    calm.kubectl("-n", NAMESPACE, "create", "quota", "no-more-pods", f"--hard=pods={pods}")
    try:
        calm.tune("main", spec(queryNodes={"minCount": 3, "scaleOut": {"readyDeadlineSeconds": 15}}))
        wait_for(lambda: calm.desired() == 3, "the attempt", seconds=60)
        wait_for(lambda: calm.outcomes("main") == ["InsufficientCapacity"], "the attempt to be given up", seconds=90)
        assert calm.desired() == 2
        assert calm.condition("main", "CapacityAvailable")["status"] == "False"
    finally:
        calm.kubectl("-n", NAMESPACE, "delete", "quota", "no-more-pods")


def test_an_autoscaler_on_the_same_deployment_is_a_conflict(calm: World) -> None:
    calm.kubectl("-n", NAMESPACE, "autoscale", "deployment", DEPLOYMENT, "--min=2", "--max=2")
    try:
        calm.tune("main", spec(queryNodes={"minCount": 3}))
        wait_for(lambda: calm.reason("main") == "Conflict", "the conflict to be named")
        time.sleep(10)
        assert calm.desired() == 2
        assert DEPLOYMENT in calm.condition("main", "Conflict")["message"]
    finally:
        calm.kubectl("-n", NAMESPACE, "delete", "hpa", DEPLOYMENT)


BAD_INPUTS: dict[str, tuple[dict[str, object], str]] = {
    "a target that does not exist": ({"targetRef": {"name": "nowhere"}}, "TargetNotFound"),
    "a Prometheus that does not answer": (
        {"connections": {"prometheus": {"url": "http://127.0.0.1:9"}}},
        "PrometheusUnreachable",
    ),
    "a Milvus that does not answer": ({"connections": {"milvus": {"uri": "http://127.0.0.1:9"}}}, "MilvusUnreachable"),
    "a Secret that is not there": (
        {
            "connections": {
                "milvus": {"uri": "http://127.0.0.1:9", "credentialsSecretRef": {"name": "nothing", "key": "login"}}
            }
        },
        "SecretNotFound",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_bad_input_is_named_and_changes_nothing(calm: World, changes: dict[str, object], reason: str) -> None:
    calm.tune("main", spec(queryNodes={"minCount": 3}, **changes))
    _named(calm, lambda: calm.condition("main", "Ready").get("reason") == reason, reason)
    time.sleep(6)
    assert calm.condition("main", "Ready")["status"] == "False"
    assert calm.desired() == 2


def _named(world: World, probe: Callable[[], bool], reason: str) -> None:
    try:
        wait_for(probe, f"condition Ready to say {reason}", seconds=60)
    except AssertionError as error:
        raise AssertionError(f"{error}; conditions: {world.status('main').get('conditions')}") from error


def test_min_above_max_is_refused_at_admission(calm: World) -> None:
    body = {
        "apiVersion": "milvustuning.io/v1alpha1",
        "kind": "MilvusTuning",
        "metadata": {"name": "main", "namespace": NAMESPACE},
        "spec": spec(queryNodes={"minCount": 4}),
    }
    done = calm.try_kubectl("apply", "-f", "-", stdin=json.dumps(body))
    assert done.returncode != 0
    assert "minCount must not be above maxCount" in done.stderr


def test_the_younger_of_two_on_one_target_stands_back(calm: World) -> None:
    calm.tune("first", spec(mode="Observe"))
    wait_for(lambda: calm.reason("first"), "the first to be observed")
    calm.tune("second", spec(queryNodes={"minCount": 3}))
    wait_for(lambda: calm.reason("second") == "Conflict", "the second to stand back")
    assert calm.reason("first") != "Conflict"
    assert "first" in calm.status("second")["decision"]["message"]
    assert calm.desired() == 2


def test_with_load_low_and_the_size_right_nothing_happens(calm: World) -> None:
    calm.tune("main", spec())
    with calm.load(LOW) as load:
        wait_for(
            lambda: calm.reason("main") in {"AtMinimum", "Steady", "WithinTolerance"}, "a steady state", seconds=90
        )
        time.sleep(30)
        assert calm.outcomes("main") == []
        assert calm.desired() == 2
        assert load.stop().failed == 0
