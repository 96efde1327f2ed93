import tempfile
from collections.abc import Iterator

import pytest

from tests.cluster import cli
from tests.cluster.errors import PreflightError


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("up", {"name": "dev", "command": "up", "bare": False}, id="the name has a default"),
        pytest.param("--name two up --bare", {"name": "two", "command": "up", "bare": True}, id="Kubernetes alone"),
        pytest.param("kubeconfig --print", {"name": "dev", "command": "kubeconfig", "content": True}, id="content"),
        pytest.param(
            "exec -- kubectl get pods -A",
            {"name": "dev", "command": "exec", "argv": ["kubectl", "get", "pods", "-A"]},
            id="options after the dashes belong to the command",
        ),
    ],
)
def test_a_command_line_is_read(line: str, expected: dict[str, object]) -> None:
    assert vars(cli.parser().parse_args(line.split())) == expected


@pytest.mark.parametrize("line", ["", "start", "exec", "up now"])
def test_a_wrong_command_line_ends_with_2(line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(line.split())
    assert ended.value.code == 2


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are too deep for sockets
        monkeypatch.setenv("XDG_CACHE_HOME", folder)
        yield


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("line", ["--name nobody kubeconfig", "--name nobody exec -- true"])
def test_a_cluster_that_is_not_up_says_how_to_start_it(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 1
    assert capsys.readouterr().err == "error: cluster nobody is not up; start it with --name nobody up\n"


@pytest.mark.usefixtures("empty_cache")
def test_the_status_of_a_cluster_that_is_not_there_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--name", "nobody", "status"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[-1] for line in lines[:-1]} == {"stopped"}
    assert lines[-1] == "cluster nobody is not healthy"


@pytest.mark.parametrize("command", ["up", "down", "prerequisites"])
def test_a_machine_that_is_not_able_is_told_in_one_line_with_code_2(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise PreflightError("The embedded cluster needs root (this is user 1000).")

    monkeypatch.setattr(cli, "require_able_machine", refuse)
    monkeypatch.setattr("tests.cluster.cluster.require_able_machine", refuse)
    assert cli.main(["--name", "nobody", command]) == 2
    assert capsys.readouterr().err == "The embedded cluster needs root (this is user 1000).\n"
