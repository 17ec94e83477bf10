"""What macOS and Windows say about the other end of a connection: parsers, and untried there.

Neither names the user of a loopback connection in one cheap question: `gives_uid` stays False there
(`peer.Unknown`), so bearers rotate at each start, IMDS stays off, and the bearer is what protects.
macOS names the user of a Unix socket. Windows names the process of a connection, for people to see;
a daemon for Windows needs more than this file (a control pipe, a lock).
"""

from __future__ import annotations

import socket
import struct
from typing import Final

# macOS, sys/un.h and sys/ucred.h
SOL_LOCAL: Final = 0
LOCAL_PEERCRED: Final = 1
LOCAL_PEERPID: Final = 2
_XUCRED: Final = struct.Struct("@IIh2x16I")  # version, uid, number of groups, groups
_VERSION: Final = 0

# Windows, MIB_TCPROW_OWNER_PID: state, local address and port, remote ones, pid.
_ROW: Final = struct.Struct("<I4sI4sII")
_ESTABLISHED: Final = 5

Address = tuple[str, int]


def read_xucred(credentials: bytes, pid: bytes) -> tuple[int, int, int] | None:
    """pid, uid, gid of LOCAL_PEERCRED's and LOCAL_PEERPID's answers; None if of no such form."""
    if len(credentials) != _XUCRED.size or len(pid) != 4:
        return None
    version, uid, count, *groups = _XUCRED.unpack(credentials)
    (number,) = struct.unpack("@i", pid)
    if version != _VERSION or number <= 0 or not 1 <= count <= len(groups):
        return None
    return number, uid, groups[0]


def macos_unix_peer(connection: socket.socket) -> tuple[int, int, int] | None:
    try:
        credentials = connection.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, _XUCRED.size)
        return read_xucred(credentials, connection.getsockopt(SOL_LOCAL, LOCAL_PEERPID, 4))
    except OSError:
        return None


def owner_in(table: bytes, client: Address, server: Address) -> int | None:
    """The pid at `client` of a connection to `server`, from GetExtendedTcpTable's IPv4 table.

    Ports are in network order in the low half of their field; the high half is undefined.
    """
    if len(table) < 4:
        return None
    (count,) = struct.unpack_from("<I", table)
    if len(table) < 4 + count * _ROW.size:
        return None
    for index in range(count):
        state, here, port, there, far, pid = _ROW.unpack_from(table, 4 + index * _ROW.size)
        ends = (socket.inet_ntoa(here), _port(port)), (socket.inet_ntoa(there), _port(far))
        if state == _ESTABLISHED and ends == (client, server):
            return int(pid)
    return None


def _port(field: int) -> int:
    return socket.ntohs(field & 0xFFFF)
