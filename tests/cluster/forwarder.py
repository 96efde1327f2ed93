"""Lead a loopback port outside a network namespace to one address inside it.

A socket stays in the namespace it was made in. So this process listens first, then enters the other namespace as a
whole, and everything it dials from then on is inside.

Usage: forwarder.py NETNS HOST PORT FILE WISH, where WISH is the loopback port to take if it is free, and FILE is
written with the one taken.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import sys
from pathlib import Path

CLONE_NEWNET = 0x40000000
CHUNK_BYTES = 65536


def listen(port: int) -> socket.socket:
    """A loopback socket at this port, or at a free one when it is taken or 0."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    return listener


def enter(netns: Path) -> None:
    """Move this process into the network namespace."""
    library = ctypes.CDLL(None, use_errno=True)
    with netns.open() as handle:
        if library.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {netns}")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _serve(listener: socket.socket, host: str, port: int) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(host, port)
            with contextlib.closing(far_writer):
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    server = await asyncio.start_server(forward, sock=listener)
    await server.serve_forever()


def main(netns: str, host: str, port: str, file: str, wish: str) -> None:
    """Forward until killed."""
    listener = listen(int(wish))
    listener.listen()
    enter(Path(netns))
    unfinished = Path(f"{file}.part")
    unfinished.write_text(str(listener.getsockname()[1]))
    os.replace(unfinished, file)
    asyncio.run(_serve(listener, host, int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
