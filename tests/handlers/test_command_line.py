"""The exit code of the command line is what CI goes by."""

import subprocess
import sys
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


def test_an_offline_command_loads_no_client(tmp_path: Path) -> None:
    """They are half of the time that it takes to start."""
    settings = tmp_path / "milvus.yaml"
    settings.write_text("queryCoord:\n  taskExecutionCap: 128\n", encoding="utf-8")
    program = (
        "import sys; from milvus_tuning.__main__ import main; "
        f"code = main(['config', 'lint', '--milvus-version', '2.4.5', {str(settings)!r}]); "
        "print(code, sorted({'kubernetes', 'pymilvus', 'grpc', 'kopf', 'pandas'} & set(sys.modules)))"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "0 []", ended.stderr
