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


def broken(**fields: object) -> str:
    row = {name: value for name, value in (ROW | fields).items() if value is not None}
    lists: dict[str, list[str]] = {name: [] for name in ("managed", "sections", "outside", "unchecked", "other")}
    return yaml.safe_dump({"read": READ, "newest": READ, "never": {}, "keys": {"a.b": row}, **lists})


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
