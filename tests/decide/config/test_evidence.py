"""Who reads a key, what running processes show of it, and where a value is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from milvus_tuning.catalogue import Conversion, normalised
from milvus_tuning.decide.config.evidence import Shown, beside_etcd, components_of, readers, shown, started_before
from milvus_tuning.decide.config.wishes import Wish
from milvus_tuning.snapshot import ComponentPod, ReadBack, Snapshot
from tests.decide.running.running import a_component

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WISH = Wish(
    intent="configOverrides.proxy.maxTaskNum",
    name="proxy.maxTaskNum",
    desired="512",
    conversion=Conversion.MILLISECONDS,
    live=False,
    component="Proxy",
    evidence="read at start",
)
ASKED = ("proxymaxtasknum",)


def with_pods(*components: str) -> Snapshot:
    return Snapshot(taken_at=NOW, components=tuple(a_component(one, started_at=NOW) for one in components))


@pytest.mark.parametrize(
    ("words", "running", "expected"),
    [
        pytest.param("QueryNode", ("QueryNode", "Proxy"), ("QueryNode",), id="one by itself"),
        pytest.param("QueryCoord", ("QueryCoord", "MixCoord"), ("QueryCoord",), id="a coordinator by itself"),
        pytest.param("QueryCoord", ("MixCoord", "Proxy"), ("MixCoord",), id="a coordinator inside of MixCoord"),
        pytest.param("RootCoord and Proxy", ("MixCoord", "Proxy"), ("MixCoord", "Proxy"), id="two"),
        pytest.param(
            "QueryNode, DataNode and IndexNode", ("QueryNode", "DataNode"), ("QueryNode", "DataNode"), id="in two"
        ),
        pytest.param("StreamingNode and MixCoord", ("DataCoord", "QueryCoord"), ("DataCoord", "QueryCoord"), id="each"),
        pytest.param("every component", ("Proxy", "MixCoord"), ("MixCoord", "Proxy"), id="all that run"),
        pytest.param("Standalone", ("Proxy",), (), id="not in this install"),
    ],
)
def test_the_catalogue_names_a_component_and_the_install_may_run_it_inside_of_another(
    words: str, running: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert components_of(words, with_pods(*running)) == expected


def test_a_pod_that_leaves_reads_nothing_more() -> None:
    leaving = replace(a_component("Proxy", "proxy-0", started_at=NOW), terminating=True)
    staying = a_component("Proxy", "proxy-1", started_at=NOW)
    assert readers("Proxy", Snapshot(taken_at=NOW, components=(leaving, staying))) == (staying,)


@pytest.mark.parametrize(
    ("pod", "older"),
    [
        pytest.param(a_component("Proxy", started_at=NOW - timedelta(seconds=1)), ("proxy",), id="before"),
        pytest.param(
            a_component("Proxy", started_at=NOW), (), id="in the second of the write: its fraction was cut off"
        ),
        pytest.param(a_component("Proxy", started_at=NOW + timedelta(seconds=1)), (), id="after"),
        pytest.param(a_component("Proxy", started_at=None), ("proxy",), id="ready, since when is not known"),
        pytest.param(replace(a_component("Proxy", started_at=None), ready=False), (), id="not running yet"),
    ],
)
def test_a_process_has_read_at_start_what_was_written_before(pod: ComponentPod, older: tuple[str, ...]) -> None:
    assert started_before([pod], NOW) == older
    assert started_before([pod], NOW + timedelta(milliseconds=900)) == older


@pytest.mark.parametrize(
    ("values", "proves", "other"),
    [
        pytest.param({}, False, None, id="nobody was asked"),
        pytest.param({"p-0": "512"}, True, None, id="the value"),
        pytest.param({"p-0": "512.0"}, True, None, id="the same number"),
        pytest.param({"p-0": "512", "p-1": "512"}, True, None, id="all have it"),
        pytest.param({"p-0": "512", "p-1": "1024"}, False, ("p-1", "1024"), id="one of two has another"),
        pytest.param({"p-0": "512", "p-1": None}, False, None, id="one of two has none"),
    ],
)
def test_all_that_were_asked_must_show_it(
    values: dict[str, str | None], *, proves: bool, other: tuple[str, str] | None
) -> None:
    seen = Shown(values=tuple(values.items()))
    assert (seen.proves(WISH), seen.other(WISH)) == (proves, other)


def test_only_processes_that_read_the_key_are_asked() -> None:
    snapshot = replace(
        with_pods("Proxy", "QueryNode"),
        read_back=(
            ReadBack(pod="querynode", values={"proxymaxtasknum": "1"}, asked=ASKED),
            ReadBack(pod="proxy", values={"proxymaxtasknum": "512"}, asked=ASKED),
            ReadBack(pod="gone", values={"proxymaxtasknum": "2"}, asked=ASKED),
        ),
    )
    assert shown(WISH, snapshot) == Shown(values=(("proxy", "512"),))


@pytest.mark.parametrize(
    ("environment", "files", "expected"),
    [
        pytest.param({"proxymaxtasknum": "1"}, {"proxymaxtasknum": "2"}, ("1", "environment"), id="both"),
        pytest.param({}, {"proxymaxtasknum": "2"}, ("2", "file"), id="a file"),
        pytest.param({}, {"other": "2"}, (None, "default"), id="neither"),
        pytest.param({}, {}, (None, "file or default"), id="files that were not read"),
    ],
)
def test_an_environment_variable_goes_before_a_file(
    environment: Mapping[str, str], files: Mapping[str, str], expected: tuple[str | None, str]
) -> None:
    snapshot = Snapshot(taken_at=NOW, environment_config=environment, install_config=files)
    assert beside_etcd("proxy.maxTaskNum", snapshot) == expected


@pytest.mark.parametrize(
    ("readers_say", "proves"),
    [
        pytest.param({}, True, id="no proxy can be asked: what the others read counts"),
        pytest.param({"proxy": {"proxymaxtasknum": "1024"}}, False, id="a proxy says otherwise: it counts alone"),
    ],
)
def test_others_speak_for_a_component_that_tells_nobody(
    readers_say: Mapping[str, Mapping[str, str]], proves: bool
) -> None:
    said = {"datanode": {"proxymaxtasknum": "512"}, "querynode": {}, **readers_say}
    snapshot = replace(
        with_pods("Proxy", "DataNode", "QueryNode"),
        read_back=tuple(ReadBack(pod=pod, values=values) for pod, values in said.items()),
    )
    assert shown(WISH, snapshot).proves(WISH) is proves


@pytest.mark.parametrize(
    ("asked", "values", "expected"),
    [
        pytest.param(ASKED, {}, (("proxy", None),), id="asked, and it has none"),
        pytest.param((), {}, (), id="not asked: nothing is known"),
        pytest.param((), {"proxymaxtasknum": "512"}, (("proxy", "512"),), id="a recording of before names values only"),
    ],
)
def test_a_key_that_nobody_was_asked_for_is_not_missing(
    asked: tuple[str, ...], values: Mapping[str, str], expected: tuple[tuple[str, str | None], ...]
) -> None:
    told = ReadBack(pod="proxy", values=values, asked=asked)
    assert shown(WISH, replace(with_pods("Proxy"), read_back=(told,))).values == expected


def test_a_reader_that_was_not_asked_leaves_the_word_to_others() -> None:
    """QueryNode reads the load guard below queryCoord, and can be asked for keys of its own section only."""
    guard = replace(WISH, name="queryCoord.overloadedMemoryThresholdPercentage", component="QueryNode", desired="88")
    name = normalised(guard.name)
    snapshot = replace(
        with_pods("QueryNode", "MixCoord"),
        read_back=(
            ReadBack(pod="mixcoord", values={name: "88"}, asked=(name,)),
            ReadBack(pod="querynode", values={"querynodestatspublishinterval": "1000"}, asked=("querynodex",)),
        ),
    )

    assert shown(guard, snapshot).values == (("mixcoord", "88"),)
