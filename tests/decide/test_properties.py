"""What holds for every cluster, policy and gap in the numbers."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from milvus_tuning.api import MilvusTuningSpec
from milvus_tuning.decide import decide
from milvus_tuning.plan import Decision, Parameters, Reason, StepKind
from milvus_tuning.snapshot import QueryNode, Sample, Snapshot
from tests.builders import NOON, a_history, a_node, a_snapshot, a_spec, lasting_signals

BASE_MEMORY = 0.1  # what the builder's process holds besides segments
MEASURED = ("resident_memory_bytes", "loaded_bytes", "cpu_cores")

shares = st.floats(0.0, 1.1, allow_nan=False)
counts = st.integers(1, 12)


@st.composite
def policies(draw: st.DrawFn) -> MilvusTuningSpec:
    least = draw(st.integers(1, 6))
    return a_spec(
        min_count=least,
        max_count=draw(st.integers(least, 12)),
        scale_out={"max_step": draw(st.integers(1, 6))},
        query_nodes={"tolerance_percent": draw(st.integers(0, 20))},
    )


@st.composite
def clusters(draw: st.DrawFn) -> Snapshot:
    """Any settled cluster: uneven nodes, one to three in-memory replicas, two versions."""
    nodes = [
        a_node(f"qn-{number}", node_id=number, cpu=draw(shares), memory=draw(shares))
        for number in range(1, draw(counts) + 1)
    ]
    snapshot = a_snapshot(nodes, replicas=draw(st.integers(1, min(3, len(nodes)))))
    return replace(snapshot, milvus_version=draw(st.sampled_from(["2.3.5", "2.4.13"])))


unusable = st.sampled_from(
    [
        Sample.missing(),
        Sample(value=float("nan")),
        Sample(value=0.0, age_seconds=61.0),
        Sample(value=0.0, coverage=0.9),
    ]
)


def decided(spec: MilvusTuningSpec, snapshot: Snapshot) -> Decision:
    return decide(spec, snapshot, a_history(snapshot), NOON)


def asked_count(decision: Decision) -> int | None:
    actions: list[Parameters] = [one.action for one in decision.steps if one.kind is StepKind.SCALE_QUERY_NODES]
    return int(actions[0]["count"] or 0) if actions else None


def blinded(snapshot: Snapshot, place: int, field: str, sample: Sample) -> Snapshot:
    nodes = list(snapshot.query_nodes)
    place %= len(nodes)
    nodes[place] = replace(nodes[place], **{field: sample})  # type: ignore[arg-type]
    return replace(snapshot, query_nodes=tuple(nodes))


@given(policies(), clusters())
def test_the_size_never_leaves_its_bounds_but_to_come_back(spec: MilvusTuningSpec, snapshot: Snapshot) -> None:
    count, rules = asked_count(decided(spec, snapshot)), spec.query_nodes
    assert rules is not None

    if count is not None:
        before = len(snapshot.members)
        assert count <= max(rules.max_count, before - 1)
        assert count >= min(rules.min_count, before + 1)
        assert before - 1 <= count <= max(before + rules.scale_out.max_step, rules.min_count)


@given(policies(), clusters(), st.integers(0, 20), st.sampled_from(MEASURED), unusable)
def test_no_node_leaves_while_a_number_is_unusable(
    spec: MilvusTuningSpec, snapshot: Snapshot, place: int, field: str, sample: Sample
) -> None:
    seen = blinded(snapshot, place, field, sample)

    decision = decide(spec, seen, a_history(snapshot), NOON)

    assert (asked_count(decision) or 99) >= len(seen.members)


@given(policies(), clusters(), st.integers(0, 20), st.sampled_from(MEASURED))
def test_missing_is_not_zero(spec: MilvusTuningSpec, snapshot: Snapshot, place: int, field: str) -> None:
    """A missing number never leads where a measured 0 would: to fewer nodes, or to a victim chosen for being empty."""
    decision = decided(spec, blinded(snapshot, place, field, Sample.missing()))

    assert decision.reason not in {Reason.SCALE_IN, Reason.AT_MINIMUM}
    assert "victim" not in decision.inputs


@given(policies(), clusters())
def test_the_same_input_gives_the_same_decision(spec: MilvusTuningSpec, snapshot: Snapshot) -> None:
    assert decided(spec, snapshot) == decided(spec, snapshot)


@given(policies(), clusters())
def test_the_order_in_which_nodes_are_listed_does_not_matter(spec: MilvusTuningSpec, snapshot: Snapshot) -> None:
    turned = replace(snapshot, query_nodes=tuple(reversed(snapshot.query_nodes)))

    first, second = decided(spec, snapshot), decided(spec, turned)

    assert (first.reason, first.steps) == (second.reason, second.steps)


@given(policies(), clusters())
def test_every_decision_has_a_reason_a_message_and_a_size(spec: MilvusTuningSpec, snapshot: Snapshot) -> None:
    decision = decided(spec, snapshot)

    assert decision.message
    assert decision.desired_count is not None
    assert decision.inputs


def an_even_cluster(count: int, total_cpu: float, total_memory: float) -> Snapshot:
    """The same searches and the same data on so many nodes."""
    cpu, memory = min(1.0, total_cpu / count), BASE_MEMORY + total_memory / count
    return a_snapshot(count, cpu=cpu, memory=memory)


@given(policies(), counts, st.floats(0.0, 8.0), st.floats(0.0, 6.0))
@settings(max_examples=200, deadline=None)
def test_no_decision_is_taken_back_by_the_next_ones(
    spec: MilvusTuningSpec, start: int, total_cpu: float, total_memory: float
) -> None:
    """Under a steady load the size goes one way and comes to rest there: deciding again does nothing."""
    sizes = [start]
    for _ in range(20):
        count = asked_count(decided(spec, an_even_cluster(sizes[-1], total_cpu, total_memory)))
        if count is None:
            break
        sizes.append(count)

    assert len(sizes) < 20
    assert sizes in (sorted(sizes), sorted(sizes, reverse=True))


@given(clusters(), st.integers(0, 119))
def test_no_window_no_change(snapshot: Snapshot, lasting_seconds: int) -> None:
    """Inside the bounds, and short of a full memory, nothing happens before a whole window has passed."""
    calm = replace(snapshot, query_nodes=tuple(_below_full(node) for node in snapshot.query_nodes))
    history = replace(a_history(calm), signals=lasting_signals(calm, lasting_seconds))

    decision = decide(a_spec(min_count=1, max_count=12), calm, history, NOON)

    assert decision.steps == ()


def _below_full(node: QueryNode) -> QueryNode:
    limit = float(node.memory_limit_bytes or 0)
    used = min(node.resident_memory_bytes.value or 0.0, 0.99 * limit)
    return replace(node, resident_memory_bytes=Sample(value=used), loaded_bytes=Sample(value=0.9 * used))
