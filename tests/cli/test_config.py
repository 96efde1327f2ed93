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
RENDERED = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  user.yaml: |-\n"
    "    queryCoord:\n      autoBalence: true\n---\nkind: Service\nspec: {ports: []}\n"
)
FIELDS = {"key", "state", "reason", "suggestion", "since", "removed", "file", "line"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def lint(*arguments: str) -> int:
    return main(["config", "lint", "--milvus-version", "2.5.4", *arguments])


@pytest.mark.parametrize(
    ("text", "line"),
    [(PLAIN, 3), (VALUES, 5), (RESOURCE, 7), (RENDERED, 7)],
    ids=["plain", "helm", "resource", "rendered"],
)
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
    [
        "queryCoord: {autoBalance: false}\n",
        "",
        "# nothing\n",
        "extraConfigFiles: {}\n",
        "cluster: {enabled: true}\nqueryNode: {replicas: 3}\n",  # Helm values without a word of Milvus's own
        "kind: Milvus\nspec: {}\n",
        f"{RESOURCE}---\n{RESOURCE}".replace("autoBalence: true", "autoBalance: true", 1).replace(
            "autoBalence: true", "autoBalance: false"
        ),  # two resources are two configurations, which may differ
    ],
)
def test_where_nothing_is_wrong_the_code_is_0(folder: Path, text: str) -> None:
    (folder / "a.yaml").write_text(text)
    assert lint("a.yaml") == EXIT_OK


def test_what_is_wrong_stands_in_the_order_of_the_files_and_what_is_the_installs_own_in_one(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    (folder / "a.yaml").write_text(f"mq: {{type: kafka}}\nkafka: {{brokerList: x}}\n{PLAIN}log: {{level: info}}\n")
    (folder / "b.yaml").write_text("queryCoord:\n  overloadedMemoryThresholdPercentage: 99\n")
    assert lint("a.yaml", "b.yaml") == EXIT_FAILURE
    assert capsys.readouterr().out == (
        "a.yaml:5   UNKNOWN   queryCoord.autoBalence: true\n"
        "    no key of 2.5.4\n"
        "    -> queryCoord.autoBalance\n"
        "b.yaml:2   RANGE     queryCoord.overloadedMemoryThresholdPercentage: 99\n"
        "    99 is out of range, 50 to 95 percent: higher, a load may end a QueryNode for want of memory;\n"
        "    lower, the others refuse what a lost node held\n"
        "    -> 90 is the default\n"
        "a.yaml:1   MANAGED   mq.type and 1 more\n"
        "    belongs to the install: which message queue there is, where, and the credentials for it; data in\n"
        "    the old one is lost on a change; change it there\n"
        "\n"
        "6 keys for Milvus 2.5.4: 2 managed, 1 range, 1 unknown, "
        "2 ok (1 of them not checked, for they are no known tuning keys)\n"
    )


def test_with_all_what_is_fine_is_shown_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text("queryCoord: {autoBalance: ''}\n")
    assert lint("a.yaml") == EXIT_OK
    assert capsys.readouterr().out == "1 key for Milvus 2.5.4: 1 ok\n"
    assert lint("--all", "a.yaml") == EXIT_OK
    assert capsys.readouterr().out == (
        'a.yaml:1   OK        queryCoord.autoBalance: ""\n    live\n\n1 key for Milvus 2.5.4: 1 ok\n'
    )


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


ENVIRONMENT = """\
cluster: {enabled: true}
extraEnv: [{name: MINIO_SECRETACCESSKEY, value: hidden}, {name: GODEBUG, value: x}]
queryNode:
  extraEnv:
    - {name: QUERYCOORD_AUTOBALENCE, value: "false"}
"""


def test_environment_variables_are_keys_and_no_password_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(ENVIRONMENT)
    assert lint("a.yaml") == EXIT_FAILURE
    printed = capsys.readouterr().out
    assert "a.yaml:2   MANAGED   MINIO_SECRETACCESSKEY\n" in printed
    assert "a.yaml:5   UNKNOWN   QUERYCOORD_AUTOBALENCE: false\n" in printed
    assert "-> QUERYCOORD_AUTOBALANCE\n" in printed
    assert "hidden" not in printed
    assert "2 keys for Milvus 2.5.4: 1 managed, 1 unknown" in printed


def diff(folder: Path, before: str, after: str, *arguments: str) -> int:
    (folder / "a.yaml").write_text(before)
    (folder / "b.yaml").write_text(after)
    return main(["config", "diff", "--milvus-version", "2.5.4", *arguments, "a.yaml", "b.yaml"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PLAIN, PLAIN),
        ("", "queryCoord: {autoBalance: true}\n"),  # the default, written out
        ("cluster: {enabled: true}\n", ENVIRONMENT),  # variables are of a component each, and are not compared
        ("queryCoord: {autoBalance: 't'}\n", "querycoord: {auto_balance: true}\n"),
        ("streaming: {txn: {defaultKeepaliveTimeout: 60s}}\n", "streaming: {txn: {defaultKeepaliveTimeout: 1m}}\n"),
        ("queryCoord: {globalRowCountFactor: 0.10}\n", ""),
        (VALUES, RESOURCE),
        (VALUES, RENDERED),
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
        "default": "true",
        "state": "ok",
        "component": None,
        "reason": "",
        "suggestion": None,
    }
    compression = found["grpc.client.compressionEnabled"]
    assert (compression["before"], compression["state"], compression["component"]) == (
        None,
        "restart",
        "every component",
    )


def test_for_people_a_difference_says_from_what_to_what_and_what_must_restart(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = "queryCoord: {autoBalance: true, balanceIntervalSeconds: 10}\n"
    after = "queryCoord: {autoBalance: false, autoBalence: 1}\ngrpc: {client: {compressionEnabled: true}}\n"
    assert diff(folder, before, after) == EXIT_TO_DO
    assert capsys.readouterr().out == (
        "grpc.client.compressionEnabled: false (default) -> true\n"
        "    RESTART, in force after a restart of every component; between components only, never towards clients\n"
        "queryCoord.autoBalance: true -> false\n"
        "    OK, live\n"
        "queryCoord.autoBalence: not set -> 1\n"
        "    UNKNOWN, no key of 2.5.4\n"
        "    -> queryCoord.autoBalance\n"
        "queryCoord.balanceIntervalSeconds: 10 -> 60 (default)\n"
        "    DEAD, declared, but no component reads it: left from the coordinator before 2.3\n"
        "    -> queryCoord.autoBalanceInterval\n"
        "\n"
        "4 keys differ in effect for Milvus 2.5.4; restart of every component\n"
    )


def test_what_a_change_breaks_together_with_a_default_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = "queryNode: {grpc: {serverMaxRecvSize: 67108864}}\n"
    assert diff(folder, "", after, "-o", "json") == EXIT_TO_DO
    [found] = json.loads(capsys.readouterr().out)
    assert (found["state"], found["default"]) == ("range", "268435456")
    assert "queryNode.grpc.clientMaxSendSize" in found["reason"]


def test_a_file_that_cannot_be_read_is_1(folder: Path) -> None:
    assert diff(folder, "a: [", "") == EXIT_FAILURE
