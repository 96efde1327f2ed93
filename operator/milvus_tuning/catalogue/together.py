"""What is wrong with settings together although each is fine by itself.

Four rules: watermarks in their order, both ends of a request, a key set to its own default while the name that
it falls back to is set too, and one key in two spellings. A key that is not set counts with its default in that
release: `memoryHighWatermarkRatio` 0.7 alone breaks the order on 2.6, where `memoryLowWatermarkRatio` is 0.75.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from milvus_tuning.catalogue.keys import normalised
from milvus_tuning.catalogue.registry import Catalogue, ConfigKey
from milvus_tuning.catalogue.values import amount, same, type_error
from milvus_tuning.catalogue.version import ServerVersion


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """What is wrong with one setting because of another one."""

    reason: str
    suggestion: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Two keys of which the first must be the smaller; percents are compared as ratios."""

    low: str
    high: str
    equal: bool = False
    """Whether both may be the same."""
    harm: str


_TIERED = "queryNode.segcore.tieredStorage."
_WRITING = "quotaAndLimits.limitWriting."
_NO_START = "a QueryNode does not start"  # 2.6 internal/util/initcore, InitTieredStorage; milvus#53053
_NO_ROOM = f"{_NO_START}, or where both are the same has nothing to come down to"
_BOTH_IGNORED = "Milvus takes the default instead, with a line in its log"  # quota_param.go, checkMinMaxLegal

ORDERS = (
    Order(low=f"{_TIERED}memoryLowWatermarkRatio", high=f"{_TIERED}memoryHighWatermarkRatio", harm=_NO_ROOM),
    Order(
        low=f"{_TIERED}memoryHighWatermarkRatio",
        high="queryCoord.overloadedMemoryThresholdPercentage",
        equal=True,
        harm=_NO_START,
    ),
    Order(low=f"{_TIERED}diskLowWatermarkRatio", high=f"{_TIERED}diskHighWatermarkRatio", harm=_NO_ROOM),
    Order(
        low=f"{_TIERED}diskHighWatermarkRatio",
        high="queryNode.maxDiskUsagePercentage",
        equal=True,
        harm=_NO_START,
    ),
    Order(
        low="streaming.flush.growingSegmentBytesLwmThreshold",
        high="streaming.flush.growingSegmentBytesHwmThreshold",
        harm="a flush that starts at the high mark has nothing to come down to",
    ),
    *(
        Order(low=f"{_WRITING}{low}", high=f"{_WRITING}{low.replace('Low', 'High')}", equal=True, harm=_BOTH_IGNORED)
        for low in ("memProtection.dataNodeMemoryLowWaterLevel", "memProtection.queryNodeMemoryLowWaterLevel")
    ),
)
# A request, from the client of a component to its server. The clients of the proxy are programs outside of the file.
_GRPC = ("grpc", *(f"{name}Coord.grpc" for name in ("root", "query", "data")))
_GRPC += tuple(f"{name}Node.grpc" for name in ("query", "data", "index", "streaming"))
_REQUESTS = tuple(
    Order(
        low=f"{grpc}.clientMaxSendSize",
        high=f"{grpc}.serverMaxRecvSize",
        equal=True,
        harm="what is larger is sent and refused",
    )
    for grpc in _GRPC
)


def conflicts(settings: Sequence[tuple[str, str]], version: ServerVersion, known: Catalogue) -> Mapping[int, Conflict]:
    """What is wrong with (key, value) pairs together, by their place; what Milvus cannot read counts as not set."""
    view = _View(settings, version, known)
    found: dict[int, Conflict] = {}
    for index, conflict in (*_spellings(view), *_not_overriding(view), *_orders(view)):
        found.setdefault(index, conflict)
    return found


class _View:
    """The settings of a file by what Milvus matches by; of two for one key the later."""

    def __init__(self, settings: Sequence[tuple[str, str]], version: ServerVersion, known: Catalogue) -> None:
        self.settings, self.version, self.known = settings, version, known
        self.places: dict[str, list[int]] = {}
        for index, (key, value) in enumerate(settings):
            found = known.find(key)
            if value and (found is None or type_error(found, value) is None):
                self.places.setdefault(normalised(key), []).append(index)

    def key(self, name: str) -> ConfigKey | None:
        """The key, where it exists and acts in this release."""
        key = self.known.find(name)
        return key if key is not None and key.exists(self.version) and key.effect(self.version) is None else None

    def place(self, name: str) -> int | None:
        """Where the key is set; None where it is not."""
        places = self.places.get(normalised(name))
        return places[-1] if places else None

    def text(self, key: ConfigKey) -> str:
        """What Milvus takes: the value set, else that of a name that it falls back to, else the default."""
        for name in (key.name, *key.fallbacks):
            place = self.place(name)
            if place is not None and not (name == key.name and self._passed_over(key, place)):
                return self.settings[place][1]
        return key.default(self.version) or ""

    def overriding(self, key: ConfigKey) -> int | None:
        """Where a name is set that wins over the key although the key is set, too: see `code_default`."""
        place = self.place(key.name)
        if place is None or not self._passed_over(key, place):
            return None
        return next((other for name in key.fallbacks if (other := self.place(name)) is not None), None)

    def code_default(self, key: ConfigKey) -> str:
        """Milvus takes a key that has this value for not set and looks at its fallbacks (param_item.go, getWithRaw).

        It is the default of the code; where the shipped milvus.yaml has another one it is that of the general key.
        """
        general = next((other for name in key.fallbacks if (other := self.known.find(name)) is not None), None)
        return (general or key).default(self.version) or ""

    def _passed_over(self, key: ConfigKey, place: int) -> bool:
        return self.settings[place][1] == self.code_default(key) and any(
            self.place(name) is not None for name in key.fallbacks
        )


def _spellings(view: _View) -> Iterator[tuple[int, Conflict]]:
    for places in view.places.values():
        for index in places:
            key, value = view.settings[index]
            found = view.known.find(key)
            others = [view.settings[place] for place in places if place != index]
            other = next((o for o in others if o[1] != value and not (found and same(found.type, o[1], value))), None)
            if other is None:
                continue
            again = "set twice" if other[0] == key else f"also set as {other[0]}"
            reason = f"{again}, to {other[1]}: Milvus takes them for one key and one of the values by chance"
            yield index, Conflict(reason=reason, suggestion="keep one of them")


def _not_overriding(view: _View) -> Iterator[tuple[int, Conflict]]:
    for places in view.places.values():
        name, value = view.settings[places[-1]]
        key = view.key(name)
        other = view.overriding(key) if key is not None else None
        if key is None or other is None or same(key.type, view.settings[other][1], value):
            continue
        general, acting = view.settings[other]
        reason = f"{value} is its own default, which counts as not set: {general} is read instead, {acting}"
        yield places[-1], Conflict(reason=reason, suggestion=f"take {general} out, or give both one value")


def _orders(view: _View) -> Iterator[tuple[int, Conflict]]:
    for order in (*ORDERS, *_REQUESTS):
        low, high = view.key(order.low), view.key(order.high)
        if low is None or high is None:
            continue
        numbers = _ratio(low, view.text(low)), _ratio(high, view.text(high))
        index = max((place for key in (low, high) if (place := view.place(key.name)) is not None), default=None)
        if index is None or numbers[0] is None or numbers[1] is None:
            continue
        if numbers[0] < numbers[1] or (order.equal and numbers[0] == numbers[1]):
            continue
        is_low = index == view.place(low.name)
        other = high if is_low else low
        side = ("above" if is_low else "below") if order.equal else ("not below" if is_low else "not above")
        default = "" if view.place(other.name) is not None else ", its default"
        reason = f"{view.settings[index][1]} is {side} {other.name} ({view.text(other)}{default}): {order.harm}"
        yield index, Conflict(reason=reason, suggestion="change both as one block")


def _ratio(key: ConfigKey, text: str) -> Decimal | None:
    number = amount(key.type, text)
    return number / 100 if number is not None and key.unit == "percent" else number
