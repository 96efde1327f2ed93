"""What each reason means and what to do about it, in words: `explain` prints them, docs/operations.md lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from milvus_tuning.plan import Reason

_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


class Meaning(NamedTuple):
    """A reason in plain words, in Markdown: names of fields and commands in backticks, links to sections."""

    meaning: str
    remedy: str


MEANINGS: Mapping[Reason, Meaning] = {
    Reason.STEADY: Meaning(
        "no signal calls for a change",
        "nothing",
    ),
    Reason.WITHIN_TOLERANCE: Meaning(
        "a signal is above its threshold, and so near the target that a change would not be worth it",
        "nothing",
    ),
    Reason.STABILIZING: Meaning(
        "a signal has not lasted for its whole window",
        "wait; the windows are in `scaleOut`, `scaleIn`, `hotSegments.windowSeconds` and "
        "`inMemoryReplicas.windowSeconds`",
    ),
    Reason.COOLDOWN: Meaning(
        "the last change was a short while ago",
        "wait; `cooldownSeconds`",
    ),
    Reason.NOT_MANAGED: Meaning(
        "the spec declares none of `queryNodes`, `loadBalancing`, `inMemoryReplicas` and `consistency`",
        "declare what should be managed",
    ),
    Reason.OBSERVE_ONLY: Meaning(
        "there is something to do, and the mode is Observe",
        "set `mode: Auto` when you agree",
    ),
    Reason.SCALE_OUT_COMPUTATION: Meaning(
        "CPU or read concurrency was above its threshold for its window: more QueryNodes",
        "nothing",
    ),
    Reason.SCALE_OUT_CAPACITY: Meaning(
        "the same for memory",
        "nothing",
    ),
    Reason.SCALE_IN: Meaning(
        "both signals were low for their windows: one QueryNode fewer",
        "nothing",
    ),
    Reason.BELOW_MINIMUM: Meaning(
        "fewer QueryNodes, or in-memory replicas of a collection, than `minCount`",
        "nothing",
    ),
    Reason.ABOVE_MAXIMUM: Meaning(
        "more QueryNodes, or in-memory replicas of a collection, than `maxCount`: one fewer at a time",
        "nothing",
    ),
    Reason.MANUAL_OVERRIDE: Meaning(
        "`queryNodes.override` sets the number of QueryNodes until its `expiresAt`: more at once, fewer one at a time",
        "remove it when the rules should count again",
    ),
    Reason.SETTING_CHANGED: Meaning(
        "a declared setting is written to Milvus's etcd, or to spec.config",
        "nothing",
    ),
    Reason.PLACEMENT_CHANGED: Meaning(
        "Milvus's balancer is held off, or let go again",
        "nothing",
    ),
    Reason.HOT_NODE: Meaning(
        "segments are moved off a QueryNode that is busier than the others; the message names it and what is expected",
        "nothing; `milvus-tuning top segments` shows the heat",
    ),
    Reason.NEW_NODE: Meaning(
        "`placementOwner: Operator`: segments are moved to a QueryNode that has none, or in its first hour "
        "less than its share",
        "nothing",
    ),
    Reason.HOT_COLLECTION: Meaning(
        "all QueryNodes are busy and one collection makes much of it: one in-memory replica of it more",
        "nothing; the message says what it costs",
    ),
    Reason.COLD_COLLECTION: Meaning(
        "the QueryNodes are idle: one in-memory replica fewer of the collection with the coldest copies",
        "nothing",
    ),
    Reason.IN_PROGRESS: Meaning(
        "a plan is being carried out, or taken back: `status.lastPlan` names it",
        "wait",
    ),
    Reason.AT_MINIMUM: Meaning(
        "fewer QueryNodes or in-memory replicas would do, and `minCount` is reached",
        "lower `minCount` if that is wanted",
    ),
    Reason.AT_MAXIMUM: Meaning(
        "more QueryNodes or in-memory replicas are wanted, and `maxCount` is reached",
        "raise `maxCount`, or accept the load",
    ),
    Reason.STEP_LIMITED: Meaning(
        "more is wanted than one operation may add",
        "nothing, or raise `scaleOut.maxStep`",
    ),
    Reason.SKEW_NOT_CAPACITY: Meaning(
        "one QueryNode is busy and the others are not: another one would not help",
        "look at the placement; let Milvus balance (`queryCoord.autoBalance`), and at hot collections with "
        "one segment or one replica",
    ),
    Reason.REPLICA_MULTIPLE: Meaning(
        "before Milvus 2.4.13 the number of QueryNodes is kept a multiple of the in-memory replicas, and "
        "none such is allowed",
        "fit `minCount`, `maxCount` and `maxStep` to the number of replicas",
    ),
    Reason.WOULD_NOT_FIT: Meaning(
        "what a QueryNode would have to hold does not fit on it: data of the node that would leave, or a copy more",
        "nothing: the node is needed; for a copy, more or larger QueryNodes",
    ),
    Reason.WOULD_NOT_FIT_WITH_NODE_LOST: Meaning(
        "it would fit, but not with one more node lost",
        "nothing: the node is the reserve; for a copy, more or larger QueryNodes",
    ),
    Reason.WOULD_OVERLOAD: Meaning(
        "what is left would soon call for growth again",
        "nothing",
    ),
    Reason.REPLICA_NEEDS_NODES: Meaning(
        "an in-memory replica or a resource group would have too few nodes; or a QueryNode more comes "
        "before a replica more",
        "lower the replica number, or keep the size; for a replica more, more QueryNodes",
    ),
    Reason.GRACE_PERIOD_TOO_SHORT: Meaning(
        "the pods would be killed before their segments have moved",
        "raise `terminationGracePeriodSeconds` of the QueryNode pods; 1800 is Milvus's own graceful stop timeout",
    ),
    Reason.NO_VICTIM: Meaning(
        "no QueryNode is known well enough to be taken away",
        "see `NodeIdentityUnknown` and `MetricsMissing`",
    ),
    Reason.NO_BETTER_PLACEMENT: Meaning(
        "one QueryNode is busy, and no other placement lowers it by a tenth",
        "one in-memory replica of the hottest collection more, or one QueryNode more; look at what was "
        "turned down, such as memory",
    ),
    Reason.NO_NEUTRAL_SWAP: Meaning(
        "another placement would help, but Milvus's balancer, which evens out rows, would undo it, or cannot "
        "be held off meanwhile",
        "`placementOwner: Operator`; let the operator reach etcd",
    ),
    Reason.HEAT_UNKNOWN: Meaning(
        "rates, sizes or CPU are missing, or the heat model does not fit what is measured; the message says which",
        "`milvus-tuning doctor` names missing series; the model needs some minutes of searches",
    ),
    Reason.MOVES_UNDONE: Meaning(
        "segments that were moved last are not where they were put: Milvus's balancer or compaction moved "
        "them; for an hour nothing is moved. Of what was turned down: Milvus's balancer moves the collection to "
        "and fro",
        "wait, or `placementOwner: Operator`",
    ),
    Reason.MANUAL_ACTION_REQUIRED: Meaning(
        "another number of in-memory replicas is called for, and this Milvus (before 2.4.13) changes it "
        "only while the collection is not loaded, or its replicas are in several resource groups",
        "the message has the commands; [In-memory replicas](replicas.md#before-milvus-2413) says what they cost",
    ),
    Reason.PAUSED: Meaning(
        "`spec.paused` is true",
        "set it to false to go on",
    ),
    Reason.READ_ONLY: Meaning(
        "the operator runs with `readOnly`",
        "`helm upgrade ... --set readOnly=false`",
    ),
    Reason.REJECTED: Meaning(
        "a plan for the same change was rejected, cancelled or rolled back a short while ago; the message says which, "
        "and until when",
        "wait, or change the spec: another change is proposed at once",
    ),
    Reason.FROZEN: Meaning(
        "something goes on in the cluster during which nothing new is begun (see [Freezes](#freezes)), or it is "
        "between two sizes; the message says which",
        "wait; if it does not end, look at the pods that it names",
    ),
    Reason.CONFLICT: Meaning(
        "an HPA, KEDA object, second MilvusTuning or another writer sets the same number",
        "leave one of them",
    ),
    Reason.HELM_OWNS_FIELD: Meaning(
        "the release renders `replicas`",
        "`queryNode.replicas: -1`, or `targetRef.allowHelmOwnedFields: true`",
    ),
    Reason.TARGET_NOT_FOUND: Meaning(
        "no such release or Milvus object in this namespace",
        "correct `spec.targetRef`",
    ),
    Reason.TARGET_UNSUPPORTED: Meaning(
        "the install has a form that is not scaled (standalone, several installs of one name, a Deployment "
        "or group of counts per resource group)",
        "leave `queryNodes` out",
    ),
    Reason.MILVUS_UNREACHABLE: Meaning(
        "the proxy does not answer, or refuses the credentials",
        "check `spec.connections.milvus` and NetworkPolicies",
    ),
    Reason.METRICS_MISSING: Meaning(
        "Prometheus does not answer, or series are absent",
        "`milvus-tuning doctor` names the series",
    ),
    Reason.METRICS_STALE: Meaning(
        "the newest samples are too old",
        "look at Prometheus and its scrapes",
    ),
    Reason.VERSION_UNSUPPORTED: Meaning(
        "Milvus is older than 2.3, or does not say what it is",
        "upgrade, or run a release",
    ),
    Reason.NODE_IDENTITY_UNKNOWN: Meaning(
        "which Milvus node runs in which pod is not known beyond doubt",
        "let the operator reach port 9091 of the pods, or have them scraped; no hostNetwork",
    ),
    Reason.INVALID_SPEC: Meaning(
        "the object cannot be read by this version, or a connection in it is malformed",
        "correct the field that is named; after a downgrade, upgrade again",
    ),
    Reason.SECRET_NOT_FOUND: Meaning(
        "a Secret or key that the spec names is not in this namespace",
        "create it",
    ),
    Reason.PERMISSION_DENIED: Meaning(
        "a right is missing",
        "`milvus-tuning doctor` names it",
    ),
    Reason.UNKNOWN_OPERATION: Meaning(
        "an open plan was written by another version of the operator",
        "let that version finish it, or delete the plan",
    ),
    Reason.COMPLETED: Meaning(
        "verified by what Kubernetes and Milvus say",
        "nothing",
    ),
    Reason.INSUFFICIENT_CAPACITY: Meaning(
        "new QueryNodes did not become ready within their deadline; the size before was restored",
        "make room in the Kubernetes cluster; quotas, taints, images",
    ),
    Reason.DRAIN_STUCK: Meaning(
        "a leaving QueryNode was not done within its deadline; nothing is restored while it leaves",
        "look at Milvus's log and at the pod",
    ),
    Reason.PRECONDITION_CHANGED: Meaning(
        "the world changed before or during the operation; what was begun was taken back",
        "nothing, unless it comes again: then somebody else writes",
    ),
    Reason.UNDONE: Meaning(
        "a step did not take effect and was taken back",
        "the message says which",
    ),
    Reason.CANCELLED: Meaning(
        "a person called the plan off, or deleted it; what it did was taken back",
        "nothing",
    ),
    Reason.ROLLED_BACK: Meaning(
        "the searches fared worse than `spec.verification` tolerates, and what was done was taken back. As a "
        "decision: moves of segments were, so for an hour nothing is moved",
        "`milvus-tuning explain NAME --plan PLAN` has the numbers",
    ),
    Reason.HANDED_BACK: Meaning(
        "the object was deleted and what it had changed is as before",
        "nothing",
    ),
    Reason.HAND_BACK_INCOMPLETE: Meaning(
        "the object was deleted and for ten minutes not everything could be handed back; it was let go",
        'see "The operator is already gone"',
    ),
}
"""Each in the words of docs/operations.md; a test compares the two."""


def meaning(reason: str) -> Meaning | None:
    """What this reason means, as plain text; None for one of another version."""
    try:
        found = MEANINGS.get(Reason(reason))
    except ValueError:
        return None
    return found and Meaning(*(_LINK.sub(r"\1", part).replace("`", "") for part in found))
