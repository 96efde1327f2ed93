"""Say what takes long: one line when a step starts, one with its seconds when it ends; commands keep their output."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class CommandError(Exception):
    """A command of the test bed failed; the text holds the command and the end of what it said."""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Name a long step and print how many seconds it took."""
    started = time.monotonic()
    print(f"... {title}", file=sys.stderr, flush=True)
    yield
    print(f"    {title}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = ""
) -> str:
    """Run a command to its end and return what it printed; on failure raise with the end of its output."""
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, check=False)
    if result.returncode:
        raise CommandError(
            f"{' '.join(words)} ended with {result.returncode}:\n{(result.stdout + result.stderr)[-3000:]}"
        )
    return result.stdout
