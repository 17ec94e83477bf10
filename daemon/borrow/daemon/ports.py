"""The daemon's TCP port: found once, then held at every start, or starting fails.

A port that moved would leave the address in running programs to whoever takes it next, and such a
program sends its bearer there. So there is no fallback: taken means stop, and say by whom. The
same port on `::1` is held too, unused, because some clients turn 127.0.0.1's name into it.
"""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK: Final = "127.0.0.1"
_LOOPBACK6: Final = "::1"

# Not accepted yet; a burst beyond it is retried by the client's kernel.
BACKLOG: Final = 1_024

# Below the range from which Linux (32768-60999) and macOS (49152-65535) take client ports: an
# outgoing connection must not be sitting on our port at the next start.
_FIRST, _END = 20_000, 32_000
_TRIES: Final = 64

_LISTENING: Final = "0A"  # /proc/net/tcp


class HeldPort(NamedTuple):
    """The port, the socket that listens on it, and the one that keeps `::1` from others."""

    number: int
    listener: socket.socket
    spare: socket.socket | None

    def close(self) -> None:
        self.listener.close()
        if self.spare is not None:
            self.spare.close()


class Holder(NamedTuple):
    """Who has a port, as far as the system tells."""

    uid: int
    pid: int | None


def draw(below: int) -> int:
    import secrets  # late: only the first start draws a port

    return secrets.randbelow(below)


def choose_port(saved: int | None, pick: Callable[[int], int] = draw) -> HeldPort:
    """The `saved` port, or a free one at the first start; `pick(n)` gives a number below n."""
    if saved is not None:
        if not 0 < saved < 65536:
            raise Misconfigured(f"the saved port {saved} is not a port", hint="`borrow setup`")
        held = _hold(saved)
        if held is None:
            raise _taken(saved)
        return held
    for _ in range(_TRIES):
        if held := _hold(_FIRST + pick(_END - _FIRST)):
            return held
    raise Misconfigured(
        f"no free port between {_FIRST} and {_END} on {LOOPBACK}", hint="close other programs"
    )


def holder_of(port: int) -> Holder | None:
    """Who listens on `port` of the loopback or of all addresses. Blocks (reads /proc)."""
    from borrow.daemon.caller import pid_of_inode  # late: only for a port that is taken

    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                uid = int(fields[7])
                return Holder(uid, pid_of_inode(int(fields[9]), uid))
    return None


def _hold(port: int) -> HeldPort | None:
    listener = _bind(socket.AF_INET, LOOPBACK, port, listen=True)
    if listener is None:
        return None
    try:
        spare = _bind(socket.AF_INET6, _LOOPBACK6, port, listen=False)
    except OSError:
        # This system has no IPv6 loopback, so nobody can listen there.
        return HeldPort(port, listener, None)
    if spare is None:
        listener.close()
        return None
    return HeldPort(port, listener, spare)


def _bind(
    family: socket.AddressFamily, host: str, port: int, *, listen: bool
) -> socket.socket | None:
    """None if the address is taken. Other failures are raised as they are."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if listen and sys.platform != "win32":
            # Only for our own old connections in TIME_WAIT. Never SO_REUSEPORT, which would let
            # another program of this user share the port (A34); and listening starts at once,
            # because SO_REUSEADDR protects an address only from then on.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if listen:
            sock.listen(BACKLOG)
            sock.setblocking(False)
    except OSError as exc:
        sock.close()
        if exc.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise
    return sock


def _taken(port: int) -> Misconfigured:
    holder = holder_of(port)
    by = ""
    if holder is not None:
        by = f" by uid {holder.uid}" + (f", pid {holder.pid}" if holder.pid else "")
    return Misconfigured(
        f"port {port} on {LOOPBACK} is taken{by}",
        hint="stop that program; running programs know this port, so another one is not taken",
    )
