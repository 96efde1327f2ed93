"""Every scenario file is a claim; each is run through the real decision in virtual time."""

from pathlib import Path

import pytest

from milvus_tuning.simulate import run_scenario

SCENARIOS = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_ends_as_expected(path: Path) -> None:
    outcome = run_scenario(path)

    assert outcome.passed, str(outcome)


def test_a_scenario_runs_the_same_twice() -> None:
    path = Path(__file__).parent / "follows_the_load_up_and_down.yaml"

    assert run_scenario(path) == run_scenario(path)
