"""A person at a pseudo-terminal: pexpect with the real command, and their authenticator app."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import pexpect
import pyotp

from borrow_fakes.lab import BORROW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow_fakes.lab import Home

Terminal: TypeAlias = "pexpect.spawn[str]"
WITHIN = 20


@contextlib.contextmanager
def terminal(one: Home, *words: str) -> Iterator[Terminal]:
    """`borrow WORDS` in a pseudo-terminal of its own session."""
    child: Terminal = pexpect.spawn(
        BORROW, list(words), env=one.env, encoding="utf-8", timeout=WITHIN, dimensions=(60, 120)
    )
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: Terminal) -> tuple[int | None, str]:
    """Exit status, and what was shown since the last expectation."""
    child.expect(pexpect.EOF)
    shown: Any = child.before
    child.close()
    return child.exitstatus, str(shown)


def matched(child: Terminal) -> str:
    """The group of the last expectation."""
    assert isinstance(child.match, re.Match)
    return str(child.match[1])


def enrolled(one: Home) -> str:
    """The secret of an authenticator app, set up as a person does it."""
    with terminal(one, "totp", "enrol") as child:
        child.expect(r"secret: (\S+)")
        secret = matched(child)
        child.expect("shows now: ")
        child.sendline("nonsense")
        child.expect("2 tries left")
        child.expect("shows now: ")
        child.sendline(pyotp.TOTP(secret).now())
        code, shown = ended(child)
        assert (code, "the authenticator app is set up" in shown) == (0, True)
    return secret


def next_code(secret: str) -> str:
    """A code that was not used yet: the next step's, which the minter takes as well."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30)  # noqa: TID251  as the app does
