"""Steps of a plan in words. A kind that is not known here (a newer operator's) is shown with its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from milvus_tuning.cli.fields import Body, at, mapping, text
from milvus_tuning.cli.layout import GAP, hanging
from milvus_tuning.plan import StepKind, StepState

PARTS = ("precondition", "verification", "undo")
_LABELS = {"precondition": "before", "verification": "proof", "undo": "undo"}
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
    known = [step for step in steps if text(step, "kind") != StepKind.DRAIN_QUERY_NODE] or steps
    return ", ".join(_short(step) for step in known)


def _short(step: Body) -> str:
    kind = text(step, "kind")
    if kind == StepKind.SCALE_QUERY_NODES:
        return f"QueryNodes {text(step, 'precondition', 'desiredCount')} -> {text(step, 'action', 'count')}"
    if kind == StepKind.SET_CONFIG:
        return f"{text(step, 'action', 'key')} {_value(step, 'precondition')} -> {_value(step, 'action')}"
    if kind == StepKind.TAKE_PLACEMENT:
        return "hold Milvus's balancer off"
    if kind == StepKind.RETURN_PLACEMENT:
        return "let Milvus's balancer go"
    return f"{kind} {text(step, 'action', 'pod') or text(step, 'action', 'key')}".strip()


def _course(course: Body, indent: str, width: int) -> list[str]:
    state = text(course, "state")
    if not state or state == StepState.PENDING:
        return []
    label = f"{indent}{'state':{_LABEL_WIDTH}}{GAP}"
    message = text(course, "message")
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


def _key_is(part: str) -> Callable[[Body], str]:
    return lambda step: f"{text(step, part, 'key')} is {_value(step, part)}"


def _set_key(part: str) -> Callable[[Body], str]:
    def say(step: Body) -> str:
        key = text(step, part, "key")
        return f"remove {key} from Milvus's etcd" if at(step, part, "value") is None else f"set {_pair(step, part)}"

    return say


def _pair(step: Body, part: str) -> str:
    lease = text(step, part, "leaseSeconds")
    pair = f"{text(step, part, 'key')} to {_value(step, part)} in Milvus's etcd"
    return f"{pair}, under a lease of {lease} s" if lease else pair


_KEY_KINDS = (StepKind.SET_CONFIG, StepKind.TAKE_PLACEMENT, StepKind.RETURN_PLACEMENT)
_ACTIONS: Mapping[str, Callable[[Body], str]] = {
    StepKind.SCALE_QUERY_NODES: _scale_action,
    StepKind.DRAIN_QUERY_NODE: _drain_action,
    **{kind: _set_key("action") for kind in _KEY_KINDS},
}
_WORDS: Mapping[tuple[str, str], Callable[[Body], str]] = {
    (StepKind.SCALE_QUERY_NODES, "precondition"): _scale_before,
    (StepKind.SCALE_QUERY_NODES, "verification"): _scale_proof,
    (StepKind.SCALE_QUERY_NODES, "undo"): _scale_undo,
    (StepKind.DRAIN_QUERY_NODE, "precondition"): _drain_before,
    (StepKind.DRAIN_QUERY_NODE, "verification"): _drain_proof,
    (StepKind.DRAIN_QUERY_NODE, "undo"): _drain_undo,
    **{(kind, part): _key_is(part) for kind in _KEY_KINDS for part in ("precondition", "verification")},
    **{(kind, "undo"): _set_key("undo") for kind in _KEY_KINDS},
}
