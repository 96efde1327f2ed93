"""An override is written where the catalogue knows the key, takes the value, and no intent has it; else it says why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.catalogue import Intent, Lever, find_lever, normalised, parse_version
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.decide.config.overrides import overrides
from milvus_tuning.decide.config.wishes import Outcome, View
from milvus_tuning.plan import SettingState, StepKind
from milvus_tuning.snapshot import EtcdSetting, Snapshot
from tests.decide.running.running import running

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = ("2.3.5", "2.4.23", "2.5.27", "2.6.4", "2.6.23", "2.6.99", "3.0.1")


def judged(
    declared: dict[str, str], version: str | None = "2.5.27", stored: Mapping[str, EtcdSetting] | None = None
) -> tuple[Outcome, ...]:
    snapshot = Snapshot(
        taken_at=NOW,
        milvus_version=version,
        settings=stored or {},
        settings_readable=True,
        etcd_root_path="by-dev",
    )
    view = View(snapshot=running(snapshot), version=parse_version(version), now=NOW, owned={})
    return overrides(declared, view)


@pytest.mark.parametrize(
    ("key", "value", "version", "state", "words"),
    [
        pytest.param("queryCoord.taskExecutionCap", "64", "2.5.27", "Applying", "setting", id="a live key"),
        pytest.param("proxy.maxTaskNum", "512", "2.5.27", "PendingRestart", "restarts Proxy", id="read at start"),
        pytest.param("proxy.maxTaskNum", "many", "2.5.27", "Refused", "not a whole number", id="wrong type"),
        pytest.param("common.gracefulStopTimeout", "-1", "2.5.27", "Refused", "out of range", id="out of range"),
        pytest.param("etcd.rootPath", "mine", "2.5.27", "Refused", "belongs to", id="the install's own"),
        pytest.param("minio.secretAccessKey", "mine", "2.5.27", "Refused", "belongs to", id="credentials"),
        pytest.param(
            "queryNode.dataSync.flowGraph.maxQueueLenght",
            "16",
            "2.5.27",
            "Refused",
            "instead: queryNode.dataSync.flowGraph.maxQueueLength",
            id="misspelt",
        ),
        pytest.param("nothing.of.the.kind", "1", "2.5.27", "Refused", "no section", id="unknown"),
        pytest.param("minio.nothing", "1", "2.5.27", "Refused", "not in the catalogue", id="not listed"),
        pytest.param(
            "queryCoord.scoreUnbalanceTolerationFactor", "0.1", "2.5.27", "Dead", "from 2.4.0 on", id="without effect"
        ),
        pytest.param(
            "queryCoord.autoBalance", "false", "2.5.27", "Refused", "loadBalancing.placementOwner", id="an intent's"
        ),
        pytest.param(
            "querycoord/auto_balance",
            "false",
            "2.5.27",
            "Refused",
            "loadBalancing.placementOwner",
            id="respelt",
        ),
        pytest.param(
            "queryCoord.autoBalanceInterval", "5", "2.5.1", "Refused", "came with", id="a key of another patch"
        ),
        pytest.param("queryCoord.taskExecutionCap", "64", None, "NotApplied", "version", id="version not known"),
        pytest.param("queryCoord.taskExecutionCap", "64", "3.0.1", "NotApplied", "2.3 to 2.6", id="a line not known"),
        pytest.param("queryCoord.taskExecutionCap", "64", "2.6.0-rc1", "NotApplied", "release", id="not a release"),
    ],
)
def test_an_override_is_judged_by_the_catalogue_for_exactly_this_version(
    key: str, value: str, version: str | None, state: str, words: str
) -> None:
    (outcome,) = judged({key: value}, version)
    assert (outcome.status.intent, outcome.status.state) == (f"configOverrides.{key}", state)
    assert words in outcome.status.message
    assert (outcome.step is not None) == (state in {"Applying", "PendingRestart"})


@pytest.mark.parametrize(
    ("key", "value", "version", "state"),
    [
        pytest.param("queryCoord.taskMergeCap", "4", "2.3.5", "Dead", id="read by nothing"),
        pytest.param("queryCoord.balanceIntervalSeconds", "60", "2.5.27", "Dead", id="left from an older coordinator"),
        pytest.param("queryCoord.scoreUnbalanceTolerationFactor", "0.1", "2.5.27", "Dead", id="without effect"),
        pytest.param(
            "queryCoord.autoBalence", "false", "2.5.27", "Refused", id="no key at all, which they show as well"
        ),
        pytest.param(
            "queryCoord.autoBalanceChannel", "false", "2.5.27", "Effective", id="the control: a key that acts"
        ),
    ],
)
def test_what_cannot_act_is_not_effective_though_it_is_stored_and_processes_show_it(
    key: str, value: str, version: str, state: str
) -> None:
    stored = {normalised(key): EtcdSetting(key=key.lower(), value=value, spellings=(key.lower(),), revision=1)}
    (outcome,) = judged({key: value}, version, stored)
    assert (outcome.status.state, outcome.step) == (state, None)
    assert (outcome.status.effective, outcome.key) == ((value, key.lower()) if state == "Effective" else (None, None))


def test_two_spellings_of_one_key_are_refused_both() -> None:
    outcomes = judged({"proxy.maxTaskNum": "512", "proxy/max_task_num": "513", "queryCoord.taskExecutionCap": "64"})
    assert [(one.status.intent, one.status.state, one.step is None) for one in outcomes] == [
        ("configOverrides.proxy.maxTaskNum", SettingState.REFUSED, True),
        ("configOverrides.proxy/max_task_num", SettingState.REFUSED, True),
        ("configOverrides.queryCoord.taskExecutionCap", SettingState.APPLYING, False),
    ]
    assert "one key" in outcomes[0].status.message


@pytest.mark.parametrize(
    ("key", "value", "version", "inferred"),
    [
        pytest.param("queryCoord.autoBalanceChannel", "false", "2.5.27", False, id="a switch read in the source"),
        pytest.param("queryCoord.taskExecutionCap", "64", "2.5.27", True, id="a number without a range"),
        pytest.param("dataCoord.segment.maxSize", "512", "2.5.27", True, id="the range is inferred"),
        pytest.param("queryCoord.autoBalanceChannel", "false", "2.6.99", True, id="a patch that is not known"),
    ],
)
def test_what_is_inferred_is_marked_in_the_step(key: str, value: str, version: str, inferred: bool) -> None:
    (outcome,) = judged({key: value}, version)
    assert outcome.step is not None
    assert outcome.step.kind is StepKind.SET_CONFIG
    assert outcome.step.action.get("evidence") == ("inferred" if inferred else None)
    assert ("effect or range is inferred" in outcome.status.message) is inferred


@pytest.mark.parametrize(
    ("low", "state"),
    [
        pytest.param("0.6", SettingState.PENDING_RESTART, id="in order"),
        pytest.param("0.8", SettingState.REFUSED, id="the low one above the high one"),
    ],
)
def test_overrides_are_checked_together(low: str, state: SettingState) -> None:
    """The high watermark alone would be below the default of the low one."""
    marks = {"Low": low, "High": "0.7"}
    prefix = "queryNode.segcore.tieredStorage.disk"
    outcomes = judged({f"{prefix}{end}WatermarkRatio": value for end, value in marks.items()}, "2.6.20")
    assert {one.status.state for one in outcomes} == {state}


KEYS = sorted(key.name for key in catalogue().keys.values())


@given(st.sampled_from(KEYS), st.sampled_from(("0", "1", "true", "0.5", "10s", "x", "")), st.sampled_from(VERSIONS))
def test_no_override_writes_what_is_not_there_does_nothing_or_belongs_to_an_intent(
    key: str, value: str, version: str
) -> None:
    (outcome,) = judged({key: value}, version)
    if outcome.step is None:
        return
    exact, known = parse_version(version), catalogue().find(key)
    assert exact is not None
    assert known is not None
    newest = catalogue().newest[f"{exact.major}.{exact.minor}"]
    release = min(exact, newest)
    assert known.exists(release)
    assert known.effect(release) is None
    levers = (find_lever(intent, exact) for intent in Intent)
    assert normalised(key) not in {normalised(lever.key) for lever in levers if isinstance(lever, Lever)}
    assert bool(outcome.components) is not known.is_live(release)
