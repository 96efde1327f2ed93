"""`rebalance plan`: what it prints, how it ends, and what it says of a file that is wrong."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from milvus_tuning.__main__ import main
from milvus_tuning.cli import EXIT_FAILURE, EXIT_OK, EXIT_TO_DO, EXIT_USAGE
from milvus_tuning.decide.rebalancing import Cluster, Refusal
from tests.rebalancing.planning import a_cluster

TO_DO = a_cluster(
    [{"id": 11}, {"id": 12}, {"id": "spare", "cordoned": True}],
    [
        {"id": 449, "heat": 6, "node": 11, "memory_bytes": 2**26},
        {"id": 450, "heat": 4, "node": 11, "memory_bytes": 2**26},
        {"id": 451, "heat": 3, "node": 11, "memory_bytes": 2**26},
    ],
)
for _node in TO_DO["nodes"]:
    _node["memory_bytes"] = 2**30
DONE = a_cluster([{}, {}], [{"heat": 5}, {"heat": 5, "node": 2}])

DOCUMENT = {
    "moves": [{"segment": 449, "source": 11, "destination": 12}],
    "before": {"max_load": 13.0, "mean_load": pytest.approx(13 / 3), "imbalance_ratio": pytest.approx(2.0)},
    "after": {"max_load": 7.0, "mean_load": pytest.approx(13 / 3), "imbalance_ratio": pytest.approx(8 / 13)},
    "lower_bound": 6.0,
    "moved_bytes": 2**26,
    "truncated": False,
    "rejected": [
        {"segment": 450, "destination": "spare", "reason": "DestinationCordoned"},
        {"segment": 451, "destination": "spare", "reason": "DestinationCordoned"},
    ],
    "groups": [
        {
            "resource_group": "__default_resource_group",
            "nodes": [11, 12, "spare"],
            "before": {"max_load": 13.0, "mean_load": pytest.approx(13 / 3), "imbalance_ratio": pytest.approx(2.0)},
            "after": {"max_load": 7.0, "mean_load": pytest.approx(13 / 3), "imbalance_ratio": pytest.approx(8 / 13)},
            "lower_bound": 6.0,
            "moves": 1,
        }
    ],
}
TABLE = """\
before     maximum load 13, mean 4.33333, imbalance 200.0 %
after      maximum load 7, mean 4.33333, imbalance 61.5 %
possible   no placement has a lower maximum than 6
moves      1 move, 64 MiB
took       TIME s to plan, TIME s to read

SEGMENT   SOURCE   DESTINATION
449       11       12

not moved
  SEGMENT   DESTINATION   REASON
  450       spare         DestinationCordoned
  451       spare         DestinationCordoned
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cluster.json"


def run(file: Path, content: Any, *options: str) -> int:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return main(["rebalance", "plan", "--input", str(file), *options])


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
@pytest.mark.parametrize(
    ("document", "code"),
    [pytest.param(TO_DO, EXIT_TO_DO, id="something to do"), pytest.param(DONE, EXIT_OK, id="nothing to do")],
)
def test_exits_with(file: Path, document: Any, code: int, output: str) -> None:
    assert run(file, document, "-o", output) == code


@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_prints_for_programs(file: Path, capsys: pytest.CaptureFixture[str], output: str, load: Any) -> None:
    run(file, TO_DO, "-o", output)
    printed = load(capsys.readouterr().out)
    assert printed.pop("seconds") > 0
    assert printed.pop("reading_seconds") > 0
    assert printed == DOCUMENT


def test_prints_for_people(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(file, TO_DO)
    assert re.sub(r"\d+\.\d{3} s", "TIME s", capsys.readouterr().out) == TABLE


def test_says_that_nothing_is_worth_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(file, DONE)
    assert "moves      none: no better placement is worth its moves\n" in capsys.readouterr().out


def test_reads_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(TO_DO).encode())))
    assert main(["rebalance", "plan", "--input", "-", "-o", "json"]) == EXIT_TO_DO
    assert json.loads(capsys.readouterr().out)["moves"] == DOCUMENT["moves"]


def test_a_time_budget_that_is_over_at_once_is_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget = {"limits": {"memory_ceiling_ratio": 1.0, "time_budget_seconds": 1e-9}}
    assert run(file, {**TO_DO, **budget}) == EXIT_OK
    assert "the search was cut off, this is the best so far" in " ".join(capsys.readouterr().out.split())


def changed(change: Any) -> Any:
    document = json.loads(json.dumps(TO_DO))
    change(document)
    return document


WRITE_IT_SO = "add it there, or write its id in the same way (a number and a text are different)"
REPLICA = {"id": 7, "collection": "c", "nodes": [11, 12]}
FLIGHT = {"segment": 449, "source": 11, "destination": 12}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("{", "Invalid JSON: EOF while parsing an object at line 1 column 1", id="no JSON"),
        pytest.param({"nodes": []}, "segments: Field required: add it", id="a list is missing"),
        pytest.param(
            changed(lambda one: one["segments"][1].pop("heat")),
            "segments[1].heat: Field required: add it",
            id="a field",
        ),
        pytest.param(
            changed(lambda one: one["nodes"][2].update(cordonned=True)),
            "nodes[2].cordonned: Unexpected keyword argument: remove it, or correct its spelling",
            id="a misspelt field",
        ),
        pytest.param(
            changed(lambda one: one["nodes"][0].update(cpu=0)),
            "nodes[0].cpu: Input should be greater than 0",
            id="a value that cannot be",
        ),
        pytest.param(
            changed(lambda one: one["segments"][0].update(node=1.5)),
            "segments[0].node: Input should be a valid integer, got a number with a fractional part",
            id="a wrong type",
        ),
        pytest.param(
            changed(lambda one: one["segments"][2].update(node="11")),
            "segments[2].node: there is no node '11' in nodes; " + WRITE_IT_SO,
            id="an unknown node",
        ),
        pytest.param(
            changed(lambda one: one["nodes"][1].update(id=11)),
            "nodes[1].id: 11 is there twice; give each its own id",
            id="a node twice",
        ),
        pytest.param(
            changed(lambda one: one["segments"][2].update(id=449)),
            "segments[2].id: 449 is there twice in one replica (first as segments[0]); list one copy for each replica, "
            "and a move that is under way in in_flight",
            id="a segment twice",
        ),
        pytest.param(
            changed(lambda one: one["segments"][0].update(replica=7)),
            "segments[0].replica: 7 is not the replica of its node (None); leave it out, or list the replicas with "
            "their nodes under replicas",
            id="another replica than its node's",
        ),
        pytest.param(
            {**TO_DO, "replicas": [{**REPLICA, "collection": "d"}]},
            "segments[0]: no replica of the collection 'c' has the node 11; name the segment's replica, or list the "
            "replica under replicas",
            id="a collection without a replica",
        ),
        pytest.param(
            {**changed(lambda one: one["segments"][0].update(replica=8)), "replicas": [REPLICA]},
            "segments[0].replica: the collection 'c' has no replica 8 in replicas; list it there",
            id="an unknown replica",
        ),
        pytest.param(
            {**TO_DO, "replicas": [REPLICA, {**REPLICA, "id": 8}]},
            "replicas[1].nodes[0]: node 11 is in another replica of collection 'c' already, and Milvus gives a node to "
            "one replica of a collection; remove it from one of the two",
            id="replicas that overlap",
        ),
        pytest.param(
            {**TO_DO, "replicas": [REPLICA, REPLICA]},
            "replicas[1].id: 7 is there twice for this collection; remove one",
            id="a replica twice",
        ),
        pytest.param(
            {**TO_DO, "replicas": [{**REPLICA, "nodes": [11, 99]}]},
            "replicas[0].nodes[1]: there is no node 99 in nodes; " + WRITE_IT_SO,
            id="a replica's unknown node",
        ),
        pytest.param(
            {**TO_DO, "leaders": [{"node": 9, "load": 1}]},
            "leaders[0].node: there is no node 9 in nodes; " + WRITE_IT_SO,
            id="a leader on an unknown node",
        ),
        pytest.param(
            {**TO_DO, "in_flight": [{**FLIGHT, "segment": 5}]},
            "in_flight[0].segment: 5 is neither on 11 nor on 12; list the segment on its source, or leave the move out",
            id="in flight from nowhere",
        ),
        pytest.param(
            {**TO_DO, "replicas": [REPLICA], "in_flight": [{**FLIGHT, "destination": "spare"}]},
            "in_flight[0].destination: 'spare' is no node of the segment's replica in its resource group; correct the "
            "replica or leave the move out",
            id="in flight out of its replica",
        ),
    ],
)
def test_says_what_is_wrong_where_and_how_to_mend_it(
    file: Path, capsys: pytest.CaptureFixture[str], content: Any, said: str
) -> None:
    assert run(file, content) == EXIT_FAILURE
    out, line = capsys.readouterr()
    assert out == ""
    assert said in line
    assert line.startswith("milvus-tuning: ")
    assert line.count("\n") == 1


def test_the_same_file_without_the_faults_is_fine(file: Path) -> None:
    """The control of the table above."""
    others = {"replicas": [REPLICA], "leaders": [{"node": 11, "load": 1}], "in_flight": [FLIGHT]}
    assert run(file, {**TO_DO, **others}) in {EXIT_OK, EXIT_TO_DO}


def test_many_faults_are_counted(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(file, {"nodes": [{}] * 4, "segments": []})
    assert capsys.readouterr().err.endswith("; and 7 more\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rebalance", "plan", "--input", str(tmp_path / "none.json")]) == EXIT_FAILURE
    assert (
        capsys.readouterr().err == f"milvus-tuning: cannot read {tmp_path / 'none.json'}: No such file or directory\n"
    )


@pytest.mark.parametrize("arguments", [["rebalance"], ["rebalance", "plan"], ["rebalance", "plan", "--inputs", "x"]])
def test_wrong_usage_ends_with_64(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == EXIT_USAGE


PAGE = Path(__file__).parents[2] / "docs" / "rebalancing.md"


@pytest.mark.parametrize(("options", "number"), [([], 1), (["--row-neutral"], 2)], ids=["free", "row-neutral"])
def test_the_example_of_the_page_is_what_the_command_does(
    file: Path, capsys: pytest.CaptureFixture[str], options: list[str], number: int
) -> None:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    assert run(file, blocks[0], "-o", "json", *options) == EXIT_TO_DO
    printed = json.loads(capsys.readouterr().out)
    assert printed | {"seconds": 0, "reading_seconds": 0} == blocks[number] | {"seconds": 0, "reading_seconds": 0}


def test_the_page_names_every_field_and_every_reason() -> None:
    page = PAGE.read_text()
    cluster = TypeAdapter(Cluster).json_schema()
    fields = {name for of in (cluster, *cluster["$defs"].values()) for name in of["properties"]}
    answer = {*DOCUMENT, "seconds", "reading_seconds", "max_load", "mean_load", "imbalance_ratio"}
    assert [name for name in sorted(fields | answer) if not re.search(rf"`([a-z_]+(\[\])?\.)?{name}[\[`.]", page)] == []
    assert [refusal.value for refusal in Refusal if f"`{refusal.value}`" not in page] == []


def test_row_neutral_gives_pairs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    four = [{"heat": heat, "node": node, "rows": 9, "collection": str(node * heat)} for heat, node in ((5, 1), (4, 1))]
    cold = [{"heat": 1, "node": 2, "rows": 9, "collection": f"cold {at}"} for at in range(2)]
    assert run(file, a_cluster([{}, {}], four + cold), "--row-neutral", "-o", "json") == EXIT_TO_DO
    moves = json.loads(capsys.readouterr().out)["moves"]
    assert [(move["source"], move["destination"]) for move in moves] == [(1, 2), (2, 1)]
