"""Which role the IMDS endpoint offers: `<state>/imds.json`, so that it survives a restart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from borrow.daemon.places import read_private, write_private
from borrow.protocol.errors import Misconfigured, Refused, Untrusted
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from pathlib import Path

    from borrow.daemon.catalogue import RoleFacts

NAME: Final = "imds.json"
_TIERS: Final = frozenset({"low", "normal"})


def may_be_offered(facts: RoleFacts) -> None:
    """Raises Refused unless the policy lets `facts` be had without a bearer."""
    if not facts.imds:
        raise Refused(
            f"{facts.name} is not for the IMDS endpoint",
            hint="its policy entry needs `imds = true`",
            state="policy",
        )
    if facts.tier not in _TIERS:
        raise Refused(f"{facts.name} is too sensitive for the IMDS endpoint", state="policy")


class ImdsRole:
    """`gives_uid`: whether the kernel names the user of a connection; without it, never on."""

    def __init__(self, path: Path, *, gives_uid: bool) -> None:
        self._path = path
        self._gives_uid = gives_uid
        self._role = _load(path) if gives_uid else ""

    def __call__(self) -> str:
        return self._role

    def use(self, facts: RoleFacts) -> None:
        if not self._gives_uid:
            raise Misconfigured(
                "this system does not say whose a connection is",
                hint="use `borrow run`, whose bearer does",
            )
        may_be_offered(facts)
        self._set(facts.name)

    def off(self) -> None:
        self._set("")

    def _set(self, role: str) -> None:
        write_private(self._path, json.dumps({"role": role}).encode())
        self._role = role


def _load(path: Path) -> str:
    data = read_private(path)
    if data is None:
        return ""
    from borrow.protocol.request import is_role_name  # late: it imports cryptography

    try:
        role = Members(parse_object(data, NAME), NAME).text_or("role", limit=64)
    except Untrusted:
        return ""  # off is the safe reading
    return role if role and is_role_name(role) else ""
