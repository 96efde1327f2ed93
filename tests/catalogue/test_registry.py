"""The catalogue itself: what it holds agrees with the intents, and broken data is refused with the name of the key."""

import pytest
import yaml

from milvus_tuning.catalogue import Intent, ServerVersion, levers_of, parse_version
from milvus_tuning.catalogue.reading import catalogue, read_catalogue
from milvus_tuning.catalogue.registry import LINES, CatalogueError, Evidence

ROW = {
    "subject": "balance",
    "type": "int",
    "present": ["2.4.0.."],
    "defaults": {"2.5": "5"},
    "live": True,
    "component": "QueryCoord",
    "evidence": "source",
}
READ = {line: f"{line}.9" for line in LINES}
RAN = "2.3.5"


def broken(**fields: object) -> str:
    row = {name: value for name, value in (ROW | fields).items() if value is not None}
    lists: dict[str, list[str]] = {name: [] for name in ("managed", "sections", "outside", "unchecked", "other")}
    return yaml.safe_dump({"read": READ, "ran": RAN, "newest": READ, "never": {}, "keys": {"a.b": row}, **lists})


def patches(line: str) -> list[ServerVersion]:
    newest = catalogue().newest[line]
    return [ServerVersion(newest.major, newest.minor, patch) for patch in range(newest.patch + 1)]


@pytest.mark.parametrize("intent", Intent)
def test_every_lever_is_a_key_of_each_of_its_releases_and_agrees_on_what_is_live(intent: Intent) -> None:
    known = catalogue()
    checked = 0
    for lever in levers_of(intent):
        key = known.find(lever.key)
        assert key is not None, lever.key
        for version in (version for line in LINES for version in patches(line)):
            if not lever.since <= version < lever.until:
                continue
            checked += 1
            assert key.exists(version), (lever.key, version)
            assert key.effect(version) is None, (lever.key, version)
            assert key.is_live(version) is (lever.live or bool(lever.why_restart)), (lever.key, version)
    assert checked


@pytest.mark.parametrize("intent", Intent)
def test_a_key_that_carries_a_number_says_what_happens_outside_of_its_range(intent: Intent) -> None:
    for lever in levers_of(intent):
        key = catalogue().find(lever.key)
        assert key is not None
        if lever.minimum is not None:
            assert key.range is not None, lever.key
            assert key.range.harm, lever.key


def test_what_was_seen_on_a_running_server_is_listed_here_and_holds_for_that_release() -> None:
    known = catalogue()
    seen = {key.name: key for key in known.keys.values() if key.evidence is Evidence.RUN}
    assert set(seen) == {
        "common.gracefulTime",  # searches at level Bounded wait
        "proxy.grpc.serverMaxSendSize",  # large replies are refused
        "queryCoord.autoBalance",  # the balancer stops
        "queryCoord.scoreUnbalanceTolerationFactor",  # a skew is left alone
    }
    assert str(known.ran) == "2.3.5"
    for key in seen.values():
        assert key.evidence_in(ServerVersion(2, 3, 5), known.ran) is Evidence.RUN
        assert key.evidence_in(ServerVersion(2, 5, 4), known.ran) is Evidence.SOURCE


@pytest.mark.parametrize(
    ("key", "version", "default"),
    [
        ("queryCoord.balancer", "2.6.19", "ScoreBasedBalancer"),
        ("queryCoord.balancer", "2.6.20", "ChannelLevelScoreBalancer"),
        ("queryCoord.checkBalanceInterval", "2.4.23", "3000"),
        ("queryCoord.checkBalanceInterval", "2.5.7", "3000"),
        ("queryCoord.checkBalanceInterval", "2.5.8", "300"),
        ("dataCoord.segment.maxSize", "2.3.5", "512"),
        ("dataCoord.segment.maxSize", "2.4.0", "1024"),
        ("queryCoord.taskExecutionCap", "2.5.27", "256"),
        ("queryCoord.taskExecutionCap", "2.6.0", "360"),
        ("common.session.ttl", "2.6.0", "15"),
        ("queryNode.mmap.vectorField", "2.3.5", None),
    ],
)
def test_a_default_is_that_of_the_release(key: str, version: str, default: str | None) -> None:
    found, release = catalogue().find(key), parse_version(version)
    assert found is not None
    assert release is not None
    assert found.default(release) == default


def test_it_holds_what_it_is_for() -> None:
    known = catalogue()
    assert len(known.keys) > 500
    assert all(key.component and key.subject for key in known.keys.values())
    assert {key.evidence for key in known.keys.values()} <= set(Evidence)


def test_a_sound_row_is_read() -> None:
    key = read_catalogue(broken()).find("A/B")
    assert key is not None
    assert (key.name, dict(key.defaults)) == ("a.b", {"2.5": "5"})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": "integer"}, "type: 'integer' is not known"),
        ({"type": None}, "the field 'type' is missing"),
        ({"evidence": "hearsay"}, "evidence: 'hearsay' is not known"),
        ({"present": []}, "present is empty"),
        ({"present": ["2.4"]}, "is not a span"),
        ({"present": ["2.4.0..soon"]}, "'soon' is not a version"),
        ({"present": ["2.5.0..2.4.0"]}, "ends before it starts"),
        ({"present": ["2.4.0..2.5.4", "2.5.3.."]}, "begins inside the one before it"),
        ({"defaults": {"2.5": 5}}, "must be in quotes"),
        ({"defaults": {"2.7": "5"}}, "none of the lines"),
        ({"defaults": {"2.3": "5"}}, "the key does not exist there"),
        ({"defaults": {"2.5": "five"}}, "'five' is not a whole number"),
        ({"range": {"minimum": 6, "evidence": "source"}}, "5 is out of range"),
        ({"range": {"minimum": 2, "maximum": 1, "evidence": "source"}}, "above the maximum"),
        ({"effects": [{"state": "asleep", "in": "2.4.0..", "reason": "", "evidence": "run"}]}, "effects: state"),
        ({"earlier_defaults": {"2.4.0..2.5.0": "five"}}, "earlier_defaults: 2.4.0: 'five' is not a whole number"),
        ({"range": {"minimum": "soon", "evidence": "source"}}, "range: the minimum 'soon' is no int"),
        ({"type": "duration", "range": {"maximum": "5", "evidence": "run"}}, "range: the maximum '5' is no duration"),
        ({"notes": [{"in": "2.4", "text": ""}]}, "is not a span"),
        ({"refreshable": True}, "no field is called refreshable"),
    ],
)
def test_broken_data_is_refused_with_the_key_and_the_field(fields: dict[str, object], said: str) -> None:
    with pytest.raises(CatalogueError, match=r"keys\.yaml: a\.b: ") as caught:
        read_catalogue(broken(**fields))
    assert said in str(caught.value)


def test_two_spellings_of_one_key_and_what_is_not_yaml_are_refused() -> None:
    whole = yaml.safe_load(broken())
    whole["keys"]["A.B"] = ROW
    with pytest.raises(CatalogueError, match=r"A\.B: Milvus takes it and a\.b for one key|a\.b: Milvus takes it"):
        read_catalogue(yaml.safe_dump(whole))
    with pytest.raises(CatalogueError, match="not YAML"):
        read_catalogue("keys: {")
    with pytest.raises(CatalogueError, match="a section is missing"):
        read_catalogue("keys: {}")


def test_every_span_names_releases() -> None:
    spans = [span for key in catalogue().keys.values() for span in (*key.present, *key.live, *key.unsure)]
    assert all(span.since.released for span in spans)
    assert parse_version("2.4.23") in {span.since for span in spans}
