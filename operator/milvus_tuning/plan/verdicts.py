"""How a plan ended; on its own, because both the plan and the record of its steps say it."""

from __future__ import annotations

import enum


class Verdict(enum.StrEnum):
    """How a plan ended."""

    KEPT = "Kept"
    ROLLED_BACK = "RolledBack"  # its effect was worse than the tolerance: undone in reverse order
    INCONCLUSIVE = "Inconclusive"  # kept, because too little or too different load tells nothing
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    REJECTED = "Rejected"
    STALE = "Stale"  # the world is no longer the one it was made for
    FAILED = "Failed"  # a step did not go through; what could be undone was
