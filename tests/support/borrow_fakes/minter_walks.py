"""Walks of the ghost: one request from the question to its end, with one thing that goes wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from borrow.protocol.errors import BorrowError
from borrow_fakes.minter_ghost import FORGERIES, KIND, MinterGhost
from borrow_fakes.minting import DI

if TYPE_CHECKING:
    from borrow_fakes.people import FakeDevice

TWISTS = (
    "nothing", "shorter", "twice", "too few", "other collects", "other mints", "wrong number",
    "outsider", "299", "300", "sibling", "no", "no at -1", "no at 0", "no at 1", "yes at -1",
    "yes at 0", "collect at -1", "collect at 0", "other key", "other kind", "other statement",
    "no evidence", "forbidden",
)  # fmt: skip
ENDS = ("release", "revoke", "during", "at -1", "at 0", "freeze", "extend", "resume")


class WalkingGhost(MinterGhost):
    """A ghost that can also drive a request deep."""

    def drive_deep(self, role: str, seconds: int, twist: str, end: str) -> None:
        self.house.clock.advance(31)  # a fresh code
        device, group = self.ann, f"deep{len(self.sent)}"
        request_id = self.ask_for(device, role, seconds, group)
        if request_id is None:
            return
        voices = {"prod": (self.bo, self.cy), "dev": ()}.get(role, (device,))
        self.spoil_the_yes(request_id, twist, voices)
        for voice in voices:
            self.say_yes(request_id, voice, seconds=60 if twist == "shorter" else 0)
            if twist == "twice" or (twist == "too few" and role == "prod"):
                self.say_yes(request_id, voice)
                self.open_it(request_id, device)
                if twist == "too few":
                    return
        if twist == "other collects":
            self.open_it(request_id, self.other)
        elif twist.startswith("collect at "):
            self.house.clock.set(self.requests[request_id].claim_until + float(twist[11:]))
        grant_id = self.open_it(request_id, device)
        if grant_id is not None:
            if twist == "other mints":
                self.mint_it(grant_id, self.other)
            if twist == "forbidden":
                self.change_the_policy(role)
                self.mint_it(grant_id, device)
                self.change_the_policy("")
            self.mint_it(grant_id, device)
            self.end_deep(grant_id, end, role, group)

    def spoil_the_yes(self, request_id: str, twist: str, voices: tuple[FakeDevice, ...]) -> None:
        """What goes wrong before the honest answers come."""
        ghost = self.requests[request_id]
        voice = voices[0] if voices else self.bo
        if twist in FORGERIES:
            self.say_yes(request_id, voice, forged=twist)
        elif twist == "wrong number":
            self.say_yes(request_id, voice, number="999")
        elif twist == "outsider":
            self.say_yes(request_id, self.bo if ghost.role != "prod" else self.other)
        elif twist in ("299", "300"):
            self.say_yes(request_id, voice, wait=float(twist))
        elif twist == "sibling":
            sibling = self.ask_for(ghost.device, ghost.role, 60, f"{ghost.group}s")
            if sibling in (None, request_id) or not voices:
                return
            self.say_yes(sibling, voice, forged="no evidence")
            if self.issued and self.issued[-1][0] == sibling:
                data = self.issued[-1][2]
                proof = self.evidence("none", KIND[ghost.role], voice, data)
                self.send_yes(request_id, voice, data, proof, honest=False, number_right=True)
        elif twist == "no":
            self.say_no(request_id, voice)
        elif twist.startswith("no at "):
            self.house.clock.set(ghost.pending_until + float(twist[6:]))
            self.say_no(request_id, voice)
        elif twist.startswith("yes at "):
            self.house.clock.set(ghost.pending_until + float(twist[7:]))

    def end_deep(self, grant_id: str, end: str, role: str, group: str) -> None:
        grant, device = self.grants[grant_id], self.ann
        if end.startswith("at "):
            self.house.clock.set(grant.expires_at + float(end[3:]))
        elif end == "freeze":
            self.house.minter.freeze(device.client_id, DI)
            self.frozen.add(device.client_id)
            self.end_grants_of(device)
            self.mint_it(grant_id, device)
            with contextlib.suppress(BorrowError):
                self.house.minter.unfreeze(device.client_id, device.owner)
                raise AssertionError("its owner unfroze it")
            self.house.minter.unfreeze(device.client_id, DI)
            self.frozen.discard(device.client_id)
        elif end == "extend":
            self.extend(grant_id, device, role, group)
        elif end == "resume":
            self.house.restart()
            self.house.clock.advance(20)
            request_id = self.ask_for(device, role, 0, group)
            assert request_id in (grant.request_id, None), "I4: a second request for a live grant"
        elif end == "release":
            self.house.minter.release(grant_id, device.client_id)
            grant.over = True
        elif end == "revoke":
            self.house.minter.revoke(grant_id, DI, "incident")
            grant.over = True
        else:
            self.revoke_during(grant_id)
        self.mint_it(grant_id, device)
        self.open_it(grant.request_id, device)

    def extend(self, grant_id: str, device: FakeDevice, role: str, group: str) -> None:
        self.house.clock.advance(31)
        request_id = self.ask_for(device, role, 0, group, grant_id)
        if request_id is None:
            return
        assert role == "logs", "only that rule can be extended"
        self.say_yes(request_id, device)
        second = self.open_it(request_id, device)
        if second is not None:
            self.mint_it(second, device)
            assert self.ask_for(device, role, 0, group, second) is None, "extended once too often"
