"""The command line against a real API server: what is read, who may vote, and kubectl finding it as its plugin."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from milvus_tuning import api
from tests.cli.objects import SCALE_OUT
from tests.cluster.builds import clients
from tests.cluster.pki import Authority, Identity
from tests.integration.conftest import (
    CHART,
    COLLECTION,
    PLANS,
    Api,
    Object,
    a_namespace,
    a_plan,
    a_tuning,
    eventually,
    wait_for_crd,
)

HOME, WATCHED = "operator", "milvus"
RELEASE = "tuning"
NAME = f"{RELEASE}-milvus-tuning-operator"
OPERATOR = f"system:serviceaccount:{HOME}:{NAME}"
ROLES: Mapping[str, str | None] = {"viewer": f"{NAME}-viewer", "approver": f"{NAME}-approver", "nobody": None}
COMMAND = "import sys; from milvus_tuning.__main__ import main; sys.exit(main())"
PROGRAM = Path(__file__).resolve().parents[2] / "operator"

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


class Terminal:
    """Commands typed by one user, in processes of their own, with a kubeconfig whose context names the namespace."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def type(self, *arguments: str) -> Outcome:
        """Run milvus-tuning."""
        return self.run(sys.executable, "-c", COMMAND, *arguments)

    def run(self, *command: str, path: str = "") -> Outcome:
        """Run any program."""
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig), "PYTHONPATH": str(PROGRAM), "COLUMNS": "100"}
        environment |= {"PATH": os.pathsep.join(part for part in (path, os.environ["PATH"]) if part)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
        return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="module")
def operator(server: Api, helm: Callable[..., str], api_client: Any) -> Api:
    """The chart, installed; the operator's own identity, which alone makes plans."""
    for namespace in (HOME, WATCHED):
        a_namespace(server, namespace)
    helm("install", RELEASE, str(CHART), "--namespace", HOME, "--set", f"watchNamespaces={{{WATCHED}}}")
    for plural in (api.PLURAL, api.PLAN_PLURAL):
        wait_for_crd(server, plural)
    found = Api(api_client, OPERATOR)
    eventually(lambda: _may_make_plans(found))
    return found


def _may_make_plans(operator: Api) -> bool | None:
    body = {"spec": {"resourceAttributes": {"namespace": WATCHED, "verb": "create", "group": api.GROUP}}}
    body["spec"]["resourceAttributes"]["resource"] = api.PLAN_PLURAL
    review = operator.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    return True if review["status"]["allowed"] else None


@pytest.fixture(scope="module")
def people(
    operator: Api, server: Api, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Terminal]:
    """A terminal for each user with their own certificate, and one for the administrator."""
    authority = Authority(folder=kubeconfig.parent.parent / "pki")
    folder = tmp_path_factory.mktemp("kubeconfigs")
    terminals = {}
    for name, role in ROLES.items():
        if role is not None:
            _bind(server, name, role)
        text = authority.kubeconfig(Identity(name=name, user=name), server=_address(kubeconfig))
        terminals[name] = Terminal(_in_namespace(text, folder / name))
    terminals["administrator"] = Terminal(_in_namespace(kubeconfig.read_text(), folder / "administrator"))
    return terminals


def _address(kubeconfig: Path) -> str:
    address: str = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return address


def _in_namespace(kubeconfig: str, path: Path) -> Path:
    content = json.loads(kubeconfig)
    content["contexts"][0]["context"]["namespace"] = WATCHED
    path.write_text(json.dumps(content))
    return path


def _bind(server: Api, user: str, role: str) -> None:
    group = "rbac.authorization.k8s.io"
    body = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    server.call("POST", f"/apis/{group}/v1/namespaces/{WATCHED}/rolebindings", body)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A policy of the test's own, and the plan that is open for it."""

    policy: str
    plan: str
    path: str


@pytest.fixture
def pair(operator: Api, server: Api) -> Pair:
    """A policy in mode Propose with a plan that waits."""
    policy = f"rag-{next(_numbers)}"
    stored = server.call("POST", COLLECTION.format(namespace=WATCHED), a_tuning({"mode": "Propose"}, name=policy))
    body = a_plan(f"{policy}-0123456789")
    change = body["spec"]["change"]
    change["policy"] |= {"name": policy, "uid": stored["metadata"]["uid"]}
    change["steps"] = [SCALE_OUT]
    change["expiresAt"] = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"  # noqa: TID251
    operator.call("POST", PLANS.format(namespace=WATCHED), body)
    found = Pair(
        policy=policy, plan=f"{policy}-0123456789", path=f"{PLANS.format(namespace=WATCHED)}/{policy}-0123456789"
    )
    _set_status(operator, found, phase="Proposed", waitsFor="approval: mode is Propose")
    return found


def _set_status(operator: Api, pair: Pair, **status: Any) -> None:
    operator.call("PATCH", f"{pair.path}/status", {"status": status})


def _vote(server: Api, pair: Pair) -> Object | None:
    found: Object | None = server.call("GET", pair.path)["spec"].get("approval")
    return found


def test_an_open_plan_is_shown_and_exits_with_2(people: dict[str, Terminal], pair: Pair) -> None:
    shown = people["viewer"].type("plan", pair.policy)
    assert (shown.code, shown.err) == (2, "")
    assert "waits for    approval: mode is Propose" in shown.out
    assert f"to approve   milvus-tuning approve {pair.plan} -n milvus" in shown.out


def test_without_anything_to_do_plan_exits_with_0(people: dict[str, Terminal], operator: Api, pair: Pair) -> None:
    _set_status(operator, pair, phase="Finished", verdict="Kept")
    assert people["viewer"].type("plan", pair.policy).code == 0


def test_programs_read_the_whole_plan(people: dict[str, Terminal], server: Api, pair: Pair) -> None:
    shown = people["viewer"].type("plan", pair.policy, "-o", "json")
    stored = server.call("GET", pair.path)
    assert json.loads(shown.out) == {
        "policies": [
            {
                "name": pair.policy,
                "mode": "Propose",
                "phase": None,
                "decision": None,
                "plan": {"name": pair.plan, "spec": stored["spec"], "status": stored["status"]},
                "somethingToDo": True,
            }
        ]
    }


@pytest.mark.parametrize(
    ("command", "decision"), [("approve", "Approved"), ("reject", "Rejected"), ("cancel", "Cancelled")]
)
def test_an_approver_votes_in_their_own_name(
    people: dict[str, Terminal], server: Api, pair: Pair, command: str, decision: str
) -> None:
    voted = people["approver"].type(command, pair.plan, "--reason", "seen on Monday")
    assert (voted.code, voted.err) == (0, "")
    assert voted.out.startswith(f"plan {pair.plan}: {decision} by approver: seen on Monday\nnext: ")
    assert _vote(server, pair) == {"decision": decision, "by": "approver", "reason": "seen on Monday"}


@pytest.mark.parametrize("command", ["approve", "reject", "cancel"])
def test_a_viewer_does_not_vote(people: dict[str, Terminal], server: Api, pair: Pair, command: str) -> None:
    refused = people["viewer"].type(command, pair.plan)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(f"milvus-tuning: cannot write MilvusTuningPlan milvus/{pair.plan}: ")
    assert 'User "viewer" cannot patch resource "milvustuningplans"' in refused.err
    assert refused.err.count("\n") == 1
    assert _vote(server, pair) is None


def test_who_may_not_read_is_told_so(people: dict[str, Terminal]) -> None:
    refused = people["nobody"].type("plan")
    assert (refused.code, refused.out) == (1, "")
    assert 'User "nobody" cannot list resource "milvustunings"' in refused.err
    assert refused.err.count("\n") == 1


def test_a_second_vote_changes_nothing(people: dict[str, Terminal], server: Api, pair: Pair) -> None:
    people["approver"].type("approve", pair.plan)
    before = server.call("GET", pair.path)["metadata"]["resourceVersion"]
    again = people["administrator"].type("approve", pair.plan)
    assert (again.code, again.out) == (0, f"plan {pair.plan} is so already: Approved by approver\n")
    assert server.call("GET", pair.path)["metadata"]["resourceVersion"] == before


def test_a_running_plan_is_cancelled_and_not_rejected(
    people: dict[str, Terminal], operator: Api, server: Api, pair: Pair
) -> None:
    _set_status(operator, pair, phase="Running")
    refused = people["approver"].type("reject", pair.plan)
    assert (refused.code, _vote(server, pair)) == (1, None)
    assert f"milvus-tuning cancel {pair.plan} -n milvus" in refused.err
    assert people["approver"].type("cancel", pair.plan).code == 0
    assert (_vote(server, pair) or {})["decision"] == "Cancelled"


def test_another_namespace_than_the_contexts_can_be_named(people: dict[str, Terminal]) -> None:
    shown = people["administrator"].type("plan", "-n", HOME)
    assert (shown.code, shown.out) == (0, f"no MilvusTuning in namespace {HOME}\n")


def test_explain_and_history_of_a_policy_that_was_never_seen(people: dict[str, Terminal], pair: Pair) -> None:
    line = f"milvus/{pair.policy}   mode Propose   phase not seen by the operator yet\n"
    for command in ("explain", "history"):
        assert people["viewer"].type(command, pair.policy) == Outcome(code=0, out=line, err="")


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A folder with the program under the name by which kubectl finds plugins, as pip installs it."""
    plugin = tmp_path / "kubectl-milvus_tuning"
    plugin.write_text(f"#!{sys.executable}\n{COMMAND}\n")
    plugin.chmod(0o755)
    return tmp_path


def test_kubectl_finds_it_as_its_plugin(people: dict[str, Terminal], plugins: Path, pair: Pair) -> None:
    kubectl, viewer = str(clients() / "kubectl"), people["viewer"]
    listed = viewer.run(kubectl, "plugin", "list", "--name-only", path=str(plugins))
    assert "kubectl-milvus_tuning" in listed.out.split()
    shown = viewer.run(kubectl, "milvus-tuning", "plan", pair.policy, path=str(plugins))
    assert (shown.code, shown.err) == (2, "")
    assert f"to approve   kubectl milvus-tuning approve {pair.plan} -n milvus" in shown.out


# -- configuration -----------------------------------------------------------------------------------------------------

THEN: Object = {
    "loadBalancing": {"balanceIntervalSeconds": 60},
    "storage": {"cache": {"reservedMemory": "8Gi", "usablePercent": 70}},
    "configOverrides": {"queryCoord.taskExecutionCap": "128"},
}
NOW_DECLARED: Object = {
    "loadBalancing": {"balanceIntervalSeconds": 5, "routing": "LeastLoaded"},
    "network": {"compression": "Enabled"},
    "storage": {"cache": {"reservedMemory": "9Gi"}},
}


@pytest.fixture
def declared(operator: Api, server: Api) -> Pair:
    """A policy that declares something else than when its plan was made."""
    policy = f"declared-{next(_numbers)}"
    body = a_tuning({"mode": "Propose", "profile": {"name": "RAG", "revision": 1}} | NOW_DECLARED, name=policy)
    stored = server.call("POST", COLLECTION.format(namespace=WATCHED), body)
    plan = a_plan(f"{policy}-0123456789")
    plan["spec"]["change"]["policy"] |= {"name": policy, "uid": stored["metadata"]["uid"]}
    plan["spec"]["change"] |= {"steps": [SCALE_OUT], "declared": json.dumps(THEN)}
    operator.call("POST", PLANS.format(namespace=WATCHED), plan)
    return Pair(policy=policy, plan=plan["metadata"]["name"], path=f"{COLLECTION.format(namespace=WATCHED)}/{policy}")


def _configuration(server: Api, pair: Pair) -> Object:
    spec: Object = server.call("GET", pair.path)["spec"]
    assert spec["mode"] == "Propose"
    return {name: spec[name] for name in (*NOW_DECLARED, *THEN) if name in spec}


def test_a_revert_declares_exactly_what_was_declared_then(
    people: dict[str, Terminal], server: Api, declared: Pair
) -> None:
    shown = people["administrator"].type("config", "revert", declared.policy, declared.plan, "--dry-run")
    assert (shown.code, shown.err) == (2, "")
    reverted = people["administrator"].type("config", "revert", declared.policy, declared.plan, "--yes")
    assert (reverted.code, reverted.err) == (0, "")
    assert f"5 fields declared as when {declared.plan} was made" in reverted.out
    assert _configuration(server, declared) == THEN
    again = people["administrator"].type("config", "revert", declared.policy, declared.plan)
    assert (again.code, again.out.partition(":")[0]) == (0, "nothing to revert")


def test_a_viewer_does_not_revert(people: dict[str, Terminal], server: Api, declared: Pair) -> None:
    before = _configuration(server, declared)
    refused = people["viewer"].type("config", "revert", declared.policy, declared.plan, "--yes")
    assert refused.code == 1
    assert 'User "viewer" cannot patch resource "milvustunings"' in refused.err
    assert _configuration(server, declared) == before


def test_what_helm_wrote_is_not_reverted(people: dict[str, Terminal], server: Api, declared: Pair) -> None:
    mark = {"metadata": {"annotations": {"meta.helm.sh/release-name": "tuning"}}}
    server.call("PATCH", declared.path, mark)
    before = _configuration(server, declared)
    refused = people["administrator"].type("config", "revert", declared.policy, declared.plan, "--yes")
    assert (refused.code, _configuration(server, declared)) == (1, before)
    assert "is written by Helm, which would undo the revert" in refused.err


def test_settings_and_the_profile_are_shown(people: dict[str, Terminal], operator: Api, declared: Pair) -> None:
    setting = {"intent": "network.compression", "state": "Unsupported", "message": "no lever", "desired": "true"}
    proposal = {"field": "network.compression", "value": "Enabled", "declared": "Enabled", "note": ""}
    goal = {"goal": "availability", "wanted": "99.95", "state": "NotMeasured"}
    profile = {"name": "RAG", "revision": 1, "newestRevision": 1, "goals": [goal], "proposed": [proposal]}
    operator.call("PATCH", f"{declared.path}/status", {"status": {"config": [setting], "profile": profile}})
    shown = people["viewer"].type("config", "status", declared.policy, "-o", "json")
    found = json.loads(shown.out)
    assert (shown.code, found["config"], found["profile"]["proposed"]) == (0, [setting], [proposal])
    assert (
        "network.compression: Unsupported: no lever" in people["viewer"].type("config", "status", declared.policy).out
    )
