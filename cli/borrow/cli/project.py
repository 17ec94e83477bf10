"""The project's role for a command: found, compared with what is trusted, asked about if needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from borrow.cli import truststore
from borrow.cli.home import open_home
from borrow.cli.projectfile import FILE
from borrow.cli.truststore import Trust
from borrow.protocol.errors import Misconfigured
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from borrow.cli.lending import Wish
    from borrow.cli.projectfile import Project
    from borrow.cli.truststore import Found

_CURE = "`borrow trust` shows it and asks"


def filled_in(wish: Wish, command: Sequence[str], *, here: bool) -> Wish | None:
    """`wish` with the project's role for `command`.

    `here`: a function of the shell hook asks, and a command that the project says nothing of is
    run as it was typed: None.
    """
    path = truststore.find(truststore.folder_of_caller(os.environ))
    if path is None:
        if here:
            return None
        from borrow.cli.errors import WrongUse
        from borrow.cli.usage import joined

        raise WrongUse(
            f"borrow run lacks ROLE, and no {FILE} is here or above",
            hint=f"borrow run ROLE -- {joined(command)}",
        )
    project = _trusted(truststore.look(open_home().state.path, path))
    role = project.role_for(command)
    if not role:
        if here:
            return None
        raise Misconfigured(
            f"{shown(str(path))} names no role for this command",
            hint='`role = "…"` in it, or `borrow run ROLE -- COMMAND`',
        )
    if here:
        _tell(role, command)
    named = tuple((name, role) for name, _ in wish.profiles)
    return wish._replace(role=role, profiles=(*project.profiles, *named))


def _trusted(found: Found) -> Project:
    """The project, once a person at the terminal has trusted what it says now."""
    from borrow.cli import say

    if found.project is not None:
        return found.project
    if say.can_ask():
        from borrow.cli.trust import ask

        return ask(open_home().state.path, found)
    why = "was changed since you trusted it" if found.before is not None else "is not trusted"
    raise Misconfigured(
        f"{shown(str(found.path))} {why}",
        hint=_CURE,
        state="untrusted_project",
    )


def _tell(role: str, command: Sequence[str]) -> None:
    """Nobody typed the role, so it is named; on a terminal only, for it is no result."""
    from borrow.cli import say

    if say.can_move():
        say.note(say.dim(f"borrow: {role} for {shown(' '.join(command[:2]), 60)}"))


def names_for_hook() -> int:
    """For the shell hook: the state of the project here, where its trust is kept, its programs.

    What a person has to know of it goes to stderr, once a folder: the hook asks no more often.
    """
    import sys

    from borrow.protocol.errors import BorrowError

    lines, told = ["none", ""], ""
    try:
        path = truststore.find(truststore.folder_of_caller(os.environ))
        if path is not None:
            found = truststore.look(open_home().state.path, path)
            lines = [found.trust.value, str(found.stamp)]
            # What was trusted stays wrapped after a change: its next use asks, and runs with no
            # other keys meanwhile.
            known = found.project or found.before
            lines += known.programs() if known is not None else ()
            if found.project is None:
                what = "was changed" if found.trust is Trust.CHANGED else "is not trusted"
                told = f"borrow: {shown(str(found.path))} {what}: {_CURE}"
    except BorrowError as exc:
        lines, told = ["broken", ""], f"borrow: {shown(exc.message)}"
    sys.stdout.write("\n".join(lines) + "\n")
    if told:
        print(told, file=sys.stderr)
    return 0
