"""The programs that report denied calls, and the port they report to, over a restart of the daemon.

Both stand in the environment of running programs, so they are kept in `<state>/csm.json`: the port
is held again from the daemon's start, because whoever had it instead would be sent session tokens.
Client ids are kept as SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.groups import read_group
from borrow.daemon.places import read_private, write_private
from borrow.daemon.ports import LOOPBACK
from borrow.protocol.errors import BorrowError, Untrusted
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from borrow.daemon.groups import Group

logger = logging.getLogger(__name__)

NAME: Final = "csm.json"
MOST: Final = 512  # programs remembered; the oldest goes first


def hold_saved(path: Path) -> socket.socket | None:
    """At the daemon's start: the port of the programs that still run, or None for no programs.

    Taken by somebody else it is given up: the next `borrow run` gets another one.
    """
    saved = _load(path)
    if saved is None or not saved[1]:
        return None
    try:
        return bind(saved[0])
    except OSError as exc:
        logger.warning("the port for denied calls is taken", extra={"errno": exc.errno})
        return None


def bind(port: int) -> socket.socket:
    """A UDP socket on the loopback that nobody shares; port 0 is a free one."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.bind((LOOPBACK, port))
    except OSError:
        made.close()
        raise
    return made


class Clients:
    """Which group a client id names. `port` is the one they were told, 0 for none."""

    def __init__(self, path: Path, port: int) -> None:
        self._path = path
        self.port = port
        saved = _load(path) if port else None
        # Another port than the saved one: nobody reports here, and what is saved is void.
        self._groups = saved[1] if saved is not None and saved[0] == port else {}

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, client: str, group: Group) -> None:
        while len(self._groups) >= MOST:
            self._groups.pop(next(iter(self._groups)))
        self._groups[_digest(client)] = group
        self._save()

    def find(self, client: str) -> Group | None:
        return self._groups.get(_digest(client))

    def prune(self, alive: Callable[[int, int], bool]) -> None:
        """Forget the programs whose session is over. Blocks on /proc."""
        sessions = {(group.sid, group.start) for group in self._groups.values()}
        over = {session for session in sessions if not alive(*session)}
        if over:
            kept = {d: g for d, g in self._groups.items() if (g.sid, g.start) not in over}
            self._groups = kept
            self._save()

    def _save(self) -> None:
        lines = [{"digest": digest} | asdict(group) for digest, group in self._groups.items()]
        told = {"v": 1, "port": self.port, "clients": lines}
        try:
            write_private(self._path, json.dumps(told).encode())
        except BorrowError as exc:  # it costs offers after a restart, and nothing else
            logger.warning("programs could not be saved", extra={"why": exc.state})


def _digest(client: str) -> str:
    return hashlib.sha256(client.encode()).hexdigest()


def _load(path: Path) -> tuple[int, dict[str, Group]] | None:
    """The port and the groups by digest; None if there are none, or the file is not ours."""
    try:
        data = read_private(path)
        if data is None:
            return None
        members = Members(parse_object(data, NAME, limit=1 << 20), NAME)
        if members.whole("v") != 1:
            return None
        port = members.whole("port", low=1, high=65_535)
        return port, dict(_read(each) for each in members.array("clients", limit=MOST))
    except BorrowError as exc:
        logger.warning("saved programs are not read", extra={"why": exc.state})
        return None


def _read(entry: Any) -> tuple[str, Group]:
    if not isinstance(entry, dict):
        raise Untrusted("a program's entry is no object")
    members = Members(entry, NAME)
    return members.text("digest", limit=64), read_group(members)
