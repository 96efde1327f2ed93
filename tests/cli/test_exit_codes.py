"""Exit codes and the line on stderr: what a script goes by. The API server is a scripted one on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from milvus_tuning.__main__ import main
from milvus_tuning.cli import EXIT_FAILURE, EXIT_OK, EXIT_TO_DO, EXIT_USAGE, program_name
from tests.cli.conftest import NAMESPACE, REVIEW, ApiServer
from tests.cli.objects import Object, a_decision, a_hot_policy, a_plan, a_policy

LATER = "2126-01-05T12:00:00Z"

STEADY = a_policy(decision=a_decision("Steady"))
WISHING = a_policy(name="wishing", mode="Observe")
OPEN, FINISHED = a_plan(phase="Proposed", expires=LATER), a_plan(phase="Finished", verdict="Kept")


Case = tuple[list[Object], list[Object], list[str], int]
"""Policies, plans, what is asked for, and the exit code."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(([STEADY], [], [], EXIT_OK), id="nothing to do"),
        pytest.param(([STEADY], [FINISHED], [], EXIT_OK), id="a finished plan is nothing to do"),
        pytest.param(([STEADY], [OPEN], [], EXIT_TO_DO), id="an open plan"),
        pytest.param(([STEADY, WISHING], [], [], EXIT_TO_DO), id="one of two policies wishes"),
        pytest.param(([STEADY, WISHING], [], ["rag"], EXIT_OK), id="the other is asked about"),
        pytest.param(([STEADY, WISHING], [], ["wishing"], EXIT_TO_DO), id="this one is asked about"),
        pytest.param(([], [], [], EXIT_OK), id="no policy at all"),
        pytest.param(([STEADY], [], ["missing"], EXIT_FAILURE), id="a policy that is not there"),
    ],
)
@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_plan_exits_with(
    api: ApiServer,
    here: list[str],
    case: Case,
    output: str,
) -> None:
    policies, plans, arguments, code = case
    api.holds(policies, plans)
    assert main(["plan", *arguments, *here, "-o", output]) == code


@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_read_the_same_in_json_and_yaml(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str], output: str, load: Any
) -> None:
    api.holds([STEADY, WISHING], [OPEN])
    main(["plan", *here, "-o", output])
    document = load(capsys.readouterr().out)
    assert [(entry["name"], entry["somethingToDo"]) for entry in document["policies"]] == [
        ("rag", True),
        ("wishing", True),
    ]
    assert document["policies"][0]["plan"] == {"name": "rag-0123456789", "spec": OPEN["spec"], "status": OPEN["status"]}


def test_the_current_context_counts_where_none_is_named(
    api: ApiServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = kubeconfig.read_text()
    api.answers["/apis/milvustuning.io/v1alpha1/namespaces/elsewhere/milvustunings"] = {"items": []}
    assert main(["plan", "--kubeconfig", str(kubeconfig)]) == EXIT_OK
    assert capsys.readouterr().out == "no MilvusTuning in namespace elsewhere\n"
    assert kubeconfig.read_text() == before


def test_the_commands_to_copy_go_to_the_same_cluster(
    api: ApiServer, here: list[str], kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.holds([STEADY], [OPEN])
    main(["plan", *here])
    line = f"approve rag-0123456789 -n milvus --context work --kubeconfig {kubeconfig}\n"
    assert f"milvus-tuning {line}" in capsys.readouterr().out


def test_a_vote_is_written_on_exactly_the_plan_that_was_read(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    api.holds([STEADY], [OPEN])
    assert main(["approve", "rag-0123456789", "--reason", "seen", *here]) == EXIT_OK
    approval = {"decision": "Approved", "by": "jane", "reason": "seen"}
    assert api.patches == [{"metadata": {"resourceVersion": "41"}, "spec": {"approval": approval}}]
    assert capsys.readouterr().out.startswith("plan rag-0123456789: Approved by jane: seen\nnext: the operator checks")


def test_where_the_api_server_does_not_say_who_we_are_the_vote_does_not_either(api: ApiServer, here: list[str]) -> None:
    api.holds([STEADY], [OPEN])
    del api.answers[REVIEW]
    assert main(["reject", "rag-0123456789", *here]) == EXIT_OK
    assert api.patches[0]["spec"]["approval"] == {"decision": "Rejected", "by": None, "reason": None}


@pytest.mark.parametrize(
    ("conflicts", "code"), [pytest.param(4, EXIT_OK, id="four times"), pytest.param(5, EXIT_FAILURE, id="for ever")]
)
def test_a_plan_that_was_written_meanwhile_is_read_and_judged_again(
    api: ApiServer, here: list[str], conflicts: int, code: int
) -> None:
    api.holds([STEADY], [OPEN])
    api.conflicts = conflicts
    assert main(["cancel", "rag-0123456789", *here]) == code
    assert len(api.patches) == (1 if code == EXIT_OK else 0)


def test_a_vote_that_is_cast_already_is_fine(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    api.holds([STEADY], [a_plan(phase="Proposed", expires=LATER, approval={"decision": "Approved", "by": "joe"})])
    assert main(["approve", "rag-0123456789", *here]) == EXIT_OK
    assert capsys.readouterr().out == "plan rag-0123456789 is so already: Approved by joe\n"
    assert api.patches == []


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        pytest.param(
            (403, {"message": "user jane\ncannot get it"}),
            "milvus-tuning: cannot read MilvusTuningPlan milvus/p: user jane cannot get it\n",
            id="no right",
        ),
        pytest.param(
            (404, "404 page not found"),
            "milvus-tuning: cannot read MilvusTuningPlan milvus/p: the API server does not know "
            "milvustuning.io/v1alpha1: the CustomResourceDefinitions are not installed\n",
            id="not installed",
        ),
        pytest.param(
            (503, ""), "milvus-tuning: cannot read MilvusTuningPlan milvus/p: 503 Service Unavailable\n", id="down"
        ),
        pytest.param(
            a_plan(name="p", phase="Finished", verdict="Kept"),
            "milvus-tuning: cannot approve plan p: it is finished (Kept)\n",
            id="finished",
        ),
    ],
)
def test_a_failure_is_one_line(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str], answer: Any, line: str
) -> None:
    api.answers[f"{NAMESPACE}/milvustuningplans/p"] = answer
    assert main(["approve", "p", *here]) == EXIT_FAILURE
    assert capsys.readouterr() == ("", line)


def test_without_an_api_server_the_failure_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--kubeconfig", str(tmp_path / "none")]) == EXIT_FAILURE
    out, line = capsys.readouterr()
    assert out == ""
    assert line.startswith(f"milvus-tuning: cannot use the kubeconfig {tmp_path / 'none'}: ")
    assert line.count("\n") == 1


def test_a_plan_of_another_policy_is_not_explained(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    api.holds([STEADY, WISHING], [OPEN])
    assert main(["explain", "wishing", "--plan", "rag-0123456789", *here]) == EXIT_FAILURE
    line = "milvus-tuning: plan rag-0123456789 was made for the policy rag, not for wishing\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("command", ["explain", "history"])
@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_reading_exits_with_0_also_where_there_is_something_to_do(
    api: ApiServer, here: list[str], command: str, output: str
) -> None:
    api.holds([WISHING], [])
    assert main([command, "wishing", *here, "-o", output]) == EXIT_OK


@pytest.mark.parametrize("arguments", [["rag"], [], ["-o", "json"], ["-o", "yaml"]], ids=" ".join)
@pytest.mark.parametrize("subject", ["nodes", "collections", "segments"])
def test_top_shows_what_is_hot(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str], subject: str, arguments: list[str]
) -> None:
    api.holds([a_hot_policy()], [])
    assert main(["top", subject, *arguments, *here]) == EXIT_OK
    assert "7vb4m" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        pytest.param([STEADY], "the heat of milvus/rag is not estimated: declare ", id="no heat"),
        pytest.param([STEADY, WISHING], "which one? MilvusTunings in namespace milvus: rag, wishing", id="two"),
        pytest.param([], "no MilvusTuning in namespace milvus", id="none"),
    ],
)
def test_top_without_an_answer_fails_with_a_line(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str], policies: list[Object], said: str
) -> None:
    api.holds(policies, [])
    assert main(["top", "segments", *here]) == EXIT_FAILURE
    out, line = capsys.readouterr()
    assert (out, line.count("\n")) == ("", 1)
    assert line.startswith(f"milvus-tuning: {said}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--no-such-option"],
        ["approve"],
        ["plan", "-o", "xml"],
        ["no-such-command"],
        [],
        ["simulate"],
        ["top"],
        ["top", "pods"],
    ],
    ids=" ".join,
)
def test_wrong_usage_never_looks_like_something_to_do(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == EXIT_USAGE
    assert capsys.readouterr().err.startswith("usage: ")


@pytest.mark.parametrize(
    ("called_as", "program"),
    [
        ("/usr/bin/milvus-tuning", "milvus-tuning"),
        ("/usr/bin/kubectl-milvus_tuning", "kubectl milvus-tuning"),
        ("milvus_tuning/__main__.py", "milvus-tuning"),
    ],
)
def test_goes_by_the_name_that_it_was_called(called_as: str, program: str) -> None:
    assert program_name(called_as) == program
