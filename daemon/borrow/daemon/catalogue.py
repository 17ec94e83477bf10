"""The roles this device's owner may ask for, as the approver lists them, remembered for a while.

Only labels: what may be had is judged by the approver and the minter at each request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from borrow.daemon.moments import Moment

# Seconds. A role that is not found asks again at once; a changed label waits this long at most.
FRESH: Final = 300.0
# Seconds between two questions for a role that is not there.
ASK_AGAIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """One role. `entry` is the approver's whole line, for `borrow roles`."""

    name: str
    arn: str
    tier: str
    share: str
    imds: bool
    base: str
    region: str
    mode: str
    longest: int  # seconds
    match: bool  # the approver has to type the number
    factors: tuple[str, ...]  # what the rule takes as a yes
    needs: dict[str, str]  # what has to be given first, and what it must look like
    entry: dict[str, Any]


def read_role_facts(entry: dict[str, Any]) -> RoleFacts:
    """From the approver's answer; unknown members are ignored, odd types are Untrusted."""
    from borrow.protocol.request import is_role_name  # late: it imports cryptography

    members = Members(entry, "catalogue")
    facts = RoleFacts(
        name=members.text("name", limit=64),
        arn=members.text("arn"),
        tier=members.text_or("tier", "normal", limit=32),
        share=members.text_or("share", "session", limit=32),
        imds=entry.get("imds") is True,
        base=members.text_or("base", limit=64) if entry.get("base") else "",
        region=members.text_or("region", limit=64) if entry.get("region") else "",
        mode=members.text_or("mode", limit=32) if entry.get("mode") else "",
        longest=members.whole("max") if isinstance(entry.get("max"), int) else 0,
        match=entry.get("match") is True,
        factors=tuple(_texts(entry.get("factors"))),
        needs=dict(_pairs(entry.get("needs"))),
        entry=entry,
    )
    if not is_role_name(facts.name):
        raise Untrusted("the catalogue names a role that cannot be one")
    return facts


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, list):
        yield from (each[:64] for each in value[:16] if isinstance(each, str))


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, text in list(value.items())[:16]:
            if isinstance(name, str) and isinstance(text, str):
                yield name[:64], text[:300]


class Catalogue:
    """`load` asks the approver; `clock` gives the moment to judge freshness by."""

    def __init__(
        self, load: Callable[[], Awaitable[list[dict[str, Any]]]], clock: Callable[[], Moment]
    ) -> None:
        self._load = load
        self._clock = clock
        self._roles: dict[str, RoleFacts] = {}
        self._loaded: Moment | None = None

    def known(self, role: str) -> RoleFacts | None:
        """What is remembered of `role`, however old: enough to serve from memory."""
        return self._roles.get(role)

    def all(self) -> tuple[RoleFacts, ...]:
        """What is remembered, however old."""
        return tuple(self._roles.values())

    async def role(self, role: str) -> RoleFacts:
        """The facts of `role`; asks if they are old or missing. Refused if there is none."""
        age = self._age()
        if age > FRESH or (role not in self._roles and age > ASK_AGAIN):
            await self.refresh()
        facts = self._roles.get(role)
        if facts is None:
            raise Refused(
                f"you may borrow no role named {role!r}",
                hint="`borrow roles` lists what you may borrow",
                state="policy",
            )
        return facts

    async def refresh(self) -> tuple[RoleFacts, ...]:
        entries = await self._load()
        roles = [read_role_facts(entry) for entry in entries]
        self._roles = {facts.name: facts for facts in roles}
        self._loaded = self._clock()
        return tuple(roles)

    def _age(self) -> float:
        return self._clock().since(self._loaded) if self._loaded else float("inf")
