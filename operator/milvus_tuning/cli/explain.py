"""Why: the rule that a decision or a plan follows, its inputs, and each alternative that was turned down.

Where a QueryNode or a collection is busier than the others there are three remedies: other places for segments, which
cost nothing, an in-memory replica more, which costs memory, and a QueryNode more, which costs a pod. Decisions of that
kind are shown with the heat behind them, and with what the other remedies were expected to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from milvus_tuning.cli import steps as step_words
from milvus_tuning.cli import top
from milvus_tuning.cli.fields import Body, at, entries, mapping, moment, name, number, text, words
from milvus_tuning.cli.layout import Fact, age, facts, hanging, table, when
from milvus_tuning.cli.meanings import meaning
from milvus_tuning.cli.plans import approval, heading, mode, phase, predicted, vote, wished
from milvus_tuning.plan import Reason

REMEDIES = frozenset(
    {
        Reason.HOT_NODE,
        Reason.NEW_NODE,
        Reason.HOT_COLLECTION,
        Reason.COLD_COLLECTION,
        Reason.SKEW_NOT_CAPACITY,
        Reason.NO_BETTER_PLACEMENT,
        Reason.NO_NEUTRAL_SWAP,
        Reason.MOVES_UNDONE,
        Reason.ROLLED_BACK,
        Reason.HEAT_UNKNOWN,
        Reason.MANUAL_ACTION_REQUIRED,
        Reason.SCALE_OUT_COMPUTATION,
    }
)
"""Decisions among other places, a replica more and a QueryNode more."""
CHOSEN: Mapping[str, str] = {
    Reason.HOT_NODE: "other places for segments",
    Reason.NEW_NODE: "segments for a QueryNode that has none",
    Reason.HOT_COLLECTION: "an in-memory replica more",
    Reason.COLD_COLLECTION: "an in-memory replica less",
}
ALTERNATIVES: Mapping[str, str] = {
    "NoChange": "no change",
    "ScaleOut": "QueryNodes",
    "SetReplicaNumber": "replicas of",
    "MoveSegments": "segments moved:",
    "Rebalance": "other places for segments",
    "Replica": "an in-memory replica more",
    "QueryNode": "a QueryNode more",
}
"""The first word of an alternative in words."""
HOTTEST_NODES, HOTTEST_COLLECTIONS = 5, 3
MEASUREMENTS = (
    ("searches a minute", "searchesPerMinute", ""),
    ("searches a minute and node", "searchesPerMinutePerNode", ""),
    ("mean latency", "meanMicroseconds", "us"),
    ("P99, to a factor of two", "p99Milliseconds", "ms"),
    ("time in queues", "queueMicroseconds", "us"),
    ("failed of a million", "failedSearchesPerMillion", ""),
    ("slow of a million", "slowSearchesPerMillion", ""),
    ("slow is above", "slowBoundMilliseconds", "ms"),
    ("skew", "skewPercent", "%"),
    ("QueryNodes", "nodeCount", ""),
    ("window", "windowSeconds", "s"),
)


def document(policy: Body) -> dict[str, object]:
    """What `explain -o json` says of a decision."""
    reason = text(policy, "status", "decision", "reason")
    said = meaning(reason)
    return {
        "name": name(policy),
        "mode": mode(policy),
        "phase": text(policy, "status", "phase") or None,
        "decision": at(policy, "status", "decision"),
        "meaning": said.meaning if said else None,
        "remedy": said.remedy if said else None,
        "heat": at(policy, "status", "heat") if _is_remedy(mapping(policy, "status", "decision")) else None,
        "waitsFor": text(policy, "status", "lastPlan", "waitsFor") or None,
        "conditions": at(policy, "status", "conditions"),
    }


def plan_document(plan: Body) -> dict[str, object]:
    """What `explain --plan -o json` says of a plan."""
    said = meaning(text(plan, "spec", "change", "reason"))
    return {
        "name": name(plan),
        "meaning": said.meaning if said else None,
        "remedy": said.remedy if said else None,
        "spec": at(plan, "spec"),
        "status": at(plan, "status"),
    }


def render(policy: Body, now: datetime, width: int) -> list[str]:
    """The policy's present decision, for people."""
    decision = mapping(policy, "status", "decision")
    if not text(decision, "reason"):
        return [heading(policy), *_conditions(policy, "", now, width)]
    last = mapping(policy, "status", "lastPlan")
    waits = text(last, "waitsFor")
    return [
        heading(policy),
        *facts(
            [
                *_rule(text(decision, "reason")),
                Fact(label="in numbers", text=text(decision, "message")),
                Fact(label="chosen", text=_chosen(policy)),
                Fact(label="waits for", text=f"{waits} (plan {text(last, 'name')})" if waits else ""),
                Fact(label="decided", text=when(moment(decision, "time"), now)),
            ],
            width=width,
        ),
        *_inputs(decision, width),
        *_heat(policy, width),
        *_rejected(decision, width),
        *_conditions(policy, text(decision, "message"), now, width),
    ]


def render_plan(plan: Body, now: datetime, width: int) -> list[str]:
    """A plan's own reason, and what came of it, for people."""
    change, status = mapping(plan, "spec", "change"), mapping(plan, "status")
    verdict, verdict_message = text(status, "verdict"), text(status, "verdictMessage")
    return [
        f"{name(plan)}   phase {phase(plan)}   risk {text(change, 'risk', 'level')}",
        *facts(
            [
                *_rule(text(change, "reason")),
                Fact(label="in numbers", text=text(change, "message")),
                Fact(label="chosen", text=step_words.in_short(entries(change, "steps"))),
                Fact(label="risk", text="; ".join(words(change, "risk", "reasons"))),
                Fact(label="expected", text="; ".join(predicted(mapping(change, "predicted")))),
                Fact(label="target", text=text(change, "target")),
                Fact(label="waits for", text=text(status, "waitsFor")),
                Fact(label="vote", text=vote(plan)),
                Fact(label="approval", text=approval(plan)),
                Fact(label="verdict", text=f"{verdict}: {verdict_message}" if verdict_message else verdict),
                Fact(label="proposed", text=when(moment(change, "proposedAt"), now)),
                Fact(label="begun", text=when(moment(status, "startedAt"), now)),
                Fact(label="finished", text=when(moment(status, "finishedAt"), now)),
            ],
            width=width,
        ),
        *_measured(mapping(status, "measured"), width),
        *_conditions(plan, verdict_message, now, width),
    ]


def _rule(reason: str) -> list[Fact]:
    said = meaning(reason)
    if said is None:
        return [Fact(label="rule", text=f"{reason} (a reason that this version of the command does not know)")]
    return [
        Fact(label="rule", text=f"{reason}: {said.meaning}"),
        Fact(label="what to do", text="" if said.remedy == "nothing" else said.remedy),
    ]


def _chosen(policy: Body) -> str:
    decision = mapping(policy, "status", "decision")
    if not wished(policy):
        return "no change"
    count, present = number(decision, "desiredCount"), number(policy, "status", "observed", "desiredCount")
    if count is None or count == present:
        return CHOSEN.get(text(decision, "reason"), "the change that the reason names")
    return f"QueryNodes {present} -> {count}" if present is not None else f"{count} QueryNodes"


def _inputs(decision: Body, width: int) -> list[str]:
    rows = [
        (label, "not measured" if value is None else str(value)) for label, value in mapping(decision, "inputs").items()
    ]
    return ["", *table(("INPUT", "VALUE"), rows, width=width)] if rows else []


def _heat(policy: Body, width: int) -> list[str]:
    """What is hot, for a decision about it."""
    if not (_is_remedy(mapping(policy, "status", "decision")) and top.has_heat(policy)):
        return []
    nodes = top.heat_table(policy, top.NODES, width, most=HOTTEST_NODES)
    collections = top.heat_table(policy, top.COLLECTIONS, width, most=HOTTEST_COLLECTIONS)
    told = collections[0] == nodes[0]  # how pods are shortened
    worth = hanging(f"Behind it: {top.worth(policy)}.", first="", rest="", width=width)
    return ["", *worth, *nodes, "", *(collections[1:] if told else collections)]


def _is_remedy(decision: Body) -> bool:
    return text(decision, "reason") in REMEDIES


def _rejected(decision: Body, width: int) -> list[str]:
    rows = [
        (_alternative(text(entry, "alternative")), text(entry, "reason"), text(entry, "message"))
        for entry in entries(decision, "rejected")
    ]
    if not rows:
        return ["", "No alternative was turned down."]
    if _is_remedy(decision):
        header = ("ALTERNATIVE", "REASON", "EXPECTED")
        return ["", "What else was considered, and not chosen:", *table(header, rows, width=width)]
    return ["", *table(("TURNED DOWN", "REASON", "BECAUSE"), rows, width=width)]


def _alternative(word: str) -> str:
    """In words: "SetReplicaNumber default.products 1 -> 2" is "replicas of default.products 1 -> 2"."""
    kind, _, rest = word.partition(" ")
    said = ALTERNATIVES.get(kind)
    return f"{said} {rest}".strip() if said else word


def _conditions(body: Body, told: str, now: datetime, width: int) -> list[str]:
    """The conditions; a message that was told above is not told again."""
    rows = [
        (
            text(entry, "type"),
            text(entry, "status"),
            age(moment(entry, "lastTransitionTime"), now),
            text(entry, "reason"),
            "as above" if told and text(entry, "message") == told else text(entry, "message"),
        )
        for entry in entries(body, "status", "conditions")
    ]
    if not rows:
        return []
    return ["", *table(("CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"), rows, width=width)]


def _measured(measured: Body, width: int) -> list[str]:
    before, after = mapping(measured, "before"), mapping(measured, "after")
    rows = [
        (label, _quantity(before, field, unit), _quantity(after, field, unit))
        for label, field, unit in MEASUREMENTS
        if number(before, field) is not None or number(after, field) is not None
    ]
    return ["", *table(("MEASURED", "BEFORE", "AFTER"), rows, width=width)] if rows else []


def _quantity(effect: Body, field: str, unit: str) -> str:
    found = number(effect, field)
    return "-" if found is None else f"{found:,} {unit}".strip()
