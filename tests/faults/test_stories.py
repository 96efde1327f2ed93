"""Each kind of step has a story that is interrupted."""

from milvus_tuning.plan import StepKind
from tests.faults.stories import STORIES


def test_every_kind_of_step_is_in_a_story() -> None:
    told = {step for story in STORIES.values() for step in story.steps}

    assert told == set(StepKind)
