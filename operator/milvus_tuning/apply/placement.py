"""Holding Milvus's own balancer off, and letting it go.

`queryCoord.autoBalance` = "false" hangs on an etcd lease, and so does the record that says it is ours. While a policy
with placementOwner Operator exists each pass renews the lease; when we are gone for good, both vanish and Milvus
balances again without anybody's help. A key that somebody else set is never taken over, not even when it has the
value we want.

A hold whose answer is lost may still arrive when the balancer has long been let go, and no guard would stop it: the key
is absent again, as it was before. So its lease is ended, unless it did arrive: etcd refuses what hangs on no lease.
"""

from __future__ import annotations

from contextlib import suppress

from milvus_tuning.apply.config import StoredKey, connected, hand_back, read_key, words
from milvus_tuning.apply.context import ApplyContext, PreconditionChanged, etcd_errors, number_of, text_of
from milvus_tuning.catalogue import stored_spelling
from milvus_tuning.clients.etcd import EtcdError, Put
from milvus_tuning.clients.handback import HandBack, read_records
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Parameters, Step, StepKind


def move_placement(step: Step, *, undo: bool, context: ApplyContext) -> str:
    """Carry out a TakePlacement or ReturnPlacement step; each is the other's undo."""
    parameters = step.undo if undo else step.action
    take = (step.kind is StepKind.TAKE_PLACEMENT) is not undo
    with etcd_errors("taking placement" if take else "returning placement"):
        stored = read_key(context, text_of(parameters, "key"))
        return _take(context, stored, parameters) if take else _return(stored)


def renew_placement_lease(context: ApplyContext) -> None:
    """Keep alive every lease that a record of this policy hangs on; ApplyError when one has run out meanwhile."""
    etcd, root_path = connected(context)
    with etcd_errors("renewing the placement lease"):
        for record in read_records(etcd, root_path, context.policy_uid):
            if not record.lease_id:
                continue
            context.require_lease()
            if etcd.lease_keepalive(record.lease_id) == 0:
                raise ApplyError(f"the lease of {record.key} ran out; Milvus balances again", retryable=True)


def _take(context: ApplyContext, stored: StoredKey, parameters: Parameters) -> str:
    value, lease_seconds = text_of(parameters, "value"), number_of(parameters, "leaseSeconds")
    if stored.entry is not None and not (stored.ours and stored.entry.lease_id):
        text = f"{stored.path} is {words(stored.value)}, set by somebody else: a key of others is never taken over"
        raise PreconditionChanged(f"{text}; remove it, or leave placement to Milvus")
    context.require_lease()
    if stored.entry is not None and stored.value == value and stored.etcd.lease_keepalive(stored.entry.lease_id):
        return f"{stored.path} is {words(value)} under our lease already"
    lease_id = stored.etcd.lease_grant(lease_seconds)
    written_at = context.clock() if context.clock is not None else None
    key = stored_spelling(text_of(parameters, "key"))
    record = HandBack(key=key, previous=None, written=value, written_at=written_at)
    try:
        stored.change(
            [
                Put(key=stored.path, value=value, lease_id=lease_id),
                Put(key=stored.record_path, value=record.text(), lease_id=lease_id),
            ]
        )
    except (ApplyError, EtcdError):
        with suppress(EtcdError):  # what is said is why it was not written
            _end_unless_held(stored, lease_id)
        raise
    return f"{stored.path} set to {words(value)} under a lease of {lease_seconds} s"


def _end_unless_held(stored: StoredKey, lease_id: int) -> None:
    """End a lease that the key does not hang on."""
    now = stored.etcd.get(stored.path)
    if now is None or now.lease_id != lease_id:
        stored.etcd.lease_revoke(lease_id)


def _return(stored: StoredKey) -> str:
    outcome = hand_back(stored)
    if stored.record is not None and stored.record.lease_id:
        stored.etcd.lease_revoke(stored.record.lease_id)
    return outcome
