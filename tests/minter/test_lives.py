"""The whole minter under a ghost that knows what was really said: invariants I1 to I7.

One set of rules drives a request deep with a single thing that goes wrong, one jumps to deadlines
± 1 s; without these, most seeded bugs stay alive (`test_seeded_bugs.py` is the proof).
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from borrow.protocol.decision import read_statement
from borrow.protocol.errors import BorrowError
from borrow_fakes.minter_ghost import FORGERIES, KIND
from borrow_fakes.minter_walks import ENDS, TWISTS, WalkingGhost
from borrow_fakes.minting import DI, NUMBER

pick = st.integers(0, 10_000)


class MinterLives(WalkingGhost, RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.meet()

    @override
    def teardown(self) -> None:
        self.close()

    @invariant()
    def holds(self) -> None:
        self.what_is_over_stays_over()
        self.budgets_hold()
        self.note_the_head()

    # Rules: one step each

    @rule(
        who=st.integers(0, 2),
        role=st.sampled_from(list(KIND)),
        seconds=st.sampled_from([0, 60, 120, 900, 3_600]),
        group=st.sampled_from(["g1", "g2"]),
    )
    def ask(self, who: int, role: str, seconds: int, group: str) -> None:
        self.ask_for((self.ann, self.other, self.bo)[who], role, seconds, group)

    @rule(number=pick)
    def replay(self, number: int) -> None:
        if not self.sent:
            return
        signed, device = self.sent[number % len(self.sent)]
        with contextlib.suppress(BorrowError):
            self.house.minter.accept_request(signed, device.client_id)
            raise AssertionError("I4: a request object was accepted twice")

    @precondition(lambda self: self.requests)
    @rule(
        number=pick,
        who=pick,
        forged=st.sampled_from(FORGERIES),
        right=st.booleans(),
        seconds=st.sampled_from([0, 60, 600]),
        wait=st.sampled_from([0, 0, 0, 299, 300, 301]),
    )
    def answer(
        self, number: int, who: int, forged: str, right: bool, seconds: int, wait: float
    ) -> None:
        request_id = self.chosen(self.requests, number)
        device = self.devices[who % 4]
        if forged == "own yes":  # the requester plays the peer
            device, forged = self.requests[request_id].device, "none"
        self.say_yes(
            request_id,
            device,
            forged=forged,
            number=NUMBER if right else "999",
            seconds=seconds,
            wait=wait,
        )

    @precondition(lambda self: self.issued)
    @rule(number=pick, elsewhere=st.booleans(), place=pick)
    def send_an_old_statement(self, number: int, elsewhere: bool, place: int) -> None:
        request_id, device, data, right = self.issued[-1 - number % min(len(self.issued), 6)]
        to = self.chosen(self.requests, place) if elsewhere else request_id
        kind = KIND[self.requests[to].role] or "consent"
        evidence = self.evidence("none", kind, device, data)
        self.send_yes(to, device, data, evidence, honest=to == request_id, number_right=right)

    @precondition(lambda self: self.requests)
    @rule(number=pick, who=pick, decision=st.sampled_from(["deny", "cancel"]))
    def refuse(self, number: int, who: int, decision: str) -> None:
        request_id = self.chosen(self.requests, number)
        ghost, device = self.requests[request_id], self.devices[who % 4]
        if decision == "deny":
            self.say_no(request_id, device)
            return
        with contextlib.suppress(BorrowError):
            self.house.minter.cancel(request_id, device.client_id)
            assert device is ghost.device, "another device took it back"
            ghost.refused = True

    @precondition(lambda self: self.requests)
    @rule(number=pick, who=pick)
    def collect(self, number: int, who: int) -> None:
        request_id = self.chosen(self.requests, number)
        device = self.requests[request_id].device if who % 3 else self.devices[who % 4]
        self.open_it(request_id, device)

    @precondition(lambda self: self.grants)
    @rule(number=pick, who=pick)
    def mint(self, number: int, who: int) -> None:
        grant_id = self.chosen(self.grants, number)
        owner = self.requests[self.grants[grant_id].request_id].device
        self.mint_it(grant_id, owner if who % 3 else self.devices[who % 4])

    @precondition(lambda self: self.grants)
    @rule(number=pick, how=st.sampled_from(["release", "revoke", "during"]))
    def end_a_grant(self, number: int, how: str) -> None:
        grant_id = self.chosen(self.grants, number)
        grant = self.grants[grant_id]
        device = self.requests[grant.request_id].device
        if how == "release":
            self.house.minter.release(grant_id, device.client_id)
        elif how == "revoke":
            self.house.minter.revoke(grant_id, DI, "incident")
        else:
            self.revoke_during(grant_id)
            return
        grant.over = True

    @rule(who=pick, by=st.booleans())
    def freeze_or_thaw(self, who: int, by: bool) -> None:
        device = self.devices[who % 4]
        if device.client_id in self.frozen:
            with contextlib.suppress(BorrowError):
                self.house.minter.unfreeze(device.client_id, DI if by else device.owner)
                assert by, "its owner unfroze it"
                self.frozen.discard(device.client_id)
        elif who % 5 == 0:
            self.house.minter.freeze(device.client_id, DI)
            self.frozen.add(device.client_id)
            self.end_grants_of(device)

    @rule(role=st.sampled_from(["", "", "click", "prod", "dev"]))
    def the_policy_changes(self, role: str) -> None:
        self.change_the_policy(role)

    @rule()
    def restart(self) -> None:
        self.house.restart()

    @rule()
    def sweep(self) -> None:
        self.house.minter.sweep()

    @rule(seconds=st.sampled_from([1, 30, 120, 700]))
    def time_passes(self, seconds: int) -> None:
        self.house.clock.advance(seconds)

    @rule(number=pick, nudge=st.sampled_from([-1, 0, 1]))
    def jump_to_a_deadline(self, number: int, nudge: int) -> None:
        ends = {grant.expires_at for grant in self.grants.values()}
        for ghost in self.requests.values():
            ends |= {ghost.pending_until, ghost.claim_until}
        ends |= {float(read_statement(data).not_after) for _, _, data, _ in self.issued[-3:]}
        ahead = sorted(end for end in ends if end + nudge > self.now())[:4]
        if ahead:
            self.house.clock.set(ahead[number % len(ahead)] + nudge)

    # Rules: one request, all the way, with one thing that goes wrong on it

    @rule(
        seconds=st.sampled_from([60, 900]), twist=st.sampled_from(TWISTS), end=st.sampled_from(ENDS)
    )
    def drive_a_click_deep(self, seconds: int, twist: str, end: str) -> None:
        self.drive_deep("click", seconds, twist, end)

    @rule(
        seconds=st.sampled_from([60, 900]), twist=st.sampled_from(TWISTS), end=st.sampled_from(ENDS)
    )
    def drive_a_code_deep(self, seconds: int, twist: str, end: str) -> None:
        self.drive_deep("logs", seconds, twist, end)

    @rule(
        seconds=st.sampled_from([60, 900]), twist=st.sampled_from(TWISTS), end=st.sampled_from(ENDS)
    )
    def drive_two_peers_deep(self, seconds: int, twist: str, end: str) -> None:
        self.drive_deep("prod", seconds, twist, end)

    @rule(
        seconds=st.sampled_from([60, 900]), twist=st.sampled_from(TWISTS), end=st.sampled_from(ENDS)
    )
    def drive_an_auto_deep(self, seconds: int, twist: str, end: str) -> None:
        self.drive_deep("dev", seconds, twist, end)


@pytest.mark.parametrize("role", list(KIND))
def test_every_single_thing_that_goes_wrong_on_the_way(role: str) -> None:
    """The bounded check: each role with each twist, and with each end."""
    ghost = WalkingGhost()
    try:
        ghost.meet()
        walks = [(twist, ENDS[n % len(ENDS)]) for n, twist in enumerate(TWISTS)]
        for twist, end in (*walks, *(("nothing", end) for end in ENDS)):
            ghost.house.clock.advance(3_700)  # budgets and grants of the walk before are over
            ghost.drive_deep(role, 900, twist, end)
            ghost.what_is_over_stays_over()
            ghost.budgets_hold()
        ghost.note_the_head()
        assert ghost.sealed > len(ENDS)
    finally:
        ghost.close()


TestMinterLives = MinterLives.TestCase
TestMinterLives.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
