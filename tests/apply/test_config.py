"""Configuration keys change together with the record of what they were, on a real etcd."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import pytest

from milvus_tuning import apply
from milvus_tuning.apply import ApplyContext, PreconditionChanged, perform
from milvus_tuning.clients.etcd import Delete, EtcdClient, EtcdError, EtcdFailure, Put, Unchanged
from milvus_tuning.clients.handback import read_owned_keys
from milvus_tuning.errors import ApplyError
from milvus_tuning.snapshot import OwnedKey
from tests.apply.builders import a_config, a_context, a_placement

pytest_plugins = ("tests.apply.servers",)
pytestmark = pytest.mark.integration
KEY = "querycoord.autobalanceinterval"
PLACEMENT = "querycoord.autobalance"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def context(etcd: EtcdClient, root_path: str) -> ApplyContext:
    """A context on a root path of the test's own."""
    return a_context(etcd=etcd, root_path=root_path)


def put(context: ApplyContext, key: str, value: str) -> None:
    assert context.etcd is not None
    context.etcd.transaction(compare=[], then=[Put(key=f"{context.root_path}/{key}", value=value)])


def stored(context: ApplyContext) -> dict[str, str]:
    """Everything under the root path, without it."""
    assert context.etcd is not None
    prefix = f"{context.root_path}/"
    return {entry.key.removeprefix(prefix): entry.value for entry in context.etcd.get_prefix(prefix)}


def record(key: str, before: str | None, written: str | None) -> dict[str, str]:
    path = f"milvustuning/policy-1/handback/{key.replace('.', '')}"
    return {path: json.dumps({"key": key, "value": before, "written": written})}


@pytest.mark.parametrize("before", [None, "3000"], ids=["absent", "set by somebody else"])
def test_a_key_is_set_together_with_its_record(context: ApplyContext, before: str | None) -> None:
    if before is not None:
        put(context, f"config/{KEY}", before)
    message = perform(a_config(KEY, before, "60000"), undo=False, context=context)
    assert stored(context) == {f"config/{KEY}": "60000"} | record(KEY, before, "60000")
    assert "'60000'" in message


@pytest.mark.parametrize("before", [None, "3000"], ids=["absent", "set by somebody else"])
def test_undo_restores_what_was_there_and_leaves_no_record(context: ApplyContext, before: str | None) -> None:
    if before is not None:
        put(context, f"config/{KEY}", before)
    step = a_config(KEY, before, "60000")
    perform(step, undo=False, context=context)
    perform(step, undo=True, context=context)
    assert stored(context) == ({} if before is None else {f"config/{KEY}": before})


def test_the_record_tells_when_the_key_was_written(etcd: EtcdClient, root_path: str) -> None:
    context = a_context(etcd=etcd, root_path=root_path, clock=lambda: NOON)
    perform(a_config(KEY, None, "60000"), undo=False, context=context)
    perform(a_placement(), undo=False, context=context)
    assert apply.read_hand_back(context) == {
        KEY: OwnedKey(previous=None, written="60000", written_at=NOON),
        PLACEMENT: OwnedKey(previous=None, written="false", written_at=NOON),
    }


def test_doing_it_twice_is_doing_it_once(context: ApplyContext) -> None:
    step = a_config(KEY, None, "60000")
    perform(step, undo=False, context=context)
    before = stored(context)
    assert "already" in perform(step, undo=False, context=context)
    assert stored(context) == before


def test_a_later_value_of_ours_keeps_what_was_there_first(context: ApplyContext) -> None:
    put(context, f"config/{KEY}", "3000")
    perform(a_config(KEY, "3000", "60000"), undo=False, context=context)
    perform(a_config(KEY, "60000", "90000"), undo=False, context=context)
    assert stored(context) == {f"config/{KEY}": "90000"} | record(KEY, "3000", "90000")


def test_a_value_that_somebody_put_over_ours_becomes_what_was_there(context: ApplyContext) -> None:
    perform(a_config(KEY, None, "60000"), undo=False, context=context)
    put(context, f"config/{KEY}", "5000")
    perform(a_config(KEY, "5000", "60000"), undo=False, context=context)
    assert stored(context) == {f"config/{KEY}": "60000"} | record(KEY, "5000", "60000")


def test_a_value_that_nobody_decided_on_is_not_overwritten(context: ApplyContext) -> None:
    put(context, f"config/{KEY}", "5000")
    with pytest.raises(PreconditionChanged, match="'5000'"):
        perform(a_config(KEY, "3000", "60000"), undo=False, context=context)
    assert stored(context) == {f"config/{KEY}": "5000"}


@pytest.mark.parametrize("spelling", ["queryCoord/autoBalanceInterval", "queryCoord.autoBalanceInterval"])
def test_another_spelling_is_a_conflict(context: ApplyContext, spelling: str) -> None:
    put(context, f"config/{spelling}", "3000")
    with pytest.raises(ApplyError, match="another spelling") as caught:
        perform(a_config(KEY, None, "60000"), undo=False, context=context)
    assert not caught.value.retryable
    assert stored(context) == {f"config/{spelling}": "3000"}


def test_a_change_between_read_and_write_is_noticed(context: ApplyContext) -> None:
    meanwhile = a_context(
        etcd=context.etcd,
        root_path=context.root_path,
        require_lease=lambda: put(context, f"config/{KEY}", "5000"),  # called between the read and the write
    )
    with pytest.raises(ApplyError) as caught:
        perform(a_config(KEY, None, "60000"), undo=False, context=meanwhile)
    assert caught.value.retryable
    assert stored(context) == {f"config/{KEY}": "5000"}


def test_a_foreign_value_stays_when_we_let_go(context: ApplyContext) -> None:
    perform(a_config(KEY, None, "60000"), undo=False, context=context)
    put(context, f"config/{KEY}", "5000")
    message = perform(a_config(KEY, "5000", None), undo=False, context=context)
    assert "stays" in message
    assert stored(context) == {f"config/{KEY}": "5000"}


def test_everything_is_handed_back_at_once(context: ApplyContext) -> None:
    put(context, f"config/{KEY}", "3000")
    perform(a_config(KEY, "3000", "60000"), undo=False, context=context)
    perform(a_placement(), undo=False, context=context)
    assert apply.read_hand_back(context) == {
        KEY: OwnedKey(previous="3000", written="60000"),
        PLACEMENT: OwnedKey(previous=None, written="false"),
    }
    apply.release_hand_back(context)
    assert stored(context) == {f"config/{KEY}": "3000"}
    assert apply.release_hand_back(context) == "nothing to hand back"


def test_policies_keep_their_records_apart(context: ApplyContext) -> None:
    perform(a_config(KEY, None, "60000"), undo=False, context=context)
    other = a_context(etcd=context.etcd, root_path=context.root_path, policy_uid="policy-2")
    assert apply.read_hand_back(other) == {}
    assert apply.release_hand_back(other) == "nothing to hand back"
    assert context.etcd is not None
    assert context.root_path is not None
    owned = read_owned_keys(context.etcd, context.root_path)
    assert owned == {"policy-1": {KEY: OwnedKey(previous=None, written="60000")}}


def test_a_record_that_is_not_ours_stops_everything(context: ApplyContext) -> None:
    put(context, f"milvustuning/policy-1/handback/{KEY.replace('.', '')}", "scribble")
    with pytest.raises(ApplyError, match="scribble"):
        perform(a_config(KEY, None, "60000"), undo=False, context=context)
    assert f"config/{KEY}" not in stored(context)


def test_placement_hangs_on_a_lease_and_goes_back(context: ApplyContext) -> None:
    perform(a_placement(), undo=False, context=context)
    assert context.etcd is not None
    entry = context.etcd.get(f"{context.root_path}/config/{PLACEMENT}")
    assert entry is not None
    assert entry.value == "false"
    assert 295 <= context.etcd.lease_ttl(entry.lease_id) <= 300
    assert "already" in perform(a_placement(), undo=False, context=context)
    perform(a_placement(take=False), undo=False, context=context)
    assert stored(context) == {}
    assert context.etcd.lease_ttl(entry.lease_id) == 0


def test_undo_of_taking_placement_returns_it_and_the_other_way_round(context: ApplyContext) -> None:
    perform(a_placement(), undo=False, context=context)
    perform(a_placement(), undo=True, context=context)
    assert stored(context) == {}
    perform(a_placement(take=False), undo=True, context=context)
    assert f"config/{PLACEMENT}" in stored(context)


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_placement_key_of_others_is_never_taken_over(context: ApplyContext, value: str) -> None:
    put(context, f"config/{PLACEMENT}", value)
    with pytest.raises(ApplyError, match="never taken over") as caught:
        perform(a_placement(), undo=False, context=context)
    assert not caught.value.retryable
    assert stored(context) == {f"config/{PLACEMENT}": value}


def test_a_placement_key_that_somebody_put_over_ours_stays(context: ApplyContext) -> None:
    perform(a_placement(), undo=False, context=context)
    put(context, f"config/{PLACEMENT}", "true")
    assert "stays" in perform(a_placement(take=False), undo=False, context=context)
    assert stored(context) == {f"config/{PLACEMENT}": "true"}


def test_milvus_gets_its_balancer_back_when_nobody_renews(context: ApplyContext) -> None:
    perform(a_placement(lease_seconds=2), undo=False, context=context)
    for _ in range(6):  # longer than the lease, renewed often enough for a busy machine
        time.sleep(0.5)
        apply.renew_placement_lease(context)
    assert f"config/{PLACEMENT}" in stored(context)
    deadline = time.monotonic() + 15
    while stored(context) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert stored(context) == {}
    apply.renew_placement_lease(context)  # nothing is held, nothing is renewed


class LosesAnAnswer(EtcdClient):
    """A client whose first transaction is held back, or carried out, before its answer is lost."""

    def __init__(self, address: str, *, arrives: bool) -> None:
        super().__init__([address], timeout_seconds=10)
        self._arrives = arrives
        self.late: Callable[[], bool] | None = None

    def transaction(self, *, compare: Sequence[Unchanged], then: Sequence[Put | Delete]) -> bool:
        send = partial(super().transaction, compare=compare, then=then)
        if self.late is not None:
            return send()
        self.late = send
        if self._arrives:
            send()
        raise EtcdError("etcd does not answer", EtcdFailure.UNREACHABLE, sent=True)


def test_a_hold_whose_answer_is_lost_does_not_arrive_after_the_return(etcd_address: str, root_path: str) -> None:
    etcd = LosesAnAnswer(etcd_address, arrives=False)
    context = a_context(etcd=etcd, root_path=root_path)
    with pytest.raises(ApplyError, match="does not answer") as caught:
        perform(a_placement(), undo=False, context=context)
    assert caught.value.retryable
    assert "under a lease" in perform(a_placement(), undo=False, context=context)
    perform(a_placement(take=False), undo=False, context=context)
    assert etcd.late is not None
    with pytest.raises(EtcdError, match="lease not found"):
        etcd.late()
    assert stored(context) == {}


def test_a_hold_that_arrived_and_whose_answer_is_lost_stays(etcd_address: str, root_path: str) -> None:
    context = a_context(etcd=LosesAnAnswer(etcd_address, arrives=True), root_path=root_path)
    with pytest.raises(ApplyError, match="does not answer"):
        perform(a_placement(), undo=False, context=context)
    held = stored(context)
    assert f"config/{PLACEMENT}" in held
    assert "already" in perform(a_placement(), undo=False, context=context)
    assert stored(context) == held


def test_nothing_is_written_without_the_lease_of_the_operator(context: ApplyContext) -> None:
    def lost() -> None:
        raise ApplyError("lease lost", retryable=True)

    stopped = a_context(etcd=context.etcd, root_path=context.root_path, require_lease=lost)
    for step in (a_config(KEY, None, "60000"), a_placement()):
        with pytest.raises(ApplyError, match="lease lost"):
            perform(step, undo=False, context=stopped)
    assert stored(context) == {}


def test_nothing_is_written_under_a_root_path_that_is_not_proven(etcd: EtcdClient) -> None:
    with pytest.raises(ApplyError, match="not proven"):
        perform(a_config(KEY, None, "60000"), undo=False, context=a_context(etcd=etcd, root_path=None))
