"""Steering a run while it goes: lines of JSON such as `{"rate": 60}` on standard input."""

import asyncio
import json
import sys
from collections.abc import Callable

from tests.load.schedule import Profile, constant


def parse_command(line: str) -> Profile:
    """The new rate of a command; raises ValueError for anything else."""
    match json.loads(line):
        case {"rate": int() | float() as rate, **others} if not others and not isinstance(rate, bool):
            return constant(float(rate))
        case other:
            raise ValueError(f'a command reads {{"rate": QPS}}, not {other}')


async def follow_stdin(change: Callable[[Profile], None]) -> None:
    """Apply each command until the end of input; a bad one is reported and skipped."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        try:
            change(parse_command(line.decode()))
        except ValueError as error:
            print(f"ignored: {error}", file=sys.stderr, flush=True)
