"""A pipe between two places on one machine: `forward FROM TO`, each `tcp:PORT` or `unix:PATH`.

On the host it carries a container's socket to the daemon's port; in the container, run as a file by
any Python from 3.8 on, it carries the same port number to that socket. So the SDK's own request
arrives unchanged, Host included. Standard library only, no configuration, nothing is looked into.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

MOST = 64  # connections at once; the daemon has the same bound for one process
PIECE = 65536  # bytes
CONNECT_WITHIN = 5.0  # seconds


class Pipe:
    """Listens at `source` and connects each client to `target`."""

    def __init__(self, source: str, target: str) -> None:
        self._source = source
        self._target = target
        self._open = 0

    async def start(self) -> asyncio.AbstractServer:
        kind, _, place = self._source.partition(":")
        if kind == "tcp":
            return await asyncio.start_server(self._carry, "127.0.0.1", int(place))
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._carry, place)
        finally:
            os.umask(before)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MOST:
            writer.close()
            return
        self._open += 1
        try:
            there = await asyncio.wait_for(self._connect(), CONNECT_WITHIN)
            await _both(reader, writer, *there)
        except (OSError, asyncio.TimeoutError):  # noqa: UP041  they are two before Python 3.11
            pass  # one of both sides has gone: so has the other, below
        finally:
            self._open -= 1
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        kind, _, place = self._target.partition(":")
        if kind == "tcp":
            return await asyncio.open_connection("127.0.0.1", int(place))
        return await asyncio.open_unix_connection(place)


async def _both(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Both directions; where one side ends or breaks off, the whole ends."""
    ways = [
        asyncio.ensure_future(_copy(reader, far_writer)),
        asyncio.ensure_future(_copy(far_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        piece = await reader.read(PIECE)
        if not piece:
            return
        writer.write(piece)
        await writer.drain()


async def _serve(source: str, target: str) -> None:
    server = await Pipe(source, target).start()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    # A container's first process is ended by no signal that it does not handle.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1], sys.argv[2]))
