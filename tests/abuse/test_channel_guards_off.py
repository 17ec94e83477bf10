"""Guards of the approver's channels, each taken out of a copy of its code: its test must fail."""

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
    """`old` stands in `module` and becomes `new`; `test` is `file::name` under `tests`."""

    guard: str
    module: str
    old: str
    new: str
    test: str


ADDRESSES = "approver/test_addresses.py::"
PUSH = "approver/test_push.py::"
CHANNELS = "approver/test_channels.py::"

GUARDS = (
    # -- SSRF --------------------------------------------------------------------------------------
    Off("address at the socket", "channels/outbound.py",
        "if not is_public(str(address[0])):", "if False:",
        ADDRESSES + "test_a_name_that_changes_its_mind_is_not_followed"),
    Off("address at the socket, at once", "channels/outbound.py",
        "if not is_public(str(address[0])):", "if False:",
        ADDRESSES + "test_a_name_that_means_a_private_address_is_not_connected_to"),
    Off("address at subscribing", "channels/outbound.py",
        'if not found or not all(is_public(each["host"]) for each in found):', "if not found:",
        ADDRESSES + "test_a_name_that_means_a_private_address_is_not_connected_to"),
    Off("literals", "channels/addresses.py",
        "return literal and not is_public(host)", "return False",
        ADDRESSES + "test_such_a_url_is_refused_before_anything_is_resolved"),
    Off("IPv4 inside IPv6", "channels/addresses.py",
        "return is_public(str(inner))", "return True",
        ADDRESSES + "test_private_and_odd_addresses_are_not_public"),
    Off("https only", "channels/addresses.py",
        'elif parts.scheme != "https" or port != 443', "elif port not in (80, 443)",
        ADDRESSES + "test_such_a_url_is_refused_before_anything_is_resolved"),
    Off("one parser", "channels/addresses.py",
        "or not _URL_TEXT.fullmatch(url)", "",
        ADDRESSES + "test_such_a_url_is_refused_before_anything_is_resolved"),
    Off("redirects", "channels/outbound.py",
        "allow_redirects=False", "allow_redirects=True",
        ADDRESSES + "test_a_redirect_is_not_followed"),
    Off("proxies of the environment", "channels/outbound.py",
        "trust_env=False", "trust_env=True",
        ADDRESSES + "test_no_proxy_of_the_environment_is_taken"),
    Off("address at subscribing, wired", "pages/routes/push.py",
        "    await desk.outbound.require_public(endpoint)\n", "",
        PUSH + "test_a_subscription_at_a_private_address_is_refused"),
    # -- whose -------------------------------------------------------------------------------------
    Off("handle's person", "channels/handles.py",
        "where = (handles.c.handle == handle) & (handles.c.person == person)",
        "where = handles.c.handle == handle",
        PUSH + "test_a_tap_leads_its_person_to_the_request_and_nobody_else"),
    Off("subscription's person", "channels/subscriptions.py",
        "where = (table.c.endpoint == endpoint) & (table.c.person == person)",
        "where = table.c.endpoint == endpoint",
        PUSH + "test_one_row_for_each_endpoint_and_the_last_who_signed_in_has_it"),
    Off("with its passkey", "channels/deliver.py",
        "if to is None or not await desk.minter.passkey_is_active(to.credential):",
        "if to is None:",
        PUSH + "test_with_a_passkey_go_the_browsers_it_signed_in"),
    Off("most of one person", "channels/subscriptions.py",
        ".limit(MOST_EACH)", "",
        PUSH + "test_of_one_person_the_last_ten_browsers_are_kept"),
    # -- sending -----------------------------------------------------------------------------------
    Off("gone is forgotten", "channels/deliver.py",
        "if reply.status in (404, 410):", "if False:",
        PUSH + "test_a_browser_that_is_gone_is_forgotten"),
    Off("withdrawing", "channels/deliver.py",
        "await desk.calls.settle(desk.store, desk.minter, sender.is_flying)", "pass",
        PUSH + "test_a_yes_elsewhere_withdraws_it"),
    Off("receiver's pause", "channels/deliver.py",
        "max(pause, retry_after)", "pause",
        PUSH + "test_a_service_that_is_busy_is_asked_again_after_a_pause"),
    Off("nobody waits for another", "channels/deliver.py",
        "self._group.create_task(self._fly(letter))", "await self._fly(letter)",
        PUSH + "test_a_slow_service_holds_up_nobody_else"),
    Off("most calls", "channels/calling.py",
        ">= MOST_CALLS:", ">= 10**6:",
        PUSH + "test_past_six_calls_one_quiet_one_stands_for_the_rest"),
    Off("unanswered", "channels/calling.py",
        'return "quiet" if len(ignored) == UNANSWERED and all(ignored) else "loud"',
        'return "loud"',
        PUSH + "test_after_two_unanswered_ones_the_next_makes_no_noise"),
    Off("HMAC over the time", "channels/hook.py",
        'content = f"{jti}.{stamp}.".encode() + body', 'content = f"{jti}.".encode() + body',
        CHANNELS + "test_a_webhook_is_signed_over_id_time_and_body"),
)  # fmt: skip


def copy_without(off: Off, folder: Path) -> None:
    """The approver's package in `folder`, with one guard less."""
    package = folder / "borrow" / "approver"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    module = package / off.module
    text = module.read_text(encoding="utf-8")
    assert text.count(off.old) == 1, f"the code moved on: find the place of {off.guard!r} again"
    module.write_text(text.replace(off.old, off.new), encoding="utf-8")


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
    assert " failed" in said.splitlines()[-1], said[-3_000:]
    assert "ImportError" not in said


@pytest.mark.slow
def test_with_every_guard_in_place_those_tests_pass(zygote: Zygote, tmp_path: Path) -> None:
    package = tmp_path / "borrow" / "approver"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    named = sorted({str(TESTS / off.test) for off in GUARDS})
    code, said = zygote.run(tmp_path, named, tmp_path / "said")
    assert code == 0, said[-3_000:]
