"""The data of the profiles: complete, true to the API, and refused with the place where it is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from milvus_tuning.api import MilvusTuningSpec, Objectives, ProfileName
from milvus_tuning.catalogue.profiles import ProfileGoal, Proposal, profiles, read_profiles
from milvus_tuning.catalogue.registry import CatalogueError

NO_PLAIN_FIELDS = ("consistency.collections", "storage.cache")
PROPOSALS = [
    pytest.param(one, id=f"{name} {number} {one.field}")
    for name, revisions in profiles().items()
    for number, revision in revisions.items()
    for one in revision.proposals
]
GOAL = '{goal: availability, value: "99.95", source: "a goal"}'
PROPOSAL = '{field: network.compression, value: Enabled, source: "a start"}'


def a_file(*, goals: str = GOAL, proposals: str = PROPOSAL, number: int = 1) -> str:
    return f"RAG: {{revisions: {{{number}: {{goals: [{goals}], proposals: [{proposals}]}}}}}}\n"


def declaring(field: str, value: str) -> dict[str, Any]:
    """The smallest spec that declares this value."""
    path = field.split(".")
    inner: Any = int(value) if value.isdigit() else value
    for name in reversed(path):
        inner = {name: inner}
    needed = {"inMemoryReplicas": {"maxCount": 20}}.get(path[0], {})
    return {
        "targetRef": {"kind": "Milvus", "name": "my-release"},
        "connections": {"prometheus": {"url": "http://prometheus:9090"}},
        path[0]: needed | inner[path[0]],
    }


def test_each_profile_of_the_api_is_there_and_no_other() -> None:
    assert set(profiles()) == {name.value for name in ProfileName}


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_what_is_proposed_can_be_declared_as_it_is_written(proposal: Proposal) -> None:
    if proposal.field == "consistency.collections":
        level = [{"name": "products", "level": proposal.value}]
        spec: dict[str, Any] = declaring("network.compression", "Auto") | {"consistency": {"collections": level}}
    elif proposal.field == "storage.cache":
        spec = declaring("storage.cache.reservedMemory", proposal.value)
    else:
        spec = declaring(proposal.field, proposal.value)
    MilvusTuningSpec.model_validate(spec)


def test_goals_are_objectives_of_the_api_or_availability() -> None:
    fields = {f"objectives.{field.alias}" for field in Objectives.model_fields.values()} | {"availability"}
    goals = {goal.goal for revisions in profiles().values() for one in revisions.values() for goal in one.goals}
    assert goals <= fields


def test_a_row_is_read_as_it_is_written() -> None:
    [revision] = read_profiles(a_file())["RAG"].values()
    assert revision.goals == (ProfileGoal(goal="availability", value=Decimal("99.95"), source="a goal"),)
    assert revision.proposals == (Proposal(field="network.compression", value="Enabled", source="a start"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("RAG: [", "profiles.yaml is not YAML", id="no YAML"),
        pytest.param("RAG: {}\n", "a section is missing or has another form: 'revisions'", id="no revisions"),
        pytest.param("- RAG\n", "a section is missing or has another form", id="a list"),
        pytest.param("RAG: {revisions: {}}\n", "RAG: revisions must be 1, 2, ... in this order, not []", id="empty"),
        pytest.param(a_file(number=2), "RAG: revisions must be 1, 2, ... in this order, not [2]", id="a gap"),
        pytest.param(
            a_file(goals='{goal: availability, value: much, source: "s"}'),
            "RAG revision 1: availability: 'much' is not a number",
            id="no number",
        ),
        pytest.param(
            a_file(proposals="{field: network.compression, value: Enabled}"), "source is missing", id="no source"
        ),
        pytest.param(
            a_file(proposals='{field: a, value: b, source: "s", unit: c}'), "no field is called unit", id="a field more"
        ),
        pytest.param(
            a_file(proposals='{field: a, value: 5, source: "s"}'), "value: 5 must be in quotes", id="a number"
        ),
        pytest.param(
            a_file(proposals=f'{{field: a, value: "{"x" * 201}", source: "s"}}'),
            "value: 201 characters, of 1 to 200",
            id="too long",
        ),
        pytest.param(a_file(proposals=f"{PROPOSAL}, {PROPOSAL}"), "network.compression is there twice", id="twice"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(CatalogueError) as refused:
        read_profiles(text)
    assert said in str(refused.value)
    assert str(refused.value).startswith("profiles.yaml")
