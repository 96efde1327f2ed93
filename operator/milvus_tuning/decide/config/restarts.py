"""Keys that are read at start: all that are wanted become one change, written between the two halves of a restart.

    RestartComponent (Back) of each component     on the way back only: whoever started since starts once more
    SetConfig of each key
    RestartComponent (Forward) of each component  one pod at a time

Of a key that is stored already, while pods are older than it, the Forward alone is missing. It names the key.

Live keys go first, in a change of their own: they carry less risk, and need no window. A component that cannot be
restarted now holds up its own keys, and not those of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from milvus_tuning.api import MOST_STEPS, MilvusTuningSpec
from milvus_tuning.decide.config.keys import INFERRED
from milvus_tuning.decide.config.restart_steps import restart_bracket
from milvus_tuning.decide.config.wishes import Outcome
from milvus_tuning.decide.words import listed
from milvus_tuning.plan import Step
from milvus_tuning.snapshot import Snapshot

MOST_NAMED = 8  # keys in the text of a step, which has room for 1024 characters


def restart_change(
    outcomes: Sequence[Outcome], spec: MilvusTuningSpec, snapshot: Snapshot, *, hindrance: str | None, live_first: bool
) -> tuple[tuple[Step, ...], tuple[Outcome, ...]]:
    """The steps of the one change of these keys, and how each stands now that its restart was looked into.

    hindrance: why nothing is written now. live_first: live keys are to be written before. No steps with either.
    """
    pending = [outcome for outcome in outcomes if outcome.components and (outcome.step is not None or outcome.stored)]
    asked = {outcome.components for outcome in pending}
    obstacles = {components: _obstacle(components, spec, snapshot) for components in asked}
    able = [outcome for outcome in pending if obstacles[outcome.components] is None]
    chosen = _that_fit(able)
    steps = _steps(chosen, spec, snapshot) if chosen else ()
    together = steps if isinstance(steps, str) else None
    told = tuple(
        outcome
        if outcome not in pending
        else _with(outcome, _why(outcome, obstacles[outcome.components] or together, hindrance, live_first, chosen))
        for outcome in outcomes
    )
    if isinstance(steps, str) or hindrance is not None or live_first:
        return (), told
    return steps, told


def _obstacle(components: tuple[str, ...], spec: MilvusTuningSpec, snapshot: Snapshot) -> str | None:
    """Why these components cannot be restarted for a key of theirs, or None."""
    found = restart_bracket(components, snapshot, spec)
    return found if isinstance(found, str) else None


def _that_fit(able: Sequence[Outcome]) -> list[Outcome]:
    """As many as one plan has room for, in their order; the others follow in the next one."""
    chosen: list[Outcome] = []
    for outcome in able:
        with_it = [*chosen, outcome]
        if 2 * len(_components(with_it)) + len(with_it) <= MOST_STEPS:
            chosen = with_it
    return chosen


def _components(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return tuple(sorted({component for outcome in outcomes for component in outcome.components}))


def _steps(chosen: Sequence[Outcome], spec: MilvusTuningSpec, snapshot: Snapshot) -> tuple[Step, ...] | str:
    """The steps of the change, or why they cannot be made together. Only what is written is taken back."""
    written = [outcome for outcome in chosen if outcome.step is not None]
    halves = restart_bracket(_components(chosen), snapshot, spec)
    ways = restart_bracket(_components(written), snapshot, spec) if written else ((), ())
    if isinstance(halves, str) or isinstance(ways, str):
        return halves if isinstance(halves, str) else str(ways)
    forward = tuple(_naming(step, chosen) for step in halves[1])
    return (*ways[0], *(outcome.step for outcome in written if outcome.step is not None), *forward)


def _naming(step: Step, chosen: Sequence[Outcome]) -> Step:
    """A restart with the keys that are stored already and act by it; a person approves it where one is inferred."""
    stored = [one for one in chosen if one.stored and step.action.get("component") in one.components]
    if not stored:
        return step
    named = [one.key or "" for one in stored]
    more = [f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    keys = {"keys": listed([*named[:MOST_NAMED], *more])}
    doubt = INFERRED if any(one.inferred for one in stored) else {}
    return replace(step, action={**step.action, **keys, **doubt})


def _why(
    outcome: Outcome, obstacle: str | None, hindrance: str | None, live_first: bool, chosen: Sequence[Outcome]
) -> str:
    """What is in the way of the restart, in words; empty where a plan is to come."""
    reasons = [hindrance, obstacle]
    if obstacle is None and live_first:
        reasons.append("after the keys that are read live")
    if obstacle is None and outcome not in chosen:
        reasons.append(f"in the plan after that of {listed(one.key or '' for one in chosen)}")
    return "; ".join(reason for reason in reasons if reason)


def _with(outcome: Outcome, why: str) -> Outcome:
    if not why:
        return outcome
    return replace(outcome, status=replace(outcome.status, message=f"{outcome.status.message}; {why}"))
