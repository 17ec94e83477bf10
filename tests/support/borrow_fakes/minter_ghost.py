"""A ghost beside the minter: it remembers what was really said and by whom, and never asks.

It knows which evidence it forged, which numbers were wrong, and when every deadline was; each of
its steps asserts the invariants I1 to I7 of PROTOCOL.md where they could break. The tests that use
it are `tests/minter/test_lives.py`.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borrow.minter.log import Head, Leaf, advance, root_of
from borrow.policy.load import load_policy
from borrow.protocol.credentials import open_credentials
from borrow.protocol.decision import Evidence, read_statement, sign_statement
from borrow.protocol.errors import BorrowError
from borrow.protocol.keys import PublicKeys
from borrow_fakes.minting import ANN, BO, CY, DI, ISSUER, NUMBER, POLICY, MinterHouse

if TYPE_CHECKING:
    from borrow.policy.model import Policy
    from borrow_fakes.people import FakeDevice

KIND = {"dev": "", "click": "consent", "logs": "totp", "prod": "device"}
K = {"dev": 1, "click": 1, "logs": 1, "prod": 2}
FINAL = {"denied", "expired", "lapsed", "cancelled", "revoked", "redeemed", "released"}
FORGERIES = ("none", "other key", "other kind", "own yes", "other statement", "no evidence")


@dataclass
class Yes:
    """An answer that the minter took for a yes, as the ghost knows it to be."""

    seconds: int
    honest: bool


@dataclass
class GhostRequest:
    role: str
    arn: str
    device: FakeDevice
    seconds: int
    group: str
    asked_at: float
    pending_until: float
    extends: str = ""
    yes: dict[str, Yes] = field(default_factory=dict)
    claim_until: float = 0.0
    refused: bool = False  # somebody said no, or it was cancelled, before it was approved
    wrong_numbers: int = 0

    def is_approved(self) -> bool:
        return self.role == "dev" or len(self.yes) >= K[self.role]


@dataclass
class GhostGrant:
    request_id: str
    expires_at: float
    over: bool = False


def policy(denied: str = "") -> Policy:
    """The house's policy with two peers for prod, and perhaps a deny."""
    text = POLICY
    if denied:
        text = text.replace("[[rule]]", f'[[deny]]\nid = "no"\nroles = ["{denied}"]\n[[rule]]', 1)
    loaded = load_policy(text)
    rules = tuple(
        replace(rule, approve=replace(rule.approve, k=2)) if rule.id == "prod" else rule
        for rule in loaded.rules
    )
    return replace(loaded, rules=rules)


class MinterGhost:
    """One minter, four devices, and everything that happened to them."""

    def __init__(self) -> None:
        super().__init__()  # a state machine, where there is one
        self.folder = tempfile.TemporaryDirectory()
        self.house = MinterHouse(Path(self.folder.name), policy=policy())
        self.requests: dict[str, GhostRequest] = {}
        self.grants: dict[str, GhostGrant] = {}
        self.final: dict[str, str] = {}
        self.frozen: set[str] = set()
        self.sent: list[tuple[str, FakeDevice]] = []
        self.issued: list[tuple[str, FakeDevice, bytes, bool]] = []
        self.heads: list[tuple[int, str]] = []
        self.codes_used: set[int] = set()
        self.autos: list[tuple[str, float]] = []
        self.denied_role = ""
        self.sealed = 0

    def meet(self) -> None:
        house = self.house
        self.ann, self.bo, self.cy = (house.join(person) for person in (ANN, BO, CY))
        self.other = house.join(ANN)
        self.secret = house.enrol_totp(self.ann)
        self.devices = (self.ann, self.other, self.bo, self.cy)

    def close(self) -> None:
        if self.heads:
            self.check_the_log()
        self.house.minter.close()
        self.folder.cleanup()

    # What the rules are made of

    def now(self) -> float:
        return self.house.clock()

    def ask_for(
        self, device: FakeDevice, role: str, seconds: int, group: str, extends: str = ""
    ) -> str | None:
        house = self.house
        signed = house.signed(
            device, role, seconds=seconds, group=group, via="cli", extends=extends
        )
        self.sent.append((signed, device))
        try:
            accepted = house.minter.accept_request(signed, device.client_id)
        except BorrowError:
            return None
        assert device.client_id not in self.frozen, "I3: a frozen device asked"
        view, request_id = accepted.view, str(accepted.view.request_id)
        assert accepted.joined == (request_id in self.requests), "I4: not joined, or joined to what"
        if accepted.joined:
            known = self.requests[request_id]
            assert (known.device.client_id, known.role) == (device.client_id, role)
            assert not known.refused, "joined something that was refused"
            return request_id
        assert role != self.denied_role, "the policy forbids it"
        assert view.role.seconds == (seconds or view.role.seconds)
        self.requests[request_id] = GhostRequest(
            role,
            view.role.arn,
            device,
            view.role.seconds,
            group,
            self.now(),
            self.now() + 900,
            extends,
        )
        if role == "dev":
            self.autos.append((device.owner, self.now()))
            self.requests[request_id].claim_until = self.now() + 1_800
        return request_id

    def evidence(self, forged: str, kind: str, device: FakeDevice, data: bytes) -> Evidence | None:
        """Evidence over `data` by `device`, spoilt as `forged` says."""
        house = self.house
        wrong = self.bo if device is not self.bo else self.cy
        match forged:
            case "other key":
                device = wrong
            case "other kind":
                kind = {"consent": "device", "device": "consent", "totp": "consent"}[kind]
            case "other statement":
                data = data.replace(b'"duration": ', b'"duration": 1')
            case "no evidence":
                return None
            case _:
                pass
        if kind == "totp":
            return Evidence("totp", house.sealed_code(device, data, house.code(self.secret)))
        token = sign_statement(data, device.sig)
        return Evidence("consent", token) if kind == "consent" else Evidence("device", token)

    def say_yes(
        self,
        request_id: str,
        device: FakeDevice,
        *,
        forged: str = "none",
        number: str = NUMBER,
        seconds: int = 0,
        wait: float = 0,
    ) -> None:
        """Ask for a statement, wait, and send it with evidence; the ghost knows if it is true."""
        ghost = self.requests[request_id]
        try:
            data = self.house.minter.new_statement(
                request_id, device.owner, "approve", number=number, seconds=seconds
            )
        except BorrowError:
            return
        self.issued.append((request_id, device, data, number == NUMBER))
        self.house.clock.advance(wait)
        kind = KIND[ghost.role] or "consent"
        proof = self.evidence(forged, kind, device, data)
        honest, right = forged == "none", number == NUMBER
        self.send_yes(request_id, device, data, proof, honest=honest, number_right=right)

    def send_yes(
        self,
        request_id: str,
        device: FakeDevice,
        data: bytes,
        evidence: Evidence | None,
        *,
        honest: bool,
        number_right: bool,
    ) -> None:
        ghost, statement = self.requests[request_id], read_statement(data)
        counted = dict(ghost.yes.items())
        try:
            outcome, _ = self.house.minter.accept_decision(
                request_id,
                device.owner,
                device.client_id,
                "approve",
                statement=data,
                evidence=evidence,
            )
        except BorrowError as refused:
            if refused.state == "number_mismatch":
                ghost.wrong_numbers += 1
                ghost.refused = ghost.refused or ghost.wrong_numbers >= 3
                assert not number_right, "I6: the right number was refused"
            return
        assert honest, f"I1: forged evidence counted for {ghost.role}"
        assert self.now() < statement.not_after, "I1: too late a statement"
        assert self.now() < ghost.pending_until, "I6: a decision after the deadline"
        assert not ghost.refused, "I7: a yes after a no"
        assert not ghost.is_approved(), "I4: one yes too many"
        assert device.owner not in counted, "I1: one voice twice"
        assert device.client_id not in self.frozen, "I3: a frozen device decided"
        if ghost.role == "prod":
            assert device.owner != ghost.device.owner, "I1: the requester's own yes"
        else:
            assert device.owner == ghost.device.owner, "I1: somebody else's yes"
        if ghost.role == "logs":
            assert number_right, "I6: a wrong number counted"
            step = int(self.now()) // 30
            assert step not in self.codes_used, "a code counted twice"
            self.codes_used.add(step)
        ghost.yes[device.owner] = Yes(statement.granted.seconds, honest=True)
        assert (outcome.view.state == "approved") == ghost.is_approved(), "I1: not k voices"
        if ghost.is_approved():
            ghost.claim_until = self.now() + 1_800

    def open_it(self, request_id: str, device: FakeDevice) -> str | None:
        ghost = self.requests[request_id]
        try:
            view, _ = self.house.minter.open_grant(request_id, device.client_id)
        except BorrowError:
            return None
        assert device is ghost.device, "I3: another device collected"
        assert device.client_id not in self.frozen, "I3: a frozen device collected"
        assert ghost.is_approved(), "I1, I7: opened without its approvals"
        assert not ghost.refused, "I7: opened after a no"
        grant_id = str(view.grant_id)
        if grant_id in self.grants:
            known = self.grants[grant_id]
            assert view.resumed
            assert (known.request_id, known.expires_at) == (request_id, view.expires_at), "I2"
            assert not known.over, "I5: a grant came back"
            return grant_id
        assert all(g.request_id != request_id for g in self.grants.values()), "I4: a second grant"
        assert self.now() < ghost.claim_until, "I6: collected too late"
        shortest = min([ghost.seconds, *(yes.seconds for yes in ghost.yes.values())])
        assert view.expires_at <= self.now() + shortest, "I2: longer than approved"
        assert (view.role.identifier, view.role.arn) == (ghost.role, ghost.arn), "I2"
        self.grants[grant_id] = GhostGrant(request_id, view.expires_at)
        if ghost.extends:
            self.grants[ghost.extends].over = True
        return grant_id

    def mint_it(self, grant_id: str, device: FakeDevice) -> None:
        grant = self.grants[grant_id]
        ghost = self.requests[grant.request_id]
        calls = len(self.house.cloud.calls)
        try:
            minted = self.house.minter.mint(grant_id, device.client_id)
        except BorrowError:
            return
        self.sealed += 1
        assert not grant.over, "I3: minted after the end"
        assert self.now() < grant.expires_at, "I3: minted after expiry"
        assert device is ghost.device, "I3: minted for another client"
        assert device.client_id not in self.frozen, "I3: minted for a frozen client"
        assert ghost.role != self.denied_role, "the policy of the moment forbids it"
        assert ghost.is_approved(), "I1"
        assert all(yes.honest for yes in ghost.yes.values()), "I1"
        assert minted.expires_at <= grant.expires_at, "I2: a credential outlives its grant"
        target, facts = self.house.cloud.calls[calls]
        assert (target.name, target.arn, facts.grant_id) == (ghost.role, ghost.arn, grant_id), "I2"
        inside = open_credentials(
            minted.sealed,
            key=device.enc,
            minter=PublicKeys([self.house.keys.sig]),
            issuer=ISSUER,
            client_id=device.client_id,
            now=self.now(),
        )
        assert (inside.role, inside.grant_id) == (ghost.role, grant_id), "I2"

    def say_no(self, request_id: str, device: FakeDevice) -> None:
        ghost = self.requests[request_id]
        with contextlib.suppress(BorrowError):
            self.house.say(request_id, device)
            assert not ghost.is_approved(), "I5: a no undid a yes"
            assert self.now() < ghost.pending_until, "I6: a decision after the deadline"
            ghost.refused = True

    def revoke_during(self, grant_id: str) -> None:
        def during() -> None:
            self.house.minter.revoke(grant_id, DI, "incident")
            self.grants[grant_id].over = True

        self.house.cloud.during = during
        self.mint_it(grant_id, self.requests[self.grants[grant_id].request_id].device)
        self.house.cloud.during = None

    def change_the_policy(self, role: str) -> None:
        """Deny `role` to everybody, or nothing to anybody."""
        self.denied_role = role
        self.house.policy = policy(role)

    def end_grants_of(self, device: FakeDevice) -> None:
        for grant in self.grants.values():
            if self.requests[grant.request_id].device is device:
                grant.over = True
        for ghost in self.requests.values():
            if ghost.device is device and not self.is_opened(ghost):
                ghost.refused = True

    def is_opened(self, ghost: GhostRequest) -> bool:
        return any(self.requests[g.request_id] is ghost for g in self.grants.values())

    def chosen(self, names: dict[str, Any], number: int) -> str:
        return list(names)[-1 - number % min(len(names), 6)]  # mostly the latest ones

    # What holds after every step

    def what_is_over_stays_over(self) -> None:
        for name in (*self.requests, *self.grants):
            minter = self.house.minter
            state = str((minter.request if name in self.requests else minter.grant)(name).state)
            known = self.final.get(name)
            assert known in (None, state), f"I5: {known} became {state}"
            if state in FINAL or (name in self.grants and state == "expired"):
                self.final[name] = state
            if name in self.requests:
                ghost = self.requests[name]
                if state in ("approved", "redeemed"):
                    assert ghost.is_approved(), "I1, I7: approved by silence"
                if state == "redeemed":
                    assert self.is_opened(ghost), "redeemed without a grant"
            elif state == "active":
                assert not self.grants[name].over, "I3: alive after its end"
                assert self.now() < self.grants[name].expires_at, "I3: alive after its time"

    def budgets_hold(self) -> None:
        given: dict[str, list[float]] = {}
        for request_id, ghost in self.requests.items():
            if ghost.role == "dev" and not ghost.refused and self.final.get(request_id) != "lapsed":
                given.setdefault(ghost.device.owner, []).append(ghost.asked_at)
        for times in given.values():
            for start in times:
                assert sum(start <= at < start + 3_600 for at in times) <= 2, "over budget"

    def note_the_head(self) -> None:
        check = self.house.minter.check_log()
        assert check.bad_seq is None, f"I5: {check.why}"
        self.heads.append((check.size, check.root))

    def check_the_log(self) -> None:
        """I5: earlier tree heads are prefixes, and every mint and move is in it, in order."""
        head, roots = Head(), {0: root_of(Head())}
        for leaf in self.house.minter.log_entries(0, 1_000):
            head = advance(head, Leaf(leaf.seq, leaf.entry, leaf.leaf_hash))
            roots[head.size] = root_of(head)
        for size, root in self.heads:
            assert size not in roots or roots[size] == root, "I5: tree heads are not consistent"
        log = self.house.log()
        if len(log) == 1_000:  # a page of the log: longer ones are judged by their heads alone
            return
        begun: dict[str, int] = {}
        sealed = 0
        for entry in log:
            grant = entry["facts"].get("grant")
            if entry["kind"] == "mint.begin":
                begun[grant] = begun.get(grant, 0) + 1
            elif entry["kind"] == "mint.end":
                assert begun[grant] > 0, "I5: an end without a beginning"
                begun[grant] -= 1
                sealed += entry["facts"]["outcome"] == "sealed"
        assert sealed == self.sealed, "I5: a credential without its leaf"
        for request_id, ghost in self.requests.items():
            votes = sum(
                entry["kind"] == "decision"
                and entry["facts"]["request"] == request_id
                and entry["facts"]["decision"] == "approve"
                for entry in log
            )
            assert votes == max(len(ghost.yes), ghost.role == "dev"), "I5: a yes without its leaf"
