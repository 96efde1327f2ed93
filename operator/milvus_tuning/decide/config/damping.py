"""Slowing down Milvus's balancer while it moves segments to and fro (`loadBalancing.pingPong: Damp`).

The levers differ by version (catalogue/levers.yaml, `loadBalancing.pingPong`); the values are the same wherever a key
acts, and larger is calmer for all three:

    queryCoord.autoBalanceInterval               3 s -> 30 s      fewer rounds: moves settle before the next one
    queryCoord.reverseUnBalanceTolerationFactor  1.3 -> 2         no moves that tip the balance to the other side
    queryCoord.scoreUnbalanceTolerationFactor    0.05 -> 0.3      no moves for a difference below 30 % of a node's score

The first two are the maintainers' advice in milvus#51244; they call it a mitigation. A slower balancer also fills a new
QueryNode more slowly: at 5 segments a round, 100 segments take 10 minutes instead of one.

When it is written, and when it goes:

    segments move to and fro                      written, with the value from before kept for the way back
    they no longer do, or the operator restarts   stays: without the damping they would begin again
    pingPong is Observe, or not declared          handed back

Nothing is written where the key is declared by a field of its own (balanceIntervalSeconds, balanceTolerancePercent),
where somebody else has set an even calmer value, or while the operator itself places segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from milvus_tuning.api import LoadBalancing, PingPong, PlacementOwner
from milvus_tuning.catalogue import Intent, Lever, NoLever, ServerVersion, find_lever, stored_spelling
from milvus_tuning.plan import SettingState
from milvus_tuning.snapshot import EtcdSetting, OwnedKey

_CALM: Mapping[str, int] = {
    "queryCoord.autoBalanceInterval": 30,  # seconds
    "queryCoord.reverseUnBalanceTolerationFactor": 200,  # percent
    "queryCoord.scoreUnbalanceTolerationFactor": 30,  # percent
}
_BY_HAND = (
    "set queryCoord.autoBalanceInterval to 30000 in the configuration of the install, as the maintainers advise in "
    "milvus#51244, and see whether it acts"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Damper:
    """One lever of the damping, and what its key is at the moment; claimed_by is the field that declares the key."""

    lever: Lever
    stored: EtcdSetting | None
    owned: OwnedKey | None
    claimed_by: str | None

    @property
    def desired(self) -> str:
        """The text that damps."""
        return damping_text(self.lever)

    @property
    def held(self) -> bool:
        """Whether the key has the value that we gave it to damp."""
        if self.owned is None or self.owned.written is None or self.stored is None:
            return False
        same = self.lever.conversion.same
        return same(self.owned.written, self.desired) and same(self.stored.value, self.desired)


def damps(balancing: LoadBalancing | None) -> bool:
    """Whether damping is declared."""
    return balancing is not None and balancing.ping_pong is PingPong.DAMP


def damping_levers(version: ServerVersion) -> tuple[Lever | NoLever, ...]:
    """The levers that act in exactly this version: one or two, or the reason why there is none."""
    first, second = (find_lever(intent, version) for intent in (Intent.PING_PONG, Intent.PING_PONG_OVERSHOOT))
    if isinstance(first, NoLever):
        return (first if first.nearest else replace(first, nearest=_BY_HAND),)
    return (first,) if isinstance(second, NoLever) else (first, second)


def damping_text(lever: Lever) -> str:
    """The value that damps, as the key has it: "30000"."""
    return lever.conversion.text(_CALM[lever.key])


def why_not(damper: Damper, balancing: LoadBalancing, *, seen: bool) -> tuple[SettingState, str] | None:
    """Why nothing is written, with the state that this is; None where the key is to have the value that damps.

    seen: whether segments move to and fro now.
    """
    key = stored_spelling(damper.lever.key)
    if damper.claimed_by is not None:
        state = SettingState.NOT_APPLIED if seen else SettingState.STANDING_BY
        return state, f"{key} is declared by {damper.claimed_by}, which has the say"
    if damper.held:
        return None
    if balancing.placement_owner is PlacementOwner.OPERATOR:
        return SettingState.STANDING_BY, "Milvus does not balance (placementOwner: Operator): nothing to slow down"
    if not seen:
        return SettingState.STANDING_BY, f"no segments move to and fro; would set {key} = {damper.desired}"
    if damper.owned is None and damper.stored is not None and _calmer(damper.stored.value, damper.desired):
        return SettingState.STANDING_BY, f"{key} = {damper.stored.value} is set by somebody else and as calm as that"
    return None


def _calmer(value: str, than: str) -> bool:
    try:
        return Decimal(value) >= Decimal(than)
    except InvalidOperation:
        return False
