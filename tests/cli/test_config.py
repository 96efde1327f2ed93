"""`config lint` and `config diff`: the three forms of a file, lines, exit codes and what scripts read."""

import json
from pathlib import Path

import pytest
import yaml

from milvus_tuning.__main__ import main
from milvus_tuning.cli import EXIT_FAILURE, EXIT_OK, EXIT_TO_DO, EXIT_USAGE

PLAIN = "queryCoord:\n  autoBalance: true\n  autoBalence: true\n"
VALUES = "image: {tag: v2.5.4}\nextraConfigFiles:\n  user.yaml: |+\n    queryCoord:\n      autoBalence: true\n"
RESOURCE = (
    "apiVersion: milvus.io/v1beta1\nkind: Milvus\nmetadata: {name: a}\n"
    "spec:\n  config:\n    queryCoord:\n      autoBalence: true\n"
)
FIELDS = {"key", "state", "reason", "suggestion", "since", "removed", "file", "line"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lint(*arguments: str) -> int:
    return main(["config", "lint", "--milvus-version", "2.5.4", *arguments])


@pytest.mark.parametrize(("text", "line"), [(PLAIN, 3), (VALUES, 5), (RESOURCE, 7)], ids=["plain", "helm", "resource"])
@pytest.mark.parametrize("output", ["json", "yaml"])
def test_each_form_is_found_out_and_each_key_has_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, line: int, output: str
) -> None:
    (folder / "a.yaml").write_text(text)
    assert lint("-o", output, "a.yaml") == EXIT_FAILURE
    out = capsys.readouterr().out
    found = json.loads(out) if output == "json" else yaml.safe_load(out)
    [wrong] = [entry for entry in found if entry["state"] == "unknown"]
    assert set(wrong) == FIELDS
    assert (wrong["key"], wrong["suggestion"]) == ("queryCoord.autoBalence", "queryCoord.autoBalance")
    assert (wrong["file"], wrong["line"]) == ("a.yaml", line)


@pytest.mark.parametrize(
    "text",
    ["queryCoord: {autoBalance: false}\n", "", "# nothing\n", "extraConfigFiles: {}\n", "kind: Milvus\nspec: {}\n"],
)
def test_where_nothing_is_wrong_the_code_is_0(folder: Path, text: str) -> None:
    (folder / "a.yaml").write_text(text)
    assert lint("a.yaml") == EXIT_OK


def test_the_table_has_what_is_wrong_and_with_all_the_rest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text(PLAIN)
    (folder / "b.yaml").write_text("mq: {type: kafka}\n")
    assert lint("a.yaml", "b.yaml") == EXIT_FAILURE
    short = capsys.readouterr().out
    assert "a.yaml:3" in short
    assert "b.yaml:1" in short
    assert "3 keys for Milvus 2.5.4: 1 managed, 1 unknown, 1 ok" in short
    assert "live" not in short
    lint("--all", "a.yaml", "b.yaml")
    assert "live" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  b: [1\nc: 2\n", "a.yaml:3: not YAML: "),
        ("port: {{ port }}x: 1\n", "a.yaml:1: not YAML: "),
        ("- 1\n", "a.yaml:1: a mapping of keys is expected"),
        ("extraConfigFiles:\n  user.yaml: |\n    a:\n      b: [1\n    c: 2\n", "a.yaml:5: not YAML: "),
        (None, "cannot read a.yaml"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_line(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    if text is not None:
        (folder / "a.yaml").write_text(text)
    assert lint("a.yaml") == EXIT_FAILURE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["lint", "a.yaml"], ["lint", "--milvus-version", "2.5.4"], ["diff", "a.yaml"], []]
)
def test_wrong_usage_is_64(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["config", *arguments])
    assert caught.value.code == EXIT_USAGE


def test_an_unknown_version_is_said_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text(PLAIN)
    assert main(["config", "lint", "--milvus-version", "2.2.9", "a.yaml"]) == EXIT_FAILURE
    assert "2.2.9 is not in the catalogue, which has 2.3 to 2.6" in capsys.readouterr().err


def diff(folder: Path, before: str, after: str, *arguments: str) -> int:
    (folder / "a.yaml").write_text(before)
    (folder / "b.yaml").write_text(after)
    return main(["config", "diff", "--milvus-version", "2.5.4", *arguments, "a.yaml", "b.yaml"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PLAIN, PLAIN),
        ("", "queryCoord: {autoBalance: true}\n"),  # the default, written out
        ("queryCoord: {autoBalance: 't'}\n", "querycoord: {auto_balance: true}\n"),
        (VALUES, RESOURCE),
    ],
)
def test_the_same_in_effect_is_0(folder: Path, before: str, after: str) -> None:
    assert diff(folder, before, after) == EXIT_OK


def test_a_difference_is_2_with_how_it_comes_into_force(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = "queryCoord: {autoBalance: false}\ngrpc: {client: {compressionEnabled: true}}\n"
    assert diff(folder, "queryCoord: {autoBalance: true}\n", after, "-o", "json") == EXIT_TO_DO
    found = {entry.pop("key"): entry for entry in json.loads(capsys.readouterr().out)}
    assert sorted(found) == ["grpc.client.compressionEnabled", "queryCoord.autoBalance"]
    assert found["queryCoord.autoBalance"] | {"reason": ""} == {
        "before": "true",
        "after": "false",
        "state": "ok",
        "component": None,
        "reason": "",
    }
    compression = found["grpc.client.compressionEnabled"]
    assert (compression["before"], compression["state"], compression["component"]) == (
        None,
        "restart",
        "every component",
    )
    assert diff(folder, "", after) == EXIT_TO_DO
    assert "(default)" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_1(folder: Path) -> None:
    assert diff(folder, "a: [", "") == EXIT_FAILURE
