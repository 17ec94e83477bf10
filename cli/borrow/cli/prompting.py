"""`borrow prompt`: the window that asks a person, or the same questions in this terminal."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from borrow.cli import errors, say
from borrow.cli.errors import WrongUse
from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from borrow.cli.client import Control
    from borrow.tray.prompt import Ended, Question

NO_TKINTER = "this Python has no tkinter (on Debian and Ubuntu: apt-get install python3-tk)"


@click.command()
@click.argument("request", required=False, default="")
@click.option("--ask", "role", is_flag=False, flag_value="", default=None, metavar="[ROLE]")
@click.option("--extend", "grant", default="", metavar="GRANT", help="With --ask: more time of it.")
@click.option("--no-gui", is_flag=True, help="In this terminal.")
def prompt(*, request: str, role: str | None, grant: str, no_gui: bool) -> int:
    """Open the window that answers REQUEST, or with --ask the one that asks for a role.

    Esc and closing mean "not now". Exit code 0: something was decided or asked, here or elsewhere;
    130: not now, or nobody answered in time.
    """
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    if (role is None) == (not request):
        raise WrongUse("one thing: a request to answer, or --ask", hint="borrow prompt r-…")
    if grant and not role:
        raise WrongUse(
            "--extend needs the role too", hint=f"borrow prompt --ask ROLE --extend {grant}"
        )
    drawn = None if no_gui else _Drawn.open()
    client = running(open_home())
    if drawn is None and not say.can_ask():
        raise Unavailable("there is no display and no terminal", hint="`borrow inbox`")
    if role is None:
        from borrow.cli.answering import named

        return _run(drawn, client, request=named(client, request))
    if not role:
        role = _choose(drawn, client)
    return _run(drawn, client, role=role, grant=grant) if role else errors.INTERRUPTED


class _Drawn:
    """A display that is there, and how things look on it."""

    def __init__(self) -> None:
        from borrow.tray.looks import Asked

        self._asked = Asked(os.environ)  # first: its programs run while tkinter is imported
        import borrow.tray.window  # noqa: F401

    @classmethod
    def open(cls) -> _Drawn | None:
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            return None
        try:
            return cls()
        except ImportError as exc:
            if exc.name not in ("tkinter", "_tkinter"):
                raise
            say.note(f"no window: {NO_TKINTER}")
            return None

    def run(self, question: Question) -> Ended | None:
        from borrow.tray.window import NotHere, Window

        try:
            return Window(question, self._asked.looks(), _now).run()
        except NotHere as exc:
            say.note(f"no window: {exc}")
            return None

    def choose(self, roles: list[dict[str, object]]) -> str | None:
        from borrow.tray.chooser import Chooser
        from borrow.tray.window import NotHere

        try:
            return Chooser(roles, self._asked.looks()).run()
        except NotHere as exc:
            say.note(f"no window: {exc}")
            return None


def _run(
    drawn: _Drawn | None, client: Control, *, request: str = "", role: str = "", grant: str = ""
) -> int:
    from borrow.tray.prompt import to_answer, to_ask

    question = to_answer(client, request, _now()) if request else to_ask(client, role, grant=grant)
    ended = drawn.run(question) if drawn is not None else None
    if ended is None:
        from borrow.cli.twin import Twin

        if not say.can_ask():
            raise Unavailable("there is no display and no terminal", hint="`borrow inbox`")
        return _report(Twin(question, _now).run(), drawn=False)
    return _report(ended, drawn=True)


def _choose(drawn: _Drawn | None, client: Control) -> str:
    from borrow.tray.prompt import roles

    found = roles(client)
    chosen = drawn.choose(found) if drawn is not None else None
    if chosen is None:
        from borrow.cli.twin import choose

        return choose(found)
    return chosen


def _report(ended: Ended, *, drawn: bool) -> int:
    """A window showed already how it ended: then only whether something was decided counts."""
    match ended.how:
        case "said":
            say.line(ended.told)
            return errors.OK
        case "elsewhere":
            say.note(ended.told)
            return errors.OK
        case "refused":
            say.note(ended.told)
            return errors.OK if drawn else errors.REFUSED
        case "late":
            say.note(ended.told)
            return errors.INTERRUPTED
        case _:
            return errors.INTERRUPTED


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: a countdown for eyes only
