"""`borrow passkey`: a link for one's own phone takes a code that no other program has."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.at_terminal import ended, enrolled, matched, next_code, terminal
from borrow_fakes.front_desk import free_port
from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.solo_mode import refused_with
from borrow_fakes.team import ANN, POLICY

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def ann() -> Iterator[Home]:
    """A workstation of a team whose server has a name, as passkeys need."""
    with home() as server, home() as one:
        server.extra["BORROW_SERVER_DIR"] = str(server.root / "server")
        issuer = f"http://localhost:{free_port()}"
        server.borrow("server", "init", "--issuer", issuer, "--admin", ANN)
        (server.root / "server/policy.toml").write_text(
            POLICY.replace('factor = ["consent"]', 'factor = ["passkey"]')
        )
        child = server.spawn(BORROW, "server", "serve")
        wait_for(lambda: server.borrow("server", "status", ok=False).returncode == 0, why="it")
        link = json.loads(server.borrow("server", "invite", ANN, "--json").stdout)["url"]
        one.borrow("join", link, "-y")
        yield one
        child.send_signal(signal.SIGTERM)
        finish(child)


def test_there_are_none_at_first_and_the_list_says_how_to_add_one(ann: Home) -> None:
    told = ann.borrow("passkey", "list")
    assert (told.stdout, "borrow passkey add" in told.stderr) == ("you have no passkey\n", True)
    assert json.loads(ann.borrow("passkey", "list", "--json").stdout) == {"passkeys": []}
    error, hint = refused_with(ann.borrow("passkey", "remove", "phone", ok=False), 1)
    assert "no passkey of that name" in error
    assert "passkey list" in hint


def test_a_link_takes_a_fresh_code_and_lets_ones_own_devices_in(ann: Home) -> None:
    refused_with(ann.borrow("passkey", "add", ok=False), 2)  # no terminal
    error, _ = refused_with(ann.borrow("passkey", "add", ok=False, env={"CLAUDECODE": "1"}), 3)
    assert "agent" in error
    with terminal(ann, "passkey", "add") as child:
        child.expect("app: ")
        child.sendline("123456")
        code, shown = ended(child)
        assert (code, "no one-time codes yet" in shown) == (1, True)
    secret = enrolled(ann)
    with terminal(ann, "passkey", "add") as child:
        child.expect("app: ")
        child.sendline("000000")
        assert ended(child)[0] == 3
    with terminal(ann, "passkey", "add") as child:
        child.expect("app: ")
        child.sendline(next_code(secret))
        child.expect("▀|▄|█")  # the QR code
        child.expect(r"(http://localhost:\d+/join#\S+)")
        link = matched(child)
        child.expect("good once, for ")
        assert ended(child)[0] == 0
    with home() as other:
        assert ANN in other.borrow("join", link, "-y").stdout + other.status()["person"]
        refused_with(other.borrow("join", link, "-y", ok=False), 1)


def test_a_yes_that_only_a_page_takes_names_the_page_before_anything_is_typed(ann: Home) -> None:
    ann.borrow("ask", "click")
    request = ann.pending("click")["request"]
    for words in (("approve", request), ("approve", request, "-y")):
        error, hint = refused_with(ann.borrow(*words, ok=False), 3)
        assert "takes a passkey" in error
        assert re.fullmatch(rf"open http://localhost:\d+/r/{request}", hint)
    assert ann.pending("click")["request"] == request
    ann.borrow("deny", request, "-y")
