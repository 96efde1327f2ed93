"""Each state of a key beside a control that differs in one thing, and properties over the whole catalogue."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.catalogue import ServerVersion
from milvus_tuning.catalogue.lint import Finding, KeyState, Setting, evidence_of, lint, owner_of, target
from milvus_tuning.catalogue.reading import catalogue
from milvus_tuning.catalogue.registry import LINES, ConfigKey, Evidence
from milvus_tuning.cli.config_files import read_settings_file

DATA = Path(__file__).parent / "data"
SCORE = "queryCoord.scoreUnbalanceTolerationFactor"


def judged(key: str, value: str, version: str) -> Finding:
    known = catalogue()
    [found] = lint([Setting(key=key, value=value)], target(version, known).version, known)
    return found


@pytest.mark.parametrize(
    ("key", "value", "version", "state", "suggestion"),
    [
        # unknown: misspelt, in each way that people misspell
        ("queryCoord.autoBalance", "true", "2.5.4", "ok", ""),
        ("QUERYCOORD/auto_balance", "true", "2.5.4", "ok", ""),  # Milvus takes it for the same key
        ("queryCoord.autoBalence", "true", "2.5.4", "unknown", "queryCoord.autoBalance"),
        ("queryNode.replicaSelectionPolicy", "look_aside", "2.5.4", "unknown", "proxy.replicaSelectionPolicy"),
        ("milvus.somethingElse", "1", "2.5.4", "unknown", ""),
        ("log.level", "debug", "2.5.4", "ok", ""),
        ("queryNode.mmap.somethingElse", "1", "2.5.4", "unknown", ""),
        ("dataCoord.autoUpgradeSegmentIndex", "true", "2.5.4", "ok", ""),  # real, without a tuning subject
        # unknown: a key of no release
        ("grpc.compressionEnabled", "true", "2.5.4", "unknown", "grpc.client.compressionEnabled"),
        ("grpc.client.compressionEnabled", "true", "2.5.4", "restart", ""),
        ("dataNode.wal.flushInterval", "5", "2.5.4", "unknown", ""),
        ("dataNode.wal.flushInterval", "5", "2.6.4", "unknown", "woodpecker.logstore.segmentSyncPolicy.maxInterval"),
        ("dataNode.segment.syncPeriod", "300", "2.5.4", "restart", ""),
        # unknown: not yet there
        ("queryCoord.autoBalanceInterval", "5000", "2.4.22", "unknown", ""),
        ("queryCoord.autoBalanceInterval", "5000", "2.4.23", "ok", ""),
        ("queryCoord.autoBalanceInterval", "5000", "2.5.2", "unknown", ""),
        ("queryCoord.autoBalanceInterval", "5000", "2.5.3", "ok", ""),
        ("queryCoord.checkBalanceInterval", "5000", "2.3.5", "dead", "queryCoord.checkChannelInterval"),
        ("queryCoord.checkBalanceInterval", "5000", "2.3.21", "restart", ""),
        ("queryCoord.checkBalanceInterval", "5000", "2.5.0", "ok", ""),
        # dead: gone, or read by nothing
        ("queryNode.mmapDirPath", "/var/lib/milvus/mmap", "2.3.5", "restart", ""),
        ("queryNode.mmapDirPath", "/var/lib/milvus/mmap", "2.4.0", "dead", "queryNode.mmap.mmapDirPath"),
        ("queryCoord.balanceIntervalSeconds", "60", "2.3.5", "dead", ""),
        ("queryCoord.balanceIntervalSeconds", "60", "2.5.3", "dead", "queryCoord.autoBalanceInterval"),
        ("queryNode.cache.memoryLimit", "1024", "2.3.5", "restart", ""),
        ("queryNode.cache.memoryLimit", "1024", "2.4.0", "dead", ""),
        # noop
        (SCORE, "0.1", "2.3.21", "ok", ""),
        (SCORE, "0.1", "2.4.0", "noop", "queryCoord.reverseUnBalanceTolerationFactor"),
        (SCORE, "0.1", "2.6.22", "noop", "queryCoord.reverseUnBalanceTolerationFactor"),
        (SCORE, "0.1", "2.6.23", "ok", ""),
        # type
        ("queryCoord.autoBalance", "yeah", "2.5.4", "type", "true is the default"),
        ("queryCoord.balanceSegmentBatchSize", "5x", "2.5.14", "type", "5 is the default"),
        ("queryCoord.balanceSegmentBatchSize", "6", "2.5.14", "ok", ""),
        ("woodpecker.logstore.segmentSyncPolicy.maxBytes", "lots", "2.6.4", "type", "256M is the default"),
        ("woodpecker.logstore.segmentSyncPolicy.maxBytes", "128M", "2.6.4", "restart", ""),
        ("woodpecker.logstore.segmentSyncPolicy.maxBytes", "1.5G", "2.6.4", "type", "256M is the default"),
        ("streaming.walBalancer.triggerInterval", "60", "2.6.4", "type", "1m is the default"),
        ("streaming.walBalancer.triggerInterval", "1m30s", "2.6.4", "ok", ""),
        ("queryNode.gracefulStopTimeout", "", "2.5.4", "ok", ""),
        # range
        ("queryCoord.overloadedMemoryThresholdPercentage", "120", "2.5.4", "range", "90 is the default"),
        ("dataNode.segment.syncPeriod", "5", "2.5.4", "range", "600 is the default"),
        ("woodpecker.logstore.segmentSyncPolicy.maxInterval", "5s", "2.6.4", "range", "200ms is the default"),
        ("woodpecker.logstore.segmentSyncPolicy.maxInterval", "500ms", "2.6.4", "restart", ""),
        ("queryCoord.balancer", "ScoreBased", "2.6.19", "range", "ScoreBasedBalancer is the default"),
        ("queryCoord.balancer", "ScoreBased", "2.6.20", "range", "ChannelLevelScoreBalancer is the default"),
        ("queryCoord.balancer", "ScoreBased", "2.5.4", "range", "ScoreBasedBalancer is the default"),
        ("queryCoord.balancer", "MultipleTargetNodeBalancer", "2.3.5", "range", "ScoreBasedBalancer is the default"),
        ("queryCoord.balancer", "MultipleTargetNodeBalancer", "2.4.0", "ok", ""),
        # unknown: the name for the environment
        ("MILVUS_CONF_QUERYCOORD_AUTOBALANCE", "true", "2.6.4", "unknown", "queryCoord.autoBalance"),
        # managed
        ("mq.type", "kafka", "2.5.4", "managed", ""),
        ("mq.receiveBufSize", "16", "2.5.4", "ok", ""),
        ("etcd.rootPath", "my-release", "2.5.4", "managed", ""),
        ("queryNode.ip", "10.0.0.1", "2.5.4", "managed", ""),
        ("MINIO.secretaccesskey", "minioadmin", "2.5.4", "managed", ""),
        # an old name that is still read where the new one is absent
        ("proxy.healthCheckTimetout", "3000", "2.5.4", "ok", "proxy.healthCheckTimeout"),
        ("queryCoord.collectionBalanceSegmentBatchSize", "5", "2.5.14", "ok", "queryCoord.balanceSegmentBatchSize"),
    ],
)
def test_state_and_suggestion(key: str, value: str, version: str, state: str, suggestion: str) -> None:
    found = judged(key, value, version)
    assert (found.state.value, found.suggestion) == (state, suggestion), found.reason


def test_since_removed_and_component_are_those_of_the_release_asked_about() -> None:
    earlier, later = (judged("queryCoord.autoBalanceInterval", "1", version) for version in ("2.4.23", "2.5.2"))
    assert (earlier.since, earlier.removed) == ("2.4.23", "2.5.0")
    assert (later.since, later.removed) == ("2.5.3", "2.5.0")
    assert judged("queryCoord.enableActiveStandby", "true", "2.5.4").component == "QueryCoord"
    assert judged("queryCoord.enableActiveStandby", "true", "2.6.4").component == "MixCoord"


@pytest.mark.parametrize("version", ["2.2.16", "3.0.0", "2.5", "newest", "2.5.0-rc1"])
def test_a_version_that_nothing_is_known_of_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match=r"catalogue|not a Milvus version|not a release"):
        target(version, catalogue())


def test_a_later_patch_is_checked_as_the_newest_known_one_with_a_caution() -> None:
    known = catalogue()
    newest = known.newest["2.5"]
    assert not target(str(newest), known).caution
    later = target(f"2.5.{newest.patch + 1}", known)
    assert (later.version, "newer" in later.caution) == (newest, True)


def releases() -> Iterator[ServerVersion]:
    for newest in catalogue().newest.values():
        yield from (ServerVersion(newest.major, newest.minor, patch) for patch in range(newest.patch + 1))


KEYS = st.sampled_from(sorted(catalogue().keys.values(), key=lambda key: key.name))
RELEASES = st.sampled_from(sorted(releases()))


@settings(max_examples=60)
@given(KEYS, RELEASES)
def test_a_default_is_fine_wherever_the_key_is_and_the_key_is_wrong_wherever_it_is_not(
    key: ConfigKey, version: ServerVersion
) -> None:
    known = catalogue()
    [found] = lint([Setting(key=key.name, value=key.default(version) or "")], version, known)
    if found.state is KeyState.MANAGED:
        assert "install" in found.reason
    elif not key.exists(version):
        assert found.state in {KeyState.UNKNOWN, KeyState.DEAD}
    elif (effect := key.effect(version)) is not None:
        assert found.state.value == effect.state.value
    else:
        assert found.state is (KeyState.OK if key.is_live(version) else KeyState.RESTART)


@settings(max_examples=60)
@given(KEYS, RELEASES)
def test_what_is_suggested_is_a_key_that_acts_in_that_release(key: ConfigKey, version: ServerVersion) -> None:
    known = catalogue()
    [found] = lint([Setting(key=f"{key.name}s", value="1")], version, known)
    suggested = known.find(found.suggestion)
    if suggested is not None:
        assert suggested.exists(version)
        assert suggested.effect(version) is None
    else:
        assert found.suggestion == "" or found.suggestion.endswith("is the default")


NAMES = st.text(max_size=40) | KEYS.map(lambda key: key.name) | KEYS.map(lambda key: key.name.upper().replace(".", "/"))
PAIRS = st.lists(st.tuples(NAMES, st.text(max_size=20) | st.decimals().map(str)), max_size=6)


@settings(max_examples=60)
@given(PAIRS, RELEASES)
def test_whatever_a_file_says_each_setting_has_one_finding(
    pairs: list[tuple[str, str]], version: ServerVersion
) -> None:
    document = [Setting(key=key, value=value) for key, value in pairs]
    found = lint(document, version, catalogue())
    assert [finding.setting for finding in found] == document
    assert all(finding.reason for finding in found)


@pytest.mark.parametrize("version", ["2.3.5", "2.4.23", "2.5.4", "2.6.23"])
def test_all_defaults_together_agree_with_each_other(version: str) -> None:
    known = catalogue()
    exact = target(version, known).version
    document = [Setting(key=key.name, value=key.default(exact) or "") for key in known.keys.values()]
    wrong = {
        finding.setting.key
        for finding in lint(document, exact, known)
        if finding.state in {KeyState.TYPE, KeyState.RANGE}
    }
    assert wrong == set()


@pytest.mark.parametrize("form", ["milvus", "helm-values", "milvus-resource", "helm-environment", "milvus-environment"])
@pytest.mark.parametrize("version", ["2.3.5", "2.4.23", "2.5.4", "2.6.23"])
def test_a_file_with_planted_mistakes_has_the_findings_committed(form: str, version: str) -> None:
    known = catalogue()
    expected = yaml.safe_load((DATA / f"planted-{form}-findings.yaml").read_text(encoding="utf-8"))[version]
    documents = read_settings_file(DATA / f"planted-{form}.yaml")
    found = [finding for document in documents for finding in lint(document, target(version, known).version, known)]
    assert [
        {
            "line": finding.setting.line,
            "key": finding.setting.key,
            "state": finding.state.value,
            "reason": finding.reason,
            "suggestion": finding.suggestion,
        }
        for finding in found
    ] == expected


def test_the_file_that_the_wheel_of_2_3_5_starts_with_has_the_findings_committed() -> None:
    known = catalogue()
    [document] = read_settings_file(DATA / "wheel-2.3.5.yaml")
    found: dict[str, list[str]] = {}
    for finding in lint(document, target("2.3.5", known).version, known):
        found.setdefault(finding.state.value, []).append(finding.setting.key)
    assert found == yaml.safe_load((DATA / "wheel-2.3.5-findings.yaml").read_text(encoding="utf-8"))


def test_every_line_has_keys() -> None:
    for line in LINES:
        assert sum(line in key.defaults for key in catalogue().keys.values()) > 200


@pytest.mark.parametrize(
    ("key", "value", "version", "evidence"),
    [
        ("queryCoord.autoBalance", "true", "2.3.5", Evidence.RUN),
        ("queryCoord.autoBalance", "true", "2.5.4", Evidence.SOURCE),  # seen on 2.3.5 alone
        ("queryCoord.autoBalanceInterval", "60000", "2.5.4", Evidence.SOURCE),  # what the range says is known, too
        ("dataNode.channel.workPoolSize", "8", "2.5.4", Evidence.INFERRED),  # no range
        ("queryNode.grouping.maxNQ", "1000", "2.5.4", Evidence.SOURCE),  # the default
        ("queryNode.grouping.maxNQ", "2000", "2.5.4", Evidence.INFERRED),  # what it does is not known
        ("queryCoord.balancer", "RoundRobinBalancer", "2.5.4", Evidence.SOURCE),
        ("dataCoord.compaction.taskPrioritizer", "default", "2.4.22", Evidence.INFERRED),  # may not be there yet
        ("dataCoord.compaction.taskPrioritizer", "default", "2.4.23", Evidence.SOURCE),
        ("queryCoord.notThere", "1", "2.5.4", Evidence.INFERRED),
        ("queryCoord.autoBalanceInterval", "3000", "2.5.2", Evidence.INFERRED),  # not there
    ],
)
def test_what_a_value_rests_on_is_the_weakest_of_effect_range_and_presence(
    key: str, value: str, version: str, evidence: Evidence
) -> None:
    known = catalogue()
    assert evidence_of(key, target(version, known).version, value, known) is evidence


@pytest.mark.parametrize("name", ["mq.type", "MQ/Type", "mq_type"])
def test_the_owner_of_a_key_of_the_install_is_named_in_any_spelling(name: str) -> None:
    assert owner_of(name, catalogue()).startswith("the install: which message queue")


def test_a_tuning_key_has_no_owner() -> None:
    assert owner_of("queryCoord.autoBalance", catalogue()) == ""
