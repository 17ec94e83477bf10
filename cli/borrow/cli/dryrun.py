"""`borrow run --dry-run`: what would be set, with no bearer taken and nobody asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from borrow.cli import lending, say
from borrow.cli.environment import Lease
from borrow.cli.home import open_home
from borrow.cli.launch import running
from borrow.protocol.errors import Refused
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from borrow.cli.client import Control
    from borrow.cli.lending import Wish

_HIDDEN = "(a token of this terminal session)"


def show(wish: Wish, command: Sequence[str]) -> int:
    """Lines `set`, `unset`, `profile`, `run`. The token is not even made."""
    path = lending.found(command[0])
    home = open_home()
    lease = _pretended(running(home), wish)
    theirs = lending.aws_config()
    chosen = lending.chosen_regions(theirs, lease.region)
    change = lending.change_for(home, lease, wish, theirs, chosen)
    for name, value in change.put.items():
        old = os.environ.get(name)
        if old != value:
            say.line(f"set      {name}={shown(value)}")
    for name in change.drop:
        if name in os.environ:
            say.line(f"unset    {name}")
    for name, role, why in lending.profiles_of(theirs, lease, wish):
        say.line(f"profile  {shown(name, 80)}: {role or f'refused, {shown(why)}'}")
    for name, rule in lease.needs.items():
        if not wish.given().get(name):
            say.line(f"needs    {shown(name)}{f' ({shown(rule)})' if rule else ''}")
    say.line(f"run      {shown(path)}")
    if not chosen.known:
        lending.without_region(command)
    return 0


def _pretended(client: Control, wish: Wish) -> Lease:
    from borrow.cli.catalogue import entries, with_suggestions

    listed = entries(client)
    entry = next((each for each in listed if each["name"] == wish.role), None)
    if entry is None:
        error = Refused(f"you may borrow no role named {wish.role!r}", state="unknown_role")
        raise with_suggestions(error, wish.role, client, "borrow run {} -- COMMAND")
    port = int(say.number_of(client.get("/v1/status").get("port")))
    needs = entry.get("needs")
    return Lease(
        role=wish.role,
        url=f"http://127.0.0.1:{port}/v1/credentials/{wish.role}",
        bearer=_HIDDEN,
        region=str(entry.get("region") or ""),
        roles=tuple((str(each["name"]), str(each.get("arn"))) for each in listed),
        needs={str(k): str(v) for k, v in needs.items()} if isinstance(needs, dict) else {},
    )
