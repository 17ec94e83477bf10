"""Many raw calls from one process, and how long each was kept in silence.

`python silence.py PORT SECONDS COUNT` with the request on stdin. It prints `open` when all have
their first byte, listens for SECONDS, and at the end of all calls one JSON document: the longest
wait for a first byte, the longest gap within SECONDS, and how many were answered with credentials.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time


def main() -> None:
    port, seconds, count = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    request = sys.stdin.buffer.read()
    found = selectors.DefaultSelector()
    begun: dict[socket.socket, float] = {}
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port), timeout=10)
        line.sendall(request)
        line.setblocking(False)
        begun[line] = time.monotonic()
        found.register(line, selectors.EVENT_READ, line)
    heard, said = dict(begun), dict.fromkeys(begun, b"")
    first = gap = 0.0
    until = float("inf")
    open_ = set(begun)
    while open_:
        for key, _ in found.select(0.05):
            line = key.data
            now = time.monotonic()
            piece = line.recv(65_536)
            if not said[line]:
                first = max(first, now - begun[line])
            elif now < until:
                gap = max(gap, now - heard[line])
            heard[line] = now
            said[line] += piece
            if not piece or said[line].endswith(b"0\r\n\r\n"):
                found.unregister(line)
                open_.discard(line)
                line.close()
        if until == float("inf") and all(said.values()):
            print("open", flush=True)
            until = time.monotonic() + seconds
        # A call that stays silent is a gap too, though nothing arrives to show it.
        if time.monotonic() < until < float("inf"):
            gap = max(gap, *(time.monotonic() - heard[line] for line in open_), 0.0)
    served = sum(b"SecretAccessKey" in one for one in said.values())
    print(json.dumps({"first": first, "gap": gap, "served": served}), flush=True)


if __name__ == "__main__":
    main()
