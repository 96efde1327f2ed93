"""The cache of built things, outside the tree: a folder per entry, named by what went into it.

The key of an entry is a digest of its inputs, so a changed input is another entry and nothing is ever stale. An entry
is built in a folder beside it and renamed when it is complete; a lock per entry lets a second process wait for the
first instead of building the same thing.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/milvus-tuning-operator`, by default under `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "milvus-tuning-operator"


def digest(inputs: Iterable[str | bytes | Path]) -> str:
    """A short name for the inputs: texts by themselves, files by their content. Order matters."""
    total = hashlib.sha256()
    for item in inputs:
        content = item.read_bytes() if isinstance(item, Path) else item.encode() if isinstance(item, str) else item
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:16]


def built(name: str, inputs: Iterable[str | bytes | Path], build: Callable[[Path], None]) -> Path:
    """The folder of this entry; `build(folder)` fills it if it is not there yet."""
    entry = cache_root() / f"{name}-{digest(inputs)}"
    entry.parent.mkdir(parents=True, exist_ok=True)
    with entry.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not entry.exists():
            _build_beside(entry, build)
    return entry


def forget_older(entry: Path, *, kept: int) -> None:
    """Keep this entry and the newest others of its name, `kept` in all; for what is large and rebuilt at every change.

    More than one, because somebody else may be about to read theirs.
    """
    name = entry.name.rpartition("-")[0]
    others = (path for path in entry.parent.glob(f"{name}-*") if path.is_dir() and path != entry and not path.suffix)
    same_name = [path for path in others if path.name.rpartition("-")[0] == name]
    for old in sorted(same_name, key=lambda path: path.stat().st_mtime, reverse=True)[kept - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def _build_beside(entry: Path, build: Callable[[Path], None]) -> None:
    unfinished = entry.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    build(unfinished)
    unfinished.rename(entry)
