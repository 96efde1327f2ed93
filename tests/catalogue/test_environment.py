"""Environment variables as keys: which are meant for Milvus, and what goes over what."""

from __future__ import annotations

import pytest

from milvus_tuning.catalogue import environment_key, parse_version
from milvus_tuning.catalogue.environment import dotted, may_be_meant, variable_of
from milvus_tuning.catalogue.lint import KeyState, Setting, lint
from milvus_tuning.catalogue.reading import catalogue

LOW, HIGH = (f"queryNode.segcore.tieredStorage.memory{end}WatermarkRatio" for end in ("Low", "High"))
EVERYWHERE = "every component"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        pytest.param("QUERYCOORD_AUTOBALANCE", True, id="a key"),
        pytest.param("QueryCoord_Auto_Balance", True, id="in any spelling"),
        pytest.param("MILVUS_CONF_ANYTHING", True, id="the prefix"),
        pytest.param("QUERYCOORD_AUTOBALENCE", True, id="misspelt, of a section that is known whole"),
        pytest.param("QUERYNODE_GRACEFULSTOPTIMEOUTS", True, id="misspelt, of another section"),
        pytest.param("ETCD_ROOTPATH", True, id="the install's own"),
        pytest.param("GODEBUG", False, id="of Go"),
        pytest.param("AWS_REGION", False, id="of a cloud"),
        pytest.param("POD_IP", False, id="of Kubernetes"),
        pytest.param("GRPC_GO_LOG_SEVERITY_LEVEL", False, id="of a library, named like a section"),
        pytest.param("ETCD_UNSUPPORTED_ARCH", False, id="of another program, named like a section"),
        pytest.param("HTTP_PROXY", False, id="of all programs"),
        pytest.param("CACHE_SIZE", False, id="that milvus-operator sets"),
        pytest.param("MILVUS_SERVER_LABEL_RESOURCE_GROUP", False, id="of Milvus, and no key"),
        pytest.param("", False, id="without a name"),
    ],
)
def test_what_is_not_meant_for_milvus_is_left_alone(variable: str, *, meant: bool) -> None:
    assert may_be_meant(variable, catalogue()) is meant


def test_a_variable_and_its_key_lead_to_each_other() -> None:
    key = "queryCoord.autoBalance"
    assert variable_of(key) == "QUERYCOORD_AUTOBALANCE"
    assert dotted(f"MILVUS_CONF_{variable_of(key)}") == key.lower()
    assert (
        environment_key(f"MILVUS_CONF_{variable_of(key)}")
        == environment_key(variable_of(key))
        == "querycoordautobalance"
    )


def in_file(key: str, value: str) -> Setting:
    return Setting(key=key, value=value)


def in_environment(key: str, value: str, component: str) -> Setting:
    return Setting(key=variable_of(key), value=value, environment=component)


@pytest.mark.parametrize(
    ("settings", "states"),
    [
        pytest.param([in_file(LOW, "0.6"), in_environment(HIGH, "0.7", "queryNode")], "restart restart", id="in order"),
        pytest.param([in_environment(HIGH, "0.7", "queryNode")], "range", id="against a default"),
        pytest.param(
            [in_file(LOW, "0.6"), in_environment(LOW, "0.72", "queryNode"), in_environment(HIGH, "0.7", "queryNode")],
            "restart range",
            id="the variable goes over the file",
        ),
        pytest.param(
            [
                in_environment(LOW, "0.72", EVERYWHERE),
                in_environment(LOW, "0.6", "queryNode"),
                in_environment(HIGH, "0.7", "queryNode"),
            ],
            "restart restart restart",
            id="that of the component goes over that of all",
        ),
        pytest.param(
            [in_environment(LOW, "0.6", "proxy"), in_environment(HIGH, "0.7", "queryNode")],
            "restart range",
            id="another component's says nothing",
        ),
        pytest.param(
            [in_file("queryCoord.autoBalance", "true"), in_environment("queryCoord.autoBalance", "false", EVERYWHERE)],
            "ok restart",
            id="one key in a file and a variable is not stored twice",
        ),
    ],
)
def test_the_variables_of_a_component_are_checked_with_what_they_go_over(settings: list[Setting], states: str) -> None:
    version = parse_version("2.6.20")
    assert version is not None
    found = [finding.state.value for finding in lint(settings, version, catalogue())]
    assert found[-len(states.split()) :] == states.split()


@pytest.mark.parametrize(
    ("version", "state", "suggestion"),
    [
        pytest.param("2.3.5", KeyState.UNKNOWN, "QUERYCOORD_AUTOBALANCE", id="2.3 does not know it"),
        pytest.param("2.5.4", KeyState.RESTART, "QUERYCOORD_AUTOBALANCE", id="not known for certain: better without"),
        pytest.param("2.6.4", KeyState.RESTART, "", id="2.6 knows it"),
    ],
)
def test_the_prefix_is_newer_than_some_releases(version: str, state: KeyState, suggestion: str) -> None:
    release = parse_version(version)
    assert release is not None
    setting = Setting(key="MILVUS_CONF_QUERYCOORD_AUTOBALANCE", value="false", environment=EVERYWHERE)
    (found,) = lint([setting], release, catalogue())
    assert (found.state, found.suggestion) == (state, suggestion)
