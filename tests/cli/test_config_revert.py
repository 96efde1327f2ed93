"""`config revert`: back to what was declared when a plan was made: shown, confirmed, guarded, never against a tool."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.__main__ import main
from milvus_tuning.cli import EXIT_FAILURE, EXIT_OK, EXIT_TO_DO
from milvus_tuning.cli.config_revert import Difference, declared_now, differences, managed_by, merge_patch, to_commit
from tests.cli.conftest import NAMESPACE, ApiServer
from tests.cli.objects import Object, a_plan, a_policy

PLAN = "rag-0123456789"
THEN: Object = {
    "loadBalancing": {"balanceIntervalSeconds": 60, "routing": "LeastLoaded"},
    "configOverrides": {"queryCoord.taskExecutionCap": "128"},
    "queryNodes": {"readConcurrencyPercent": 200},
}
NOW_DECLARED: Object = {
    "loadBalancing": {"balanceIntervalSeconds": 5, "balanceTolerancePercent": 10, "routing": "LeastLoaded"},
    "network": {"compression": "Enabled"},
    "queryNodes": {"minCount": 2, "maxCount": 6},
}
PATCH: Object = {
    "loadBalancing": {"balanceIntervalSeconds": 60, "balanceTolerancePercent": None},
    "network": None,
    "configOverrides": {"queryCoord.taskExecutionCap": "128"},
    "queryNodes": {"readConcurrencyPercent": 200},
}


def a_declaring_policy(spec: Object = NOW_DECLARED, **metadata: Any) -> Object:
    policy = a_policy()
    policy["spec"] |= copy.deepcopy(spec)
    policy["metadata"] |= {"resourceVersion": "77"} | metadata
    return policy


def a_plan_of_then(declared: Object | str | None = THEN, **changes: Any) -> Object:
    plan = a_plan(name=PLAN, **changes)
    if declared is not None:
        record = declared if isinstance(declared, str) else json.dumps(declared)
        plan["spec"]["change"]["declared"] = record
    return plan


# -- pure --------------------------------------------------------------------------------------------------------------


def test_differences_are_told_leaf_by_leaf_and_only_of_the_configuration() -> None:
    assert differences(declared_now(a_declaring_policy()), {"queryNodes": {}} | THEN) == [
        Difference(field='configOverrides["queryCoord.taskExecutionCap"]', now=None, then="128"),
        Difference(field="loadBalancing.balanceIntervalSeconds", now=5, then=60),
        Difference(field="loadBalancing.balanceTolerancePercent", now=10, then=None),
        Difference(field="network.compression", now="Enabled", then=None),
        Difference(field="queryNodes.readConcurrencyPercent", now=None, then=200),
    ]


@pytest.mark.parametrize(
    ("now", "then", "patch"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"network": {}}, {"network": {}}, {}, id="equal maps"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}, id="a field goes"),
        pytest.param({"a": {"b": 1}}, {}, {"a": None}, id="a block goes"),
        pytest.param({}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="a block comes"),
        pytest.param({"a": {"b": [1, 2]}}, {"a": {"b": [2]}}, {"a": {"b": [2]}}, id="a list is one value"),
        pytest.param({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 1}}}, {"a": {"b": {"c": None, "d": 1}}}, id="deeper"),
        pytest.param({"q": {"r": 1}}, {"q": {}}, {"q": {"r": None}}, id="of queryNodes one field goes, not the block"),
    ],
)
def test_the_patch_says_what_comes_and_what_goes(now: Object, then: Object, patch: Object) -> None:
    assert merge_patch(now, then) == patch


def applied(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = applied(found.get(name), value)
    return found


NAMES = st.sampled_from("abc")
VALUES = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2), lambda inner: st.dictionaries(NAMES, inner, max_size=3)
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=3)


@given(DOCUMENTS, DOCUMENTS)
def test_the_patch_makes_one_the_other(now: Object, then: Object) -> None:
    assert applied(now, merge_patch(now, then)) == then


ENTRY = {"fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:mode": {}}}}


@pytest.mark.parametrize(
    ("metadata", "tool"),
    [
        ({}, None),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": "milvus:milvustuning.io/MilvusTuning:milvus/rag"}},
            "Argo CD",
        ),
        ({"labels": {"argocd.argoproj.io/instance": "milvus"}}, "Argo CD"),
        ({"annotations": {"meta.helm.sh/release-name": "tuning"}}, "Helm"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"labels": {"app.kubernetes.io/managed-by": "kustomize"}}, None),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "milvus"}}, "Flux"),
        ({"managedFields": [{"manager": "argocd-controller", **ENTRY}]}, "Argo CD"),
        ({"managedFields": [{"manager": "Helm", **ENTRY}]}, "Helm"),
        ({"managedFields": [{"manager": "kubectl-client-side-apply", **ENTRY}]}, None),
        ({"managedFields": [{"manager": "argocd-controller", "fieldsV1": {"f:metadata": {"f:labels": {}}}}]}, None),
    ],
    ids=str,
)
def test_who_writes_the_object_is_told_from_its_marks_and_managers(metadata: Object, tool: str | None) -> None:
    assert managed_by(a_declaring_policy(**metadata)) == tool


def test_what_to_commit_is_the_fields_that_differ_and_which_ones_go() -> None:
    text = to_commit(a_declaring_policy(), declared_now(a_declaring_policy()), {"queryNodes": {}} | THEN)
    assert "# and remove spec.network\n" in text
    assert yaml.safe_load(text) == {"spec": THEN}


def test_fields_of_query_nodes_go_by_name() -> None:
    both = {"readConcurrencyPercent": 200, "zonePreference": "WithProxies"}
    policy = a_declaring_policy({"queryNodes": {"minCount": 2, "maxCount": 6, **both}, "configDelivery": "Etcd"})
    text = to_commit(policy, declared_now(policy), {"queryNodes": {}})
    gone = ["configDelivery", "queryNodes.readConcurrencyPercent", "queryNodes.zonePreference"]
    assert [line.removeprefix("# and remove spec.") for line in text.splitlines()[1:]] == gone
    assert merge_patch(declared_now(policy), {"queryNodes": {}}) == {
        "configDelivery": None,
        "queryNodes": dict.fromkeys(both),
    }


# -- against an API server ---------------------------------------------------------------------------------------------


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answer(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return answer


@pytest.mark.parametrize("answer", [pytest.param("y\n", id="asked"), pytest.param(None, id="not asked")])
def test_the_spec_is_written_over_exactly_what_was_read(
    api: ApiServer,
    here: list[str],
    capsys: pytest.CaptureFixture[str],
    answering: Any,
    answer: str | None,
) -> None:
    api.holds([a_declaring_policy()], [a_plan_of_then()])
    answering(answer or "")
    arguments = ["--yes"] if answer is None else []
    assert main(["config", "revert", "rag", PLAN, *arguments, *here]) == EXIT_OK
    assert api.patches == [{"metadata": {"resourceVersion": "77"}, "spec": PATCH}]
    assert api.patched == [f"{NAMESPACE}/milvustunings/rag"]
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines()[:3]] == [
        ["FIELD", "NOW", "AFTERWARDS"],
        ['configOverrides["queryCoord.taskExecutionCap"]', "(not", "declared)", "128"],
        ["loadBalancing.balanceIntervalSeconds", "5", "60"],
    ]
    assert f"rag: 5 fields declared as when {PLAN} was made\nnext: the operator plans the way back" in out


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yeah, no\n"])
def test_without_a_yes_nothing_is_written(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str], answering: Any, answer: str
) -> None:
    api.holds([a_declaring_policy()], [a_plan_of_then()])
    answering(answer)
    assert main(["config", "revert", "rag", PLAN, *here]) == EXIT_FAILURE
    assert capsys.readouterr().err == "milvus-tuning: not confirmed: nothing was changed (--yes does not ask)\n"
    assert api.patches == []


def test_a_dry_run_shows_the_difference_and_writes_nothing(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    api.holds([a_declaring_policy()], [a_plan_of_then()])
    assert main(["config", "revert", "rag", PLAN, "--dry-run", "--yes", *here]) == EXIT_TO_DO
    assert "network.compression" in capsys.readouterr().out
    assert api.patches == []


def test_where_nothing_differs_there_is_nothing_to_do(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    policy = a_declaring_policy({**THEN, "queryNodes": {"minCount": 2, "maxCount": 6, "readConcurrencyPercent": 200}})
    api.holds([policy], [a_plan_of_then()])
    assert main(["config", "revert", "rag", PLAN, *here]) == EXIT_OK
    line = f"nothing to revert: rag declares what it declared when {PLAN} was made\n"
    assert capsys.readouterr().out == line
    assert api.patches == []


def test_a_status_that_was_written_meanwhile_does_no_harm(api: ApiServer, here: list[str]) -> None:
    api.holds([a_declaring_policy()], [a_plan_of_then()])
    api.conflicts = 3
    assert main(["config", "revert", "rag", PLAN, "--yes", *here]) == EXIT_OK
    assert len(api.patches) == 1


@pytest.mark.parametrize(
    ("generation", "said"),
    [
        pytest.param(2, "rag keeps changing: nothing was written; try again", id="for ever"),
        pytest.param(3, "the spec of rag was changed meanwhile: nothing was written; look at it again", id="the spec"),
    ],
)
def test_what_was_not_shown_is_not_written_over(
    api: ApiServer,
    here: list[str],
    capsys: pytest.CaptureFixture[str],
    generation: int,
    said: str,
) -> None:
    api.holds([a_declaring_policy()], [a_plan_of_then()])
    api.conflicts = 5
    api.later[f"{NAMESPACE}/milvustunings/rag"] = a_declaring_policy(generation=generation)
    assert main(["config", "revert", "rag", PLAN, "--yes", *here]) == EXIT_FAILURE
    assert capsys.readouterr().err == f"milvus-tuning: {said}\n"
    assert api.patches == []


@pytest.mark.parametrize("arguments", [[], ["--yes"]])
def test_what_a_tool_writes_is_left_alone_and_what_to_commit_is_printed(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    api.holds([a_declaring_policy(labels={"argocd.argoproj.io/instance": "milvus"})], [a_plan_of_then()])
    assert main(["config", "revert", "rag", PLAN, *arguments, *here]) == EXIT_FAILURE
    out, err = capsys.readouterr()
    assert yaml.safe_load(out[out.index("# MilvusTuning milvus/rag") :]) == {"spec": THEN}
    assert err == "milvus-tuning: rag is written by Argo CD, which would undo the revert: commit what is above\n"
    assert api.patches == []
    assert main(["config", "revert", "rag", PLAN, "--dry-run", *here]) == EXIT_TO_DO


@pytest.mark.parametrize(
    ("held", "said"),
    [
        pytest.param(
            (a_declaring_policy(), a_plan_of_then(None)),
            f"plan {PLAN} keeps no record of what was declared when it was made: it is older than such records, or "
            "there was more than 16 KiB of it; name another plan, or change the MilvusTuning itself",
            id="no record",
        ),
        pytest.param(
            (a_declaring_policy(), a_plan_of_then(policy="other")),
            f"plan {PLAN} was made for the policy other, not for rag",
            id="of another policy",
        ),
        pytest.param(
            (a_declaring_policy(uid="another"), a_plan_of_then()),
            f"plan {PLAN} was made for a deleted policy of that name, not for rag",
            id="of a namesake",
        ),
        pytest.param(
            (a_declaring_policy({}), a_plan_of_then()),
            f"queryNodes.readConcurrencyPercent was declared when {PLAN} was made, and rag has no queryNodes any more: "
            "declare queryNodes with its bounds, then revert",
            id="without queryNodes",
        ),
        pytest.param(
            (a_declaring_policy(), a_plan_of_then("[]")),
            f"plan {PLAN}: spec.change.declared is no JSON object",
            id="another form",
        ),
        pytest.param(
            (a_declaring_policy(), a_plan_of_then("{")),
            f"plan {PLAN}: spec.change.declared is not JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
            id="not JSON",
        ),
    ],
)
def test_a_plan_that_does_not_lead_back_is_refused_in_a_line(
    api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str], held: tuple[Object, Object], said: str
) -> None:
    api.holds([held[0]], [held[1]])
    assert main(["config", "revert", "rag", PLAN, "--yes", *here]) == EXIT_FAILURE
    assert capsys.readouterr() == ("", f"milvus-tuning: {said}\n")
    assert api.patches == []


def test_a_plan_that_is_gone_is_a_line(api: ApiServer, here: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    api.holds([a_declaring_policy()], [])
    assert main(["config", "revert", "rag", PLAN, "--yes", *here]) == EXIT_FAILURE
    assert capsys.readouterr().err.startswith(f"milvus-tuning: cannot read MilvusTuningPlan milvus/{PLAN}: ")
