"""A team: one server, two people, each with a daemon of their own."""

from __future__ import annotations

import json
import re
import signal
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pexpect
import pytest

from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.solo_mode import refused_with

if TYPE_CHECKING:
    from collections.abc import Iterator

ANN, BO = "ann@example.com", "bo@example.com"
POLICY = f"""
version = 1
[groups]
team = ["{ANN}", "{BO}"]
[admins]
people = ["{ANN}"]
[roles.prod-write]
aws = "arn:aws:iam::111122223333:role/Write"
tier = "sensitive"
[[rule]]
id = "writes"
who = ["group:team"]
roles = ["prod-write"]
approve = {{ mode = "peer", from = ["group:team"], match = true }}
"""


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[Home]:
    """A server that runs, made by its own commands."""
    with home() as one:
        one.extra["BORROW_SERVER_DIR"] = str(one.root / "server")
        issuer = f"http://127.0.0.1:{free_port()}"
        one.borrow("server", "init", "--issuer", issuer, "--admin", ANN)
        (one.root / "server/policy.toml").write_text(POLICY)
        child = one.spawn(BORROW, "server", "serve")
        wait_for(lambda: one.borrow("server", "status", ok=False).returncode == 0, why="the server")
        yield one
        child.send_signal(signal.SIGTERM)
        code, out, err = finish(child)
        assert code == 0, err
        assert out.startswith(f"serving {issuer}")
        assert "borrow join" not in out + err  # no terminal: no invitation


def invitation(server: Home, person: str) -> str:
    told = json.loads(server.borrow("server", "invite", person, "--json").stdout)
    return str(told["url"])


@pytest.fixture(scope="module")
def ann(server: Home) -> Iterator[Home]:
    with home() as one:
        one.borrow("join", invitation(server, ANN), "--yes")
        yield one


@pytest.fixture(scope="module")
def bo(server: Home) -> Iterator[Home]:
    with home() as one:
        one.borrow("join", "-", text=invitation(server, BO) + "\n")
        yield one


def test_two_people_walk_a_request_to_its_grant(ann: Home, bo: Home) -> None:
    child = ann.spawn(BORROW, "ask", "prod-write", "--wait", "-m", "a fix for the checkout")
    request = ann.pending("prod-write")["request"]
    number = ann.pending("prod-write")["number"]
    error, _ = refused_with(ann.borrow("approve", request, "-y", ok=False), 3)
    assert "another person" in error
    (waiting,) = json.loads(bo.borrow("inbox", "--json").stdout)["decisions"]
    assert (waiting["person"], waiting["number"], waiting["mine"]) == (ANN, number, False)
    assert bo.borrow("approve", request, "-y").stdout.startswith("approved: prod-write")
    code, out, err = finish(child)
    assert code == 0, err
    assert out.startswith("granted: prod-write")
    assert BO in err
    assert number in err
    ann.borrow("return", "prod-write")


def test_not_me_ends_it_all_and_another_person_lets_it_work_again(
    server: Home, ann: Home, bo: Home
) -> None:
    bo.borrow("ask", "prod-write", "-m", "was it really bo?")
    request = bo.pending("prod-write")["request"]
    bo.borrow("not-me", request)
    error, _ = refused_with(bo.borrow("ask", "prod-write", "-m", "and once more", ok=False), 3)
    assert "frozen" in error
    device = json.loads((bo.state / "config.json").read_text())["client_id"]
    _, hint = refused_with(bo.borrow("unfreeze", ok=False), 3)
    assert hint.endswith(f"`borrow server unfreeze {device} --by PERSON`")
    words = ("server", "unfreeze", device, "--by")
    refused_with(server.borrow(*words, BO, ok=False), 3)
    server.borrow(*words, ANN)
    assert "prod-write" in bo.borrow("roles").stdout
    assert ann.borrow("inbox").returncode == 0


def test_a_policy_that_did_not_pass_is_told_by_the_status_until_it_is_mended(server: Home) -> None:
    file = server.root / "server/policy.toml"
    good = file.read_text()
    try:
        file.write_text(good + "[roles.x]\nawz = 1\n")
        told = server.borrow("server", "status").stderr
        assert "the changed policy is not used" in told
        assert "awz" in told
    finally:
        file.write_text(good)
    assert server.borrow("server", "status").stderr == ""


def test_a_machine_joins_once(server: Home, ann: Home) -> None:
    before = (ann.state / "config.json").read_bytes()
    error, _ = refused_with(ann.borrow("join", invitation(server, ANN), "-y", ok=False), 1)
    assert ANN in error
    assert (ann.state / "config.json").read_bytes() == before


def test_a_server_with_other_keys_is_refused_before_anything_is_sent(
    server: Home, fresh: Home
) -> None:
    good = invitation(server, ANN)
    part = good.partition("&a=")[2].partition("&")[0]
    bad = good.replace(f"&a={part}", f"&a={part[::-1]}")
    error, hint = refused_with(fresh.borrow("join", bad, "-y", ok=False), 1)
    assert "other keys" in error
    assert "do not join" in hint
    assert not fresh.state.exists()


@pytest.mark.parametrize(
    "url",
    [
        "hello",
        "https://example.com/join",
        "http://example.com/join#v=1&k=x&a=x&m=x&p=x",
        "http://127.0.0.1:1/join#v=9&k=x&a=x&m=x&p=x",
    ],
)
def test_what_is_no_invitation_is_said_and_leaves_nothing(fresh: Home, url: str) -> None:
    refused_with(fresh.borrow("join", url, "-y", ok=False), 1)
    assert not fresh.state.exists()


def test_an_unreachable_server_leaves_nothing(server: Home, fresh: Home) -> None:
    port = json.loads(server.borrow("server", "status", "--json").stdout)["issuer"].rpartition(":")[
        2
    ]
    url = invitation(server, ANN).replace(f":{port}/", f":{free_port()}/")
    error, _ = refused_with(fresh.borrow("join", url, "-y", ok=False), 4)
    assert re.fullmatch(
        r"the server at 127\.0\.0\.1:\d+ cannot be reached: connection refused", error
    )
    assert not fresh.state.exists()


def test_a_member_is_not_sent_to_setup_for_a_policy(ann: Home) -> None:
    _, hint = refused_with(ann.borrow("policy", "check", ok=False), 1)
    assert hint == "the team's policy is on its server; --file names a copy"


def test_strangers_are_not_invited_and_keys_are_not_printed_into_pipes(server: Home) -> None:
    refused_with(server.borrow("server", "invite", "nobody@example.com", "--json", ok=False), 1)
    error, hint = refused_with(server.borrow("server", "invite", ANN, ok=False), 2)
    assert "terminal" in error
    assert hint.endswith("--json")


def at_terminal(one: Home, *words: str) -> str:
    child: pexpect.spawn[str] = pexpect.spawn(
        BORROW, list(words), env=one.env, encoding="utf-8", timeout=15
    )
    child.expect(pexpect.EOF)
    shown = str(child.before)
    child.close()
    assert child.exitstatus == 0, shown
    return shown


def test_a_terminal_shows_the_invitation_and_the_words(server: Home) -> None:
    child: pexpect.spawn[str] = pexpect.spawn(
        BORROW, ["server", "invite", BO], env=server.env, encoding="utf-8", timeout=15
    )
    child.expect(pexpect.EOF)
    shown = str(child.before)
    child.close()
    assert child.exitstatus == 0
    assert "borrow join 'http://127.0.0.1:" in shown
    words = json.loads(server.borrow("server", "status", "--json").stdout)
    assert words["words_a"] in shown
    assert words["words_m"] in shown


def test_the_status_says_where_the_pages_are_and_that_an_address_has_no_passkeys(
    server: Home, ann: Home
) -> None:
    told = server.borrow("server", "status").stdout
    assert "no passkeys there: browsers want https and a name" in told
    findings = json.loads(ann.borrow("doctor", "--json", ok=False).stdout)["findings"]
    assert [f["level"] for f in findings if f["what"] == "pages"] == ["warning"]


def test_with_a_name_the_invitation_is_drawn_for_a_phone_and_the_doctor_sees_the_pages(
    fresh: Home,
) -> None:
    port = free_port()
    fresh.extra["BORROW_SERVER_DIR"] = str(fresh.root / "server")
    issuer, pages = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    fresh.borrow("server", "init", "--issuer", issuer, "--admin", ANN)
    settings = fresh.root / "server/server.toml"
    settings.write_text(f'public_url = "{pages}"\n' + settings.read_text())
    child = fresh.spawn(BORROW, "server", "serve")
    try:
        up = lambda: fresh.borrow("server", "status", ok=False).returncode == 0  # noqa: E731
        wait_for(up, why="the server")
        shown = at_terminal(fresh, "server", "invite", ANN)
        assert f"borrow join '{issuer}/join#" in shown
        assert f"{pages}/join#" in shown
        assert "for one workstation or one phone or browser" in shown
        assert "█" in shown
        fresh.borrow("join", invitation(fresh, ANN), "--yes")
        findings = json.loads(fresh.borrow("doctor", "--json", ok=False).stdout)["findings"]
        assert [f["level"] for f in findings if f["what"] == "pages"] == ["ok"]
    finally:
        child.terminate()
        child.communicate(timeout=20)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('public_url = "http://borrow.example.com"', "public_url is not an https address"),
        ('public_url = "https://borrow.example.com/pages"', "the public_url has a path"),
        ('trusted_proxies = "10.0.0.7"', "trusted_proxies is no list"),
        ('trusted_proxies = ["proxy"]', "trusted_proxies holds something that is no address"),
    ],
)
def test_settings_of_the_pages_that_cannot_work_are_refused(
    fresh: Home, line: str, why: str
) -> None:
    fresh.extra["BORROW_SERVER_DIR"] = str(fresh.root / "server")
    fresh.borrow("server", "init", "--issuer", "https://borrow.example.com", "--admin", ANN)
    settings = fresh.root / "server/server.toml"
    settings.write_text(f"{line}\n" + settings.read_text())
    error, _ = refused_with(fresh.borrow("server", "serve", ok=False), 1)
    assert why in error


def test_a_second_server_on_the_same_folder_is_refused(server: Home) -> None:
    done = server.borrow("server", "serve", "--port", str(free_port()), ok=False)
    error, hint = refused_with(done, 1)
    assert "runs already" in error
    assert server.borrow(*hint.split()[1:]).returncode == 0


@pytest.mark.parametrize(
    ("issuer", "admin", "code"),
    [
        ("http://borrow.example.com", ANN, 1),
        ("ftp://x", ANN, 1),
        ("https://borrow.example.com", "Ann", 1),
    ],
)
def test_a_server_is_not_made_of_bad_values(
    fresh: Home, issuer: str, admin: str, code: int
) -> None:
    fresh.extra["BORROW_SERVER_DIR"] = str(fresh.root / "server")
    words = ("server", "init", "--issuer", issuer, "--admin", admin)
    refused_with(fresh.borrow(*words, ok=False), code)
    assert not (fresh.root / "server").exists()


def test_without_a_server_each_command_says_so(fresh: Home) -> None:
    fresh.extra["BORROW_SERVER_DIR"] = str(fresh.root / "server")
    for words in (("serve",), ("status",), ("invite", ANN, "--json")):
        done = fresh.borrow("server", *words, ok=False)
        error, hint = refused_with(done, 1)
        assert "no server" in error
        assert hint.startswith("borrow server init")
