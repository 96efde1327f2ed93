"""Numbers as people read them in messages."""

from __future__ import annotations

from collections.abc import Iterable


def percent(ratio: float | None) -> str:
    """0.714 -> "71 %"; None -> "unknown"."""
    return "unknown" if ratio is None else f"{ratio * 100:.0f} %"


def size(count_bytes: float) -> str:
    """Bytes in the unit that leaves one to four digits: 1536 -> "1.5 KiB"."""
    value, unit = float(count_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def seconds(duration_seconds: float) -> str:
    """90.4 -> "90 s"."""
    return f"{duration_seconds:.0f} s"


def listed(parts: Iterable[str], *, most: int = 3) -> str:
    """The first few parts, and how many more there are."""
    known = list(parts)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more
