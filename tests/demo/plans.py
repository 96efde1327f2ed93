"""Plans in words, as the demo prints them."""

from collections.abc import Mapping
from typing import Any

COMPARED = (
    ("searchesPerMinute", "searches a minute"),
    ("meanMicroseconds", "us mean"),
    ("p99Milliseconds", "ms P99"),
    ("failedSearchesPerMillion", "failed of a million"),
    ("slowSearchesPerMillion", "slow of a million"),
    ("nodeCount", "QueryNodes"),
)


def told_in_short(plan: Mapping[str, Any]) -> str:
    """Name, phase, and what is new in that phase."""
    status, change = plan.get("status", {}), plan["spec"]["change"]
    phase = status.get("phase", "Proposed")
    news = {
        "Proposed": status.get("waitsFor", change["message"]),
        "Verifying": f"until {status.get('verifyUntil')}",
        "Finished": f"{status.get('verdict')}: {status.get('verdictMessage', '')}",
    }
    word = news.get(phase, f"risk {change['risk']['level']}, {status.get('approval', 'not approved')}")
    return f"{plan['metadata']['name']} {phase}: {word}"


def told_in_full(plan: Mapping[str, Any]) -> str:
    """What was to be done, why, on whose word, what was done, and what it was good for."""
    status, change = plan.get("status", {}), plan["spec"]["change"]
    lines = [
        f"plan {plan['metadata']['name']}: {change['message']}",
        f"  risk      {change['risk']['level']}: {'; '.join(change['risk']['reasons'])}",
        f"  approved  {status.get('approval')} at {status.get('approvedAt')}",
        *(f"  step      {_step(step)}" for step in status.get("steps") or []),
        *_compared(status.get("measured") or {}),
        f"  verdict   {status.get('verdict')}: {status.get('verdictMessage', '')}",
    ]
    return "\n".join(lines)


def _step(step: Mapping[str, Any]) -> str:
    action = ", ".join(f"{name} {value}" for name, value in (step.get("action") or {}).items())
    return f"{step['kind']} {action}: {step['state']}, {step.get('message', '')}"


def _compared(measured: Mapping[str, Any]) -> list[str]:
    before, after = measured.get("before") or {}, measured.get("after") or {}
    pairs = [(before.get(key), after.get(key), unit) for key, unit in COMPARED]
    shown = [f"{old} -> {new} {unit}" for old, new, unit in pairs if old is not None and new is not None]
    return [f"  effect    {', '.join(shown)}"] if shown else []
