"""Each guard of the pages, taken out of a copy of their code: the named test must fail there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import borrow.approver.app
from borrow_fakes.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
SOURCE = Path(borrow.approver.app.__file__).parent


@dataclass(frozen=True, slots=True)
class Off:
    """`old` stands in `file` of the approver and becomes `new`; `test` is `file::name`."""

    guard: str
    file: str
    old: str
    new: str
    test: str


GUARD, DOOR, ANSWERS = (f"pages/test_{name}.py::" for name in ("guard", "door", "answers"))
BROWSER = "pages/test_browser.py::"

GUARDS = (
    # -- the headers -----------------------------------------------------------------------------
    Off("the content policy", "pages/guard.py",
        '    "Content-Security-Policy": CSP,\n', "",
        BROWSER + "test_a_script_put_into_a_page_does_not_run"),
    Off("inline scripts", "pages/guard.py",
        "\"script-src 'self'\",", "\"script-src 'self' 'unsafe-inline'\",",
        BROWSER + "test_a_script_put_into_a_page_does_not_run"),
    Off("frames", "pages/guard.py",
        "        \"frame-ancestors 'none'\",\n    )\n)\n_HEADERS: Final = {\n"
        '    "Content-Security-Policy": CSP,\n    "X-Frame-Options": "DENY",\n',
        '    )\n)\n_HEADERS: Final = {\n    "Content-Security-Policy": CSP,\n',
        BROWSER + "test_a50_no_page_stands_in_a_frame"),
    Off("headers on every answer", "pages/door.py",
        "for name, value in guard.headers(room.origin).items():", "for name, value in ():",
        DOOR + "test_every_answer_has_the_guards_headers"),
    # -- who sends ---------------------------------------------------------------------------------
    Off("posts of our own pages only", "pages/door.py",
        'if request.method == "POST":\n                guard', "if False:\n                guard",
        BROWSER + "test_a60_a_passkey_that_was_used_on_another_port_is_refused"),
    Off("Sec-Fetch-Site", "pages/guard.py",
        'site not in (None, "same-origin")', "False",
        GUARD + "test_a_post_of_anything_else_is_refused"),
    Off("Origin", "pages/guard.py",
        "source not in (None, origin)", "False",
        GUARD + "test_a_post_of_anything_else_is_refused"),
    Off("neither of the two", "pages/guard.py",
        "(site or source) is None", "False",
        GUARD + "test_a_post_of_anything_else_is_refused"),
    Off("the loopback's name", "pages/door.py",
        "            guard.check_host(request.host, room.origin)\n", "",
        DOOR + "test_another_name_for_the_loopback_gets_nothing"),
    Off("proxies that are not ours", "pages/guard.py",
        "if not _is_in(seen, trusted) or not _is_address(hop):", "if not _is_address(hop):",
        GUARD + "test_a_forwarded_address_is_believed_from_trusted_proxies_only"),
    Off("strangers are slowed down", "pages/door.py",
        '        if visit.request.method == "POST":\n            _pace(visit)\n', "",
        DOOR + "test_strangers_are_slowed_down_and_the_signed_in_are_not"),
    # -- sessions ----------------------------------------------------------------------------------
    Off("a page wants somebody", "pages/door.py",
        "if not strangers:\n            raise _signed_out()", "if False:\n            pass",
        DOOR + "test_a_stranger_is_sent_to_sign_in"),
    Off("a new session at each sign-in", "pages/door.py",
        "token = b64url(self.desk.entropy(session.TOKEN_BYTES))\n",
        "token = cookie_of(self.request) or b64url(self.desk.entropy(session.TOKEN_BYTES))\n",
        DOOR + "test_a_session_that_was_brought_along_is_not_the_one_signed_in_with"),
    Off("no script reads the cookie", "pages/door.py",
        "            httponly=True,\n            samesite", "            samesite",
        DOOR + "test_the_cookie_is_the_browsers_own_and_no_scripts"),
    Off("the passkey still counts", "pages/door.py",
        "if found is None or not await _still_counts(visit, found):", "if found is None:",
        DOOR + "test_a_session_ends_with_its_passkey_whoever_removed_it"),
    Off("a week unused", "pages/session.py",
        "        sessions.c.last_at > now - IDLE,\n", "",
        DOOR + "test_a_session_ends_unused_and_in_any_case"),
    Off("a month in any case", "pages/session.py",
        "        sessions.c.begun_at > now - LONGEST,\n", "",
        DOOR + "test_a_session_ends_unused_and_in_any_case"),
    Off("signing out ends it here", "pages/door.py",
        "                await session.end(db, token)\n        answer.del",
        "                pass\n        answer.del",
        DOOR + "test_signing_out_ends_the_session_itself"),
    Off("people is for admins", "pages/routes/people.py",
        "    if not visit.is_admin:", "    if False:",
        DOOR + "test_people_is_for_administrators_only"),
    Off("one's own device", "pages/routes/keys.py",
        "if device is None or device.owner != visit.person:", "if device is None:",
        DOOR + "test_a_device_of_another_person_cannot_be_frozen_as_ones_own"),
    # -- what is shown -----------------------------------------------------------------------------
    Off("escaping", "pages/render.py",
        "autoescape=True", "autoescape=False",
        ANSWERS + "test_a49_hostile_text_is_inert_and_visible_on_every_page"),
    Off("made visible", "pages/render.py",
        "return Drawn(shown(str(text), limit))", "return Drawn(text)",
        ANSWERS + "test_a49_hostile_text_is_inert_and_visible_on_every_page"),
    Off("the number in mode self", "pages/routes/request.py",
        'number=view.number if view.match and view.mode == "peer" else "",',
        "number=view.number,",
        ANSWERS + "test_in_mode_self_no_page_knows_the_number"),
    Off("requests of others", "decisions.py",
        "if not part and not desk.is_admin(person):", "if False:",
        ANSWERS + "test_a_request_of_others_is_not_there"),
    Off("a prefetch is no look", "pages/routes/request.py",
        " and not is_prefetch(visit.request.headers)", "",
        ANSWERS + "test_a51_a_prefetched_page_is_seen_by_nobody"),
    Off("no yes by a form", "pages/routes/request.py",
        'if said not in ("deny", "report"):', "if False:",
        ANSWERS + "test_without_a_passkey_no_yes_is_taken"),
    Off("where signing in leads", "pages/routes/signin.py",
        'return path if _WITHIN.fullmatch(path) else "/"', "return path",
        GUARD + "test_signing_in_leads_to_pages_of_ours_only"),
)  # fmt: skip


def copy_of(folder: Path) -> Path:
    """The approver's package in `folder`."""
    package = folder / "borrow" / "approver"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def copy_without(off: Off, folder: Path) -> None:
    file = copy_of(folder) / off.file
    text = file.read_text(encoding="utf-8")
    assert text.count(off.old) == 1, f"the code moved on: find {off.guard!r} again"
    file.write_text(text.replace(off.old, off.new), encoding="utf-8")


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as one:
        yield one


def test_every_guard_has_its_place_and_its_test_in_the_code_of_today(tmp_path: Path) -> None:
    for number, off in enumerate(GUARDS):
        copy_without(off, tmp_path / str(number))
        file, _, name = off.test.partition("::")
        assert f"def {name}(" in (TESTS / file).read_text(), off.test


@pytest.mark.slow
@pytest.mark.parametrize("off", GUARDS, ids=lambda off: off.guard)
def test_with_the_guard_off_its_test_fails(off: Off, zygote: Zygote, tmp_path: Path) -> None:
    copy_without(off, tmp_path)
    code, said = zygote.run(tmp_path, [str(TESTS / off.test)], tmp_path / "said")
    assert code == 1, f"nobody noticed: {off.guard}\n{said[-3_000:]}"
    # A test that failed, and not one that could not even be set up.
    assert " failed" in said.splitlines()[-1], said[-3_000:]
    assert "ImportError" not in said


@pytest.mark.slow
def test_with_every_guard_in_place_those_tests_pass(zygote: Zygote, tmp_path: Path) -> None:
    copy_of(tmp_path)
    named = sorted({str(TESTS / off.test) for off in GUARDS})
    code, said = zygote.run(tmp_path, named, tmp_path / "said")
    assert code == 0, said[-3_000:]
