"""Each guard of the pages, taken out of a copy of their code: the named test must fail there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow_fakes.guards import Off, have_places, is_noticed, pass_in_place
from borrow_fakes.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def off(guard: str, module: str, old: str, new: str, test: str) -> Off:
    return Off(guard, module, old, new, test, "approver")


GUARD, DOOR, ANSWERS = (f"pages/test_{name}.py::" for name in ("guard", "door", "answers"))
BROWSER = "pages/test_browser.py::"
ODD = "approver/test_odd_calls.py::"

GUARDS = (
    # -- the headers -----------------------------------------------------------------------------
    off("the content policy", "pages/guard.py",
        '    "Content-Security-Policy": CSP,\n', "",
        DOOR + "test_every_answer_has_the_guards_headers"),
    off("inline scripts", "pages/guard.py",
        "\"script-src 'self'\",", "\"script-src 'self' 'unsafe-inline'\",",
        BROWSER + "test_a_script_put_into_a_page_does_not_run"),
    off("frames", "pages/guard.py",
        "        \"frame-ancestors 'none'\",\n    )\n)\n_HEADERS: Final = {\n"
        '    "Content-Security-Policy": CSP,\n    "X-Frame-Options": "DENY",\n',
        '    )\n)\n_HEADERS: Final = {\n    "Content-Security-Policy": CSP,\n',
        BROWSER + "test_a50_no_page_stands_in_a_frame"),
    off("headers on every answer", "pages/door.py",
        "for name, value in guard.headers(room.origin).items():", "for name, value in ():",
        DOOR + "test_every_answer_has_the_guards_headers"),
    # -- who sends ---------------------------------------------------------------------------------
    off("posts of our own pages only", "pages/door.py",
        'if request.method == "POST":\n            guard', "if False:\n            guard",
        BROWSER + "test_a60_a_passkey_that_was_used_on_another_port_is_refused"),
    off("Sec-Fetch-Site", "pages/guard.py",
        'site not in (None, "same-origin")', "False",
        GUARD + "test_a_post_of_anything_else_is_refused"),
    off("Origin", "pages/guard.py",
        "source not in (None, origin)", "False",
        GUARD + "test_a_post_of_anything_else_is_refused"),
    off("neither of the two", "pages/guard.py",
        "(site or source) is None", "False",
        GUARD + "test_a_post_of_anything_else_is_refused"),
    off("a header that came twice", "pages/door.py",
        '", ".join(headers.getall(name))', "headers[name]",
        DOOR + "test_a_post_that_says_two_places_is_of_neither"),
    off("headers on what fails", "pages/door.py",
        "        except Exception as exc:  # noqa",
        "        except ZeroDivisionError as exc:  # noqa",
        DOOR + "test_a_page_that_fails_leaves_with_the_guards_headers"),
    off("headers on what is no page", "errors.py",
        '    response.headers.setdefault("Content-Security-Policy", _NO_PAGE)', "    pass",
        ODD + "test_no_answer_can_be_made_a_page_of"),
    off("the last door", "serve.py",
        "handle = _last_door(plain.request_handler)", "handle = plain.request_handler",
        ODD + "test_an_expectation_that_nobody_knows_is_not_repeated"),
    off("answers that nobody takes", "serve.py",
        "async with asyncio.timeout(self.taken_within):", "async with asyncio.timeout(None):",
        ODD + "test_an_answer_that_nobody_reads_is_not_kept_for_ever"),
    off("pages of the log that a reader takes", "ledger.py",
        "if number and size > MOST_CHARACTERS:", "if False:",
        ODD + "test_a_page_of_the_log_holds_what_a_reader_takes_and_never_nothing"),
    off("compressed bodies", "bodies.py",
        'if request.headers.get("Content-Encoding", "identity").lower() != "identity":',
        "if False:",
        ODD + "test_a_compressed_body_is_refused_unopened"),
    Off("connections of other users", "solopages.py",
        "return peer is not None and peer.uid in (uid, 0)", "return True",
        "cli/test_solopages.py::"
        "test_another_user_of_the_machine_reads_no_page_whatever_cookie_they_got", "cli"),
    off("the loopback's name", "pages/door.py",
        "        guard.check_host(request.host, origin)\n", "",
        DOOR + "test_another_name_for_the_loopback_gets_nothing"),
    off("proxies that are not ours", "pages/guard.py",
        "if not _is_in(seen, trusted) or not _is_address(hop):", "if not _is_address(hop):",
        GUARD + "test_a_forwarded_address_is_believed_from_trusted_proxies_only"),
    off("strangers are slowed down", "pages/door.py",
        '        if visit.request.method == "POST":\n            _pace(visit)\n', "",
        DOOR + "test_strangers_are_slowed_down_and_the_signed_in_are_not"),
    # -- sessions ----------------------------------------------------------------------------------
    off("a page wants somebody", "pages/door.py",
        "if not strangers:\n            raise _signed_out()", "if False:\n            pass",
        DOOR + "test_a_stranger_is_sent_to_sign_in"),
    off("a new session at each sign-in", "pages/door.py",
        "token = b64url(self.desk.entropy(session.TOKEN_BYTES))\n",
        "token = cookie_of(self.request) or b64url(self.desk.entropy(session.TOKEN_BYTES))\n",
        DOOR + "test_a_session_that_was_brought_along_is_not_the_one_signed_in_with"),
    off("no script reads the cookie", "pages/door.py",
        "            httponly=True,\n            samesite", "            samesite",
        DOOR + "test_the_cookie_is_the_browsers_own_and_no_scripts"),
    off("the passkey still counts", "pages/door.py",
        "if found is None or not await _still_counts(visit, found):", "if found is None:",
        DOOR + "test_a_session_ends_with_its_passkey_whoever_removed_it"),
    off("a week unused", "pages/session.py",
        "        sessions.c.last_at > now - IDLE,\n", "",
        DOOR + "test_a_session_ends_unused_and_in_any_case"),
    off("a month in any case", "pages/session.py",
        "        sessions.c.begun_at > now - LONGEST,\n", "",
        DOOR + "test_a_session_ends_unused_and_in_any_case"),
    off("signing out ends it here", "pages/door.py",
        "                await session.end(db, token)\n        answer.del",
        "                pass\n        answer.del",
        DOOR + "test_signing_out_ends_the_session_itself"),
    off("people is for admins", "pages/routes/people.py",
        "    if not visit.is_admin:", "    if False:",
        DOOR + "test_people_is_for_administrators_only"),
    off("one's own device", "pages/routes/keys.py",
        "if device is None or device.owner != visit.person:", "if device is None:",
        DOOR + "test_a_device_of_another_person_cannot_be_frozen_as_ones_own"),
    # -- what is shown -----------------------------------------------------------------------------
    off("escaping", "pages/render.py",
        "autoescape=True", "autoescape=False",
        ANSWERS + "test_a49_hostile_text_is_inert_and_visible_on_every_page"),
    off("made visible", "pages/render.py",
        "safe = shown(str(text), limit)", "safe = str(text)",
        ANSWERS + "test_a49_hostile_text_is_inert_and_visible_on_every_page"),
    off("a line that is pasted into a shell", "pages/static/join.js",
        "${new URLSearchParams(said)}", "${decodeURIComponent(members)}",
        BROWSER + "test_what_a_link_adds_to_an_invitation_is_not_in_the_line_for_a_shell"),
    off("the number in mode self", "pages/routes/request.py",
        'number=view.number if view.match and view.mode == "peer" else "",',
        "number=view.number,",
        ANSWERS + "test_in_mode_self_no_page_knows_the_number"),
    off("requests of others", "decisions.py",
        "if not part and not desk.is_admin(person):", "if False:",
        ANSWERS + "test_a_request_of_others_is_not_there"),
    off("a prefetch is no look", "pages/routes/request.py",
        " and not is_prefetch(visit.request.headers)", "",
        ANSWERS + "test_a51_a_prefetched_page_is_seen_by_nobody"),
    off("no yes by a form", "pages/routes/request.py",
        'if said not in ("deny", "report"):', "if False:",
        ANSWERS + "test_without_a_passkey_no_yes_is_taken"),
    off("where signing in leads", "pages/routes/signin.py",
        'return path if _WITHIN.fullmatch(path) else "/"', "return path",
        GUARD + "test_signing_in_leads_to_pages_of_ours_only"),
)  # fmt: skip


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as one:
        yield one


def test_every_guard_has_its_place_and_its_test_in_the_code_of_today(tmp_path: Path) -> None:
    have_places(GUARDS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("off", GUARDS, ids=lambda off: off.guard)
def test_with_the_guard_off_its_test_fails(off: Off, zygote: Zygote, tmp_path: Path) -> None:
    is_noticed(off, zygote, tmp_path)


@pytest.mark.slow
def test_with_every_guard_in_place_those_tests_pass(zygote: Zygote, tmp_path: Path) -> None:
    pass_in_place(GUARDS, zygote, tmp_path)
