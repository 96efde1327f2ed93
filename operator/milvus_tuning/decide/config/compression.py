"""Whether the components of Milvus compress what they send each other, where `network.compression` is Auto.

It is internal traffic only: what clients send and get is never compressed by this key. Compression is zstd, and costs
CPU on both sides; it pays where the network is the slower part.

    links below 1 Gbit/s     on
    links above 10 Gbit/s    off
    between them             on where the network is 20 % of the latency of searches or more, and the longest vectors
                             have more than 512 dimensions; else off

zstd lessens the very share that is measured. Where it halves what is sent, 20 % become 0.1 / 0.9 = 11 %; so what is on
goes off below 10 % only, and between 10 % and 20 % what stands stays. Example: links of 5 Gbit/s and vectors of 768
dimensions; 25 %: on; then 14 %: stays on; 9 %: off; 14 %: stays off.

Missing is not zero. What cannot be told is not decided: a value in etcd stays as it is, and where there is none nothing
is written. Ages of samples count as of the snapshot, so that `declared` and `unsupported` say the same of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from milvus_tuning.api import Network, number_of
from milvus_tuning.catalogue import Conversion, Intent, normalised
from milvus_tuning.decide.config.intents import standing
from milvus_tuning.decide.load import Reader
from milvus_tuning.decide.words import listed, percent
from milvus_tuning.plan import SettingState, SettingStatus
from milvus_tuning.snapshot import Sample, Snapshot

COMPRESSION_KEY: Final = "grpc.client.compressionEnabled"  # in all versions
SLOW_BITS_PER_SECOND: Final = 10**9
FAST_BITS_PER_SECOND: Final = 10**10
ON_FROM_SHARE: Final = 0.20  # a choice of this project: a fifth of the latency can be worth the CPU
OFF_BELOW_SHARE: Final = 0.10  # what 0.20 becomes where zstd halves the traffic
LONG_VECTOR_DIMENSIONS: Final = 512
_SPEED, _SHARE = "link speed", "share of the network in the latency"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What Auto comes to, with the numbers; enabled is None where it cannot be told, and note says what is missing."""

    enabled: bool | None
    note: str


def choose(network: Network, snapshot: Snapshot) -> Choice:
    """What Auto comes to now."""
    speed = _speed(network, snapshot)
    if isinstance(speed, str):
        advice = "set network.linkBitsPerSecond, or let Prometheus scrape node_exporter"
        return _undecided(snapshot, f"{speed}; {advice}")
    if speed < SLOW_BITS_PER_SECOND:
        return Choice(enabled=True, note=f"Auto: on, links of {_gigabits(speed)} are below 1 Gbit/s")
    if speed > FAST_BITS_PER_SECOND:
        return Choice(enabled=False, note=f"Auto: off, links of {_gigabits(speed)} are above 10 Gbit/s")
    return _between(speed, snapshot)


def undecided(choice: Choice) -> SettingStatus:
    """How Auto stands where it cannot be told."""
    return SettingStatus(
        intent=Intent.COMPRESSION,
        key=None,
        desired=None,
        effective=None,
        source=None,
        state=SettingState.NOT_APPLIED,
        message=choice.note,
    )


def _between(speed: float, snapshot: Snapshot) -> Choice:
    """The choice where the speed alone does not say it."""
    share, dimension = _share(snapshot), _dimension(snapshot)
    links = f"links of {_gigabits(speed)}"
    if isinstance(dimension, int) and dimension <= LONG_VECTOR_DIMENSIONS:
        limit = f"of {dimension} dimensions at most, not above {LONG_VECTOR_DIMENSIONS}"
        return Choice(enabled=False, note=f"Auto: off, {links} and vectors {limit}")
    if isinstance(share, float) and share < OFF_BELOW_SHARE:
        part = f"the network is {percent(share)} of the latency, below {percent(OFF_BELOW_SHARE)}"
        return Choice(enabled=False, note=f"Auto: off, {links} and {part}")
    if isinstance(share, str) or isinstance(dimension, str):
        return _undecided(snapshot, "; ".join(part for part in (share, dimension) if isinstance(part, str)))
    facts = f"{links}, the network is {percent(share)} of the latency, vectors of {dimension} dimensions"
    if share >= ON_FROM_SHARE:
        return Choice(enabled=True, note=f"Auto: on, {facts}")
    stands = bool(_stands(snapshot))
    band = f"what stands stays between {percent(OFF_BELOW_SHARE)} and {percent(ON_FROM_SHARE)}"
    return Choice(enabled=stands, note=f"Auto: {'on' if stands else 'off'}, {facts}; {band}")


def _undecided(snapshot: Snapshot, missing: str) -> Choice:
    """No choice; but a value in etcd stays, for to hand it back would be a choice as well, and a restart."""
    stored = normalised(COMPRESSION_KEY) in snapshot.settings
    stands = _stands(snapshot) if stored else None
    if stands is None:
        return Choice(enabled=None, note=f"Auto cannot be decided: {missing}")
    return Choice(enabled=stands, note=f"Auto: stays {'on' if stands else 'off'}, it cannot be decided now: {missing}")


def _stands(snapshot: Snapshot) -> bool | None:
    """Whether it is on now; None where nothing says so or Milvus could not read it."""
    text = standing(snapshot, COMPRESSION_KEY)
    if text is None:
        return None
    same = Conversion.SWITCH.same
    return True if same(text, "true") else False if same(text, "false") else None


def _speed(network: Network, snapshot: Snapshot) -> float | str:
    """Bits per second of the slowest link, or what is missing."""
    if network.link_bits_per_second is not None:
        speed: float | str = float(number_of(network.link_bits_per_second))
    else:
        speed = _read(_SPEED, snapshot.link_bits_per_second)
    return f"{_SPEED} 0 is none" if speed == 0 else speed


def _share(snapshot: Snapshot) -> float | str:
    """Share of the network in the latency of searches, or what is missing."""
    share = _read(_SHARE, snapshot.network_share)
    return share if isinstance(share, str) or share <= 1 else f"{_SHARE} {share:g} is not plausible"


def _dimension(snapshot: Snapshot) -> int | str:
    """Dimensions of the longest vectors that are loaded, or what is missing; one that is long enough settles it."""
    shapes = [one.shape for one in snapshot.collections if one.shape is not None]
    longest = max((shape.dimension for shape in shapes), default=0)
    if longest > LONG_VECTOR_DIMENSIONS:
        return longest
    unknown = [one.full_name for one in snapshot.collections if one.shape is None]
    if unknown:
        return f"dimensions not known of {listed(unknown)}"
    return longest if shapes else "no collection is loaded"


def _read(name: str, sample: Sample) -> float | str:
    """The number, or what is wrong with it: absent, too old, of too few series."""
    reader = Reader(pod="", passed_seconds=0.0)
    value = reader.read(name, sample)
    return float(value) if value is not None else reader.gaps[-1].what


def _gigabits(bits_per_second: float) -> str:
    return f"{bits_per_second / 10**9:g} Gbit/s"
