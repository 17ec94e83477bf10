"""What stands behind each profile name of the user's configuration inside a borrowed command. Pure.

A profile that had its own way to credentials is a role of the catalogue, or it is refused: nothing
falls through to keys that nobody asked for. One without such a way always took what the
environment gives, and that is the borrowed role.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

BORROW_ROLE: Final = "borrow_role"  # in a profile: the role it stands for


class Behind(NamedTuple):
    """`role`: served as that; "": refused, `why` says for what reason."""

    role: str
    why: str = ""


def behind(
    name: str,
    ways: Mapping[str, str],
    *,
    role: str,
    same: Collection[str],
    roles: Iterable[tuple[str, str]],
) -> Behind:
    """Who serves the profile `name`, whose keys to credentials are `ways`.

    `role` is the run's own role, `same` the profiles that the caller says it stands for; `roles`
    are (name, ARN) of all that may be borrowed.
    """
    if not ways or name in same:
        return Behind(role)
    listed = tuple(roles)
    if named := ways.get(BORROW_ROLE):
        known = named == role or any(each == named for each, _ in listed)
        return Behind(named) if known else Behind("", f"you may borrow no role named {named}")
    found = [each for each, arn in listed if _is_same(arn, ways)]
    if role in found:
        return Behind(role)
    if len(found) == 1:
        return Behind(found[0])
    if found:
        return Behind("", f"it may be any of {', '.join(sorted(found)[:4])}")
    says_which = "role_arn" in ways or "sso_role_name" in ways
    if not says_which and (name == role or any(each == name for each, _ in listed)):
        return Behind(name)
    return Behind("", "no role of yours is known for it")


def _is_same(arn: str, ways: Mapping[str, str]) -> bool:
    """Whether a profile's `role_arn`, or its SSO account and permission set, means `arn`."""
    if "role_arn" in ways:
        return ways["role_arn"] == arn
    account, wanted = ways.get("sso_account_id"), ways.get("sso_role_name")
    parts = arn.split(":", 5)
    if not account or not wanted or len(parts) != 6 or parts[4] != account:
        return False
    last = parts[5].rpartition("/")[2]
    made_by_sso = rf"AWSReservedSSO_{re.escape(wanted)}_[0-9a-f]{{16}}"
    return last == wanted or re.fullmatch(made_by_sso, last) is not None
