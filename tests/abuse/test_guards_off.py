"""Each guard of a workstation taken out of a copy of its code: the named test must fail on it.

The guards of the door and the middleware, which can be left out by an argument, are in
`test_mutations`. Those of the minter (the log entry before its effect, the policy of the moment)
are in `tests/minter/test_seeded_bugs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow_fakes.guards import Off, have_places, is_noticed, pass_in_place
from borrow_fakes.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def tray(guard: str, module: str, old: str, new: str, test: str) -> Off:
    return Off(guard, module, old, new, f"tray/test_{test}", "tray")


DAEMON = "abuse/test_daemon.py::"
CACHE = "daemon/test_cache.py::"
IMDS = "daemon/test_imds.py::"
AGENTS = "daemon/test_agents.py::"
LANE = "daemon/test_lane.py::"
CROWD = "daemon/test_crowd.py::"
CSM = "daemon/test_csm.py::"
ANSWERING = "daemon/test_answering.py::"
WINDOW = "tray/test_window.py::"

GUARDS = (
    # -- a peer's signature ------------------------------------------------------------------------
    Off("what was not read is signed as a consent", "answering.py",
        "    if read:\n", "    if True:\n",
        ANSWERING
        + "test_an_approver_that_lies_about_whose_request_it_is_gets_no_peers_signature"),
    Off("what was shown unread stays unread", "reviewing.py",
        "if subject in self._unread and was_read(one):", "if False:",
        ANSWERING + "test_what_was_shown_unread_is_not_signed_as_read"),
    Off("the request that was asked for", "reviewing.py",
        'if one.get("request") != subject:', "if False:",
        ANSWERING + "test_another_request_than_the_one_asked_for_is_not_shown"),
    # -- the bearer --------------------------------------------------------------------------------
    Off("bearer", "groups.py",
        "return found if right else None",
        "return found or next(iter(self._bearers.values()), None)",
        DAEMON + "test_a20_a_wrong_bearer_gets_401_and_causes_no_request"),
    Off("bearer's role", "container.py",
        "if bearer is not None and bearer.group.role == role else None", "",
        DAEMON + "test_a20_a_bearer_opens_its_own_role_and_no_other"),
    Off("bearer's role, fast lane", "lane.py",
        "if bearer is None or bearer.group.role != plain.role:", "if bearer is None:",
        DAEMON + "test_a20_a_warm_roles_bearer_opens_no_other_role"),
    Off("a kept answer's grant, fast lane", "lane.py",
        "if ready is None or ready.epoch != self._epoch():", "if ready is None:",
        LANE + "test_an_answer_kept_for_its_second_ends_with_its_grant"),
    Off("a kept answer's lease, fast lane", "lane.py",
        "and served.grant.tier not in LEASES", "",
        LANE + "test_an_answer_under_a_lease_is_not_kept_for_its_second"),
    Off("bearer's session, fast lane", "lane.py",
        "if not self._bearers.stands(known.bearer):", "if False:",
        CROWD + "test_a_bearer_whose_session_ended_is_not_held_for"),
    Off("a held call's answer is looked up as it is given", "crowd.py",
        "while (body := self._found()) is not None:",
        "body = self._found()\n            while body is not None:",
        CROWD + "test_each_batch_is_asked_for_anew_and_nobody_gets_what_is_over"),
    Off("a held client that left", "crowd.py",
        "            self._stop()\n", "            pass\n",
        CROWD + "test_those_who_wait_are_counted_and_the_last_to_leave_takes_the_question_along"),
    Off("no error ends an opened answer", "crowd.py",
        "last = last_words(result, self._technique)", "last = told(result, self._technique)[1]",
        CROWD + "test_an_opened_answer_is_never_ended_with_an_error"),
    Off("whose process is told of", "crowd.py",
        "if call in self.calls:", "if True:",
        CROWD + "test_the_process_that_is_told_of_is_one_that_still_waits"),
    Off("what a held client sends on", "visitor.py",
        "self._held is not None or not _is_complete(self._buffer[:most])",
        "not _is_complete(self._buffer[:most])",
        CROWD + "test_who_floods_a_held_call_is_cut_and_nobody_else"),
    Off("bearer's session", "groups.py",
        "if not await self.session_lives(found.group):", "if False:",
        DAEMON + "test_a20_a_bearer_dies_with_its_session"),
    Off("bearers rotate without uids", "groups.py",
        "_load(path) if keep else ()", "_load(path)",
        DAEMON + "test_a33_where_the_kernel_names_nobody_old_bearers_are_dead_after_a_restart"),
    Off("agents on a person's bearer", "container.py",
        "return bearer.group if agent is None else agent.of(bearer.group)", "return bearer.group",
        AGENTS + "test_an_agent_never_rides_on_its_persons_live_grant"),
    Off("agents on a person's bearer, fast lane", "agents.py",
        "if peer is None or peer.inode in self._clear:", "if True:",
        AGENTS + "test_the_fast_lane_serves_people_and_no_agent"),
    Off("an agent that lends its socket", "agents.py",
        "if peer not in found or isinstance(who, Agent):", "if peer not in found:",
        AGENTS + "test_an_agent_that_lends_its_socket_to_a_child_without_its_marks_is_told_apart"),
    Off("an agent's grant is its own", "cache.py",
        "grant.is_apart or not may_share", "not may_share",
        AGENTS + "test_what_is_shared_on_the_device_is_shared_with_no_agent_and_by_none"),
    Off("agents say no yes", "control_answer.py",
        'if decision.decision == "approve":', "if False:",
        AGENTS + "test_an_agent_says_no_yes_for_its_person"),
    # -- ends --------------------------------------------------------------------------------------
    Off("credential's expiry", "cache.py",
        "if held is None or held.ends.passed(now):", "if held is None:",
        CACHE + "test_nothing_is_served_at_or_after_its_end"),
    Off("grant's end", "cache.py",
        "tuple(self._grants.values()) if not grant.ends.passed(now))",
        "tuple(self._grants.values()))",
        CACHE + "test_a_grant_at_its_end_is_nothing_so_that_nobody_tries_to_mint_with_it"),
    Off("the clock that counts suspend", "moments.py",
        "return min(self.wall - now.wall, self.boot - now.boot)", "return self.wall - now.wall",
        CACHE + "test_a_wall_clock_put_back_lengthens_nothing"),
    Off("lease without contact", "cache.py",
        "return lease is None or (contact is not None and now.since(contact) < lease)",
        "return True",
        CACHE + "test_a_sensitive_role_is_served_only_within_its_lease"),
    Off("lease at the mint", "broker.py",
        "if not in_contact(grant.tier, self.now(), self._contact.last):", "if False:",
        DAEMON + "test_a70_without_contact_nothing_sensitive_is_minted_either"),
    Off("revocation's event", "events.py",
        'if kind == "grant":', 'if kind == "nothing":',
        DAEMON + "test_a72_no_serve_starts_after_a_revocation_was_acknowledged"),
    Off("tombstone, grants", "cache.py",
        "if self.is_over(grant.grant_id, now) or grant.ends.passed(now):",
        "if grant.ends.passed(now):",
        CACHE + "test_a_revocation_of_an_unknown_grant_stops_its_late_answer"),
    Off("tombstone, credentials", "cache.py",
        "        if grant is None or not credentials.is_whole():\n",
        "        grant = grant or next(iter(self._grants.values()), None) or _any(grant_id, now)\n"
        "        if not credentials.is_whole():\n",
        CACHE + "test_a_revocation_of_an_unknown_grant_stops_its_late_answer"),
    # -- who ---------------------------------------------------------------------------------------
    Off("another session's grant", "cache.py",
        'if not own and (grant.is_apart or not may_share or grant.share != "device"):', "if False:",
        CACHE + "test_another_group_gets_nothing_of_a_session_grant"),
    Off("agents share nothing", "broker.py",
        "may_share=not group.is_apart", "may_share=True",
        DAEMON + "test_an_agent_of_the_same_session_makes_its_own_request"),
    Off("an elevation is its session's", "broker.py",
        "if grant.chosen and grant.role != base and group.same_session(grant.group)",
        "if grant.chosen and grant.role != base",
        DAEMON + "test_another_sessions_elevation_lifts_nobody_here"),
    Off("an elevation is chosen", "broker.py",
        "if grant.chosen and grant.role != base", "if grant.role != base",
        "daemon/test_broker.py::"
        "test_what_one_command_runs_with_lifts_nobody_until_their_person_chooses_it"),
    # -- asking ------------------------------------------------------------------------------------
    Off("denial memory", "denials.py",
        "if denied is None or now.since(denied.at) >= denied.lasts:", "if True:",
        "daemon/test_denials.py"),
    Off("denial memory, wired", "tower.py",
        "if not deliberate and (denied := self._denials.recall(group.key, self._now())):",
        "if denied := None:",
        DAEMON + "test_a53_asking_again_after_a_no_is_refused_from_memory"),
    Off("audit first", "broker.py",
        "if exc.state == NOT_RECORDED:", "if False:",
        DAEMON + "test_a68_what_could_not_be_recorded_is_a_503_and_no_credential"),
    # -- IMDS --------------------------------------------------------------------------------------
    Off("IMDS token", "imds.py",
        "return self._tokens.holds(given, self._broker.now().wall)", "return True",
        IMDS + "test_version_one_and_wrong_tokens_are_refused_and_ask_nobody"),
    Off("IMDS token's end", "imds.py",
        "return bool(now < _STAMP.unpack(stamp)[0])", "return True",
        IMDS + "test_a_token_ends"),
    Off("IMDS role flag", "imds_role.py",
        "if not facts.imds:", "if False:",
        IMDS + "test_only_a_role_that_the_policy_marks_below_sensitive_is_offered"),
    Off("IMDS tier", "imds_role.py",
        "if facts.tier not in _TIERS:", "if False:",
        IMDS + "test_only_a_role_that_the_policy_marks_below_sensitive_is_offered"),
    Off("IMDS role flag, later", "imds.py",
        "            may_be_offered(known)  #", "            #",
        IMDS + "test_a_role_that_the_policy_took_from_imds_is_served_no_more"),
    Off("IMDS needs uids", "imds_role.py",
        "if not self._gives_uid:", "if False:",
        IMDS + "test_where_the_kernel_names_nobody_it_cannot_be_switched_on"),
    Off("IMDS forwarders", "forwarders.py",
        'return is_forwarder(procfs.link(pid, "exe")) or space != ours or not ours',
        "return space != ours",
        IMDS + "test_a28_what_comes_through_a_containers_network_gets_no_imds"),
    Off("IMDS network namespaces", "forwarders.py",
        'return is_forwarder(procfs.link(pid, "exe")) or space != ours or not ours',
        'return is_forwarder(procfs.link(pid, "exe"))',
        IMDS + "test_a_process_in_another_network_namespace_gets_no_imds"),
    # -- client-side monitoring --------------------------------------------------------------------
    Off("CSM uid", "csm.py",
        "return peer is not None and peer.uid == self._uid", "return peer is not None",
        CSM + "test_a76_another_users_datagram_makes_no_offer"),
    Off("CSM sender gone", "csm.py",
        "return peer is not None and peer.uid == self._uid",
        "return peer is None or peer.uid == self._uid",
        CSM + "test_a76_a_sender_that_is_already_gone_is_nobody"),
    Off("CSM vend log", "vends.py",
        "return vend if vend is not None and vend.ends.left(now) > -LATE else None",
        "return vend or next(iter(self._vends.values()), None)",
        CSM + "test_a76_a_forged_key_or_client_is_ignored_and_counted"),
    Off("CSM vend log's session", "vends.py",
        "    return access_key, group.sid, group.start, group.agent\n",
        '    return access_key, 0, 0, ""\n',
        CSM + "test_a_key_that_another_session_was_handed_is_not_this_ones"),
    Off("CSM port held", "app.py",
        "self._monitor = hold_saved(self._state / MONITORED)", "self._monitor = None",
        CSM + "test_a_program_reports_on_after_the_daemon_was_started_again"),
    Off("CSM port is shared with nobody", "csm_clients.py",
        "made.setblocking(False)",
        "made.setblocking(False); made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)",
        CSM + "test_nobody_shares_the_port_that_session_tokens_are_sent_to"),
    Off("CSM escaping", "csm.py",
        "if not isinstance(value, str) or not form.fullmatch(value):",
        "if not isinstance(value, str):",
        CSM + "test_a76_hostile_names_reach_no_terminal_and_no_status"),
    Off("CSM session token dropped", "csm.py",
        "actions=tuple(dict.fromkeys(actions)),",
        'actions=(*actions, str(json.loads(data)["SessionToken"])),',
        CSM + "test_a_denied_call_is_read_and_its_session_token_is_not_kept"),
    Off("CSM rate of one sender", "csm.py",
        "if not self._sender(addr[1], boot).take(boot) or not self._asked.take(boot):",
        "if not self._asked.take(boot):",
        CSM + "test_a76_a_flood_from_one_socket_does_not_drown_another"),
    Off("CSM ids are kept as hashes", "csm_clients.py",
        "return hashlib.sha256(client.encode()).hexdigest()", "return client",
        CSM + "test_a_program_reports_on_after_the_daemon_was_started_again"),
    # -- elevation ---------------------------------------------------------------------------------
    Off("an offer lifts nobody", "elevation.py",
        "if key in self._agreed:", "if _put(self._next, key, made) is None and False:",
        CSM + "test_an_offer_alone_lifts_no_fetch"),
    Off("an ask without an offer lifts nobody", "broker.py",
        "if self.elevations.accept(group, now) and", "if",
        CSM + "test_an_ask_without_an_offer_holds_nothing"),
    Off("an offer ends", "elevation.py",
        "if standing is None or standing.role != group.role or standing.ends.passed(now):",
        "if standing is None or standing.role != group.role:",
        CSM + "test_an_offer_that_ended_is_not_accepted_any_more"),
    Off("an offer is for its role", "elevation.py",
        "if standing is None or standing.role != group.role or standing.ends.passed(now):",
        "if standing is None or standing.ends.passed(now):",
        CSM + "test_asking_for_another_role_accepts_no_offer"),
    # -- the prompt --------------------------------------------------------------------------------
    Off("what is shown is what was signed", "reviewing.py",
        'if one.get("mode") != "peer":', "if True:",
        "daemon/test_answering.py::"
        "test_what_is_shown_is_read_from_the_signed_bytes_and_not_from_the_approver"),
    Off("the window's first second", "arming.py",
        "ARM_AFTER: Final = 1000", "ARM_AFTER: Final = 0",
        WINDOW + "test_in_its_first_second_neither_mouse_nor_keys_decide", "tray"),
    Off("the window's first second, again", "arming.py",
        'for event in ("<FocusIn>", "<Map>"):', 'for event in ("<Map>",):',
        WINDOW + "test_coming_back_from_another_window_is_a_first_second_again", "tray"),
    Off("no default button", "window.py",
        "(first if first is self._root or self._body.shows(first) else self._root).focus_set()",
        "self._yes.focus_set()",
        WINDOW + "test_enter_presses_only_the_button_that_has_the_focus", "tray"),
    Off("escaping of what is shown", "labels.py",
        'return shown(value, LINE) if isinstance(value, str) else ""',
        'return value if isinstance(value, str) else ""',
        "tray/test_form.py::test_a46_no_text_of_a_request_is_shown_as_it_came", "tray"),
    Off("escaping of what started it", "labels.py",
        'chain = [shown(each, 40) for each in', "chain = [each for each in",
        "tray/test_form.py::test_a46_no_text_of_a_request_is_shown_as_it_came", "tray"),
    Off("claims stand apart", "dialogue.py",
        "in _pairs(form.facts, wide)", "in _pairs((*form.facts, *form.claims), wide)",
        "cli/test_twin.py::test_without_a_display_the_same_question_is_asked_here", "cli"),
    Off("the terminal's first second", "twin.py",
        "                self._arm(keys)\n", "",
        "cli/test_twin.py::test_what_was_typed_ahead_decides_nothing", "cli"),
    Off("a bare Enter in the terminal", "twin.py",
        'case "a" if not self._form.cannot:', 'case "a" | "enter" if not self._form.cannot:',
        "cli/test_twin.py::test_leaving_is_not_now_and_decides_nothing", "cli"),
    # -- the tray ----------------------------------------------------------------------------------
    tray("who pressed the button", "bubbles.py",
        " or message.sender != self._owner", "",
        "bubbles.py::test_a55_another_programs_press_is_ignored"),
    tray("a new service's numbers", "bubbles.py",
        "self._numbers.clear()  #", "#",
        "bubbles.py::test_a_new_service_knows_none_of_the_old_ones_questions"),
    tray("no button that says yes", "bubbles.py",
        "and action in LABELS:", "and action:",
        "bubbles.py::test_a_press_reaches_us_with_the_question_it_was_for"),
    tray("markup", "bubbles.py",
        "html.escape(line, quote=False)", "line",
        "bubbles.py::test_markup_is_shown_as_it_was_typed"),
    tray("a line's number is its own", "dbusmenu.py",
        "number = before.get(key, self._next)", "number = len(self._numbers) + 1",
        "dbusmenu.py::test_a_click_on_a_line_that_has_just_gone_does_nothing"),
    tray("countdowns in place", "dbusmenu.py",
        "if self._children != layout:", "if True:",
        "dbusmenu.py::test_a_countdown_changes_words_in_place_and_lays_nothing_out_anew"),
    tray("a locked screen", "quiet.py",
        "fresh = [] if quiet else", "fresh =",
        "quiet.py::test_while_the_screen_is_locked_nothing_is_shown_and_then_it_is"),
    tray("ignored questions", "quiet.py",
        "if memory.ignored.get(each.role, 0) < IGNORED", "if True",
        "quiet.py::test_after_two_ignored_questions_of_a_role_the_badge_alone_tells"),
    tray("many questions", "quiet.py",
        "if len(asking) > MOST:", "if False:",
        "quiet.py::test_more_than_three_questions_are_one_and_told_again_when_they_doubled"),
    tray("escaping", "snapshot.py",
        "return shown(value, limit) if isinstance(value, str)",
        "return value[:limit] if isinstance(value, str)",
        "snapshot.py::test_hostile_text_is_escaped_once_and_cut"),
    tray("plain ids", "snapshot.py",
        "isinstance(value, str) and _ID.fullmatch(value)", "isinstance(value, str)",
        "snapshot.py::test_an_id_that_is_none_makes_no_line_that_could_be_clicked"),
    tray("what really runs", "snapshot.py",
        'exe = process.get("exe")', 'exe = (process.get("argv") or [""])[0]',
        "snapshot.py::test_a45_the_program_is_what_runs_and_not_what_it_calls_itself"),
)  # fmt: skip

# What a change needs beside its own line, to be the change that is meant.
_HELP = {
    "csm.py": "\nimport json\n",
    "cache.py": """

def _any(grant_id, now):
    return Grant(grant_id, "", "", "", "", "low", "", "", Deadline.at(now.wall + 900, now))
""",
}


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as one:
        yield one


def test_every_guard_has_its_place_and_its_test_in_the_code_of_today(tmp_path: Path) -> None:
    have_places(GUARDS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("off", GUARDS, ids=lambda off: off.guard)
def test_with_the_guard_off_its_test_fails(off: Off, zygote: Zygote, tmp_path: Path) -> None:
    is_noticed(off, zygote, tmp_path, _HELP)


@pytest.mark.slow
def test_with_every_guard_in_place_those_tests_pass(zygote: Zygote, tmp_path: Path) -> None:
    pass_in_place(GUARDS, zygote, tmp_path, _HELP)
