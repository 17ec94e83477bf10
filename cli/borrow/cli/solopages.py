"""Where solo mode serves its pages: `http://localhost:PORT`, on a port that stays the same.

Both addresses of the name are taken, or neither: what answers for `localhost` beside us could be
another user's, and a browser tries either. This port is not the one that programs fetch
credentials from; it serves the pages and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING, Final

from borrow.daemon.peer import Unknown
from borrow.daemon.places import read_private, write_private

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from borrow.cli.home import Home
    from borrow.daemon.peer import PeerSource

FILE: Final = "pages.port"
_TRIES: Final = 8
_NO_IPV6: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def address(port: int) -> str:
    return f"http://localhost:{port}"


def remembered(state: Path) -> int:
    """The port of last time; 0 if there was none."""
    text = (read_private(state / FILE) or b"").decode("ascii", "replace").strip()
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65_536 else 0


def listening(home: Home) -> list[socket.socket]:
    """Bound sockets, at the port of last time if it is free; [] if no port is to be had."""
    state = home.state.path
    for port in (remembered(state), *(0,) * _TRIES):
        if found := _both(port):
            taken = found[0].getsockname()[1]
            if taken != remembered(state):
                write_private(state / FILE, f"{taken}\n".encode())
            return found
    return []


def ours_only(peers: PeerSource, uid: int) -> Callable[[asyncio.BaseTransport], bool]:
    """Whether a connection is of this user, or of root (who needs no door; WSL's browsers are).

    Ports of one host share cookies, so a program at another port may come to hold this session's.
    The kernel then says that it is not its person's who brings it.
    """

    def admit(transport: asyncio.BaseTransport) -> bool:
        if isinstance(peers, Unknown):
            return True  # no system but Linux tells: docs/pages.md says so
        client = transport.get_extra_info("peername")
        server = transport.get_extra_info("sockname")
        if not client or not server:
            return False  # gone before it was accepted
        peer = peers.lookup((client[0], client[1]), (server[0], server[1]))
        return peer is not None and peer.uid in (uid, 0)

    return admit


def _both(port: int) -> list[socket.socket]:
    with contextlib.ExitStack() as undo:
        try:
            first = undo.enter_context(_bound(socket.AF_INET, "127.0.0.1", port))
            found = [first]
            try:
                second = _bound(socket.AF_INET6, "::1", first.getsockname()[1])
                found.append(undo.enter_context(second))
            except OSError as exc:
                if exc.errno not in _NO_IPV6:
                    raise
        except OSError:
            return []
        undo.pop_all()
        return found


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of our own last run
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
