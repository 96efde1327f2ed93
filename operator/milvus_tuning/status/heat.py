"""The heat model's estimate as it stands in status, and what of it is worth a write.

Numbers are quantised: cores to thousandths with two significant digits, shares and skew to 5 %, the model's error up
to the next 5 %. An estimate jitters from pass to pass all the same, and a number beside the edge of its quantum would
flip for ever. So what is stored and what is new are compared with a tolerance that no quantum exceeds: a tenth of the
greater number, at least one thousandth of a core; 5 points for percentages. Worked example, a collection at 0.12 cores:

    0.1249 -> 0.1251 cores   120 -> 130 thousandths, 10 are within a tenth of 130     not material
    0.12   -> 0.15   cores   120 -> 150 thousandths, 30 are more than a tenth of 150  material

A row that comes or goes at the cold end of a list that is full is compared with the coldest row that is there instead.
What is not material is written along with the next write, a minute later at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from milvus_tuning.api import HeatStatus, HotCollection, HotSegment, MilvusTuningStatus, MovingCollection, ObservedNode
from milvus_tuning.snapshot import Collection, Snapshot
from milvus_tuning.status.bounds import FEWER_ROWS

MOST_ROWS = 20  # of the lists in `api.HeatStatus`, and of status.pingPong
FULL = (MOST_ROWS, *FEWER_ROWS)
"""How long a list is that was cut."""
MOST_GAPS = 5
GAP_LENGTH = 200
NAME_LENGTH = 255  # proxy.maxNameLength of Milvus
WORD_LENGTH = 253  # of `api.status.Word`
QUANTUM_PERCENT = 5
MATERIAL_RATIO = 0.1
"""Two significant digits have a quantum of a tenth at most (10 of 100), so one quantum is never material."""
LEAST_CORES_THOUSANDTHS = 1
DEFAULT_RESOURCE_GROUP = "__default_resource_group"


class HeatOfSegment(Protocol):
    """`decide.heat.SegmentHeat`: one copy of a segment on one QueryNode."""

    @property
    def segment_id(self) -> int: ...
    @property
    def collection_id(self) -> int: ...
    @property
    def node_id(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def cores(self) -> float: ...


class HeatOfNode(Protocol):
    """`decide.heat.NodeHeat`: a QueryNode."""

    @property
    def pod(self) -> str: ...
    @property
    def node_id(self) -> int: ...
    @property
    def expected_cores(self) -> float: ...
    @property
    def expected_ratio(self) -> float | None: ...


class HeatOfCollection(Protocol):
    """`decide.heat.CollectionHeat`: a loaded collection."""

    @property
    def database(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def searches_per_second(self) -> float | None: ...
    @property
    def cores(self) -> float: ...
    @property
    def share_ratio(self) -> float: ...
    @property
    def replicas(self) -> int: ...
    @property
    def segments(self) -> int: ...
    @property
    def busiest_node_id(self) -> int | None: ...


class Heat(Protocol):
    """`decide.heat.HeatMap`, of which nothing is imported here: decisions and their report do not know each other."""

    @property
    def segments(self) -> Sequence[HeatOfSegment]: ...
    @property
    def nodes(self) -> Sequence[HeatOfNode]: ...
    @property
    def collections(self) -> Sequence[HeatOfCollection]: ...
    @property
    def error_ratio(self) -> float | None: ...
    @property
    def gaps(self) -> Sequence[str]: ...


class Moves(Protocol):
    """`decide.ping_pong.CollectionMoves`: a collection whose segments are moved to and fro."""

    @property
    def database(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def moves(self) -> int: ...
    @property
    def net_zero_ratio(self) -> float: ...
    @property
    def return_seconds(self) -> float | None: ...


def heat_status(heat: Heat, snapshot: Snapshot) -> HeatStatus | None:
    """The hottest collections and segments; None where there is neither heat nor anything that is missing for it."""
    if not (heat.segments or heat.collections or heat.gaps):
        return None
    pods = _pods(heat, snapshot)
    names = {collection.collection_id: collection for collection in snapshot.collections}
    collections = sorted(heat.collections, key=lambda one: (-one.cores, one.database, one.name))
    segments = sorted(heat.segments, key=lambda one: (-one.cores, one.segment_id, one.node_id))
    return HeatStatus(
        error_percent=_up_to_five(heat.error_ratio),
        skew_percent=_to_five(_skew_ratio(heat.nodes)),
        collections=[_collection(one, pods) for one in collections[:MOST_ROWS]] or None,
        segments=[_segment(one, pods, names) for one in segments[:MOST_ROWS]] or None,
        gaps=[gap[:GAP_LENGTH] for gap in heat.gaps[:MOST_GAPS]] or None,
    )


def moving_status(moves: Iterable[Moves]) -> list[MovingCollection]:
    """The collections that are moved to and fro, the most useless moves first."""
    ranked = sorted(moves, key=lambda one: (-one.moves * one.net_zero_ratio, one.database, one.name))
    return [
        MovingCollection(
            database=one.database[:NAME_LENGTH],
            name=one.name[:NAME_LENGTH],
            moves=one.moves,
            net_zero_percent=_to_five(one.net_zero_ratio) or 0,
            return_seconds=None if one.return_seconds is None else two_digits(one.return_seconds),
        )
        for one in ranked[:MOST_ROWS]
    ]


def heat_percents(heat: Heat | None) -> Mapping[int, int]:
    """Node id -> expected computation in percent of the CPU limit, to 5; nodes without a limit are left out."""
    if heat is None:
        return {}
    percents = {node.node_id: _to_five(node.expected_ratio) for node in heat.nodes}
    return {node_id: percent for node_id, percent in percents.items() if percent is not None}


def resource_groups(node_id: int | None, snapshot: Snapshot) -> str | None:
    """The resource groups of a QueryNode, where it is in another than the default one."""
    named = sorted(group.name for group in snapshot.resource_groups if node_id in group.node_ids)
    return ", ".join(named)[:WORD_LENGTH] if named and named != [DEFAULT_RESOURCE_GROUP] else None


def heat_has_moved(before: MilvusTuningStatus, after: MilvusTuningStatus) -> bool:
    """Whether a reader of the heat would see something else, and not its jitter alone."""
    return (
        _nodes_have_moved(_nodes(before), _nodes(after))
        or (before.heat is None) != (after.heat is None)
        or (before.heat is not None and after.heat is not None and _has_moved(before.heat, after.heat))
    )


def without_heat(status: MilvusTuningStatus) -> MilvusTuningStatus:
    """The status without what `heat_has_moved` compares."""
    observed = status.observed
    if observed is not None and observed.query_nodes is not None:
        nodes = [node.model_copy(update={"heat_percent": None}) for node in observed.query_nodes]
        observed = observed.model_copy(update={"query_nodes": nodes})
    return status.model_copy(update={"heat": None, "observed": observed})


def two_digits(value: float) -> int:
    """A whole number of two significant digits: 1234 -> 1200, 99.6 -> 100, 7.4 -> 7."""
    if value < 10:
        return round(value)
    return int(round(value, 1 - math.floor(math.log10(value))))


def _collection(heat: HeatOfCollection, pods: Mapping[int, str]) -> HotCollection:
    rate, busiest = heat.searches_per_second, heat.busiest_node_id
    return HotCollection(
        database=heat.database[:NAME_LENGTH],
        name=heat.name[:NAME_LENGTH],
        searches_per_second=None if rate is None else two_digits(rate),
        cores_thousandths=two_digits(heat.cores * 1000),
        share_percent=_to_five(heat.share_ratio) or 0,
        replicas=heat.replicas,
        segments=heat.segments,
        busiest_pod=None if busiest is None else pods.get(busiest, str(busiest))[:WORD_LENGTH],
    )


def _segment(heat: HeatOfSegment, pods: Mapping[int, str], names: Mapping[int, Collection]) -> HotSegment:
    return HotSegment(
        segment=str(heat.segment_id),
        database=_database(heat.collection_id, names),
        collection=_name(heat.collection_id, names),
        pod=pods.get(heat.node_id, str(heat.node_id))[:WORD_LENGTH],
        rows=heat.rows,
        cores_thousandths=two_digits(heat.cores * 1000),
    )


def _database(collection_id: int, names: Mapping[int, Collection]) -> str:
    return names[collection_id].database[:NAME_LENGTH] if collection_id in names else ""


def _name(collection_id: int, names: Mapping[int, Collection]) -> str:
    """The collection's name; its id where it is gone from the snapshot."""
    return names[collection_id].name[:NAME_LENGTH] if collection_id in names else str(collection_id)


def _pods(heat: Heat, snapshot: Snapshot) -> Mapping[int, str]:
    known = {node.node_id: node.pod for node in snapshot.query_nodes if node.node_id is not None}
    return known | {node.node_id: node.pod for node in heat.nodes}


def _skew_ratio(nodes: Sequence[HeatOfNode]) -> float | None:
    """How far the hottest QueryNode is above the mean; by CPU over its limit where each has one."""
    ratios = [node.expected_ratio for node in nodes if node.expected_ratio is not None]
    loads = ratios if len(ratios) == len(nodes) else [node.expected_cores for node in nodes]
    mean = sum(loads) / len(loads) if loads else 0.0
    return max(loads) / mean - 1 if mean > 0 else None


def _to_five(ratio: float | None) -> int | None:
    return None if ratio is None else QUANTUM_PERCENT * round(ratio * 100 / QUANTUM_PERCENT)


def _up_to_five(ratio: float | None) -> int | None:
    """Rounded up: an error is never told smaller than it is."""
    return None if ratio is None else QUANTUM_PERCENT * math.ceil(round(ratio * 100, 6) / QUANTUM_PERCENT)


def _nodes(status: MilvusTuningStatus) -> Sequence[ObservedNode]:
    return (status.observed.query_nodes if status.observed else None) or []


def _nodes_have_moved(before: Sequence[ObservedNode], after: Sequence[ObservedNode]) -> bool:
    stored = {node.pod: node.heat_percent for node in before}
    return any(_points_differ(stored.get(node.pod), node.heat_percent) for node in after)


def _has_moved(before: HeatStatus, after: HeatStatus) -> bool:
    return (
        bool(before.gaps) != bool(after.gaps)
        or _points_differ(before.error_percent, after.error_percent)
        or _points_differ(before.skew_percent, after.skew_percent)
        or _collections_have_moved(before.collections or [], after.collections or [])
        or _cores_have_moved(_segment_cores(before), _segment_cores(after))
    )


def _collections_have_moved(before: Sequence[HotCollection], after: Sequence[HotCollection]) -> bool:
    stored = {(one.database, one.name): one for one in before}
    pairs = [(stored[key], one) for one in after if (key := (one.database, one.name)) in stored]
    cores = [{(one.database, one.name): one.cores_thousandths for one in rows} for rows in (before, after)]
    return _cores_have_moved(*cores) or any(_collection_has_moved(*pair) for pair in pairs)


def _collection_has_moved(before: HotCollection, after: HotCollection) -> bool:
    rates = (before.searches_per_second, after.searches_per_second)
    return (
        (before.replicas, before.segments) != (after.replicas, after.segments)
        or _points_differ(before.share_percent, after.share_percent)
        or (rates[0] is None) != (rates[1] is None)
        or _differ(rates[0] or 0, rates[1] or 0)
    )


def _segment_cores(heat: HeatStatus) -> Mapping[tuple[str, str], int]:
    return {(one.segment, one.pod): one.cores_thousandths for one in heat.segments or []}


def _cores_have_moved(before: Mapping[tuple[str, str], int], after: Mapping[tuple[str, str], int]) -> bool:
    floors = [min(rows.values(), default=None) if len(rows) in FULL else None for rows in (before, after)]
    return any(_row_has_moved(before.get(key, floors[0]), after.get(key, floors[1])) for key in before.keys() | after)


def _row_has_moved(before: int | None, after: int | None) -> bool:
    return before is None or after is None or _differ(before, after)


def _differ(before: int, after: int) -> bool:
    return abs(before - after) > max(LEAST_CORES_THOUSANDTHS, MATERIAL_RATIO * max(before, after))


def _points_differ(before: int | None, after: int | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(before - after) > QUANTUM_PERCENT
