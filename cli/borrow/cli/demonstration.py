"""`borrow demo`: the whole walk against a private stand-in for AWS; see `borrow.cli.demo`."""

from __future__ import annotations

import os
import sys

import click

from borrow.cli import say
from borrow.cli.options import json_option
from borrow.protocol.errors import Refused


@click.command()
@click.option(
    "--unattended", is_flag=True, help="Borrow plays both people; into a pipe it gives JSON."
)
@json_option
def demo(*, unattended: bool, as_json: bool) -> int:
    """See it work, with a private stand-in for AWS; nothing of yours is touched.

    Everything lives in a temporary folder on this machine and is gone at the end.
    """
    from borrow.cli.demo import walk
    from borrow.daemon.caller import agent_of

    if agent := agent_of(os.getpid()):
        raise Refused(
            f"the demo plays people, and {agent} is a coding agent to Borrow",
            hint="a person starts it; in the repository `make demo` starts it apart from the agent",
            state="agent",
        )

    alone = unattended or as_json or not (say.can_ask() and say.is_terminal(sys.stdout))
    return walk.run(unattended=alone, json=as_json)
