"""`config status`: the settings as they stand, what is not effective in words, and the profile."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from milvus_tuning.__main__ import main
from milvus_tuning.cli import EXIT_FAILURE, EXIT_OK, EXIT_USAGE
from milvus_tuning.cli.config_status import document, render
from tests.cli.conftest import ApiServer
from tests.cli.objects import NOW, Object, a_policy

INTERVAL: Object = {
    "intent": "loadBalancing.balanceIntervalSeconds",
    "key": "queryCoord.autoBalanceInterval",
    "desired": "60000",
    "effective": "60000",
    "source": "etcd",
    "state": "Effective",
    "since": "2026-01-05T11:00:00Z",
    "message": "read at each balance check",
}
COMPRESSION: Object = {
    "intent": "network.compression",
    "key": "grpc.client.compressionEnabled",
    "desired": "true",
    "source": "file or default",
    "state": "PendingRestart",
    "component": "every component",
    "message": "waits for the window night",
}
TOLERANCE: Object = {
    "intent": "loadBalancing.balanceTolerancePercent",
    "state": "Unsupported",
    "message": "the key has no effect from 2.4.0 to 2.6.22; nearest: balanceIntervalSeconds",
}
PROFILE: Object = {
    "name": "RAG",
    "revision": 1,
    "newestRevision": 2,
    "message": "revision 2 is there; revision 1 of profile RAG is pinned",
    "goals": [
        {"goal": "objectives.searchesPerSecond", "wanted": "6500", "measured": "120", "state": "NotAskedFor"},
        {"goal": "availability", "wanted": "99.95", "state": "NotMeasured"},
    ],
    "proposed": [
        {"field": "network.compression", "value": "Enabled", "declared": "Enabled", "note": "costs CPU"},
        {"field": "inMemoryReplicas.minCount", "value": "2", "declared": "1", "note": ""},
        {"field": "storage.cache", "value": "20G", "note": "no key sets a size"},
    ],
}


def test_each_setting_is_a_row_and_what_is_not_effective_is_told_below() -> None:
    lines = render(a_policy(config=[INTERVAL, COMPRESSION, TOLERANCE]), NOW, 120)
    table = [line.split() for line in lines[2:6]]
    assert table == [
        ["INTENT", "KEY", "DESIRED", "EFFECTIVE", "SOURCE", "STATE", "SINCE"],
        [INTERVAL["intent"], INTERVAL["key"], "60000", "60000", "etcd", "Effective", "60m"],
        [COMPRESSION["intent"], COMPRESSION["key"], "true", "-", "file", "or", "default", "PendingRestart", "-"],
        [TOLERANCE["intent"], "-", "-", "-", "-", "Unsupported", "-"],
    ]
    assert lines[6:] == [
        "",
        "network.compression: PendingRestart (restart of every component): waits for the window night",
        "loadBalancing.balanceTolerancePercent: Unsupported: the key has no effect from 2.4.0 to 2.6.22; nearest:",
        "    balanceIntervalSeconds",
    ]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        pytest.param({}, "Nothing of Milvus's configuration is declared.", id="nothing declared"),
        pytest.param(None, "not seen by the operator yet", id="never seen"),
    ],
)
def test_where_there_is_nothing_to_show_it_says_so(status: Object | None, said: str) -> None:
    policy = a_policy()
    if status is None:
        del policy["status"]
    assert said in "\n".join(render(policy, NOW, 100))


def test_the_profile_shows_what_counts_and_from_where() -> None:
    lines = render(a_policy(profile=PROFILE), NOW, 160)
    after = lines[lines.index("profile RAG, revision 1: proposals, none of them in force by itself") + 1 :]
    assert [" ".join(line.split()) for line in after] == [
        "note revision 2 is there; revision 1 of profile RAG is pinned",
        "GOAL WANTED MEASURED STATE",
        "objectives.searchesPerSecond 6500 120 NotAskedFor",
        "availability 99.95 - NotMeasured",
        "",
        "FIELD VALUE FROM NOTE",
        "network.compression Enabled spec",
        "inMemoryReplicas.minCount 1 spec the profile proposes 2",
        "storage.cache 20G profile, not in force declare it to have it; no key sets a size",
    ]


def test_programs_read_the_settings_the_profile_and_what_counts() -> None:
    assert document(a_policy(config=[INTERVAL], profile=PROFILE)) == {
        "name": "rag",
        "config": [INTERVAL],
        "profile": PROFILE,
        "effective": [
            {"field": "network.compression", "value": "Enabled", "from": "Declared"},
            {"field": "inMemoryReplicas.minCount", "value": "1", "from": "Declared"},
            {"field": "storage.cache", "value": "20G", "from": "Profile"},
        ],
    }
    assert document(a_policy()) == {"name": "rag", "config": [], "profile": None, "effective": []}


@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_reading_exits_with_0_and_tells_programs_the_same(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str], output: str, load: Any
) -> None:
    policy = a_policy(config=[TOLERANCE], profile=PROFILE)
    api.holds([policy], [])
    assert main(["config", "status", "rag", *here, "-o", output]) == EXIT_OK
    assert load(capsys.readouterr().out) == document(policy)
    assert main(["config", "status", "rag", *here]) == EXIT_OK
    assert "the key has no effect" in capsys.readouterr().out


def test_a_policy_that_is_not_there_is_a_line(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    api.holds([], [])
    assert main(["config", "status", "rag", *here]) == EXIT_FAILURE
    out, line = capsys.readouterr()
    assert (out, line.count("\n")) == ("", 1)
    assert line.startswith("milvus-tuning: cannot read MilvusTuning milvus/rag: ")


@pytest.mark.parametrize("arguments", [["status"], ["status", "rag", "-o", "xml"], ["revert", "rag"], ["revert"]])
def test_wrong_usage_is_64(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["config", *arguments])
    assert ended.value.code == EXIT_USAGE
