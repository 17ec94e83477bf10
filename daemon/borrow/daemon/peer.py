"""Which operating-system user made the other end of a loopback connection, or sent a datagram.

Owns the question put to the kernel and nothing else: what to do with the answer is `front`'s. The
answer is the uid that *created* the client's socket. It cannot be forged by a header, and it stays
true when a socket is handed to another process, which is why `caller` is asked separately.

One adapter per operating system. Where none exists, `Unknown` says so honestly: `gives_uid` is
False, and the daemon then leans on the bearer alone and tells the user that it does.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Collection

logger = logging.getLogger(__name__)

Address = tuple[str, int]

# linux/sock_diag.h, linux/inet_diag.h, linux/netlink.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_REQUEST = struct.Struct("=BBBBI")  # family, protocol, extensions, pad, states
_REPLY_HEAD = struct.Struct("=BBBB")  # family, state, timer, retransmits
_SOCKET_ID = struct.Struct("!HH16s16s")  # source and destination port, then both addresses
_REPLY_TAIL = struct.Struct("=IIIII")  # expires, receive queue, send queue, uid, inode
_ANY_COOKIE = b"\xff" * 8
_ALL_STATES = 0xFFFFFFFF
_SOCKET_ID_SIZE = 48

# The kernel answers within the send call; a wait this long (in seconds) means it never will, and
# the event loop must not hang on it.
_ANSWER_WITHIN = 0.2


class Peer(NamedTuple):
    """The maker of a socket. `inode` names the socket, so that its holder can be found later."""

    uid: int
    inode: int


class PeerSource(Protocol):
    """Asked once per connection, on the event loop, so an answer takes microseconds."""

    @property
    def gives_uid(self) -> bool:
        """False if this system has no way to tell; then `lookup` never answers."""

    def lookup(self, client: Address, server: Address) -> Peer | None:
        """Who made the socket at `client` that talks to `server`; None is "cannot tell"."""

    def sender(self, client: Address, server: Address) -> Peer | None:
        """As `lookup`, of the UDP socket that sent from `client` to `server`."""

    def close(self) -> None: ...


class Unknown:
    """The source for systems without an adapter: it never claims to know."""

    gives_uid = False

    def lookup(self, client: Address, server: Address) -> Peer | None:
        return None

    def sender(self, client: Address, server: Address) -> Peer | None:
        return None

    def close(self) -> None:
        return None


class SockDiag:
    """Linux: one netlink socket, one exact lookup of about 6 µs per connection.

    A client that sent its request and closed is left half dead in the kernel, which then reports
    uid 0 and inode 0. Read as "root", that answer would let anybody in on a daemon run by root
    (A22), so a peer without an inode is no peer.
    """

    gives_uid = True

    def __init__(self) -> None:
        self._netlink = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
        )
        # The kernel's own limit: `settimeout` would cost two more calls for each question.
        limit = struct.pack("@ll", 0, int(_ANSWER_WITHIN * 1e6))  # a timeval, of native longs
        try:
            self._netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        except OSError:
            self._netlink.close()
            raise
        self._sequence = 0

    def lookup(self, client: Address, server: Address) -> Peer | None:
        return self._ask(client, server, socket.IPPROTO_TCP, ((client[1], server[1]),))

    def sender(self, client: Address, server: Address) -> Peer | None:
        # For UDP the kernel takes the first end as where a datagram comes from, and looks for the
        # socket that would get it: the sender's, if it answers. (Asked the other way round too,
        # as the two ends were exchanged in some kernels; the port in the answer tells.)
        ports = ((client[1], server[1]), (client[1], 0))  # connected, or not
        return self._ask(server, client, socket.IPPROTO_UDP, ports) or self._ask(
            client, server, socket.IPPROTO_UDP, ports
        )

    def _ask(
        self, first: Address, second: Address, protocol: int, ports: Collection[tuple[int, int]]
    ) -> Peer | None:
        """The maker of the socket found, if its own and its peer's port are one of `ports`."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        try:
            family, wanted = _socket_id(first, second)
            self._netlink.send(_question(family, protocol, wanted, self._sequence))
            while True:
                reply, origin = self._netlink.recvfrom(4096)
                # Only the kernel has port id 0, and an answer to an earlier, timed out question
                # carries its old sequence number.
                if origin[0] == 0 and _HEADER.unpack_from(reply)[3] == self._sequence:
                    return _answer(reply, ports)
        except (OSError, struct.error) as exc:
            if getattr(exc, "errno", None) != errno.ENOENT:
                logger.warning("the kernel did not say who connects", extra={"cause": repr(exc)})
            return None

    def close(self) -> None:
        self._netlink.close()


class UnixPeer(NamedTuple):
    """The process that connected a Unix socket, as the kernel recorded it at connect time."""

    pid: int
    uid: int
    gid: int


def unix_peer(connection: socket.socket) -> UnixPeer | None:
    """SO_PEERCRED of an accepted Unix socket; None where the system does not give it."""
    if sys.platform == "darwin":
        from borrow.daemon.peer_elsewhere import macos_unix_peer  # late: only there

        found = macos_unix_peer(connection)
        return UnixPeer(*found) if found is not None else None
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or connection.family != socket.AF_UNIX:
        return None
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
        pid, uid, gid = struct.unpack("3i", raw)
    except (OSError, struct.error):
        return None
    # pid 0: the peer lives in a process namespace that this one cannot see.
    return UnixPeer(pid, uid, gid) if pid > 0 else None


def system_peers() -> PeerSource:
    """The adapter for this system. Raises Misconfigured where Linux refuses to tell who connects:
    without it every user of the machine would be let in."""
    if sys.platform != "linux":
        return Unknown()
    try:
        return SockDiag()
    except OSError as exc:
        why = (exc.strerror or "failed").lower()
        raise Misconfigured(
            f"the kernel does not say who connects (sock_diag: {why})",
            hint="let the daemon open a NETLINK_SOCK_DIAG socket; nobody is served unknown",
        ) from exc


def _socket_id(client: Address, server: Address) -> tuple[int, bytes]:
    """The address family, and the identity of the client's socket: *its* end comes first."""
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    ours = socket.inet_pton(family, client[0]).ljust(16, b"\0")
    theirs = socket.inet_pton(family, server[0]).ljust(16, b"\0")
    return family, _SOCKET_ID.pack(client[1], server[1], ours, theirs)


def _question(family: int, protocol: int, wanted: bytes, sequence: int) -> bytes:
    body = _REQUEST.pack(family, protocol, 0, 0, _ALL_STATES) + wanted
    body += struct.pack("=I", 0) + _ANY_COOKIE  # any interface, any cookie
    size = _HEADER.size + len(body)
    return _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, sequence, 0) + body


def _answer(reply: bytes, ports: Collection[tuple[int, int]]) -> Peer | None:
    if _HEADER.unpack_from(reply)[1] == _NLMSG_ERROR:
        code = -struct.unpack_from("=i", reply, _HEADER.size)[0]
        raise OSError(code, os.strerror(code))
    start = _HEADER.size + _REPLY_HEAD.size
    # The ports are compared again, so that no mistake in this file can hand out another's uid.
    # (Not the addresses: a client on an IPv6 socket reports its own as ::ffff:127.0.0.1.)
    if _SOCKET_ID.unpack_from(reply, start)[:2] not in ports:
        return None
    uid, inode = _REPLY_TAIL.unpack_from(reply, start + _SOCKET_ID_SIZE)[3:5]
    return Peer(uid, inode) if inode else None
