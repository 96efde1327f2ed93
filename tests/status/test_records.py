"""An operation survives its way through status unchanged: a restarted operator knows what the one before knew."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from milvus_tuning.plan import Operation, Parameters, Reason, Step, StepKind, StepRecord, StepState, Verdict
from milvus_tuning.status.records import (
    INTEGER_PARAMETERS,
    format_time,
    operation_from_status,
    operation_to_status,
    parse_time,
)

MOMENTS = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
NUMBERS = st.dictionaries(st.sampled_from(sorted(INTEGER_PARAMETERS)), st.integers(-(2**31), 2**31), max_size=7)
TEXTS = st.dictionaries(st.sampled_from(["pod", "key", "value"]), st.none() | WORDS)
PARAMETERS: st.SearchStrategy[Parameters] = st.builds(lambda numbers, texts: {**numbers, **texts}, NUMBERS, TEXTS)
STEPS = st.builds(
    Step,
    kind=st.sampled_from(StepKind),
    precondition=PARAMETERS,
    action=PARAMETERS,
    verification=PARAMETERS,
    undo=PARAMETERS,
)
RECORDS = st.builds(
    StepRecord,
    step=STEPS,
    state=st.sampled_from(StepState),
    intended_at=st.none() | MOMENTS,
    finished_at=st.none() | MOMENTS,
    message=WORDS,
)
OPERATIONS = st.builds(
    Operation,
    operation_id=WORDS,
    reason=st.sampled_from(Reason),
    message=WORDS,
    started_at=MOMENTS,
    steps=st.lists(RECORDS, max_size=4).map(tuple),
    finished_at=st.none() | MOMENTS,
    outcome=st.none() | st.sampled_from(Reason),
    outcome_message=WORDS,
    verdict=st.none() | st.sampled_from(Verdict),
    verdict_message=WORDS,
    intent_digest=st.none() | WORDS,
    gain_percent=st.none() | st.integers(0, 2**31),
)


@given(OPERATIONS)
def test_an_operation_comes_back_as_it_was(operation: Operation) -> None:
    assert operation_from_status(operation_to_status(operation)) == operation


def test_the_value_of_a_key_stays_text_though_it_looks_like_a_number() -> None:
    step = Step(
        kind=StepKind.SET_CONFIG,
        precondition={"key": "k", "value": None},
        action={"key": "k", "value": "88"},
        verification={"key": "k", "value": "88"},
        undo={"key": "k", "value": None},
    )
    operation = Operation(
        operation_id="x",
        reason=Reason.SETTING_CHANGED,
        message="",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        steps=(StepRecord(step=step),),
    )
    assert operation_from_status(operation_to_status(operation)).steps[0].step.action == {"key": "k", "value": "88"}


def test_times_are_written_in_utc_with_whole_seconds() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 999_000, tzinfo=UTC)
    assert format_time(moment) == "2026-03-01T12:00:00Z"
    assert moment - parse_time(format_time(moment)) < timedelta(seconds=1)
