"""`borrow unfreeze`: the way back after `borrow not-me`, where one person is all there is.

In a team another person unfreezes (`borrow server unfreeze`). Alone there is nobody else: a fresh
code of the authenticator app stands for them, because a program of the same user has none. Without
an app a yes typed at a terminal is taken, which such a program could type too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from borrow.cli import say
from borrow.cli.options import json_option
from borrow.protocol.errors import Misconfigured, Refused

if TYPE_CHECKING:
    from borrow.cli.client import Control
    from borrow.cli.home import Home

_WITHOUT: Final = "borrow unfreeze (at a terminal)"


@click.command()
@json_option
def unfreeze(*, as_json: bool) -> None:
    """Let this machine work again after `borrow not-me`, in solo mode.

    Asks for a code of your authenticator app, if you have one. What ended does not come back.
    """
    from borrow.cli.home import open_home
    from borrow.cli.trust import refuse_agents

    home = open_home()
    if home.mode() != "solo":
        line = f"borrow server unfreeze {_client_id(home)} --by PERSON"
        raise Refused(
            "another person unfreezes your device",
            hint=f"an admin, on the server: `{line}`",
            state="self_approval",
        )
    refuse_agents("unfreeze a device", "borrow unfreeze")
    holder = _holder(home)
    told = holder.get("/device")
    if told.get("state") == "active":
        raise Misconfigured("this machine is not frozen", hint="`borrow` shows what you hold")
    body = {}
    if told.get("totp") is True:
        body = {"code": say.ask("code of your authenticator app", without=_WITHOUT)}
    elif not say.confirm("let this machine borrow again?", without=_WITHOUT):
        raise Refused("it stays frozen", hint="nothing was changed", state="declined")
    answer = holder.post("/unfreeze", body)
    if as_json:
        say.document(answer)
    else:
        say.line("unfrozen; what was asked or held before is gone")


def _client_id(home: Home) -> str:
    from borrow.daemon.config import load_config

    return load_config(home.state).client_id or "DEVICE"


def _holder(home: Home) -> Control:
    """The running solo process's own socket."""
    from borrow.cli.client import Control
    from borrow.cli.keyholder import SOCKET
    from borrow.cli.launch import running
    from borrow.daemon.places import socket_path

    running(home)
    return Control(socket_path(home.runtime, SOCKET), uid=os.getuid())
