"""Steps of a plan in words. A kind that is not known here (a newer operator's) is shown with its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from milvus_tuning.cli.fields import Body, at, mapping, text
from milvus_tuning.cli.layout import GAP, hanging
from milvus_tuning.plan import MILVUS_RESOURCE, ROAD, StepKind, StepState

PARTS = ("precondition", "verification", "undo")
_LABELS = {"precondition": "before", "verification": "proof", "undo": "undo"}
_PLACEMENT = frozenset({StepKind.TAKE_PLACEMENT, StepKind.RETURN_PLACEMENT})  # goes without saying beside moves
_LABEL_WIDTH = max(map(len, _LABELS.values()))


def described(steps: Sequence[Body], courses: Sequence[Body], *, width: int, indent: str = "  ") -> list[str]:
    """Each step: what is done, what must be true before, what proves it, what takes it back, and how far it is."""
    lines: list[str] = []
    for number, step in enumerate(steps, start=1):
        course = courses[number - 1] if number <= len(courses) else {}
        head = f"{indent}{number}. "
        inner = " " * len(head)
        lines += hanging(_action(step), first=head, rest=inner, width=width)
        for part in PARTS:
            label = f"{inner}{_LABELS[part]:{_LABEL_WIDTH}}{GAP}"
            lines += hanging(_part(step, part), first=label, rest=" " * len(label), width=width)
        lines += _course(course, inner, width)
    return lines


def in_short(steps: Sequence[Body]) -> str:
    """What a sequence of steps comes to: "QueryNodes 2 -> 3"."""
    kinds = {text(step, "kind") for step in steps}
    aside = _PLACEMENT if StepKind.MOVE_SEGMENTS in kinds else {StepKind.DRAIN_QUERY_NODE}
    known = [step for step in steps if text(step, "kind") not in aside and not _leads_back(step)] or steps
    return ", ".join(_short(step) for step in known)


def _short(step: Body) -> str:
    kind = text(step, "kind")
    say = _SHORT.get(kind)
    return say(step) if say else f"{kind} {text(step, 'action', 'pod') or text(step, 'action', 'key')}".strip()


def _short_scale(step: Body) -> str:
    return f"QueryNodes {text(step, 'precondition', 'desiredCount')} -> {text(step, 'action', 'count')}"


def _short_setting(step: Body) -> str:
    return f"{text(step, 'action', 'key')} {_value(step, 'precondition')} -> {_value(step, 'action')}"


def _short_move(step: Body) -> str:
    return f"{_count(step)} {_pod(step, 'precondition')} -> {_pod(step, 'action')}"


def _short_replicas(step: Body) -> str:
    before, after = text(step, "precondition", "count"), text(step, "action", "count")
    return f"in-memory replicas of {_collection(step)} {before} -> {after}"


def _course(course: Body, indent: str, width: int) -> list[str]:
    state = text(course, "state")
    message = text(course, "message")
    if not state or (state == StepState.PENDING and not message):  # one with a message says what it waits for
        return []
    label = f"{indent}{'state':{_LABEL_WIDTH}}{GAP}"
    return hanging(f"{state}: {message}" if message else state, first=label, rest=" " * len(label), width=width)


def _action(step: Body) -> str:
    say = _ACTIONS.get(text(step, "kind"))
    return say(step) if say else f"{text(step, 'kind')}: {_parameters(mapping(step, 'action'))}"


def _part(step: Body, part: str) -> str:
    say = _WORDS.get((text(step, "kind"), part))
    return say(step) if say else _parameters(mapping(step, part)) or "nothing"


def _parameters(parameters: Body) -> str:
    return ", ".join(f"{name} {_quoted(value)}" for name, value in parameters.items())


def _value(step: Body, part: str) -> str:
    return _quoted(at(step, part, "value"))


def _quoted(value: object) -> str:
    return "absent" if value is None else str(value) or '""'


def _scale_action(step: Body) -> str:
    return f"set the number of QueryNodes to {text(step, 'action', 'count')}"


def _scale_before(step: Body) -> str:
    return f"{text(step, 'precondition', 'desiredCount')} are asked for"


def _scale_proof(step: Body) -> str:
    proof = mapping(step, "verification")
    parts = [f"{text(proof, 'servingCount')} serve within {text(proof, 'deadlineSeconds')} s"]
    if text(proof, "pod"):
        parts.append(f"{text(proof, 'pod')} is gone")
    if text(proof, "leastRows"):
        parts.append(f"at least {text(proof, 'leastRows')} rows are served")
    return ", ".join(parts)


def _scale_undo(step: Body) -> str:
    return f"set it to {text(step, 'undo', 'count')}"


def _drain_action(step: Body) -> str:
    cost = text(step, "action", "deletionCost")
    return f"mark the pod {text(step, 'action', 'pod')} as the one to leave (deletion cost {cost})"


def _drain_before(step: Body) -> str:
    grace = text(step, "precondition", "gracePeriodSeconds")
    return f"it is the same pod ({text(step, 'precondition', 'podUid')}), with a grace period of {grace} s"


def _drain_proof(step: Body) -> str:
    return f"the pod has the deletion cost {_quoted(at(step, 'verification', 'deletionCost'))}"


def _drain_undo(step: Body) -> str:
    cost = at(step, "undo", "deletionCost")
    return "remove the mark" if cost is None else f"set the deletion cost to {cost}"


def _collection(step: Body) -> str:
    return f"{text(step, 'action', 'database')}.{text(step, 'action', 'collection')}"


def _pod(step: Body, part: str) -> str:
    return text(step, part, "pod")


def _count(step: Body) -> str:
    count = len(text(step, "action", "segments").split())
    return f"{count} segment{'' if count == 1 else 's'} of {_collection(step)}"


def _move_action(step: Body) -> str:
    way = f"from {_pod(step, 'precondition')} to {_pod(step, 'action')}"
    return f"move {_count(step)} {way} ({', '.join(text(step, 'action', 'segments').split())})"


def _move_before(step: Body) -> str:
    return f"they are on {_pod(step, 'precondition')}, the same pod ({text(step, 'precondition', 'podUid')})"


def _move_proof(step: Body) -> str:
    deadline = text(step, "verification", "deadlineSeconds")
    return f"all of them are on {_pod(step, 'verification')}, and on it alone, within {deadline} s"


def _move_undo(step: Body) -> str:
    return f"move what is still there back to {_pod(step, 'undo')}"


def _replica_action(step: Body) -> str:
    groups = text(step, "action", "resourceGroups")
    placed = f" (resource groups {', '.join(groups.split())})" if groups else ""
    return f"set the in-memory replicas of {_collection(step)} to {text(step, 'action', 'count')}{placed}"


def _replica_before(step: Body) -> str:
    return f"there are {text(step, 'precondition', 'count')}"


def _replica_proof(step: Body) -> str:
    proof = mapping(step, "verification")
    return f"{text(proof, 'count')} serve every segment within {text(proof, 'deadlineSeconds')} s"


def _replica_undo(step: Body) -> str:
    return f"set them to {text(step, 'undo', 'count')}"


def _level_is(part: str) -> Callable[[Body], str]:
    return lambda step: f"the consistency level of {_collection(step)} is {_value(step, part)}"


def _set_level(part: str) -> Callable[[Body], str]:
    return lambda step: f"set the consistency level of {_collection(step)} to {_value(step, part)}"


def _level_action(step: Body) -> str:
    if at(step, "precondition", "value") == at(step, "verification", "value"):
        return f"leave the consistency level of {_collection(step)} as it is, and forget the former one"
    return _set_level("action")(step)


def _short_level(step: Body) -> str:
    change = f"{_value(step, 'precondition')} -> {_value(step, 'verification')}"
    return f"consistency level of {_collection(step)} {change}"


def _leads_back(step: Body) -> bool:
    """Whether it restarts pods on the way back only."""
    return text(step, "kind") == StepKind.RESTART_COMPONENT and text(step, "action", "when") == "Back"


def _component(step: Body) -> str:
    return text(step, "action", "component")


def _restart_action(step: Body) -> str:
    if _leads_back(step):
        return f"nothing yet: on the way back {_component(step)} is restarted here, when the keys are as before"
    keys = text(step, "action", "keys")
    acting = f" for {keys}, stored already" if keys else ""
    return f"restart {_component(step)}{acting}: evict each pod that is older than this step, one at a time"


def _restart_before(step: Body) -> str:
    count = text(step, "precondition", "count")
    return f"{_component(step)} has {count} pod{'' if count == '1' else 's'}, and none has only just started"


def _restart_proof(step: Body) -> str:
    if _leads_back(step):
        return "nothing to prove"
    return f"all are replaced and ready within {text(step, 'verification', 'deadlineSeconds')} s"


def _restart_undo(step: Body) -> str:
    if _leads_back(step):
        return f"evict each pod of {_component(step)} that came meanwhile, one at a time"
    return "nothing: the keys come first, then the pods"


def _preference(step: Body, part: str) -> str:
    return text(step, part, "value") or "none"


def _set_preference(part: str) -> Callable[[Body], str]:
    return lambda step: f"set the zone that QueryNodes prefer to {_preference(step, part)}: {_ROLLS}"


def _preference_before(step: Body) -> str:
    return f"the zone that QueryNodes prefer is {_preference(step, 'precondition')}, and nobody else set an affinity"


def _preference_proof(step: Body) -> str:
    deadline = text(step, "verification", "deadlineSeconds")
    return f"every QueryNode was placed with it and serves within {deadline} s"


def _short_preference(step: Body) -> str:
    return f"zone preference {_preference(step, 'precondition')} -> {_preference(step, 'action')}"


def _key_proof(step: Body) -> str:
    settle = text(step, "verification", "settleSeconds")
    proof = _key_is("verification")(step)
    return f"{proof}, and Milvus has had {settle} s to read it" if settle else proof


def _key_is(part: str) -> Callable[[Body], str]:
    return lambda step: f"{text(step, part, 'key')} is {_value(step, part)}"


def _set_key(part: str) -> Callable[[Body], str]:
    def say(step: Body) -> str:
        if at(step, part, "value") is None:
            return f"remove {text(step, part, 'key')} from {_place(step)}"
        return f"set {_pair(step, part)}"

    return say


def _pair(step: Body, part: str) -> str:
    lease = text(step, part, "leaseSeconds")
    pair = f"{text(step, part, 'key')} to {_value(step, part)} in {_place(step)}"
    return f"{pair}, under a lease of {lease} s" if lease else pair


def _place(step: Body) -> str:
    return "spec.config of the Milvus object" if text(step, "action", ROAD) == MILVUS_RESOURCE else "Milvus's etcd"


_ROLLS = "milvus-operator replaces them all"
_KEY_KINDS = (StepKind.SET_CONFIG, StepKind.TAKE_PLACEMENT, StepKind.RETURN_PLACEMENT)
_SHORT: Mapping[str, Callable[[Body], str]] = {
    StepKind.SCALE_QUERY_NODES: _short_scale,
    StepKind.SET_CONFIG: _short_setting,
    StepKind.MOVE_SEGMENTS: _short_move,
    StepKind.SET_REPLICA_NUMBER: _short_replicas,
    StepKind.SET_COLLECTION_PROPERTY: _short_level,
    StepKind.RESTART_COMPONENT: lambda step: f"restart {_component(step)}",
    StepKind.SET_SCHEDULING: _short_preference,
    StepKind.TAKE_PLACEMENT: lambda _: "hold Milvus's balancer off",
    StepKind.RETURN_PLACEMENT: lambda _: "let Milvus's balancer go",
}
_ACTIONS: Mapping[str, Callable[[Body], str]] = {
    StepKind.SCALE_QUERY_NODES: _scale_action,
    StepKind.DRAIN_QUERY_NODE: _drain_action,
    StepKind.MOVE_SEGMENTS: _move_action,
    StepKind.SET_REPLICA_NUMBER: _replica_action,
    StepKind.SET_COLLECTION_PROPERTY: _level_action,
    StepKind.RESTART_COMPONENT: _restart_action,
    StepKind.SET_SCHEDULING: _set_preference("action"),
    **{kind: _set_key("action") for kind in _KEY_KINDS},
}
_WORDS: Mapping[tuple[str, str], Callable[[Body], str]] = {
    (StepKind.SCALE_QUERY_NODES, "precondition"): _scale_before,
    (StepKind.SCALE_QUERY_NODES, "verification"): _scale_proof,
    (StepKind.SCALE_QUERY_NODES, "undo"): _scale_undo,
    (StepKind.DRAIN_QUERY_NODE, "precondition"): _drain_before,
    (StepKind.DRAIN_QUERY_NODE, "verification"): _drain_proof,
    (StepKind.DRAIN_QUERY_NODE, "undo"): _drain_undo,
    (StepKind.MOVE_SEGMENTS, "precondition"): _move_before,
    (StepKind.MOVE_SEGMENTS, "verification"): _move_proof,
    (StepKind.MOVE_SEGMENTS, "undo"): _move_undo,
    (StepKind.SET_REPLICA_NUMBER, "precondition"): _replica_before,
    (StepKind.SET_REPLICA_NUMBER, "verification"): _replica_proof,
    (StepKind.SET_REPLICA_NUMBER, "undo"): _replica_undo,
    (StepKind.SET_COLLECTION_PROPERTY, "precondition"): _level_is("precondition"),
    (StepKind.SET_COLLECTION_PROPERTY, "verification"): _level_is("verification"),
    (StepKind.SET_COLLECTION_PROPERTY, "undo"): _set_level("undo"),
    (StepKind.RESTART_COMPONENT, "precondition"): _restart_before,
    (StepKind.RESTART_COMPONENT, "verification"): _restart_proof,
    (StepKind.RESTART_COMPONENT, "undo"): _restart_undo,
    (StepKind.SET_SCHEDULING, "precondition"): _preference_before,
    (StepKind.SET_SCHEDULING, "verification"): _preference_proof,
    (StepKind.SET_SCHEDULING, "undo"): _set_preference("undo"),
    **{(kind, "precondition"): _key_is("precondition") for kind in _KEY_KINDS},
    **{(kind, "verification"): _key_proof for kind in _KEY_KINDS},
    **{(kind, "undo"): _set_key("undo") for kind in _KEY_KINDS},
}
