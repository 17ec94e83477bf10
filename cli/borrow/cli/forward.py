"""A pipe between two places on one machine: `forward FROM TO`, each `tcp:PORT` or `unix:PATH`.

`forward FROM TO sidecar` ends with 1 when the network that it shares with a service has gone.

On the host it carries a container's socket to the daemon's port; in the container, run as a file by
any Python from 3.8 on, it carries the same port number to that socket. So the SDK's own request
arrives unchanged, Host included. Standard library only, no configuration, nothing is looked into.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

MOST = 64  # connections at once; the daemon has the same bound for one process
PIECE = 65536  # bytes
CONNECT_WITHIN = 5.0  # seconds
CLOSE_WITHIN = 1.0  # seconds
LOOK_EVERY = 0.25  # seconds
BACK_WITHIN = 1.5  # seconds in which a service that crashed is up again, so that its sidecar can be


class Pipe:
    """Listens at `source` and connects each client to `target`."""

    def __init__(self, source: str, target: str) -> None:
        self._source = source
        self._target = target
        self._server: asyncio.AbstractServer | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        kind, _, place = self._source.partition(":")
        if kind == "tcp":
            self._server = await asyncio.start_server(self._carry, "127.0.0.1", int(place))
            return
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._carry, place)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Break every connection off; `wait_closed` waits for idle ones too (Python 3.12)."""
        if self._server is not None:
            self._server.close()
        for writer in self._open.values():
            writer.transport.abort()
        if self._open:
            await asyncio.wait(self._open, timeout=CLOSE_WITHIN)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= MOST:
            writer.close()
            return
        self._open[task] = writer
        try:
            there = await asyncio.wait_for(self._connect(), CONNECT_WITHIN)
            await _both(reader, writer, *there)
        except (OSError, asyncio.TimeoutError):  # noqa: UP041  they are two before Python 3.11
            pass  # one of both sides has gone: so has the other, below
        finally:
            del self._open[task]
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


def _networks() -> int:
    """How many interfaces this network namespace has, loopback included (Linux)."""
    with open("/proc/net/dev") as table:  # noqa: PTH123  a file of its own: few imports
        return sum(":" in line for line in table)


async def _left_alone() -> None:
    """Return when only loopback is left of the network: the container that it belonged to ended.

    If that is started again, it gets a new network, and only who is started again as well sees it.
    """
    if _networks() < 2:
        await asyncio.Event().wait()  # never had another: nobody can tell
    while _networks() > 1:  # noqa: ASYNC110  the kernel's own notice wants more rights
        await asyncio.sleep(LOOK_EVERY)
    await asyncio.sleep(BACK_WITHIN)


async def _serve(source: str, target: str, mode: str = "") -> int:
    # A container's first process is ended by no signal that it does not handle.
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    pipe = Pipe(source, target)
    await pipe.start()
    ends: set[asyncio.Future[Any]] = {asyncio.ensure_future(told.wait())}
    if mode == "sidecar":
        ends.add(asyncio.ensure_future(_left_alone()))
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await pipe.close()
    return 0 if told.is_set() else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve(*sys.argv[1:])))
