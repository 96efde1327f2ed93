"""Reading and writing MilvusTuningPlan objects: the write-ahead log of each change lives in its plan's status.

Each write is guarded by resourceVersion and awaited: what an outside call relies on is in the API server before the
call is made. A conflict is resolved by reading again, and only where what was written on top of is still there:

    a person set spec.approval in between       the write goes on; the answer holds the new word
    somebody else wrote the status in between   ApplyError: what would be written was decided from another state
    the object is gone, or another of its name  ApplyError

A plan in words of another version of the operator is read as far as it goes (`StoredPlan.unreadable` says what was in
the way) and never written over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from kubernetes.client import ApiClient, ApiException, CustomObjectsApi, V1DeleteOptions, V1Preconditions
from pydantic import ValidationError

from milvus_tuning.api import (
    GROUP,
    KIND,
    PLAN_KIND,
    PLAN_PLURAL,
    VERSION,
    MilvusTuningPlanSpec,
    MilvusTuningPlanStatus,
    PlanApproval,
    PlanChange,
)
from milvus_tuning.apply.context import CONFLICT, MERGE_PATCH, NOT_FOUND, kubernetes_errors
from milvus_tuning.errors import ApplyError
from milvus_tuning.plan import Ballot, Change, Course, Operation, Phase, Plan, Prediction, Reason, Risk
from milvus_tuning.status.plans import (
    ballot_from_api,
    change_from_api,
    change_to_api,
    course_from_status,
    course_to_status,
)
from milvus_tuning.status.records import parse_time_or_none
from milvus_tuning.store import CONFLICT_RETRIES, Reference, read_errors

POLICY_LABEL = f"{GROUP}/policy"
POLICY_UID_LABEL = f"{GROUP}/policy-uid"
RUNNING_FINALIZER = f"{GROUP}/running"
LABEL_LENGTH = 63  # of a label's value, https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
PAGE_SIZE = 100

Body: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPlan:
    """A MilvusTuningPlan as it stands in the API server.

    unreadable says which words of another version of the operator it holds; then `plan` is only as much as is certain:
    whose it is, its number, whether it has begun and whether it is over. Its steps must not be run.
    """

    plan: Plan
    body: Body
    status: MilvusTuningPlanStatus
    unreadable: str | None = None

    @property
    def held(self) -> bool:
        """Whether our finalizer is on."""
        return RUNNING_FINALIZER in _finalizers(self)


class PlanStore:
    """The MilvusTuningPlan objects of the API server."""

    def __init__(self, api_client: ApiClient, *, timeout_seconds: float) -> None:
        self._api = CustomObjectsApi(api_client)
        self._timeout_seconds = timeout_seconds

    def of_policy(self, namespace: str, policy_uid: str) -> tuple[StoredPlan, ...]:
        """The plans of this policy, oldest first."""
        found = map(stored_plan, self._list(namespace, label_selector=f"{POLICY_UID_LABEL}={policy_uid}"))
        mine = (stored for stored in found if stored.plan.change.policy_uid == policy_uid)
        return tuple(sorted(mine, key=lambda stored: (stored.plan.change.sequence, stored.plan.name)))

    def running_elsewhere(self, namespace: str, target: str, policy_uid: str) -> str | None:
        """The name of a begun, unfinished plan of another policy on the same target, or None.

        Told from `spec.change`, which is frozen, and not from labels, which anybody may change.
        """
        running = (
            plan.name
            for plan in (stored_plan(body).plan for body in self._list(namespace))
            if plan.change.target == target and plan.change.policy_uid != policy_uid and plan.begun and plan.open
        )
        return min(running, default=None)

    def create(self, change: Change, name: str, owner: Reference) -> StoredPlan:
        """Create the plan of this change, owned by its policy. One that is there already with the same change will do.

        Raises ApplyError, also where the name is taken by a plan of another change.
        """
        wanted = change_to_api(change)
        with kubernetes_errors(f"creating {PLAN_KIND} {owner.namespace}/{name}"):
            try:
                return stored_plan(self._create(_new_body(wanted, name, owner), owner.namespace))
            except ApiException as error:
                if error.status != CONFLICT:
                    raise
        there = self._read(owner.namespace, name)
        if there is None:
            raise ApplyError(f"{PLAN_KIND} {owner.namespace}/{name} went while it was created", retryable=True)
        if there.plan.change != change_from_api(wanted):
            message = f"{PLAN_KIND} {owner.namespace}/{name} exists already, with another change: nothing was created"
            raise ApplyError(message, retryable=False)
        return there

    def write_course(self, stored: StoredPlan, course: Course, *, now: datetime) -> StoredPlan:
        """Write how far the plan is, and return it as stored."""
        _refuse_unreadable(stored)
        generation = stored.body["metadata"].get("generation", 0)
        status = course_to_status(course, stored.status, now=now, generation=generation)
        fields = status.model_dump(mode="json", by_alias=True, exclude_none=True)

        def replace_status(current: StoredPlan) -> object:
            return self._api.replace_namespaced_custom_object_status(
                *_address(current), {**current.body, "status": fields}, _request_timeout=self._timeout_seconds
            )

        return self._guarded(stored, "writing the status of", replace_status)

    def hold(self, stored: StoredPlan) -> StoredPlan:
        """Put the finalizer on, so that no deletion takes the log away while the plan runs."""
        _refuse_unreadable(stored)
        return stored if stored.held else self._with_finalizers(stored, lambda others: [*others, RUNNING_FINALIZER])

    def release(self, stored: StoredPlan) -> StoredPlan:
        """Take the finalizer off. It takes no word away, so it is allowed on a plan that cannot be read, too."""
        return self._with_finalizers(stored, lambda others: others) if stored.held else stored

    def delete(self, stored: StoredPlan) -> None:
        """Delete this very plan; nothing where it is gone."""
        options = V1DeleteOptions(
            propagation_policy="Background", preconditions=V1Preconditions(uid=stored.body["metadata"]["uid"])
        )
        with kubernetes_errors(f"deleting {_words(stored)}"):
            try:
                self._api.delete_namespaced_custom_object(
                    *_address(stored), body=options, _request_timeout=self._timeout_seconds
                )
            except ApiException as error:
                if error.status not in {NOT_FOUND, CONFLICT}:  # a conflict: the name is that of another object by now
                    raise

    def _with_finalizers(self, stored: StoredPlan, wanted: Callable[[list[str]], list[str]]) -> StoredPlan:
        """The plan with these finalizers, told from those of others that it has."""

        def patch(current: StoredPlan) -> object:
            version = current.body["metadata"]["resourceVersion"]
            return self._api.patch_namespaced_custom_object(
                *_address(current),
                {"metadata": {"resourceVersion": version, "finalizers": wanted(_of_others(current))}},
                _content_type=MERGE_PATCH,
                _request_timeout=self._timeout_seconds,
            )

        return self._guarded(stored, "setting the finalizers of", patch)

    def _guarded(self, stored: StoredPlan, doing: str, write: Callable[[StoredPlan], object]) -> StoredPlan:
        """Make a write that is guarded by resourceVersion, over the plan as it is now."""
        what, current = f"{doing} {_words(stored)}", stored
        for _ in range(CONFLICT_RETRIES):
            with kubernetes_errors(what):
                try:
                    return stored_plan(cast("Body", write(current)))
                except ApiException as error:
                    if error.status != CONFLICT:
                        raise
            current = self._again(stored, what)
        raise ApplyError(f"{what}: it changed during each of {CONFLICT_RETRIES} tries", retryable=True)

    def _again(self, stored: StoredPlan, what: str) -> StoredPlan:
        metadata = stored.body["metadata"]
        current = self._read(metadata["namespace"], metadata["name"])
        if current is None or current.body["metadata"]["uid"] != metadata["uid"]:
            raise ApplyError(f"{what}: it is gone", retryable=True)
        if current.body.get("status") != stored.body.get("status"):
            raise ApplyError(f"{what}: somebody else wrote its status meanwhile", retryable=True)
        return current

    def _create(self, body: Body, namespace: str) -> Body:
        created = self._api.create_namespaced_custom_object(
            GROUP, VERSION, namespace, PLAN_PLURAL, body, _request_timeout=self._timeout_seconds
        )
        return cast("Body", created)

    def _read(self, namespace: str, name: str) -> StoredPlan | None:
        with read_errors(f"reading {PLAN_KIND} {namespace}/{name}"):
            try:
                answer = self._api.get_namespaced_custom_object(
                    GROUP, VERSION, namespace, PLAN_PLURAL, name, _request_timeout=self._timeout_seconds
                )
            except ApiException as error:
                if error.status == NOT_FOUND:
                    return None
                raise
        return stored_plan(cast("Body", answer))

    def _list(self, namespace: str, *, label_selector: str | None = None) -> list[Body]:
        """All pages of a list; they show one moment, as the token of the first page says which."""
        found: list[Body] = []
        further: str | None = None
        while True:
            with read_errors(f"reading the {PLAN_KIND}s of namespace {namespace}"):
                answer = self._api.list_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    namespace,
                    PLAN_PLURAL,
                    limit=PAGE_SIZE,
                    _request_timeout=self._timeout_seconds,
                    label_selector=label_selector,
                    _continue=further,
                )
            page = cast("Body", answer)
            found.extend(page["items"])
            further = page["metadata"].get("continue")
            if not further:
                return found


def stored_plan(body: Body) -> StoredPlan:
    """The object as a plan; what cannot be read is named in `unreadable`."""
    metadata, raw = body["metadata"], body.get("status") or {}
    troubles: list[str] = []
    change = _change(body["spec"]["change"], troubles)
    status, course = _course(raw, change, metadata["name"], troubles)
    plan = Plan(
        name=metadata["name"],
        change=change,
        uid=metadata["uid"],
        ballot=_ballot(body["spec"].get("approval"), troubles),
        deleting="deletionTimestamp" in metadata,
        course=course,
    )
    return StoredPlan(plan=plan, body=body, status=status, unreadable="; ".join(troubles) or None)


# -- reading words that may be another version's -----------------------------------------------------------------------

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _change(raw: Body, troubles: list[str]) -> Change:
    try:
        return change_from_api(PlanChange.model_validate(raw))
    except ValueError as error:
        troubles.append(f"spec.change: {_in_short(error)}")
    policy = raw.get("policy") or {}
    return Change(
        policy_name=str(policy.get("name", "")),
        policy_uid=str(policy.get("uid", "")),
        policy_generation=0,
        intent_digest="",
        inputs_digest="",
        target=str(raw.get("target", "")),
        sequence=int(raw.get("sequence", 0)),
        reason=Reason.UNKNOWN_OPERATION,
        message=str(raw.get("message", "")),
        steps=(),
        risk=Risk.HIGH,
        risk_reasons=(),
        prediction=Prediction(),
        proposed_at=_moment(raw.get("proposedAt")) or _LONG_AGO,
        expires_at=_moment(raw.get("expiresAt")) or _LONG_AGO,
    )


def _ballot(raw: Body | None, troubles: list[str]) -> Ballot | None:
    try:
        return ballot_from_api(PlanApproval.model_validate(raw) if raw else None)
    except ValueError as error:
        troubles.append(f"spec.approval: {_in_short(error)}")
        return None


def _course(raw: Body, change: Change, name: str, troubles: list[str]) -> tuple[MilvusTuningPlanStatus, Course]:
    try:
        status = MilvusTuningPlanStatus.model_validate(raw)
        return status, course_from_status(status, change, name=name)
    except ValueError as error:
        troubles.append(f"status: {_in_short(error)}")
    finished = raw.get("phase") == Phase.FINISHED
    begun = "startedAt" in raw
    return MilvusTuningPlanStatus(), Course(
        phase=Phase.FINISHED if finished else Phase.RUNNING if begun else Phase.PROPOSED,
        operation=_of_unknown_steps(change, name) if begun else None,
        finished_at=_moment(raw.get("finishedAt")),
    )


def _of_unknown_steps(change: Change, name: str) -> Operation:
    """Says only that the plan has begun: it has no steps that could be run."""
    return Operation(
        operation_id=name, reason=change.reason, message=change.message, started_at=change.proposed_at, steps=()
    )


def _moment(text: str | None) -> datetime | None:
    try:
        return parse_time_or_none(text)
    except ValueError:
        return None


def _in_short(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return ", ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())


def _refuse_unreadable(stored: StoredPlan) -> None:
    if stored.unreadable is not None:
        raise ApplyError(
            f"{_words(stored)} was written by another version of the operator ({stored.unreadable}): it is left as it "
            "is; let that version finish it, or delete it",
            retryable=False,
        )


# -- bodies ------------------------------------------------------------------------------------------------------------


def _new_body(change: PlanChange, name: str, owner: Reference) -> Body:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": PLAN_KIND,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": {POLICY_LABEL: _label(owner.name), POLICY_UID_LABEL: owner.uid},
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": owner.name,
                    "uid": owner.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": MilvusTuningPlanSpec(change=change).model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def _label(name: str) -> str:
    """The name as the value of a label, which must end with a letter or a digit."""
    return name[:LABEL_LENGTH].rstrip("-.")


def _address(stored: StoredPlan) -> tuple[str, str, str, str, str]:
    metadata = stored.body["metadata"]
    return GROUP, VERSION, metadata["namespace"], PLAN_PLURAL, metadata["name"]


def _words(stored: StoredPlan) -> str:
    return f"{PLAN_KIND} {stored.body['metadata']['namespace']}/{stored.body['metadata']['name']}"


def _finalizers(stored: StoredPlan) -> list[str]:
    return list(stored.body["metadata"].get("finalizers") or [])


def _of_others(stored: StoredPlan) -> list[str]:
    return [finalizer for finalizer in _finalizers(stored) if finalizer != RUNNING_FINALIZER]
