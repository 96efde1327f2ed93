"""What kopf calls: without the Lease nothing happens, and our errors become log lines or another try."""

from __future__ import annotations

import logging
from typing import Any, cast

import kopf
import pytest

from milvus_tuning.clients.lease import OperatorLease
from milvus_tuning.errors import ApplyError, ObserveError
from milvus_tuning.handlers import RETRY_SECONDS, Handlers
from milvus_tuning.reconcile import Reconciler
from milvus_tuning.store import Reference
from milvus_tuning.turn import Emit

REFERENCE = Reference(namespace="milvus", name="rag", uid="uid-1")
BODY = kopf.Body({"metadata": {"namespace": "milvus", "name": "rag", "uid": "uid-1"}, "spec": {}})
TROUBLE = {
    "a source that is silent": ObserveError("reading MilvusTuning milvus/rag: timed out"),
    "a write that may be tried again": ApplyError("writing status: conflict", retryable=True),
    "a write that is refused": ApplyError("scaling: forbidden", retryable=False),
}


class Passes:
    """Stands where the reconciler is: keeps what it was called for, and fails as told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.called: list[tuple[str, Reference]] = []
        self._error = error

    def run_pass(self, reference: Reference, emit: Emit) -> None:
        self._call("run_pass", reference, emit)

    def hand_back(self, reference: Reference, emit: Emit) -> None:
        self._call("hand_back", reference, emit)

    def _call(self, name: str, reference: Reference, emit: Emit) -> None:
        assert callable(emit)
        self.called.append((name, reference))
        if self._error is not None:
            raise self._error


class Lease:
    """The Lease, held or not."""

    def __init__(self, *, held: bool) -> None:
        self._held = held

    def held(self) -> bool:
        return self._held


def some_handlers(passes: Passes, *, held: bool = True) -> Handlers:
    return Handlers(cast("Reconciler", passes), cast("OperatorLease", Lease(held=held)))


def test_each_call_goes_to_the_reconciler_with_the_very_object() -> None:
    passes = Passes()
    handlers = some_handlers(passes)

    handlers.run_pass(BODY)
    handlers.hand_back(BODY)

    assert passes.called == [("run_pass", REFERENCE), ("hand_back", REFERENCE)]


def a_plan(*, phase: str, word: str | None = None, deleting: bool = False) -> kopf.Body:
    metadata = {"namespace": "milvus", "name": "rag-0123456789", "uid": "uid-2"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    spec: dict[str, object] = {"change": {"policy": {"name": "rag", "uid": "uid-1"}}}
    if word is not None:
        spec["approval"] = {"decision": word}
    return kopf.Body(cast("Any", {"metadata": metadata, "spec": spec, "status": {"phase": phase}}))


WORDS = {
    "a plan that waits": (a_plan(phase="Proposed"), False),
    "an approval": (a_plan(phase="Proposed", word="Approved"), True),
    "an approval that was heard": (a_plan(phase="Running", word="Approved"), False),
    "a rejection": (a_plan(phase="Proposed", word="Rejected"), True),
    "a running plan is called off": (a_plan(phase="Running", word="Cancelled"), True),
    "a plan that is over": (a_plan(phase="Finished", word="Cancelled"), False),
    "a running plan is deleted": (a_plan(phase="Running", deleting=True), True),
    "what is no plan of ours": (kopf.Body({"metadata": {"namespace": "milvus"}, "spec": {}}), False),
}


@pytest.mark.parametrize(("plan", "heard"), WORDS.values(), ids=WORDS.keys())
def test_a_word_on_a_plan_is_heard_at_once(plan: kopf.Body, heard: bool) -> None:
    passes = Passes()

    some_handlers(passes).hear(plan)

    assert passes.called == ([("run_pass", REFERENCE)] if heard else [])


def test_without_the_lease_a_pass_does_nothing() -> None:
    passes = Passes()

    some_handlers(passes, held=False).run_pass(BODY)

    assert passes.called == []


def test_without_the_lease_a_deletion_waits() -> None:
    passes = Passes()

    with pytest.raises(kopf.TemporaryError, match="Lease") as raised:
        some_handlers(passes, held=False).hand_back(BODY)

    assert (passes.called, raised.value.delay) == ([], RETRY_SECONDS)


@pytest.mark.parametrize("error", TROUBLE.values(), ids=TROUBLE.keys())
def test_a_pass_that_fails_is_logged_and_left_to_the_next_tick(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    handlers = some_handlers(Passes(error))

    with caplog.at_level(logging.WARNING):
        handlers.run_pass(BODY)

    logged = [vars(record) for record in caplog.records]
    assert [(record["tuning"], record["error"]) for record in logged] == [("rag", str(error))]


@pytest.mark.parametrize("error", TROUBLE.values(), ids=TROUBLE.keys())
def test_a_hand_back_that_fails_is_tried_again(error: Exception) -> None:
    passes = Passes(error)
    handlers = some_handlers(passes)

    for _ in range(2):
        with pytest.raises(kopf.TemporaryError, match=str(error)) as raised:
            handlers.hand_back(BODY)
        assert raised.value.delay == RETRY_SECONDS

    assert len(passes.called) == 2


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        some_handlers(Passes(ZeroDivisionError())).run_pass(BODY)
