"""The floor in Python: an `asyncio.Protocol` that says the same bytes to whatever it is sent.

`constant.py [uvloop]`; the answer comes on stdin, the port goes to stdout.
"""

from __future__ import annotations

import asyncio
import sys

ANSWER = sys.stdin.buffer.read()


class Constant(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(ANSWER)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Constant, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if "uvloop" in sys.argv:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
