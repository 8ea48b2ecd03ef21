"""Leads a port of the machine's loopback to a socket file.

`python -m lab.doorway PORT SOCKET TOLD`.
A box has a network of its own, but files are the machine's. It ends when the socket file goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import sys


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def serve(port: int, socket: pathlib.Path, told: pathlib.Path) -> None:
    """Serve until the socket file is gone; write the port, another one if this isn't free."""

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(socket))
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
            inner_writer.close()
        writer.close()

    try:
        server = await asyncio.start_server(guest, "127.0.0.1", port)
    except OSError:
        server = await asyncio.start_server(guest, "127.0.0.1", 0)
    told.write_text(str(server.sockets[0].getsockname()[1]))
    async with server:
        while socket.exists():
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])))
