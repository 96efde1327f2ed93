"""Any plan that can be stored, for properties: times in whole seconds of UTC, texts and numbers within the API's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import strategies as st

from milvus_tuning.plan import (
    Change,
    Course,
    Measurement,
    Operation,
    Parameters,
    Phase,
    Prediction,
    Reason,
    Risk,
    Step,
    StepKind,
    StepRecord,
    StepState,
    Verdict,
)
from milvus_tuning.status.records import INTEGER_PARAMETERS

MOMENTS = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
COUNTS = st.integers(0, 2**40)
MAYBE_COUNTS = st.none() | COUNTS
MAYBE_PERCENTS = st.none() | st.integers(-200, 1000)
NUMBERS = st.dictionaries(st.sampled_from(sorted(INTEGER_PARAMETERS)), st.integers(-(2**31), 2**31), max_size=6)
TEXTS = st.dictionaries(st.sampled_from(["pod", "key", "value"]), st.none() | WORDS, max_size=3)
PARAMETERS: st.SearchStrategy[Parameters] = st.builds(lambda numbers, texts: {**numbers, **texts}, NUMBERS, TEXTS)
STEPS = st.builds(
    Step,
    kind=st.sampled_from(StepKind),
    precondition=PARAMETERS,
    action=PARAMETERS,
    verification=PARAMETERS,
    undo=PARAMETERS,
)
MEASUREMENTS = st.builds(
    Measurement,
    ended_at=MOMENTS,
    window_seconds=st.integers(0, 3600),
    searches_per_minute=MAYBE_COUNTS,
    searches_per_minute_per_node=MAYBE_COUNTS,
    mean_microseconds=MAYBE_COUNTS,
    p99_milliseconds=MAYBE_COUNTS,
    queue_microseconds=MAYBE_COUNTS,
    failed_searches_per_million=MAYBE_COUNTS,
    slow_searches_per_million=MAYBE_COUNTS,
    slow_bound_milliseconds=MAYBE_COUNTS,
    skew_percent=MAYBE_PERCENTS,
    cpu_millicores_per_node=MAYBE_COUNTS,
    node_count=MAYBE_COUNTS,
)
PREDICTIONS = st.builds(
    Prediction,
    node_count_before=MAYBE_COUNTS,
    node_count_after=MAYBE_COUNTS,
    moved_segments=COUNTS,
    moved_rows=COUNTS,
    moved_bytes=MAYBE_COUNTS,
    computation_percent_before=MAYBE_PERCENTS,
    computation_percent_after=MAYBE_PERCENTS,
    skew_percent_before=MAYBE_PERCENTS,
    skew_percent_after=MAYBE_PERCENTS,
    p99_milliseconds_before=MAYBE_PERCENTS,
    p99_milliseconds_after=MAYBE_PERCENTS,
    memory_headroom_percent=MAYBE_PERCENTS,
    heat_share_percent=MAYBE_PERCENTS,
)
CHANGES = st.builds(
    Change,
    policy_name=st.sampled_from(["rag", "a.b-1", "x" * 253]),
    policy_uid=WORDS,
    policy_generation=st.integers(1, 2**40),
    intent_digest=WORDS,
    inputs_digest=WORDS,
    target=WORDS,
    sequence=st.integers(1, 2**40),
    reason=st.sampled_from(Reason),
    message=WORDS,
    steps=st.lists(STEPS, min_size=1, max_size=3).map(tuple),
    risk=st.sampled_from(Risk),
    risk_reasons=st.lists(WORDS, max_size=3).map(tuple),
    prediction=PREDICTIONS,
    proposed_at=MOMENTS,
    expires_at=MOMENTS,
    declared=st.none() | WORDS,
)


@st.composite
def courses(draw: st.DrawFn, change: Change, name: str) -> Course:
    """Any course of this change, begun or not."""
    return Course(
        phase=draw(st.sampled_from(Phase)),
        waits_for=draw(WORDS),
        approval=draw(st.none() | WORDS),
        approved_at=draw(st.none() | MOMENTS),
        operation=draw(st.none() | operations(change, name)),
        before=draw(st.none() | MEASUREMENTS),
        after=draw(st.none() | MEASUREMENTS),
        verify_until=draw(st.none() | MOMENTS),
        verdict=draw(st.none() | st.sampled_from(Verdict)),
        verdict_message=draw(WORDS),
        finished_at=draw(st.none() | MOMENTS),
    )


@st.composite
def operations(draw: st.DrawFn, change: Change, name: str) -> Operation:
    """Any log of the steps of this change; a step may go back to another number than the one that was approved."""
    records = tuple(
        StepRecord(
            step=replace(step, undo=draw(PARAMETERS)),
            state=draw(st.sampled_from(StepState)),
            intended_at=draw(st.none() | MOMENTS),
            finished_at=draw(st.none() | MOMENTS),
            message=draw(WORDS),
            held_since=draw(st.none() | MOMENTS),
            held_seconds=draw(st.integers(0, 10**6)),
        )
        for step in change.steps
    )
    return Operation(
        operation_id=name,
        reason=change.reason,
        message=change.message,
        started_at=draw(MOMENTS),
        steps=records,
        finished_at=draw(st.none() | MOMENTS),
        outcome=draw(st.none() | st.sampled_from(Reason)),
        outcome_message=draw(WORDS),
        gain_percent=draw(MAYBE_COUNTS),
    )
