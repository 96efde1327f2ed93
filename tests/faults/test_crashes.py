"""A crash at any outside write of any kind of step changes neither the end nor the number of effects.

For each kind of step the change is run without a fault first. Then it is run again for each of its outside writes and
each moment to die (proxy.py), with the operator as a process that is killed for good and started anew. The end is
that of the undisturbed run: objects, keys, records, outcome, and how often each of them was changed, counted by the API
server's audit log, the Deployment's generation and etcd's history. What goes wrong without a crash: test_trouble.py.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from kubernetes.client import AppsV1Api
from kubernetes.config import new_client_from_config

from milvus_tuning.api import FIELD_MANAGER
from milvus_tuning.apply.context import APPLY_PATCH
from milvus_tuning.catalogue import config_key
from milvus_tuning.clients.etcd import Put
from tests.faults.ending import OVER
from tests.faults.harness import Case
from tests.faults.judgement import USER_AGENT
from tests.faults.processes import Command
from tests.faults.proxy import CRASHES, Fault, Kind, Script
from tests.faults.stage import Meddle, Stage
from tests.faults.stories import STORIES, TOLERANCE

pytestmark = pytest.mark.integration
SHORTEST_WINDOW = {"windowSeconds": 10, "settleSeconds": 0}
VERDICTS_AT_ONCE = len(STORIES) // 2  # two rounds; most of it is the wait for the end of the window

every_story = pytest.mark.parametrize("name", STORIES)


@every_story
def test_undisturbed_each_effect_happens_once(stage: Stage, name: str) -> None:
    story = STORIES[name]

    case, end = stage.undisturbed(name)

    assert [(one.outcome, one.steps) for one in end.endings] == [
        ("Completed", tuple((step, "Done") for step in story.steps))
    ]
    assert dict(end.effects) == story.effects
    assert len(case.play.writes(Kind.OUTSIDE)) == story.writes, case.told()


@every_story
def test_a_crash_at_any_outside_write_changes_nothing(stage: Stage, name: str) -> None:
    writes = range(1, STORIES[name].writes + 1)
    scripts = [Script(fault=point, at=write) for write in writes for point in CRASHES]

    assert stage.differences(name, scripts) == []


@pytest.mark.parametrize("name", ["scale out", "take placement"])
def test_a_crash_before_any_write_of_the_plan_changes_nothing(stage: Stage, name: str) -> None:
    calm, _ = stage.undisturbed(name)
    writes = range(1, len(calm.play.writes(Kind.PLAN)) + 1)

    assert stage.differences(name, [Script(fault=Fault.BEFORE_SENT, at=one, kind=Kind.PLAN) for one in writes]) == []


def test_a_crash_does_not_keep_a_plan_from_its_verdict(stage: Stage) -> None:
    stories = [replace(story, spec={**story.spec, "verification": SHORTEST_WINDOW}) for story in STORIES.values()]
    scripts = [Script(fault=Fault.BEFORE_RECORD, at=story.writes) for story in stories]

    with ThreadPoolExecutor(VERDICTS_AT_ONCE) as executor:
        ends = [end for _, end in executor.map(lambda *case: stage.end(*case, until=OVER), stories, scripts)]

    found = [(one.phase, one.outcome, one.verdict, one.held, one.remembered) for end in ends for one in end.endings]
    assert found == [("Finished", "Completed", "Inconclusive", False, 1)] * len(STORIES)


def test_the_command_itself_goes_on_after_a_crash(stage: Stage) -> None:
    script = Script(fault=Fault.REPLY_LOST, at=1)

    case, end = stage.end(STORIES["scale out"], script, starter=Command())

    assert case.starts == 2
    assert end == stage.undisturbed("scale out")[1]


def apply_the_count_again(case: Case) -> None:
    """A second write of the same count, which the object does not even show."""
    name, count = case.release.deployment_path.rpartition("/")[2], case.release.count
    again = new_client_from_config(config_file=str(case.servers.kubeconfig))  # type: ignore[no-untyped-call]
    again.user_agent = f"{USER_AGENT}operator"
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name}, "spec": {"replicas": count}}
    AppsV1Api(again).patch_namespaced_deployment_scale(
        name, case.namespace, body, field_manager=FIELD_MANAGER, force=True, _content_type=APPLY_PATCH
    )


def scale_back_and_forth(case: Case) -> None:
    """The count leaves its place and comes back."""
    count = case.release.count
    for wanted in (count + 1, count):
        patch = {"spec": {"replicas": wanted}}
        case.api.call("PATCH", case.release.deployment_path, patch)


def put_the_key_again(case: Case) -> None:
    """A second write of the same value."""
    path = config_key(case.root_path, TOLERANCE)
    found = case.etcd.get(path)
    assert found is not None
    case.etcd.transaction(compare=[], then=[Put(key=path, value=found.value)])


@pytest.mark.parametrize(
    ("name", "meddle", "effect", "count"),
    [
        pytest.param(
            "scale out", apply_the_count_again, "patch deployments/scale", 2, id="the same count, applied again"
        ),
        pytest.param("scale out", scale_back_and_forth, "Deployment spec", 3, id="another count in between"),
        pytest.param(
            "set a key", put_the_key_again, f"etcd {config_key('', TOLERANCE)}", 2, id="the same value, put again"
        ),
    ],
)
def test_a_write_that_is_made_twice_is_seen(stage: Stage, name: str, meddle: Meddle, effect: str, count: int) -> None:
    _, calm = stage.undisturbed(name)

    _, end = stage.end(STORIES[name], meddle=meddle)

    assert end != calm
    assert end == replace(calm, effects={**calm.effects, effect.replace(" /", " "): count})
