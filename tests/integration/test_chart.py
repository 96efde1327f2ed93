"""The chart as users meet it: a real API server accepts each variant, and values that cannot work are refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
import yaml

from milvus_tuning import api
from tests.cluster.builds import clients
from tests.integration.conftest import CHART, ROOT, Api, Object, a_namespace

NAMESPACES = ("milvus", "team-a", "team-b")
COLLECTIONS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}
VARIANTS = {
    "default values": (),
    "two namespaces": ("--set", "watchNamespaces={team-a,team-b}"),
    "every namespace": ("--set", "clusterWide=true"),
    "without the CRD and with a ServiceAccount that exists": (
        *("--set", "crds.install=false", "--set", "serviceAccount.create=false", "--set", "serviceAccount.name=mine"),
    ),
    "without roles for people and without the admission policy": (
        *("--set", "rbac.userRoles.create=false", "--set", "admissionPolicy.enabled=false"),
    ),
    "roles that view and edit have": ("--set", "rbac.userRoles.aggregate=true", "--set", "plans.keepCount=5"),
    "read-only": ("--set", "readOnly=true", "--set", "logFormat=plain", "--set", "rbac.secretNames={milvus}"),
    "where and how the pod runs": (
        *("--set-json", 'tolerations=[{"key":"infra","operator":"Exists"}]', "--set-json", 'nodeSelector={"a":"b"}'),
        *("--set-json", 'affinity={"nodeAffinity":{}}', "--set-json", 'imagePullSecrets=[{"name":"registry"}]'),
        *(
            "--set",
            "priorityClassName=system-cluster-critical",
            "--set",
            "podLabels.a=b",
            "--set",
            "podAnnotations.a=b",
        ),
        *("--set", "image.repository=registry.example.com/operator", "--set", "image.tag=1.2.3"),
    ),
}


@pytest.fixture(scope="module")
def namespaces(server: Api) -> None:
    for name in NAMESPACES:
        a_namespace(server, name)


def rendered(helm: Callable[..., str], *values: str) -> list[Object]:
    text = helm("template", "milvus-tuning-operator", str(CHART), "--namespace", "milvus", *values)
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents: list[Object], kind: str) -> Object:
    return next(document for document in documents if document["kind"] == kind)


def dry_run(server: Api, document: Object) -> None:
    path = COLLECTIONS[document["kind"]].format(namespace=document["metadata"].get("namespace"))
    server.call("POST", path, document, dryRun="All", fieldValidation="Strict")


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_api_server_accepts_the_chart_with(server: Api, helm: Callable[..., str], values: tuple[str, ...]) -> None:
    documents = rendered(helm, *values)
    for document in documents:
        dry_run(server, document)
    assert len(documents) >= 6


@pytest.mark.usefixtures("namespaces")
def test_the_api_server_accepts_the_install_manifest(server: Api) -> None:
    for document in yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text()):
        dry_run(server, document)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(["--set", "watchNamespace={a}"], "watchNamespace", id="a misspelt value"),
        pytest.param(["--set", "clusterWide=true,watchNamespaces={a}"], "maxItems", id="every namespace and some"),
        pytest.param(["--set", "watchNamespaces={Team_A}"], "does not match pattern", id="no name of a namespace"),
        pytest.param(["--set", "leaseSeconds=1"], "minimum", id="a Lease of one second"),
        pytest.param(["--set", "plans.keepCount=0"], "minimum", id="no plan kept"),
        pytest.param(["--set", "rbac.userRoles=false"], "want object", id="a switch where there are two"),
        pytest.param(["--set", "logFormat=xml"], "logFormat", id="an unknown log format"),
        pytest.param(["--set-string", "readOnly=no"], "want boolean", id="text for a boolean"),
    ],
)
def test_values_that_cannot_work_are_refused(values: list[str], message: str) -> None:
    command = [str(clients() / "helm"), "template", str(CHART), *values]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert message in done.stderr


def test_the_pod_runs_without_root_rights_and_one_at_a_time(helm: Callable[..., str]) -> None:
    deployment = of_kind(rendered(helm), "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize(
    ("values", "namespaces"),
    [((), "milvus"), (VARIANTS["two namespaces"], "team-a,team-b"), (VARIANTS["every namespace"], "")],
    ids=["the release's own", "those named", "all"],
)
def test_the_operator_is_told_which_namespaces_to_watch(
    helm: Callable[..., str], values: tuple[str, ...], namespaces: str
) -> None:
    container = of_kind(rendered(helm, *values), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["MILVUS_TUNING_NAMESPACES"] == namespaces


def test_every_variable_of_the_chart_is_one_that_the_operator_reads(helm: Callable[..., str]) -> None:
    from milvus_tuning.settings import PREFIX, Settings

    container = of_kind(rendered(helm), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    names = {entry["name"].removeprefix(PREFIX).lower() for entry in container["env"]}
    assert names == set(Settings.__dataclass_fields__)


ROLES_OF_PEOPLE = ("viewer", "editor", "approver")


def roles_of_people(documents: list[Object]) -> dict[str, Object]:
    roles = {document["metadata"]["name"]: document for document in documents if document["kind"] == "ClusterRole"}
    return {name.rpartition("-")[2]: role for name, role in roles.items()}


def test_roles_for_people_come_by_default_and_are_given_to_nobody(helm: Callable[..., str]) -> None:
    documents = rendered(helm)
    assert tuple(roles_of_people(documents)) == ROLES_OF_PEOPLE
    assert not any(document["kind"] == "ClusterRoleBinding" for document in documents)
    assert roles_of_people(rendered(helm, "--set", "rbac.userRoles.create=false")) == {}


def test_only_viewers_and_editors_are_aggregated_and_only_when_asked_for(helm: Callable[..., str]) -> None:
    def aggregated(*values: str) -> dict[str, list[str]]:
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        return {
            name: [label.removeprefix(prefix) for label in role["metadata"]["labels"] if label.startswith(prefix)]
            for name, role in roles_of_people(rendered(helm, *values)).items()
        }

    assert aggregated() == {"viewer": [], "editor": [], "approver": []}
    assert aggregated("--set", "rbac.userRoles.aggregate=true") == {
        "viewer": ["view"],
        "editor": ["edit"],
        "approver": [],
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param((), True, id="by default"),
        pytest.param(("--kube-version", "1.30.0"), True, id="on the first Kubernetes that has it"),
        pytest.param(("--kube-version", "1.29.9"), False, id="not on an older one"),
        pytest.param(("--set", "admissionPolicy.enabled=false"), False, id="not when switched off"),
    ],
)
def test_the_admission_policy_comes(helm: Callable[..., str], values: tuple[str, ...], expected: bool) -> None:
    kinds = [document["kind"] for document in rendered(helm, *values)]
    assert ("ValidatingAdmissionPolicy" in kinds, "ValidatingAdmissionPolicyBinding" in kinds) == (expected, expected)


@pytest.mark.parametrize(
    ("values", "namespaces"),
    [((), ["milvus"]), (VARIANTS["two namespaces"], ["team-a", "team-b"]), (VARIANTS["every namespace"], None)],
    ids=["the release's own", "those named", "all"],
)
def test_the_admission_policy_holds_in_the_namespaces_that_are_watched(
    helm: Callable[..., str], values: tuple[str, ...], namespaces: list[str] | None
) -> None:
    scope = of_kind(rendered(helm, *values), "ValidatingAdmissionPolicy")["spec"]["matchConstraints"]
    selector = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}
    expected = {"matchExpressions": [selector]} if namespaces else None
    assert scope.get("namespaceSelector") == expected


def test_the_admission_policy_knows_the_operator_by_its_service_account(helm: Callable[..., str]) -> None:
    mine = ("--set", "serviceAccount.create=false", "--set", "serviceAccount.name=mine")
    policy = of_kind(rendered(helm, *mine), "ValidatingAdmissionPolicy")["spec"]
    variables = {variable["name"]: variable["expression"] for variable in policy["variables"]}
    assert variables["byOperator"] == "request.userInfo.username == 'system:serviceaccount:milvus:mine'"


def test_the_admission_policy_counts_what_is_unset_with_the_defaults_of_the_api(helm: Callable[..., str]) -> None:
    policy = of_kind(rendered(helm), "ValidatingAdmissionPolicy")["spec"]
    text = " ".join(validation["expression"] for validation in policy["validations"])
    defaults = api.AutomaticApproval().model_dump(mode="json", by_alias=True, exclude_none=True)
    defaults |= {"expiryMinutes": api.Approval().expiry_minutes}
    assert len(defaults) == 4  # maxMoves has none: unset it is no bound
    for name, default in defaults.items():
        assert text.count(f".?{name}.orValue({default!r})") == 2, name


def test_a_service_monitor_comes_only_when_asked_for(helm: Callable[..., str]) -> None:
    kinds = {document["kind"] for document in rendered(helm)}
    with_monitor = {document["kind"] for document in rendered(helm, "--set", "serviceMonitor.enabled=true")}
    assert with_monitor - kinds == {"ServiceMonitor"}
