"""Compression Auto follows the speed of the links; between slow and fast the network's share and the vectors."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.catalogue import Intent
from milvus_tuning.decide.config.declared import Declared, declared, unsupported
from milvus_tuning.plan import SettingState, SettingStatus
from milvus_tuning.snapshot import MISSING, Collection, CollectionShape, Sample, Snapshot
from tests.builders import NOON, a_sample, a_snapshot
from tests.decide.config.a_policy import COMPRESSION, a_policy, in_etcd, in_files, the_version

VERSION = the_version("2.5.27")
AUTO = a_policy(network={"compression": "Auto"})
ON, OFF = "true", "false"
NO_SPEED = "set network.linkBitsPerSecond, or let Prometheus scrape node_exporter"


def a_collection(dimension: int | None = 768, *, number: int = 100) -> Collection:
    shape = None if dimension is None else CollectionShape(dimension=dimension, vector_bytes=4 * dimension)
    return Collection(collection_id=number, name=f"c{number}", shape=shape)


def measured(
    gigabits: float | None = 5,
    share: float | None = 0.25,
    *dimensions: int | None,
    stored: str | None = None,
    file: str | None = None,
    **changes: Any,
) -> Snapshot:
    """A cluster with these links, this share of the network, and collections of 768 dimensions or as given."""
    facts: dict[str, Any] = {
        "collections": tuple(a_collection(one, number=number) for number, one in enumerate(dimensions or (768,))),
        "link_bits_per_second": MISSING if gigabits is None else a_sample(gigabits * 10**9),
        "network_share": MISSING if share is None else a_sample(share),
        "settings": in_etcd(**{COMPRESSION: stored}) if stored is not None else {},
        "install_config": in_files(**{COMPRESSION: file}) if file is not None else {},
    }
    return a_snapshot(**{**facts, **changes})


@pytest.mark.parametrize(
    ("snapshot", "value", "note"),
    [
        pytest.param(measured(0.5), 1, "Auto: on, links of 0.5 Gbit/s are below 1 Gbit/s", id="slow links"),
        pytest.param(measured(25), 0, "Auto: off, links of 25 Gbit/s are above 10 Gbit/s", id="fast links"),
        pytest.param(measured(0.5, None, None), 1, "Auto: on, links of 0.5 Gbit/s are below 1 Gbit/s", id="slow alone"),
        pytest.param(
            measured(10, 0.2, 513),
            1,
            "Auto: on, links of 10 Gbit/s, the network is 20 % of the latency, vectors of 513 dimensions",
            id="10 Gbit/s is between, 20 % is enough, 513 is above 512",
        ),
        pytest.param(
            measured(1, 0.25, 768),
            1,
            "Auto: on, links of 1 Gbit/s, the network is 25 % of the latency, vectors of 768 dimensions",
            id="1 Gbit/s is between",
        ),
        pytest.param(
            measured(5, 0.9, 512, 128),
            0,
            "Auto: off, links of 5 Gbit/s and vectors of 512 dimensions at most, not above 512",
            id="short vectors",
        ),
        pytest.param(
            measured(5, None, 512),
            0,
            "Auto: off, links of 5 Gbit/s and vectors of 512 dimensions at most, not above 512",
            id="short vectors, whatever the share",
        ),
        pytest.param(
            measured(5, 0.09, None),
            0,
            "Auto: off, links of 5 Gbit/s and the network is 9 % of the latency, below 10 %",
            id="a small share, whatever the vectors",
        ),
        pytest.param(
            measured(5, 0.25, 768, None),
            1,
            "Auto: on, links of 5 Gbit/s, the network is 25 % of the latency, vectors of 768 dimensions",
            id="one collection with long vectors settles it",
        ),
        pytest.param(
            measured(5, 0.14),
            0,
            "Auto: off, links of 5 Gbit/s, the network is 14 % of the latency, vectors of 768 dimensions; "
            "what stands stays between 10 % and 20 %",
            id="in the band, nothing stands: the default",
        ),
        pytest.param(
            measured(5, 0.14, stored=ON, file=OFF),
            1,
            "Auto: on, links of 5 Gbit/s, the network is 14 % of the latency, vectors of 768 dimensions; "
            "what stands stays between 10 % and 20 %",
            id="in the band, on in etcd",
        ),
        pytest.param(
            measured(5, 0.14, file="1"),
            1,
            "Auto: on, links of 5 Gbit/s, the network is 14 % of the latency, vectors of 768 dimensions; "
            "what stands stays between 10 % and 20 %",
            id="in the band, on in a file",
        ),
        pytest.param(
            measured(5, 0.09, stored=ON),
            0,
            "Auto: off, links of 5 Gbit/s and the network is 9 % of the latency, below 10 %",
            id="below the band it goes off",
        ),
        pytest.param(
            measured(5, 0.2, stored=OFF),
            1,
            "Auto: on, links of 5 Gbit/s, the network is 20 % of the latency, vectors of 768 dimensions",
            id="from the band's upper end it goes on",
        ),
    ],
)
def test_auto_says_what_it_came_to_and_by_which_numbers(snapshot: Snapshot, value: int, note: str) -> None:
    assert declared(AUTO, snapshot, VERSION, NOON) == (Declared(intent=Intent.COMPRESSION, value=value, note=note),)
    assert unsupported(AUTO, snapshot, VERSION) == ()


def test_a_declared_speed_goes_before_a_measured_one() -> None:
    spec = a_policy(network={"compression": "Auto", "linkBitsPerSecond": "25G"})
    (one,) = declared(spec, measured(0.5), VERSION, NOON)
    assert (one.value, one.note) == (0, "Auto: off, links of 25 Gbit/s are above 10 Gbit/s")


@pytest.mark.parametrize(
    ("snapshot", "missing"),
    [
        pytest.param(measured(None), f"link speed missing; {NO_SPEED}", id="no speed"),
        pytest.param(
            measured(link_bits_per_second=a_sample(5e8, age=61)),
            f"link speed 61 s old (limit 60 s); {NO_SPEED}",
            id="an old speed",
        ),
        pytest.param(
            measured(link_bits_per_second=a_sample(5e8, coverage=0.5)),
            f"link speed covers 50 % of its series; {NO_SPEED}",
            id="the speed of half of the machines",
        ),
        pytest.param(
            measured(link_bits_per_second=a_sample(float("nan"))), f"link speed missing; {NO_SPEED}", id="not a number"
        ),
        pytest.param(
            measured(link_bits_per_second=a_sample(-125000)),
            f"link speed negative (-125000); {NO_SPEED}",
            id="a speed that the kernel does not know",
        ),
        pytest.param(measured(0), f"link speed 0 is none; {NO_SPEED}", id="a speed of 0"),
        pytest.param(measured(5, None), "share of the network in the latency missing", id="no share"),
        pytest.param(
            measured(5, 1.5), "share of the network in the latency 1.5 is not plausible", id="more than the whole"
        ),
        pytest.param(measured(5, 0.9, 128, None), "dimensions not known of default.c1", id="a shape not read"),
        pytest.param(measured(5, 0.9, 512, None), "dimensions not known of default.c1", id="512 settles nothing"),
        pytest.param(measured(5, 0.9, collections=()), "no collection is loaded", id="nothing loaded"),
        pytest.param(
            measured(5, None, None),
            "share of the network in the latency missing; dimensions not known of default.c0",
            id="neither",
        ),
    ],
)
@pytest.mark.parametrize("file", [None, ON, OFF])
def test_what_cannot_be_told_is_not_given_and_says_what_is_missing(
    snapshot: Snapshot, missing: str, file: str | None
) -> None:
    seen = replace(snapshot, install_config=in_files(**{COMPRESSION: file}) if file else {})
    assert declared(AUTO, seen, VERSION, NOON) == ()
    assert unsupported(AUTO, seen, VERSION) == (
        SettingStatus(
            intent="network.compression",
            key=None,
            desired=None,
            effective=None,
            source=None,
            state=SettingState.NOT_APPLIED,
            message=f"Auto cannot be decided: {missing}",
        ),
    )


@pytest.mark.parametrize(("stored", "value", "word"), [(ON, 1, "on"), (OFF, 0, "off")])
def test_what_is_in_etcd_stays_while_it_cannot_be_told(stored: str, value: int, word: str) -> None:
    note = f"Auto: stays {word}, it cannot be decided now: link speed missing; {NO_SPEED}"
    snapshot = measured(None, None, stored=stored)
    assert declared(AUTO, snapshot, VERSION, NOON) == (Declared(intent=Intent.COMPRESSION, value=value, note=note),)
    assert unsupported(AUTO, snapshot, VERSION) == ()


@pytest.mark.parametrize("seconds", [0, 90])
def test_what_is_given_and_what_is_reported_agree_on_the_age_of_a_sample(seconds: int) -> None:
    snapshot, later = measured(0.5), NOON + timedelta(seconds=seconds)
    assert len(declared(AUTO, snapshot, VERSION, later)) == 1
    assert unsupported(AUTO, snapshot, VERSION) == ()


def test_a_declared_speed_of_0_is_none() -> None:
    spec = a_policy(network={"compression": "Auto", "linkBitsPerSecond": "0"})
    assert declared(spec, measured(5), VERSION, NOON) == ()


@pytest.mark.parametrize("choice", ["Enabled", "Disabled"])
def test_a_declared_choice_needs_no_measurement(choice: str) -> None:
    spec = a_policy(network={"compression": choice})
    assert [one.value for one in declared(spec, measured(None, None), VERSION, NOON)] == [int(choice == "Enabled")]
    assert unsupported(spec, measured(None, None), VERSION) == ()


samples = st.builds(
    Sample,
    value=st.none() | st.floats(-1, 3e10) | st.just(float("nan")),
    age_seconds=st.floats(0, 120),
    coverage=st.sampled_from((0.0, 0.5, 1.0)),
)
shares = st.builds(
    Sample,
    value=st.none() | st.floats(-0.1, 1.2),
    age_seconds=st.floats(0, 120),
    coverage=st.sampled_from((0.0, 0.5, 1.0)),
)
dimensions = st.lists(st.none() | st.integers(2, 2048), max_size=3)
texts = st.sampled_from((None, ON, OFF, "nonsense"))


def chosen(snapshot: Snapshot) -> int | None:
    """What Auto gives; None where it gives nothing."""
    found = declared(AUTO, snapshot, VERSION, NOON)
    assert len(found) + len(unsupported(AUTO, snapshot, VERSION)) == 1  # one or the other, never neither
    return int(found[0].value) if found else None


@given(st.lists(st.floats(0.1, 0.1999), min_size=1, max_size=8), st.sampled_from((ON, OFF)), st.floats(1, 10))
@settings(max_examples=60)
def test_inside_the_band_auto_never_changes_its_mind(values: list[float], stored: str, gigabits: float) -> None:
    stands = stored
    for share in values:
        stands = ON if chosen(measured(gigabits, share, stored=stands)) else OFF
    assert stands == stored


@given(samples, shares, dimensions, texts)
@settings(max_examples=60)
def test_what_auto_wrote_it_would_write_again(
    speed: Sample, share: Sample, lengths: list[int | None], stored: str | None
) -> None:
    snapshot = measured(5, 0.25, *lengths, stored=stored, link_bits_per_second=speed, network_share=share)
    first = chosen(snapshot)
    if first is not None:
        again = replace(snapshot, settings=in_etcd(**{COMPRESSION: ON if first else OFF}))
        assert chosen(again) == first
    assert chosen(snapshot) == first


@given(samples, shares, dimensions, st.sampled_from(("speed", "share", "shapes")))
@settings(max_examples=60)
def test_what_is_missing_never_turns_compression_on(
    speed: Sample, share: Sample, lengths: list[int | None], lost: str
) -> None:
    whole = measured(5, 0.25, *lengths, link_bits_per_second=speed, network_share=share)
    unread = tuple(a_collection(None, number=one.collection_id) for one in whole.collections)
    fewer = {
        "speed": replace(whole, link_bits_per_second=MISSING),
        "share": replace(whole, network_share=MISSING),
        "shapes": replace(whole, collections=unread),
    }
    if chosen(fewer[lost]) == 1:
        assert chosen(whole) == 1
