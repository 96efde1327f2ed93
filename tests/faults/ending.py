"""How a change ended, and how to declare that it is to be made: all that these tests know of the operator's own log."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.integration.conftest import COLLECTION, PLANS, Api, Object

TUNING = "rag"
STEPS_OVER, OVER = "Verifying", "Finished"  # phases of a plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """A plan whose steps are over; the verdict comes later. remembered: entries of the policy's history."""

    phase: str
    outcome: str | None
    verdict: str | None
    steps: tuple[tuple[str, str], ...]
    held: bool
    remembered: int


def declared(spec: Object) -> Object:
    """The spec under which the operator makes the change by itself and at once."""
    return {"mode": "Auto", "approval": {"automatic": {"maxRisk": "High"}}, **spec}


def endings(api: Api, namespace: str, phase: str) -> tuple[Ending, ...]:
    """All plans, once all of them are in this phase or over; empty until then, so that no second one is overlooked."""
    plans: list[Object] = api.call("GET", PLANS.format(namespace=namespace))["items"]
    if any(plan.get("status", {}).get("phase") not in {phase, OVER} for plan in plans):
        return ()
    status = api.call("GET", f"{COLLECTION.format(namespace=namespace)}/{TUNING}").get("status", {})
    return tuple(_ending(plan, remembered=len(status.get("history", ()))) for plan in plans)


def told(api: Api, namespace: str) -> str:
    """What the operator says of itself, for a person."""
    status = api.call("GET", f"{COLLECTION.format(namespace=namespace)}/{TUNING}").get("status", {})
    plans: list[Object] = api.call("GET", PLANS.format(namespace=namespace))["items"]
    return "\n".join(json.dumps(part) for part in (status.get("decision"), *(plan.get("status") for plan in plans)))


def _ending(plan: Object, *, remembered: int) -> Ending:
    status = plan["status"]
    return Ending(
        phase=status["phase"],
        outcome=status.get("outcome"),
        verdict=status.get("verdict"),
        steps=tuple((step["kind"], step["state"]) for step in status.get("steps") or ()),
        held=bool(plan["metadata"].get("finalizers")),
        remembered=remembered,
    )
