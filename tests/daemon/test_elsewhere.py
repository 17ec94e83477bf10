"""The parsers of what macOS and Windows say. Nothing here was tried on those systems."""

from __future__ import annotations

import calendar
import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.daemon.caller import MAX_PARENTS, Session
from borrow.daemon.caller_macos import Row, facts_in, read_table, session_in
from borrow.daemon.peer_elsewhere import owner_in, read_xucred

PS = """\
    1     0 ??       Mon Nov 23 08:00:00 2026     /sbin/launchd
  500     1 ttys001  Tue Nov 24 09:00:00 2026     -zsh
  612   500 ttys001  Tue Nov 24 09:30:00 2026     /Applications/My Tools/aws cli
nonsense
  700     1 ??       Tue Foo 24 09:30:00 2026     /bin/never
"""


def at(text: str) -> int:
    return int(time.mktime(time.strptime(text, "%Y-%m-%d %H:%M")))


def test_the_listing_of_macos_is_read_with_blanks_in_paths() -> None:
    table = read_table(PS)
    assert sorted(table) == [1, 500, 612]
    tool = Row(500, "/dev/ttys001", at("2026-11-24 09:30"), "/Applications/My Tools/aws cli")
    assert table[612] == tool
    assert table[1].tty == ""
    assert abs(table[1].start - calendar.timegm((2026, 11, 23, 8, 0, 0))) <= 86_400


def test_a_session_is_named_by_its_leader_and_its_start() -> None:
    table = read_table(PS)
    named = Session(500, at("2026-11-24 09:00"), "/dev/ttys001")
    assert session_in(table, 612, 500) == named
    assert session_in(table, 612, 999) == Session(999, 0, "/dev/ttys001")  # its leader is gone
    assert session_in(table, 9, 500) is None
    assert session_in(table, 612, 0) is None


def test_facts_name_file_command_and_parents_masked_and_escaped() -> None:
    facts = facts_in(read_table(PS), 612, "aws --password hunter2 s3 ls \x1b[2J")
    assert facts is not None
    assert facts.exe == "/Applications/My Tools/aws cli"
    assert facts.parents == ("-zsh", "launchd")
    assert "hunter2" not in str(facts.argv)
    assert "\x1b" not in str(facts.argv)
    assert (facts.agent, facts.cwd, facts.container) == ("", "", "")  # not known, and not claimed


def test_a_loop_or_a_reused_number_does_not_lengthen_the_chain() -> None:
    loop = {1: Row(2, "", 5, "/a"), 2: Row(1, "", 5, "/b")}
    facts = facts_in(loop, 1, "")
    assert facts is not None
    assert len(facts.parents) == MAX_PARENTS
    younger = {1: Row(2, "", 5, "/a"), 2: Row(0, "", 6, "/b")}
    assert (facts_in(younger, 1, "") or facts).parents == ()


@given(st.text(max_size=300))
def test_no_listing_is_an_exception(text: str) -> None:
    read_table(text)


CREDENTIALS = struct.pack("@IIh2x16I", 0, 501, 1, 20, *[0] * 15)


def test_the_user_of_a_unix_socket_of_macos() -> None:
    assert read_xucred(CREDENTIALS, struct.pack("@i", 612)) == (612, 501, 20)


@pytest.mark.parametrize(
    ("credentials", "pid"),
    [
        (b"", struct.pack("@i", 612)),
        (CREDENTIALS[:-1], struct.pack("@i", 612)),
        (CREDENTIALS, b""),
        (CREDENTIALS, struct.pack("@i", 0)),
        (struct.pack("@IIh2x16I", 1, 501, 1, 20, *[0] * 15), struct.pack("@i", 612)),
        (struct.pack("@IIh2x16I", 0, 501, 0, 20, *[0] * 15), struct.pack("@i", 612)),
        (struct.pack("@IIh2x16I", 0, 501, 17, 20, *[0] * 15), struct.pack("@i", 612)),
    ],
)
def test_what_is_not_of_that_form_names_nobody(credentials: bytes, pid: bytes) -> None:
    assert read_xucred(credentials, pid) is None


CLIENT, SERVER = ("127.0.0.1", 50_000), ("127.0.0.1", 20_123)


def row(here: tuple[str, int], there: tuple[str, int], pid: int, state: int = 5) -> bytes:
    packed = []
    for host, port in (here, there):
        packed += [socket.inet_aton(host), socket.htons(port) | 0xABCD0000]
    return struct.pack("<I4sI4sII", state, *packed, pid)


def test_windows_names_the_process_at_the_clients_end() -> None:
    rows = [row(SERVER, CLIENT, 1), row(CLIENT, SERVER, 77, state=11), row(CLIENT, SERVER, 612)]
    table = struct.pack("<I", len(rows)) + b"".join(rows)
    assert owner_in(table, CLIENT, SERVER) == 612
    assert owner_in(table, ("127.0.0.1", 1), SERVER) is None
    assert owner_in(table[:-1], CLIENT, SERVER) is None
    assert owner_in(b"", CLIENT, SERVER) is None


@given(st.binary(max_size=200))
def test_no_table_is_an_exception(table: bytes) -> None:
    assert owner_in(table, CLIENT, ("192.0.2.1", 1)) is None
