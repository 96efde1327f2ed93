"""Plans on a real Milvus: harm is taken back by itself, what waits does nothing, and what was approved is what runs.

The harm is `common.gracefulTime` 0: a search at level Bounded, that of the searched collection, then waits for the next
time ticks of Milvus (one each 200 ms) instead of taking what is there. It is a setting that only a person declares.
Measured at this load on 2.3.5 with two QueryNodes of 0.3 CPU: median 66 ms before, 407 ms with 0, 47 ms after.
"""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.demo.table import lost_searches
from tests.e2e.world import COLLECTION, World, load_options, spec
from tests.load.process import LoadProcess
from tests.load.report import summarise
from tests.load.schedule import Spacing
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e

KEY = "by-dev/config/common.gracefultime"
INTENT = "consistency.stalenessMilliseconds"
STEADY = 0.3  # of what two QueryNodes were measured to carry
WINDOW_SECONDS, SETTLE_SECONDS = 20, 10
VERIFICATION = {  # the defaults but for the times and the load
    "windowSeconds": WINDOW_SECONDS,
    "settleSeconds": SETTLE_SECONDS,
    "latencyTolerancePercent": 20,
    "failureTolerancePerMillion": 1000,
    "slowTolerancePerMillion": 50_000,
    "loadTolerancePercent": 35,
}
REREAD_SECONDS = 6  # Milvus 2.3 asks etcd for its settings every 5 s
PASSES_SECONDS = 12.0  # some passes of the operator, one each 3 s
HARMLESS, OTHER = 4000, 3000  # milliseconds; searches wait under neither


def declaring(milliseconds: int, **changes: Any) -> dict[str, Any]:
    """A policy about staleness alone, judged over short windows; a load that changes by half is another load."""
    return spec(
        queryNodes=None,
        approval={"automatic": {"maxRisk": "High"}},
        verification=VERIFICATION,
        consistency={"stalenessMilliseconds": milliseconds},
        **changes,
    )


def steady_load(world: World) -> LoadProcess:
    """Searches at equal distances: the windows differ by the change alone."""
    options = load_options(world.uri, [COLLECTION], rate=STEADY * world.capacity_qps)
    return LoadProcess(dataclasses.replace(options, spacing=Spacing.EVEN))


def await_plan(world: World, phase: str, *, count: int = 1, seconds: float = 60.0) -> dict[str, Any]:
    """The newest of so many plans, once it is in this phase."""

    def newest() -> dict[str, Any] | None:
        found = world.plans("main")
        there = len(found) == count and found[-1].get("status", {}).get("phase") == phase
        return found[-1] if there else None

    return wait_for(newest, f"plan {count} to be {phase}", seconds=seconds)


def await_setting(world: World, value: str | None, *, seconds: float = 60.0) -> None:
    """Await that Milvus's etcd has the key with this value (None: absent)."""

    def is_so() -> bool:
        return world.settings().get(KEY) == value

    wait_for(is_so, f"{KEY} = {value}", seconds=seconds, every=0.2)


def setting(world: World) -> dict[str, Any]:
    """How the declared staleness stands."""
    entries = world.status("main").get("config", [])
    return next((entry for entry in entries if entry["intent"] == INTENT), {})


def means_in_words(plan: Mapping[str, Any]) -> str:
    """The two means of the plan as its verdict tells them."""
    measured = plan["status"]["measured"]
    before, after = (measured[when]["meanMicroseconds"] / 1000 for when in ("before", "after"))
    return f"mean latency {before:.1f} -> {after:.1f} ms"


def test_a_setting_that_slows_searches_is_rolled_back_by_itself(calm: World) -> None:
    with steady_load(calm) as load:
        time.sleep(WINDOW_SECONDS + SETTLE_SECONDS)
        calm.tune("main", declaring(0))
        await_setting(calm, "0")
        set_at = len(load.seconds)
        await_setting(calm, None, seconds=WINDOW_SECONDS + SETTLE_SECONDS + 60)
        gone_at = len(load.seconds)
        plan = await_plan(calm, "Finished")
        time.sleep(REREAD_SECONDS + PASSES_SECONDS)
        everything = load.stop()

    before, during, after = (
        summarise(load.seconds[first:last])
        for first, last in (
            (set_at - WINDOW_SECONDS, set_at),
            (set_at + REREAD_SECONDS, gone_at),
            (gone_at + REREAD_SECONDS, len(load.seconds)),
        )
    )

    status, measured = plan["status"], plan["status"]["measured"]
    print(f"{status['verdict']}: {status['verdictMessage']}")
    print(f"clients: before {before}, during {during}, after {after}")
    assert (status["verdict"], status["outcome"]) == ("RolledBack", "RolledBack")
    assert [step["state"] for step in status["steps"]] == ["Undone"]
    assert status["approval"].startswith("automatic"), "nobody was asked"
    assert measured["after"]["meanMicroseconds"] > 1.2 * measured["before"]["meanMicroseconds"]
    assert means_in_words(plan) in status["verdictMessage"]
    assert before.p50_ms is not None
    assert during.p50_ms is not None
    assert after.p50_ms is not None
    assert during.p50_ms > 2 * before.p50_ms, "the clients saw the harm"
    assert after.p50_ms < 1.5 * before.p50_ms, "and saw it end"
    assert lost_searches(everything) == 0
    assert calm.settings() == {}, "the key was absent before"
    assert len(calm.plans("main")) == 1, "what was rolled back is not proposed again at once"
    assert setting(calm)["state"] == "NotApplied"
    assert "rolled back at" in setting(calm)["message"]
    assert calm.status("main")["history"][-1]["verdict"] == "RolledBack"


def test_the_same_under_half_the_load_says_nothing_and_is_kept(calm: World) -> None:
    with steady_load(calm) as load:
        time.sleep(WINDOW_SECONDS + SETTLE_SECONDS)
        calm.tune("main", declaring(0))
        await_setting(calm, "0")
        load.set_rate(STEADY / 2 * calm.capacity_qps)
        plan = await_plan(calm, "Finished", seconds=WINDOW_SECONDS + SETTLE_SECONDS + 60)
        time.sleep(PASSES_SECONDS)

    status, measured = plan["status"], plan["status"]["measured"]
    print(f"{status['verdict']}: {status['verdictMessage']}")
    assert status["verdict"] == "Inconclusive"
    assert "load" in status["verdictMessage"]
    assert means_in_words(plan) in status["verdictMessage"]
    assert measured["after"]["searchesPerMinute"] < 0.65 * measured["before"]["searchesPerMinute"]
    assert calm.settings() == {KEY: "0"}, "kept"
    assert setting(calm)["state"] == "Effective"
    assert len(calm.plans("main")) == 1
    calm.untune()
    assert calm.settings() == {}, "and handed back with the policy"


def test_a_plan_waits_for_a_word_runs_as_approved_and_does_nothing_when_rejected(calm: World) -> None:
    calm.tune("main", declaring(HARMLESS, mode="Propose"))
    proposed = await_plan(calm, "Proposed")
    time.sleep(PASSES_SECONDS)
    assert calm.settings() == {}, "nothing is written for a plan that waits"
    assert await_plan(calm, "Proposed")["spec"] == proposed["spec"]

    calm.vote(proposed, "Approved")
    await_setting(calm, str(HARMLESS))
    approved = await_plan(calm, "Finished", seconds=WINDOW_SECONDS + SETTLE_SECONDS + 60)
    assert approved["spec"]["change"] == proposed["spec"]["change"]
    assert _actions(approved["status"]["steps"]) == _actions(proposed["spec"]["change"]["steps"])
    assert approved["status"]["verdict"] == "Inconclusive", "no searches, nothing to judge by"
    assert calm.settings() == {KEY: str(HARMLESS)}

    calm.tune("main", declaring(OTHER, mode="Propose"))
    second = await_plan(calm, "Proposed", count=2)
    assert _actions(second["spec"]["change"]["steps"]) == [{"key": "common.gracefultime", "value": str(OTHER)}]
    calm.vote(second, "Rejected")
    rejected = await_plan(calm, "Finished", count=2)
    time.sleep(PASSES_SECONDS)
    assert rejected["status"]["verdict"] == "Rejected"
    assert "steps" not in rejected["status"], "no step was begun"
    assert calm.settings() == {KEY: str(HARMLESS)}
    assert len(calm.plans("main")) == 2, "what was turned down is not proposed again at once"


def _actions(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step["action"] for step in steps]
