"""`borrow imds`: one role as instance credentials, for programs that look for nothing else."""

from __future__ import annotations

import click

from borrow.cli import say
from borrow.cli.options import json_option, role_argument


@click.group(name="imds", short_help="Serve one role as instance credentials.")
def imds() -> None:
    """Serve one role as instance credentials (IMDSv2), for programs that know nothing else.

    Any program of your user can use it, and none sees why it was refused: prefer `borrow run`.
    """


@imds.command()
@role_argument
@json_option
def use(role: str, *, as_json: bool) -> None:
    """Serve ROLE; the policy must say imds = true for it."""
    _set(role, as_json=as_json)


@imds.command()
@json_option
def off(*, as_json: bool) -> None:
    """Serve none."""
    _set(None, as_json=as_json)


def _set(role: str | None, *, as_json: bool) -> None:
    from borrow.cli.catalogue import with_suggestions
    from borrow.cli.home import open_home
    from borrow.cli.launch import running
    from borrow.protocol.errors import BorrowError

    client = running(open_home())
    try:
        answer = client.post("/v1/imds", {"role": role})
    except BorrowError as exc:
        raise with_suggestions(exc, role or "", client, "borrow imds use {}") from exc
    if as_json:
        say.document(answer)
    elif role is None:
        say.line("no role is served as instance credentials")
    else:
        port = int(say.number_of(client.get("/v1/status").get("port")))
        say.line(f"{role} is served as instance credentials")
        say.note(f"export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:{port}/")
