"""The exit code of the command line is what CI goes by."""

from pathlib import Path

import pytest
import yaml

from milvus_tuning.__main__ import main
from milvus_tuning.cli import EXIT_FAILURE, EXIT_OK

SCENARIO = Path(__file__).parent.parent / "scenarios" / "only_observes_in_mode_observe.yaml"


@pytest.fixture
def disappointed(tmp_path: Path) -> Path:
    """A scenario that expects what does not come."""
    scenario = yaml.safe_load(SCENARIO.read_text())
    scenario["expect"]["final_count"] += 1
    path = tmp_path / "expects_too_much.yaml"
    path.write_text(yaml.safe_dump(scenario))
    return path


def test_simulate_succeeds_when_all_came_as_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(SCENARIO)]) == EXIT_OK
    assert "passed" in capsys.readouterr().out


def test_simulate_fails_when_one_of_several_did_not(disappointed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(SCENARIO), str(disappointed)]) == EXIT_FAILURE
    assert "FAILED: " in capsys.readouterr().out
