"""A signature is given only to the statement about what was shown."""

from __future__ import annotations

from typing import Any

import pytest

from borrow.protocol.decision import verify_statement_signature
from borrow.protocol.errors import Untrusted
from borrow.protocol.keys import PublicKeys
from borrow.protocol.request import AwsRole
from borrow.protocol.strict import from_b64url
from borrow_fakes.approver import PERSON
from borrow_fakes.workstation import Workstation, workstation


async def pending(machine: Workstation) -> str:
    await machine.ask({"role": "prod-admin", "wait": False})
    return machine.fake.last.id


async def yes(machine: Workstation, subject: str, **more: Any) -> dict[str, Any]:
    shown = await machine.control("GET", f"/v1/decisions/{subject}")
    body = {"decision": "approve", "request_hash": shown["request_hash"]} | more
    return await machine.control("POST", f"/v1/decisions/{subject}", body)


async def test_a_yes_signs_exactly_the_bytes_that_were_sent() -> None:
    async with workstation() as machine:
        subject = await pending(machine)
        assert (await yes(machine, subject, number="417"))["status"] == 200
        (told,) = machine.fake.decided
        data = from_b64url(told["statement"])
        assert told["evidence"]["kind"] == "device"
        assert machine.fake.sig is not None
        keys = PublicKeys([machine.fake.sig])
        assert verify_statement_signature(told["evidence"]["token"], keys, data)
        assert b'"number": "417"' in data


@pytest.mark.parametrize(
    "lies",
    [
        {"request": "r-01jv0000000000000000000000"},
        {"request_hash": "another"},
        {"decision": "deny"},
        {"approver": "eve@example.com"},
        {"issuer": "https://elsewhere.example.com"},
        {"number": "999"},
        {"granted": AwsRole("prod-admin", "arn:aws:iam::999922223333:role/x", 0)},
        {"granted": AwsRole("org-admin", "arn:aws:iam::111122223333:role/prod-admin", 0)},
        {"granted": AwsRole("prod-admin", "arn:aws:iam::111122223333:role/prod-admin", 9000)},
        {"not_after": 1},
    ],
)
async def test_nothing_is_signed_that_was_not_shown(lies: dict[str, Any]) -> None:
    async with workstation() as machine:
        subject = await pending(machine)
        machine.fake.lies = lies
        told = await yes(machine, subject, number="" if "number" in lies else "417", seconds=900)
        assert told["status"] in (400, 403)
        assert machine.fake.decided == []


async def test_a_yes_without_the_hash_of_what_was_shown_is_none() -> None:
    async with workstation() as machine:
        subject = await pending(machine)
        told = await machine.control("POST", f"/v1/decisions/{subject}", {"decision": "approve"})
        assert told["status"] == 409
        assert machine.fake.decided == []


async def test_a_no_needs_nothing_and_carries_its_reason() -> None:
    async with workstation() as machine:
        subject = await pending(machine)
        body = {"decision": "deny", "reason": "not now"}
        await machine.control("POST", f"/v1/decisions/{subject}", body)
        assert machine.fake.decided == [{"subject": subject} | body]


async def test_a_code_travels_sealed_and_in_no_other_form() -> None:
    async with workstation() as machine:
        subject = await pending(machine)
        await yes(machine, subject, code="123456")
        (told,) = machine.fake.decided
        assert told["evidence"]["kind"] == "totp"
        assert "123456" not in str(told)


async def test_a_report_ends_the_grant_here_at_once() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        await machine.fetch("prod-admin", await machine.bearer())
        (grant,) = machine.fake.grants
        await machine.control("POST", "/v1/report", {"id": grant})
        assert (await machine.control("GET", "/v1/status"))["grants"] == []
        assert machine.fake.decided == [{"subject": grant, "decision": "report"}]


async def test_the_inbox_is_counted_for_the_status() -> None:
    async with workstation() as machine:
        await pending(machine)
        told = await machine.control("GET", "/v1/inbox")
        assert len(told["decisions"]) == 1
        assert (await machine.control("GET", "/v1/status"))["inbox"] == 1


async def test_what_is_shown_is_read_from_the_signed_bytes_and_not_from_the_approver() -> None:
    """A56: the approver says something harmless; the yes would be to what was signed."""
    async with workstation() as machine:
        await machine.ask({"role": "prod-admin", "reason": "drop the ledger", "wait": False})
        subject = machine.fake.last.id
        machine.fake.told = {
            "role": "read-logs",
            "arn": "arn:aws:iam::111122223333:role/logs",
            "justification": "a look",
            "person": "bea@example.com",
            "number": "000",
        }
        shown = await machine.control("GET", f"/v1/decisions/{subject}")
        asked = machine.fake.last.request
        assert (shown["role"], shown["arn"]) == ("prod-admin", asked.role.arn)
        assert (shown["justification"], shown["number"]) == ("drop the ledger", asked.number)
        assert shown["person"] == PERSON
        assert shown["context"] == asked.context
        assert "signed" not in shown


@pytest.mark.parametrize(
    "told",
    [
        {"signed": ""},
        {"signed": "a.b.c"},
        {"signed": "\ud800"},
        {"signed": 7},
        {"signed": "x" * 40_000},
        {"request_hash": "another"},
        {"request_hash": None},
        {"seconds": 7200},
        {"seconds": "3600"},
    ],
)
async def test_what_does_not_fit_the_signed_request_is_not_shown(told: dict[str, Any]) -> None:
    async with workstation() as machine:
        await machine.ask({"role": "prod-admin", "seconds": 3600, "wait": False})
        subject, request_hash = machine.fake.last.id, machine.fake.last.hash
        machine.fake.told = told
        answer = await machine.control("GET", f"/v1/decisions/{subject}")
        assert answer["status"] == 400, answer
        body = {"decision": "approve", "request_hash": request_hash}
        assert (await machine.control("POST", f"/v1/decisions/{subject}", body))["status"] == 400
        assert machine.fake.decided == []


@pytest.mark.parametrize(
    "lie", [{"mode": "self", "mine": True}, {"mode": "self"}, {"mine": True}, {"mode": "auto"}]
)
async def test_an_approver_that_lies_about_whose_request_it_is_gets_no_peers_signature(
    lie: dict[str, Any],
) -> None:
    """Else it could show a request unread, and pass the consent for another device's yes."""
    async with workstation() as machine:
        subject = await pending(machine)
        machine.fake.told = lie
        assert (await yes(machine, subject, number="417"))["status"] == 200
        (told,) = machine.fake.decided
        assert told["evidence"]["kind"] == "consent"
        assert machine.fake.sig is not None
        keys = PublicKeys([machine.fake.sig])
        with pytest.raises(Untrusted):
            verify_statement_signature(
                told["evidence"]["token"], keys, from_b64url(told["statement"])
            )


async def test_what_was_shown_unread_is_not_signed_as_read() -> None:
    """An approver that lies while the person looks, and speaks the truth when the daemon does."""
    async with workstation() as machine:
        subject = await pending(machine)
        machine.fake.told = {"mode": "self", "mine": True, "person": PERSON, "role": "dev-read"}
        shown = await machine.control("GET", f"/v1/decisions/{subject}")
        assert shown["role"] == "dev-read"
        machine.fake.told = {}
        body = {"decision": "approve", "request_hash": shown["request_hash"], "number": "417"}
        told = await machine.control("POST", f"/v1/decisions/{subject}", body)
        assert (told["status"], told["error"]["state"]) == (400, "changed")
        assert machine.fake.decided == []
        assert (await yes(machine, subject, number="417"))["status"] == 200  # looked at again


async def test_another_request_than_the_one_asked_for_is_not_shown() -> None:
    async with workstation() as machine:
        subject = await pending(machine)
        machine.fake.told = {"request": "r-01jv0000000000000000000000"}
        told = await machine.control("GET", f"/v1/decisions/{subject}")
        assert (told["status"], told["error"]["state"]) == (400, "changed")
