"""Guards of the approver's channels, each taken out of a copy of its code: its test must fail."""

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


ADDRESSES = "approver/test_addresses.py::"
PUSH = "approver/test_push.py::"
CHANNELS = "approver/test_channels.py::"
BUTTONS = "approver/test_buttons.py::"

GUARDS = (
    # -- SSRF --------------------------------------------------------------------------------------
    off("address at the socket", "channels/outbound.py",
        "if not is_public(str(address[0])):", "if False:",
        ADDRESSES + "test_a_name_that_changes_its_mind_is_not_followed"),
    off("address at the socket, at once", "channels/outbound.py",
        "if not is_public(str(address[0])):", "if False:",
        ADDRESSES + "test_a_name_that_means_a_private_address_is_not_connected_to"),
    off("address at subscribing", "channels/outbound.py",
        'if not found or not all(is_public(each["host"]) for each in found):', "if not found:",
        ADDRESSES + "test_a_name_that_means_a_private_address_is_not_connected_to"),
    off("literals", "channels/addresses.py",
        "return literal and not is_public(host)", "return False",
        ADDRESSES + "test_such_a_url_is_refused_before_anything_is_resolved"),
    off("IPv4 inside IPv6", "channels/addresses.py",
        "return is_public(str(inner))", "return True",
        ADDRESSES + "test_private_and_odd_addresses_are_not_public"),
    off("https only", "channels/addresses.py",
        'elif parts.scheme != "https" or port != 443', "elif port not in (80, 443)",
        ADDRESSES + "test_such_a_url_is_refused_before_anything_is_resolved"),
    off("one parser", "channels/addresses.py",
        "or not _URL_TEXT.fullmatch(url)", "",
        ADDRESSES + "test_such_a_url_is_refused_before_anything_is_resolved"),
    off("redirects", "channels/outbound.py",
        "data=body, headers=headers, allow_redirects=False",
        "data=body, headers=headers, allow_redirects=True",
        ADDRESSES + "test_a_redirect_is_not_followed"),
    off("redirects of a stream", "channels/outbound.py",
        "headers=headers, allow_redirects=False, timeout=timeout",
        "headers=headers, allow_redirects=True, timeout=timeout",
        ADDRESSES + "test_a_stream_follows_no_redirect_either"),
    off("proxies of the environment", "channels/outbound.py",
        "trust_env=False", "trust_env=True",
        ADDRESSES + "test_no_proxy_of_the_environment_is_taken"),
    off("address at subscribing, wired", "pages/routes/push.py",
        "    await desk.outbound.require_public(endpoint)\n", "",
        PUSH + "test_a_subscription_at_a_private_address_is_refused"),
    # -- whose -------------------------------------------------------------------------------------
    off("handle's person", "channels/handles.py",
        "where = (handles.c.handle == handle) & (handles.c.person == person)",
        "where = handles.c.handle == handle",
        PUSH + "test_a_tap_leads_its_person_to_the_request_and_nobody_else"),
    off("subscription's person", "channels/subscriptions.py",
        "where = (table.c.endpoint == endpoint) & (table.c.person == person)",
        "where = table.c.endpoint == endpoint",
        PUSH + "test_one_row_for_each_endpoint_and_the_last_who_signed_in_has_it"),
    off("with its passkey", "channels/deliver.py",
        "if to is None or not await desk.minter.passkey_is_active(to.credential):",
        "if to is None:",
        PUSH + "test_with_a_passkey_go_the_browsers_it_signed_in"),
    off("most of one person", "channels/subscriptions.py",
        ".limit(MOST_EACH)", "",
        PUSH + "test_of_one_person_the_last_ten_browsers_are_kept"),
    # -- sending -----------------------------------------------------------------------------------
    off("gone is forgotten", "channels/deliver.py",
        "if reply.status in (404, 410):", "if False:",
        PUSH + "test_a_browser_that_is_gone_is_forgotten"),
    off("withdrawing", "channels/deliver.py",
        "await desk.calls.settle(desk.store, desk.minter, sender.is_flying)", "pass",
        PUSH + "test_a_yes_elsewhere_withdraws_it"),
    off("receiver's pause", "channels/deliver.py",
        "max(pause, retry_after)", "pause",
        PUSH + "test_a_service_that_is_busy_is_asked_again_after_a_pause"),
    off("nobody waits for another", "channels/deliver.py",
        "self._group.create_task(self._fly(letter))", "await self._fly(letter)",
        PUSH + "test_a_slow_service_holds_up_nobody_else"),
    off("most calls", "channels/calling.py",
        ">= MOST_CALLS:", ">= 10**6:",
        PUSH + "test_past_six_calls_one_quiet_one_stands_for_the_rest"),
    off("unanswered", "channels/calling.py",
        'return "quiet" if len(ignored) == UNANSWERED and all(ignored) else "loud"',
        'return "loud"',
        PUSH + "test_after_two_unanswered_ones_the_next_makes_no_noise"),
    off("HMAC over the time", "channels/hook.py",
        'content = f"{jti}.{stamp}.".encode() + body', 'content = f"{jti}.".encode() + body',
        CHANNELS + "test_a_webhook_is_signed_over_id_time_and_body"),
    # -- three numbers -----------------------------------------------------------------------------
    off("low roles only", "channels/buttons.py",
        '(view.mode, view.person, view.tier) == ("self", person, "low")',
        '(view.mode, view.person) == ("self", person)',
        BUTTONS + "test_what_may_be_pressed_and_what_may_not"),
    off("one's own only", "channels/buttons.py",
        '(view.mode, view.person, view.tier) == ("self", person, "low")',
        '(view.mode, view.tier) == ("self", "low")',
        BUTTONS + "test_what_may_be_pressed_and_what_may_not"),
    off("a number that the minter compares", "channels/buttons.py",
        "        and view.match\n",
        "",
        BUTTONS + "test_what_may_be_pressed_and_what_may_not"),
    off("consent is taken", "channels/buttons.py",
        '        and "consent" in view.factors\n',
        "",
        BUTTONS + "test_what_may_be_pressed_and_what_may_not"),
    off("agents get no buttons", "channels/buttons.py",
        '        and not view.context.get("agent")\n',
        "",
        BUTTONS + "test_what_may_be_pressed_and_what_may_not"),
    off("a press has the token", "channels/buttons.py",
        "if hmac.compare_digest(asked.token, token) and number in asked.numbers",
        "if number in asked.numbers",
        BUTTONS + "test_an_answer_is_a_button_of_ours_exactly"),
    off("a press is a button", "channels/buttons.py",
        " and number in asked.numbers:",
        ":",
        BUTTONS + "test_an_answer_is_a_button_of_ours_exactly"),
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
