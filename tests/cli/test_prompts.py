"""What a person at a terminal sees and types: pexpect with the real command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.at_terminal import Terminal, ended, enrolled, matched, next_code, terminal
from borrow_fakes.lab import names_number

if TYPE_CHECKING:
    from borrow_fakes.lab import Home


def asked(one: Home, role: str, number: Terminal) -> tuple[str, str]:
    """(request, number) of a question that a terminal waits for."""
    number.expect(r"number (\d{3})")
    return one.pending(role)["request"], matched(number)


def test_a_yes_takes_the_number_and_a_fresh_code(solo: Home) -> None:
    secret = enrolled(solo)
    with terminal(solo, "ask", "prod-admin", "--wait") as waiting:
        request, number = asked(solo, "prod-admin", waiting)
        with terminal(solo, "approve", request) as child:
            child.expect("what the asking device says")
            child.expect("was asked: ")
            child.sendline(f"{(int(number) + 1) % 1000:03d}")
            child.expect("app: ")
            child.sendline(next_code(secret))
            code, shown = ended(child)
            assert (code, "not the number" in shown) == (3, True)
        with terminal(solo, "approve", request) as child:
            child.expect("was asked: ")
            assert not names_number(str(child.before), number)  # it is on the asking side alone
            child.sendline(number)
            child.expect("app: ")
            child.sendline(next_code(secret))
            assert ended(child)[0] == 0
        code, shown = ended(waiting)
        assert code == 0
        assert "granted: prod-admin for" in shown
        assert "\a" in shown  # the bell, for somebody who looks elsewhere


def test_the_waiting_line_counts_down_and_the_title_comes_back(solo: Home) -> None:
    with terminal(solo, "ask", "click", "--wait", "-m", "count down for me") as child:
        child.expect(r"waiting for your yes.*left")
        child.expect(r"\x1b\]0;borrow … click\x07")
        child.sendintr()
        code, shown = ended(child)
        assert code == 130
        assert "\x1b[23;0t" in shown  # the title that was there before
        assert "stays open" in shown
        assert "borrow return r-" in shown
    solo.borrow("return", solo.pending("click")["request"])


def test_a_bare_enter_approves_nothing(solo: Home) -> None:
    solo.borrow("ask", "click", "-m", "an enter is no yes")
    request = solo.pending("click")["request"]
    for answer in ("", "n", "what\rno"):
        with terminal(solo, "approve", request) as child:
            child.expect(re.escape("[y/N]: "))
            child.send(f"{answer}\r")
            code, shown = ended(child)
            assert (code, "nothing was decided" in shown) == (130, True)
    assert solo.pending("click")["request"] == request
    with terminal(solo, "approve", request) as child:
        child.expect(re.escape("[y/N]: "))
        child.sendline("y")
        assert ended(child)[0] == 0
    solo.borrow("return", "click")


def test_end_of_input_and_ctrl_c_at_a_question_decide_nothing(solo: Home) -> None:
    solo.borrow("ask", "click", "-m", "walked away from it")
    request = solo.pending("click")["request"]
    for leave in ("sendeof", "sendintr"):
        with terminal(solo, "approve", request) as child:
            child.expect(re.escape("[y/N]: "))
            getattr(child, leave)()
            assert ended(child)[0] == 130
    assert solo.pending("click")["request"] == request
    solo.borrow("deny", request)


def test_run_asks_for_what_the_rule_needs_before_the_command_starts(solo: Home) -> None:
    with terminal(solo, "run", "ticketed", "--", "echo", "started") as child:
        child.expect(r"reason \(at least 10 characters\): ")
        assert "started" not in str(child.before)
        child.sendline("the pager went off")
        child.expect(r"ticket \(must match .*\): ")
        child.sendline("INC-42")
        code, shown = ended(child)
        assert (code, "started" in shown) == (0, True)


def test_run_asks_for_what_is_missing_alone_and_takes_no_bare_enter(solo: Home) -> None:
    reason = ("-m", "the pager went off")
    with terminal(solo, "run", "ticketed", *reason, "--", "echo", "started") as child:
        child.expect(r"ticket \(must match .*\): ")
        assert "reason (" not in str(child.before)
        for typed in ("", "INC-42"):
            child.sendline(typed)
        code, shown = ended(child)
        assert (code, "started" in shown) == (0, True)


def test_a_reason_that_will_not_do_is_told_with_the_line_that_would(solo: Home) -> None:
    with terminal(solo, "ask", "ticketed") as child:
        for typed in ("short", "x"):
            child.expect(r"\): ")
            child.sendline(typed)
        code, shown = ended(child)
    assert code == 2
    assert "hint: borrow ask ticketed -m REASON --ticket TICKET" in shown


def test_a_role_table_is_drawn_for_eyes(solo: Home) -> None:
    with terminal(solo, "roles", "prod") as child:
        code, shown = ended(child)
    assert code == 0
    assert "longest" in shown
    assert "you (totp, number)" in shown


def test_env_shows_no_token_on_a_terminal(solo: Home) -> None:
    with terminal(solo, "env", "dev-read") as child:
        code, shown = ended(child)
    assert code == 2
    assert 'eval "$(borrow env dev-read)"' in shown
    assert "AUTHORIZATION" not in shown


@pytest.mark.parametrize("answer", ["n", ""])
def test_setup_asks_first_and_a_no_leaves_nothing_behind(fresh: Home, answer: str) -> None:
    with terminal(fresh, "setup") as child:
        child.expect(re.escape("go ahead? [y/N]: "))
        child.sendline(answer)
        assert ended(child)[0] == 130
    assert not fresh.state.exists()


def test_without_a_keyring_no_secret_is_typed_in_vain(solo: Home) -> None:
    with terminal(solo, "keys", "add") as child:
        code, shown = ended(child)
    assert code == 1
    assert "access key id" not in shown
    assert "borrow keys add --sealed" in shown


def test_a_second_setup_says_so_and_offers_no_second_app(fresh: Home) -> None:
    with terminal(fresh, "setup") as child:
        child.expect(re.escape("go ahead? [y/N]: "))
        child.sendline("y")
        child.expect(re.escape("set one up now? [y/N]: "))
        child.sendintr()  # all else is done by then
        code, shown = ended(child)
        assert (code, "later: borrow totp enrol" in shown, "Borrow is ready" in shown) == (
            0,
            True,
            True,
        )
    enrolled(fresh)
    with terminal(fresh, "setup") as child:
        code, shown = ended(child)
    assert (code, "nothing to do" in shown, "authenticator" in shown) == (0, True, False)
