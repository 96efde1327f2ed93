"""What a dataset may be; making one is shown on a real Milvus."""

import pytest

from tests.load.prepare import Dataset


@pytest.mark.parametrize(
    ("dataset", "batches", "batch_rows"),
    [
        pytest.param(Dataset(rows=60_000, dim=128, segments=6), 6, 10_000, id="a segment a batch"),
        pytest.param(Dataset(rows=60_000, dim=128, segments=12, shards=2), 6, 10_000, id="a segment a batch and shard"),
    ],
)
def test_segments_are_made_batch_by_batch(dataset: Dataset, batches: int, batch_rows: int) -> None:
    assert (dataset.batches, dataset.batch_rows) == (batches, batch_rows)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        pytest.param({"rows": 100, "segments": 3}, "equal batches", id="rows that do not divide"),
        pytest.param({"rows": 90, "segments": 3, "shards": 2}, "multiple of shards", id="segments that do not divide"),
        pytest.param({"rows": 0, "segments": 1}, "1 or more", id="nothing"),
        pytest.param({"rows": 30_000, "segments": 1}, "exceeds 8000000 bytes", id="a batch too big for the queue"),
    ],
)
def test_a_dataset_that_cannot_be_made_is_refused(sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Dataset(dim=128, **sizes)
