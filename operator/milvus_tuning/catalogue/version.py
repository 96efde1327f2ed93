"""Versions of the Milvus server, exactly as it reports them.

A minor version is not enough: keys came, went and changed their effect inside a minor line
(`queryCoord.autoBalanceInterval` is there from 2.4.23 and from 2.5.3). Order: 2.4.0-rc.1 < 2.4.0 < 2.4.0-hotfix.1 <
2.4.1. What cannot be read is None, never a guess: a build from the main branch (`master-20240101-abcdef`) has no
place in this order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_PATTERN = re.compile(r"^v?(\d+)\.(\d+)\.(\d+)(?:-([a-z]+)[.-]?(\d*))?$")
_BEFORE_RELEASE = frozenset({"rc", "alpha", "beta", "dev"})
_SAME_CODE = frozenset({"gpu", "latest", "lite"})  # another build of the release itself; lite is that of the PyPI wheel


@dataclass(frozen=True, slots=True, order=True)
class ServerVersion:
    """A version in the order of releases; stage is -1 before the release, 0 for it, 1 for a hotfix on top of it."""

    major: int
    minor: int
    patch: int
    stage: int = 0
    stage_number: int = 0

    @property
    def released(self) -> bool:
        """Whether this is a release or a hotfix of one, not a candidate."""
        return self.stage >= 0

    def __str__(self) -> str:
        core = f"{self.major}.{self.minor}.{self.patch}"
        if self.stage == 0:
            return core
        return f"{core}-{'hotfix' if self.stage > 0 else 'rc'}.{self.stage_number}"


@lru_cache(maxsize=64)  # the same few words in each pass
def parse_version(text: str | None) -> ServerVersion | None:
    """The version in a server's own words (`v2.3.5`, `2.4.0-rc1`, `v2.6.14-hotfix.1`, `v2.3.5-gpu`), or None."""
    match = _PATTERN.match((text or "").strip().lower())
    if match is None:
        return None
    major, minor, patch, suffix, number = match.groups()
    stage = _stage(suffix)
    if stage is None:
        return None
    return ServerVersion(int(major), int(minor), int(patch), stage, int(number or 0) if stage else 0)


def _stage(suffix: str | None) -> int | None:
    if suffix is None or suffix in _SAME_CODE:
        return 0
    if suffix in _BEFORE_RELEASE:
        return -1
    return 1 if suffix == "hotfix" else None
