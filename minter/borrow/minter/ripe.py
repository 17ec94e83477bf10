"""Which keys count for tier `critical`: not those that somebody else has just brought in.

Invitations come from the approver, and one that was broken into could invite a device or a passkey
in a person's name and say yes with it. So a person's further key counts, for these roles, a day
after it joined, unless they vouched for it themself (their passkey or code made the invitation).
They are told at once when it joins, and can object. Their first key of a kind counts at once; one
that was removed or frozen was one all the same: removing it clears no way for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from borrow.minter import passkeys, schema
from borrow.protocol.errors import Refused

if TYPE_CHECKING:
    from borrow.minter.evidence import Proof
    from borrow.minter.store import Reader

WAIT: Final = 86_400  # seconds, as with any further passkey


@dataclass(frozen=True, slots=True)
class _Key:
    added_at: float
    used_by: str  # what its invitation says of who used it
    others: tuple[float, ...]  # when the person's other keys of this kind joined


def refuse_unripe(reader: Reader, person: str, proof: Proof) -> None:
    """Raise Refused (state `key_waits`) unless the key of `proof`, which is `person`'s, counts."""
    key = _passkey(reader, person, proof) if proof.method == "passkey" else _device(reader, proof)
    is_first = all(other > key.added_at for other in key.others)
    left = key.added_at + WAIT - reader.now
    if is_first or left <= 0 or _made_by(reader, key.used_by) == person:
        return
    what = "passkey" if proof.method == "passkey" else "device"
    raise Refused(
        f"this {what} is new: it counts for critical roles in {max(1, round(left / 3600))} hours",
        hint=f"use an older {what}; one that your own passkey or code invited counts at once",
        state="key_waits",
    )


def _passkey(reader: Reader, person: str, proof: Proof) -> _Key:
    table = schema.passkeys
    query = select(table.c.credential_id, table.c.added_at).where(table.c.person == person)
    joined = {row.credential_id: row.added_at for row in reader.all(query)}
    added_at = joined.pop(proof.credential_id)
    return _Key(added_at, passkeys.USED_BY + proof.credential_id, tuple(joined.values()))


def _device(reader: Reader, proof: Proof) -> _Key:
    keys, devices = schema.device_keys, schema.devices
    whose = select(devices).join(keys, keys.c.client_id == devices.c.client_id)
    mine = reader.all(whose.where(keys.c.kid == proof.credential_id))[0]
    rows = reader.all(select(devices).where(devices.c.owner == mine.owner))
    others = tuple(row.added_at for row in rows if row.client_id != mine.client_id)
    return _Key(mine.added_at, mine.client_id, others)


def _made_by(reader: Reader, used_by: str) -> str:
    """Who proved to be there when the invitation was made; "" is the administrator's socket."""
    table = schema.invitations
    row = reader.one(select(table.c.made_by).where(table.c.used_by == used_by))
    return row.made_by if row is not None else ""
