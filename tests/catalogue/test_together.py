"""Settings that are fine alone and wrong together, each beside the control that differs in one value."""

import pytest

from milvus_tuning.catalogue.lint import Setting, lint, target
from milvus_tuning.catalogue.reading import catalogue

TIERED = "queryNode.segcore.tieredStorage."
LOW, HIGH = f"{TIERED}memoryLowWatermarkRatio", f"{TIERED}memoryHighWatermarkRatio"
DISK_LOW, DISK_HIGH = f"{TIERED}diskLowWatermarkRatio", f"{TIERED}diskHighWatermarkRatio"
GUARD, DISK = "queryCoord.overloadedMemoryThresholdPercentage", "queryNode.maxDiskUsagePercentage"
FLUSH_LOW = "streaming.flush.growingSegmentBytesLwmThreshold"
FLUSH_HIGH = "streaming.flush.growingSegmentBytesHwmThreshold"
TAKES, SENDS = "queryNode.grpc.serverMaxRecvSize", "queryNode.grpc.clientMaxSendSize"
ALL_TAKE, ALL_SEND = "grpc.serverMaxRecvSize", "grpc.clientMaxSendSize"


def wrong(version: str, *pairs: tuple[str, str]) -> list[int]:
    """Which of the settings are out of range, by their place."""
    known = catalogue()
    document = [Setting(key=key, value=value) for key, value in pairs]
    found = lint(document, target(version, known).version, known)
    return [place for place, finding in enumerate(found) if finding.state.value == "range"]


@pytest.mark.parametrize(
    ("version", "pairs", "places"),
    [
        pytest.param("2.6.23", [(LOW, "0.7"), (HIGH, "0.8")], [], id="marks in order"),
        pytest.param("2.6.23", [(LOW, "0.8"), (HIGH, "0.8")], [1], id="the same mark"),
        pytest.param("2.6.23", [(HIGH, "0.7")], [0], id="below the default of the low mark"),
        pytest.param("2.6.23", [(HIGH, "0.76")], [], id="above it"),
        pytest.param("2.5.4", [(HIGH, "0.7")], [], id="a release without tiered storage"),
        pytest.param("2.6.23", [(HIGH, "0.9"), (GUARD, "90")], [], id="up to the load guard"),
        pytest.param("2.6.23", [(HIGH, "0.9"), (GUARD, "85")], [1], id="above the load guard"),
        pytest.param("2.6.23", [(GUARD, "75")], [0], id="the load guard below the default of the mark"),
        pytest.param("2.5.4", [(GUARD, "75")], [], id="a load guard without tiered storage"),
        pytest.param("2.6.23", [(DISK, "70")], [0], id="disk below the default of the mark"),
        pytest.param("2.6.23", [(DISK_LOW, "0.5"), (DISK_HIGH, "0.6"), (DISK, "70")], [], id="disk as one block"),
        pytest.param("2.6.23", [(FLUSH_LOW, "0.3")], [0], id="flush marks out of order"),
        pytest.param("2.6.23", [(FLUSH_LOW, "0.3"), (FLUSH_HIGH, "0.4")], [], id="flush marks in order"),
        pytest.param("2.5.4", [(TAKES, "67108864")], [0], id="takes less than is sent"),
        pytest.param("2.5.4", [(TAKES, "67108864"), (SENDS, "67108864")], [], id="takes what is sent"),
        pytest.param("2.5.4", [(TAKES, "67108864"), (ALL_SEND, "67108864")], [], id="takes what all send"),
        pytest.param("2.5.4", [(TAKES, "536870912")], [], id="takes more than is sent"),
        pytest.param("2.5.4", [(TAKES, "268435456"), (ALL_TAKE, "536870912")], [0], id="its default overrides nothing"),
        pytest.param("2.5.4", [(TAKES, "268435457"), (ALL_TAKE, "536870912")], [], id="another value does"),
        pytest.param(
            "2.5.4", [("proxy.grpc.serverMaxRecvSize", "33554432")], [], id="clients of the proxy are outside"
        ),
        pytest.param("2.5.4", [("log.level", "info"), ("LOG.LEVEL", "warn")], [0, 1], id="a key that is not checked"),
        pytest.param(
            "2.5.4", [("queryCoord.autoBalance", "1"), ("querycoord/autobalance", "f")], [0, 1], id="spellings"
        ),
        pytest.param(
            "2.5.4", [("queryCoord.autoBalance", "1"), ("querycoord/autobalance", "T")], [], id="same in effect"
        ),
        pytest.param("2.5.4", [("log.level", "info"), ("log.level", "warn")], [0, 1], id="twice"),
    ],
)
def test_what_is_wrong_together(version: str, pairs: list[tuple[str, str]], places: list[int]) -> None:
    assert wrong(version, *pairs) == places
