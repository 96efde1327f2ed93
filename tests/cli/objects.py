"""Policies and plans as the API server hands them out: plain maps, with only what a test is about changed."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from milvus_tuning.api import GROUP, KIND, PLAN_KIND, VERSION

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
Object = dict[str, Any]

SCALE_OUT: Object = {
    "kind": "ScaleQueryNodes",
    "precondition": {"desiredCount": "2"},
    "action": {"count": "3"},
    "verification": {"servingCount": "3", "deadlineSeconds": "900"},
    "undo": {"count": "2"},
}
DRAIN: Object = {
    "kind": "DrainQueryNode",
    "precondition": {"pod": "qn-3", "podUid": "0b8a", "gracePeriodSeconds": "1800"},
    "action": {"pod": "qn-3", "deletionCost": "-1000"},
    "verification": {"pod": "qn-3", "deletionCost": "-1000"},
    "undo": {"pod": "qn-3", "deletionCost": None},
}
SCALE_IN: Object = {
    "kind": "ScaleQueryNodes",
    "precondition": {"desiredCount": "3"},
    "action": {"count": "2"},
    "verification": {"servingCount": "2", "deadlineSeconds": "1800", "pod": "qn-3", "leastRows": "119000"},
    "undo": {"count": "3"},
}
SET_KEY: Object = {
    "kind": "SetConfig",
    "precondition": {"key": "common.gracefultime", "value": None},
    "action": {"key": "common.gracefultime", "value": "0"},
    "verification": {"key": "common.gracefultime", "value": "0"},
    "undo": {"key": "common.gracefultime", "value": None},
}
TAKE_PLACEMENT: Object = {
    "kind": "TakePlacement",
    "precondition": {"key": "querycoord.autobalance", "value": None},
    "action": {"key": "querycoord.autobalance", "value": "false", "leaseSeconds": "180"},
    "verification": {"key": "querycoord.autobalance", "value": "false"},
    "undo": {"key": "querycoord.autobalance", "value": None},
}
_PRODUCTS: Object = {"database": "default", "collection": "products"}
_HERE: Object = _PRODUCTS | {"segments": "451 452", "pod": "qn-1", "podUid": "0b8a"}
_THERE: Object = _HERE | {"pod": "qn-2", "podUid": "77c1"}
MOVE: Object = {
    "kind": "MoveSegments",
    "precondition": _HERE,
    "action": _THERE,
    "verification": _THERE | {"deadlineSeconds": "180"},
    "undo": _HERE,
}
MOVE_BACK: Object = {
    "kind": "MoveSegments",
    "precondition": _THERE | {"segments": "460"},
    "action": _HERE | {"segments": "460"},
    "verification": _HERE | {"segments": "460", "deadlineSeconds": "180"},
    "undo": _THERE | {"segments": "460"},
}
REPLICAS: Object = {
    "kind": "SetReplicaNumber",
    "precondition": _PRODUCTS | {"count": "1"},
    "action": _PRODUCTS | {"count": "2", "resourceGroups": "rg-a rg-b"},
    "verification": _PRODUCTS | {"count": "2", "deadlineSeconds": "1800"},
    "undo": _PRODUCTS | {"count": "1", "resourceGroups": ""},
}
_LEVEL: Object = _PRODUCTS | {"property": "consistency_level"}
SET_LEVEL: Object = {
    "kind": "SetCollectionProperty",
    "precondition": _LEVEL | {"value": "Bounded"},
    "action": _LEVEL | {"value": "Strong"},
    "verification": _LEVEL | {"value": "Strong"},
    "undo": _LEVEL | {"value": "Bounded"},
}
PREFERENCE: Object = {
    "kind": "SetScheduling",
    "precondition": {"key": "spec.components", "value": None, "count": "3"},
    "action": {"key": "spec.components", "value": "WithProxies"},
    "verification": {"key": "spec.components", "value": "WithProxies", "deadlineSeconds": "900"},
    "undo": {"key": "spec.components", "value": None},
}
RESTART: Object = {
    "kind": "RestartComponent",
    "precondition": {"component": "Proxy", "count": "2"},
    "action": {"component": "Proxy", "when": "Forward"},
    "verification": {"component": "Proxy", "deadlineSeconds": "600"},
    "undo": {"component": "Proxy"},
}
RESTART_BACK: Object = RESTART | {"action": {"component": "Proxy", "when": "Back"}}
OF_TOMORROW: Object = {
    "kind": "WarmCollection",
    "precondition": {"collection": "products"},
    "action": {"collection": "products", "percent": "80"},
    "verification": {},
    "undo": {},
}

MESSAGE = "computation 71 % was above 60 % for 120 s; 3 QueryNodes bring it to 47 %"


def a_policy(*, name: str = "rag", mode: str = "Propose", **status: Any) -> Object:
    """A policy after some passes; `status` changes its fields, None takes one away."""
    decision = {
        "reason": "ComputationAboveTarget",
        "message": MESSAGE,
        "time": "2026-01-05T11:59:48Z",
        "desiredCount": 3,
        "inputs": {"busiest computation": "0.71", "capacity": "0.3", "queue share": None},
        "rejected": [
            {
                "alternative": "NoChange",
                "reason": "ComputationAboveTarget",
                "message": "the window of 120 s is over",
            },
            {"alternative": "ScaleOut 2 -> 4", "reason": "StepLimited", "message": "3 are enough: 47 % is below 50 %"},
        ],
    }
    conditions = [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Steady",
            "message": "all that is declared can be acted on",
            "lastTransitionTime": "2026-01-05T09:00:00Z",
        },
        {
            "type": "ScalingActive",
            "status": "False",
            "reason": "ObserveOnly",
            "message": "a plan waits for approval, because the mode is Propose",
            "lastTransitionTime": "2026-01-05T11:57:00Z",
        },
    ]
    whole: Object = {
        "observedGeneration": 2,
        "phase": "Stabilizing",
        "decision": decision,
        "conditions": conditions,
        "observed": {"desiredCount": 2},
    }
    kept = {field: value for field, value in (whole | status).items() if value is not None}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "namespace": "milvus", "uid": f"uid-of-{name}", "generation": 2},
        "spec": {"targetRef": {"kind": "HelmRelease", "name": "my-release"}, "mode": mode},
        "status": kept,
    }


def a_decision(reason: str, message: str = "said in numbers") -> Object:
    """A decision with nothing else to it."""
    return {"reason": reason, "message": message, "time": "2026-01-05T11:59:48Z"}


def a_plan(
    *,
    name: str = "rag-0123456789",
    policy: str = "rag",
    steps: tuple[Object, ...] = (SCALE_OUT,),
    sequence: int = 7,
    approval: Object | None = None,
    expires: str = "2026-01-05T12:52:00Z",
    **status: Any,
) -> Object:
    """A plan to add a QueryNode; `status` changes its fields (phase="Running"), none at all leaves it unseen."""
    change = {
        "policy": {"name": policy, "uid": f"uid-of-{policy}", "generation": 2, "intentDigest": "5f2d"},
        "target": "Deployment milvus/my-release-milvus-querynode",
        "sequence": sequence,
        "reason": "ComputationAboveTarget",
        "message": MESSAGE,
        "inputsDigest": "77aa",
        "steps": copy.deepcopy(list(steps)),
        "predicted": {
            "nodeCountBefore": 2,
            "nodeCountAfter": 3,
            "movedSegments": 12,
            "movedRows": 48000,
            "movedBytes": 1288490188,
            "computationPercentBefore": 71,
            "computationPercentAfter": 47,
        },
        "risk": {"level": "Medium", "reasons": ["a QueryNode more", "12 segments move"]},
        "proposedAt": "2026-01-05T11:52:00Z",
        "expiresAt": expires,
    }
    body: Object = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": PLAN_KIND,
        "metadata": {"name": name, "namespace": "milvus", "uid": f"uid-of-{name}", "resourceVersion": "41"},
        "spec": {"change": change} | ({"approval": approval} if approval else {}),
    }
    return body | ({"status": status} if status else {})


def a_node(pod: str, *, computation: int, heat: int | None, **fields: Any) -> Object:
    """A QueryNode in status, as the heat model sees it."""
    own: Object = {"pod": f"my-release-milvus-querynode-7d9c5b6f4-{pod}", "ready": True, "capacityPercent": 30}
    own |= {"computationPercent": computation, "rows": 60000, "segments": 12}
    return own | ({} if heat is None else {"heatPercent": heat}) | fields


def a_hot_policy(*, mode: str = "Observe", **status: Any) -> Object:
    """A policy that measures heat: three QueryNodes, one of them hot, for two collections."""
    pod = "my-release-milvus-querynode-7d9c5b6f4"
    held = {"database": "default", "collection": "products", "rows": 5000}
    observed = {
        "dataTime": "2026-01-05T11:59:48Z",
        "servingCount": 3,
        "collections": 2,
        "queryNodes": [
            a_node("2kq8x", computation=35, heat=40),
            a_node("7vb4m", computation=85, heat=80, resourceGroups="rg-fast"),
            a_node("x9zlp", computation=20, heat=None, rows=0, segments=0),
        ],
    }
    heat = {
        "errorPercent": 15,
        "skewPercent": 35,
        "collections": [
            {
                "database": "default",
                "name": "products",
                "searchesPerSecond": 12,
                "coresThousandths": 310,
                "sharePercent": 85,
                "replicas": 1,
                "segments": 12,
                "busiestPod": f"{pod}-7vb4m",
            },
            {"database": "shop", "name": "users", "coresThousandths": 54, "sharePercent": 15},
        ],
        "segments": [
            held | {"segment": "450123456789012345", "pod": f"{pod}-7vb4m", "coresThousandths": 71},
            held | {"segment": "450123456789012377", "pod": f"{pod}-2kq8x", "coresThousandths": 70},
        ],
    }
    policy = a_policy(**({"observed": observed, "heat": heat} | status))
    policy["spec"]["loadBalancing"] = {"hotSegments": {"mode": mode}}
    return policy
