"""What the shell offers behind Tab: roles, what is held, what waits. Never an error, never a wait.

The line is being typed, so only a daemon that runs is asked, and not for long: nothing offered is
better than a shell that hangs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.errors import BorrowError

if TYPE_CHECKING:
    from collections.abc import Callable

    import click
    from click.shell_completion import CompletionItem

    from borrow.cli.client import Control

WITHIN: Final = 0.5  # seconds for each look


def complete_role(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return _offered(incomplete, _roles)


def complete_request(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Requests that wait for this person's answer."""
    return _offered(incomplete, _waiting)


def complete_held(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """What this machine holds: roles, and once `g-` is typed the grants' ids."""
    return _offered(incomplete, lambda client: _held(client, incomplete))


def complete_returnable(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """What is held, and once `r-` is typed the own requests that can be withdrawn."""
    return _offered(
        incomplete,
        lambda client: _held(client, incomplete),
        lambda client: _asks(client, incomplete),
    )


def complete_subject(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Anything that can be explained: requests, grants, roles."""
    return _offered(
        incomplete,
        _waiting,
        lambda client: _asks(client, incomplete),
        lambda client: _held(client, incomplete),
        _roles,
    )


def _offered(incomplete: str, *sources: Callable[[Control], list[str]]) -> list[CompletionItem]:
    from borrow.cli.group import completions
    from borrow.cli.home import open_home
    from borrow.cli.launch import control

    found: list[str] = []
    try:
        client = control(open_home(), within=WITHIN)
        for source in sources:
            found += source(client)
    except (BorrowError, OSError):
        pass  # what is known so far is offered
    return completions(list(dict.fromkeys(found)), incomplete)


def _roles(client: Control) -> list[str]:
    from borrow.cli.catalogue import entries

    return [entry["name"] for entry in entries(client)]


def _waiting(client: Control) -> list[str]:
    from borrow.cli.answering import decisions

    return _texts(decisions(client), "request")


def _held(client: Control, incomplete: str) -> list[str]:
    """The daemon's own without a question to the approver, which may be far."""
    grants = _objects(client.get("/v1/status").get("grants"))
    return _texts(grants, "role") + (_texts(grants, "grant") if _is_id(incomplete) else [])


def _asks(client: Control, incomplete: str) -> list[str]:
    """Ids say little to a person: they are offered to one who has begun to type one."""
    asks = _objects(client.get("/v1/status").get("asks"))
    return _texts(asks, "request") if _is_id(incomplete) else []


def _is_id(incomplete: str) -> bool:
    return incomplete.startswith(("r-", "g-"))


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(entries: list[dict[str, Any]], name: str) -> list[str]:
    return [one[name] for one in entries if isinstance(one.get(name), str) and one[name]]
