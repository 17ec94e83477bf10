"""Read `[accounts]` and `[roles.*]`, and multiply one stanza over many accounts.

Owns what a role may look like. Whether a rule leads to it is not decided here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from borrow.policy.model import Role, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from borrow.policy.table import Table

PLACE = "{account}"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NAME_RULE = "small letters, digits, '.', '_' and '-', at most 64"
SHARES = ("session", "device")
CHAINS = ("identity", "name", "none")

_KEYS = ("aws", "tier", "share", "allows", "chain", "region", "base", "imds")
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_ACCOUNT_RULE = "an account number of twelve digits, in quotes"
_ARN = re.compile(
    r"arn:aws[a-z-]{0,20}:iam::([0-9]{12}):role/(?:[\w+=,.@-]+/)*[\w+=,.@-]{1,64}", re.A
)
_ARN_RULE = "an IAM role's ARN, such as arn:aws:iam::111122223333:role/Name"
_ACTION = re.compile(r"\*|[a-z0-9-]{1,40}:[A-Za-z0-9*?]{1,80}")
_REGION = re.compile(r"[a-z]{2,3}(?:-[a-z]+)+-[0-9]{1,2}")
_LATER = {"gcp": "only AWS roles for now", "azure": "only AWS roles for now"}


def read_accounts(table: Table) -> dict[str, str]:
    """Account name -> its twelve digits."""
    accounts: dict[str, str] = {}
    for name in table:
        if not NAME.fullmatch(name):
            raise table.bad(name, "{} is not a good name for an account", f"allowed: {NAME_RULE}")
        number = table.text(name, allowed=_ACCOUNT_RULE)
        if not _ACCOUNT_ID.fullmatch(number):
            raise table.wrong(name, number, _ACCOUNT_RULE)
        if number in accounts.values():
            raise table.bad(name, f"{{}} names account {number} again", "one name an account")
        accounts[name] = number
    return accounts


def read_roles(table: Table, accounts: Mapping[str, str]) -> dict[str, Role]:
    labels = {number: name for name, number in accounts.items()}
    roles: dict[str, Role] = {}
    stanzas: dict[str, Table] = {}
    for key in table:
        stanza = table.table(key)
        stanza.only(_KEYS, _LATER)
        for name, arn, base in _multiply(table, key, stanza, accounts):
            if not NAME.fullmatch(name):
                raise table.bad(key, "{} is not a good name for a role", f"allowed: {NAME_RULE}")
            if name in roles:
                raise table.bad(
                    key,
                    f"{{}} makes role {name!r} again",
                    "another stanza makes it too; rename one of them",
                )
            roles[name] = _role(stanza, name, arn, base, labels)
            stanzas[name] = stanza
    _check_bases(stanzas, roles)
    return roles


def _multiply(
    table: Table, key: str, stanza: Table, accounts: Mapping[str, str]
) -> Iterator[tuple[str, str, str | None]]:
    """Name, ARN and base of each role the stanza makes.

    `{account}` is the account's name in names and its number in the ARN, as AWS writes it there.
    """
    arn = stanza.text("aws")
    base = stanza.text("base") if "base" in stanza else None
    if PLACE not in key:
        for field, value in (("aws", arn), ("base", base or "")):
            if PLACE in value:
                raise stanza.bad(
                    field,
                    f"{{}} uses {PLACE}, and the role's name does not",
                    f'name the stanza [roles."{PLACE}-…"] to make one role an account',
                )
        yield key, arn, base
        return
    if PLACE not in arn:
        raise stanza.bad(
            "aws",
            f"{{}} is the same for all accounts: {PLACE} is missing",
            f"write arn:aws:iam::{PLACE}:role/Name",
        )
    if not accounts:
        raise table.bad(key, f"{{}} uses {PLACE}, and [accounts] is empty", "add [accounts]")
    for name, number in accounts.items():
        yield (
            key.replace(PLACE, name),
            arn.replace(PLACE, number),
            None if base is None else base.replace(PLACE, name),
        )


def _role(stanza: Table, name: str, arn: str, base: str | None, labels: Mapping[str, str]) -> Role:
    matched = _ARN.fullmatch(arn)
    if matched is None:
        raise stanza.wrong("aws", arn, _ARN_RULE)
    if base is not None and not NAME.fullmatch(base):
        raise stanza.wrong("base", base, f"a role's name: {NAME_RULE}")
    tier = stanza.member("tier", Tier, Tier.NORMAL)
    sensitive = tier.at_least(Tier.SENSITIVE)
    imds = stanza.flag("imds", default=False)
    if imds and sensitive:
        raise stanza.bad(
            "imds",
            f"{{}} cannot be true for a role of tier {tier.value}",
            "the metadata endpoint asks for no bearer: only tiers low and normal may use it",
        )
    allows = stanza.texts("allows", default=())
    for action in allows:
        if not _ACTION.fullmatch(action):
            raise stanza.wrong("allows", action, "IAM actions, such as s3:Delete*")
    region = stanza.text("region", "")
    if region and not _REGION.fullmatch(region):
        raise stanza.wrong("region", region, "a region's name, such as eu-central-1")
    return Role(
        name=name,
        arn=arn,
        account=labels.get(matched[1], matched[1]),
        tier=tier,
        share=stanza.choice("share", SHARES, "session" if sensitive else "device"),
        allows=allows,
        chain=stanza.choice("chain", CHAINS, "identity"),
        region=region,
        base=base,
        imds=imds,
        line=stanza.line,
    )


def _check_bases(stanzas: Mapping[str, Table], roles: Mapping[str, Role]) -> None:
    """A base is handed out without a question, to agents too: it must be harmless and flat.

    That it exists and that its rule is auto depends on the rules; `review.check` says so.
    """
    for role in roles.values():
        base = roles.get(role.base or "")
        if base is None:
            continue
        if base.base is not None:
            wrong = (
                f"has a base itself ({base.base!r})" if base is not role else "is the role itself"
            )
        elif base.tier.at_least(Tier.SENSITIVE):
            wrong = f"is of tier {base.tier.value}"
        else:
            continue
        raise stanzas[role.name].bad(
            "base",
            f"{{}} cannot be {role.base!r}, which {wrong}",
            "a base is another role, below tier sensitive, without a base of its own",
        )
