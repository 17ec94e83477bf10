"""Caller groups and their bearers: who a program speaks for when it comes to the endpoint.

A caller group is (role, POSIX session and its start time); a coding agent is a group of its own,
because it always makes its own request. A bearer is 256 random bits, given once, kept as SHA-256
in `bearers.json`, and good while the session lives. Where the kernel does not name the user of a
connection (`keep=False`), old bearers die at each start: a squatter on our port may have been sent
one meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.caller import Session, session_alive
from borrow.daemon.places import read_private, write_private
from borrow.protocol.errors import Untrusted
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "bearers.json"
IMDS: Final = "imds"

# Bearers kept in all: a session makes one per `borrow run`; the oldest goes first.
MOST: Final = 512

# Seconds a "yes, the session lives" is believed: asking may mean a look at every process.
_BELIEVED: Final = 5.0

# Compared with where no bearer is found, so that both ways are one.
_NO_DIGEST: Final = "-" * 64

Alive = Callable[[int, int], bool]


@dataclass(frozen=True, slots=True)
class Group:
    """Whose waiting and whose grants belong together. `tty` is only where to write a line.

    `container` is the name of one that is served by the session, "" for the session's own programs.
    """

    role: str
    sid: int = 0
    start: int = 0
    tty: str = field(default="", compare=False)
    agent: str = ""
    container: str = ""

    @property
    def id(self) -> str:
        """The name on the wire and in the cache. IMDS callers are one group, or their agent's."""
        agent = self.agent + (f"@{self.container}" if self.container else "")
        agent = f":{agent}" if agent else ""
        if self.sid == 0:
            return IMDS + agent
        return f"{self.role}:{self.sid}:{self.start}{agent}"

    @property
    def is_apart(self) -> bool:
        """An agent's or a container's: it uses nobody else's grants."""
        return bool(self.agent or self.container)

    @property
    def key(self) -> str:
        """What flights and refusals are kept under: IMDS callers share an id for every role."""
        return f"{self.role}/{self.id}"

    @property
    def session(self) -> Session:
        return Session(self.sid, self.start, self.tty)

    @classmethod
    def named(cls, role: str, group_id: str) -> Group:
        """The group with this id, as `id` made it; its terminal is not known."""
        _, *rest = group_id.split(":")
        if len(rest) < 2 or not (rest[0].isdecimal() and rest[1].isdecimal()):
            return cls(role)
        agent, _, container = ":".join(rest[2:]).partition("@")
        return cls(role, int(rest[0]), int(rest[1]), agent=agent, container=container)

    def for_role(self, role: str) -> Group:
        """The same callers, asking for another role (an elastic role's base, or its elevation)."""
        return replace(self, role=role)

    def same_session(self, group_id: str) -> bool:
        """Whether the group named `group_id` is of this very session (and agent, if one)."""
        return self.sid != 0 and group_id.partition(":")[2] == self.id.partition(":")[2]


def session_key(group: Group) -> str:
    """What all roles' groups of one session (and agent, if one) have in common."""
    return group.id.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a bearer stands for, with the reason and ticket given when it was issued."""

    digest: str = field(repr=False)
    group: Group
    reason: str = ""
    ticket: str = ""
    seconds: int = 0
    container: str = ""  # what is said of it to people, if it is a container's


class Bearers:
    """The bearers of one daemon, on disk as hashes."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float],
        keep: bool,
        alive: Alive = session_alive,
        entropy: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._path = path
        self._clock = clock
        self._alive = alive
        self._entropy = entropy
        self._believed: dict[tuple[int, int], float] = {}
        self._renewing: set[tuple[int, int]] = set()
        self.epoch = 0  # grows when a bearer comes or goes
        self._bearers = {each.digest: each for each in (_load(path) if keep else ())}

    def __len__(self) -> int:
        return len(self._bearers)

    def issue(
        self,
        group: Group,
        *,
        reason: str = "",
        ticket: str = "",
        seconds: int = 0,
        container: str = "",
    ) -> str:
        """A new bearer for `group`; the group's earlier ones stay good for what runs with them."""
        token = self._entropy(32)
        bearer = Bearer(_digest(token), group, reason, ticket, seconds, container)
        while len(self._bearers) >= MOST:
            del self._bearers[next(iter(self._bearers))]
        self._bearers[bearer.digest] = bearer
        self._save()
        return token

    def holds(self, authorization: str) -> bool:
        """Whether an Authorization header carries a bearer that was issued here."""
        return self.issued(authorization) is not None

    async def find(self, authorization: str) -> Bearer | None:
        """The bearer in an Authorization header, if its session still lives."""
        found = self.issued(authorization)
        if found is None:
            return None
        if not await self.session_lives(found.group):
            self._forget_session(found.group)
            return None
        return found

    def is_issued(self, bearer: Bearer) -> bool:
        """Whether a bearer that was found has not gone since."""
        return self._bearers.get(bearer.digest) is bearer

    def stands(self, bearer: Bearer, *, ahead: float = 0.0) -> bool:
        """Whether a bearer that was found is still issued, and its session still believed.

        `ahead`: and will be for so many seconds.
        """
        return self.is_issued(bearer) and self._age(bearer.group) + ahead < _BELIEVED

    def is_old_belief(self, group: Group) -> bool:
        """Whether to `renew` now, so that a busy session stays believed. True once."""
        if self._age(group) < _BELIEVED / 2 or (group.sid, group.start) in self._renewing:
            return False
        self._renewing.add((group.sid, group.start))
        return True

    async def renew(self, group: Group) -> None:
        key, now = (group.sid, group.start), self._clock()
        try:
            if await asyncio.to_thread(self._alive, *key):
                self._believed[key] = now
            else:
                self._believed.pop(key, None)
        finally:
            self._renewing.discard(key)

    def _age(self, group: Group) -> float:
        return self._clock() - self._believed.get((group.sid, group.start), float("-inf"))

    async def session_lives(self, group: Group) -> bool:
        key, now = (group.sid, group.start), self._clock()
        if now - self._believed.get(key, float("-inf")) < _BELIEVED:
            return True
        if not await asyncio.to_thread(self._alive, *key):
            return False
        self._believed = {k: at for k, at in self._believed.items() if now - at < _BELIEVED}
        self._believed[key] = now
        return True

    def issued(self, authorization: str) -> Bearer | None:
        """The bearer in an Authorization header; whether its session lives is another matter."""
        token = authorization.removeprefix("Bearer ").strip()
        if not token or len(token) > 256 or not token.isascii():
            return None
        # Found by its hash, which nobody can steer: how far a wrong one agrees with a right one's
        # hash says nothing about the right one.
        digest = _digest(token)
        found = self._bearers.get(digest)
        right = hmac.compare_digest(found.digest if found is not None else _NO_DIGEST, digest)
        return found if right else None

    def _forget_session(self, group: Group) -> None:
        self._bearers = {
            digest: each
            for digest, each in self._bearers.items()
            if (each.group.sid, each.group.start) != (group.sid, group.start)
        }
        self._save()

    def _save(self) -> None:
        self.epoch += 1
        entries = [
            {"digest": each.digest, "reason": each.reason, "ticket": each.ticket}
            | {"seconds": each.seconds, "told": each.container}
            | asdict(each.group)
            for each in self._bearers.values()
        ]
        write_private(self._path, json.dumps({"v": 1, "bearers": entries}).encode())


def _digest(token: str) -> str:
    # A plain hash is enough for 256 random bits; a slow one would be paid on every fetch.
    return hashlib.sha256(token.encode()).hexdigest()


def _load(path: Path) -> list[Bearer]:
    data = read_private(path)
    if data is None:
        return []
    try:
        members = Members(parse_object(data, NAME, limit=1 << 20), NAME)
        if members.whole("v") != 1:
            return []
        return [_read(entry) for entry in members.array("bearers", limit=MOST)]
    except Untrusted:
        return []  # of another version, or torn by hand: programs get a new one by `borrow run`


def _read(entry: Any) -> Bearer:
    if not isinstance(entry, dict):
        raise Untrusted("a bearer entry is no object")
    members = Members(entry, NAME)
    return Bearer(
        digest=members.text("digest", limit=64),
        group=read_group(members),
        reason=members.text_or("reason"),
        ticket=members.text_or("ticket", limit=128),
        seconds=members.whole("seconds"),
        container=members.text_or("told", limit=400),
    )


def read_group(members: Members) -> Group:
    """A group from its saved members; raises Untrusted."""
    return Group(
        role=members.text("role", limit=64),
        sid=members.whole("sid", low=1),
        start=members.whole("start"),
        tty=members.text_or("tty", limit=64),
        agent=members.text_or("agent", limit=64),
        container=members.text_or("container", limit=128),
    )
