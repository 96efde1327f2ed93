"""Two operators never write at once: the rules of the Lease, on a real API server with clocks in the test's hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from kubernetes.client import ApiClient, CoordinationV1Api, V1LeaseSpec

from milvus_tuning.clients.lease import LeaseLost, OperatorLease
from milvus_tuning.errors import ApplyError
from milvus_tuning.settings import Settings

pytest_plugins = ("tests.apply.servers",)
NAME = "milvus-tuning-operator"


@dataclass
class Clock:
    """A monotonic clock that stands still."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Operators:
    """Operators that share one Lease, each with a clock of its own."""

    api_client: ApiClient
    namespace: str

    def start(self, pod: str, *, clock: Clock | None = None) -> OperatorLease:
        """An operator whose renewals the test makes."""
        settings = Settings(pod_name=pod, pod_namespace=self.namespace, lease_seconds=15)
        if clock is None:
            return OperatorLease(self.api_client, replace(settings, lease_seconds=3))
        return OperatorLease(self.api_client, settings, monotonic=clock)

    def spec(self) -> V1LeaseSpec:
        """The Lease as stored."""
        lease = CoordinationV1Api(self.api_client).read_namespaced_lease(NAME, self.namespace)
        assert lease.spec is not None
        return lease.spec


@pytest.fixture
def operators(api_client: ApiClient, namespace: str) -> Operators:
    """Nobody holds the Lease yet."""
    return Operators(api_client, namespace)


def nowhere(clock: Clock) -> OperatorLease:
    """An operator whose API server does not answer."""
    client = ApiClient()
    client.configuration.host = "http://127.0.0.1:1"
    return OperatorLease(client, Settings(), monotonic=clock)


def test_before_the_first_renewal_nothing_may_be_written() -> None:
    lease = nowhere(Clock())
    assert not lease.held()
    with pytest.raises(LeaseLost, match="nothing was written") as caught:
        lease.require()
    assert isinstance(caught.value, ApplyError)
    assert caught.value.retryable


def test_without_an_api_server_nothing_is_held_and_nothing_is_raised() -> None:
    lease = nowhere(Clock())
    lease.try_once()
    assert not lease.held()


@pytest.mark.integration
def test_the_first_one_gets_it(operators: Operators) -> None:
    lease = operators.start("a", clock=Clock())
    lease.try_once()
    lease.require()
    assert operators.spec().holder_identity == lease.identity
    assert operators.spec().lease_duration_seconds == 15


@pytest.mark.integration
def test_the_right_to_write_ends_a_margin_before_the_lease(operators: Operators) -> None:
    clock = Clock()
    lease = operators.start("a", clock=clock)
    lease.try_once()
    clock.seconds = 9.9
    assert lease.held()
    clock.seconds = 10.1
    assert not lease.held()


@pytest.mark.integration
def test_a_second_one_waits_by_its_own_clock_for_as_long_as_nothing_changes(operators: Operators) -> None:
    first_clock, second_clock = Clock(), Clock(seconds=1_000_000.0)  # no relation between the two
    first, second = operators.start("a", clock=first_clock), operators.start("b", clock=second_clock)
    first.try_once()
    second.try_once()
    second_clock.seconds += 14
    first.try_once()  # renewed in between: the waiting begins anew
    second.try_once()
    second_clock.seconds += 14
    second.try_once()
    assert not second.held()
    second_clock.seconds += 2
    second.try_once()
    assert second.held()
    assert operators.spec().holder_identity == second.identity
    assert operators.spec().lease_transitions == 1


@pytest.mark.integration
def test_there_is_never_a_moment_with_two_holders(operators: Operators) -> None:
    clock = Clock()  # one clock for both, so that moments can be compared
    first, second = operators.start("a", clock=clock), operators.start("b", clock=clock)
    first.try_once()
    for _ in range(60):  # the first has stopped renewing
        clock.seconds += 0.5
        second.try_once()
        assert not (first.held() and second.held())
    assert second.held()


@pytest.mark.integration
def test_who_lost_it_notices_and_says_who_has_it(operators: Operators) -> None:
    first_clock, second_clock = Clock(), Clock()
    first, second = operators.start("a", clock=first_clock), operators.start("b", clock=second_clock)
    first.try_once()
    second.try_once()
    second_clock.seconds += 16
    second.try_once()
    first.try_once()  # its clock stands still: only the record tells it
    assert not first.held()
    with pytest.raises(LeaseLost, match=second.identity):
        first.require()


@pytest.mark.integration
def test_two_that_take_over_at_once_are_told_apart_by_the_server(operators: Operators) -> None:
    clock = Clock()
    gone, second, third = (operators.start(name, clock=clock) for name in "abc")
    gone.try_once()
    second.try_once()
    third.try_once()
    clock.seconds += 16
    second.try_once()
    third.try_once()
    assert [gone.held(), second.held(), third.held()] == [False, True, False]


@pytest.mark.integration
def test_a_restarted_container_of_the_same_pod_is_another_holder(operators: Operators) -> None:
    clock = Clock()
    before, after = operators.start("a", clock=clock), operators.start("a", clock=clock)
    before.try_once()
    after.try_once()
    assert not after.held()


@pytest.mark.integration
def test_a_lease_that_somebody_deleted_is_made_anew(operators: Operators) -> None:
    lease = operators.start("a", clock=Clock())
    lease.try_once()
    CoordinationV1Api(operators.api_client).delete_namespaced_lease(NAME, operators.namespace)
    lease.try_once()
    assert operators.spec().holder_identity == lease.identity


@pytest.mark.integration
def test_stopping_lets_the_next_one_in_at_once(operators: Operators) -> None:
    first, second = operators.start("a"), operators.start("b")
    first.start()
    _eventually(first.held)
    second.start()
    time.sleep(1)
    assert not second.held()
    first.stop()
    assert not first.held()
    _eventually(second.held, seconds=2)  # well before the 3 s of the Lease
    second.stop()
    assert operators.spec().holder_identity == ""


@pytest.mark.integration
def test_renewing_goes_on_for_longer_than_the_lease(operators: Operators) -> None:
    lease = operators.start("a")
    lease.start()
    _eventually(lease.held)
    for _ in range(40):
        time.sleep(0.1)
        lease.require()
    lease.stop()


def _eventually(probe: Callable[[], bool], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.05)
