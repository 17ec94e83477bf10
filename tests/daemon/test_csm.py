"""What a datagram can lead to: an offer at most (A76)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from borrow.daemon.csm import LIMIT, read_datagram, sender_uid
from borrow.protocol.errors import Untrusted
from borrow_fakes.approver import role_entry
from borrow_fakes.workstation import Workstation, workstation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOLD: dict[str, Any] = {
    "Type": "ApiCallAttempt",
    "ClientId": "c" * 32,
    "Service": "S3",
    "Api": "PutObject",
    "AccessKey": "ASIAABCDEFGHIJKLMNOP",
    "SessionToken": "not to be kept",
    "HttpStatusCode": 403,
    "AwsException": "AccessDenied",
    "AwsExceptionMessage": "User: x is not authorized to perform: s3:PutObjectAcl on resource: y",
    "Whatever": [1],
}


def datagram(**changes: Any) -> bytes:
    return json.dumps(TOLD | changes).encode()


def test_a_denied_call_is_read_and_its_session_token_is_not_kept() -> None:
    denied = read_datagram(datagram())
    assert denied is not None
    assert denied.actions == ("s3:PutObjectAcl", "s3:PutObject")
    assert "not to be kept" not in repr(denied)


def test_calls_that_were_not_denied_say_nothing() -> None:
    assert read_datagram(datagram(AwsException="Throttling")) is None
    assert read_datagram(datagram(Type="ApiCall")) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 4000,
        b'{"Type": 1, "Type": 2}',
        datagram(AwsExceptionMessage="x" * LIMIT),
        datagram(Api="\x1b[2J"),
        datagram(Service="S3\r\nborrow: yes"),
        datagram(AccessKey=["ASIA"]),
        datagram(ClientId=""),
    ],
)
def test_a76_a_datagram_that_is_not_of_its_form_is_untrusted(data: bytes) -> None:
    with pytest.raises(Untrusted):
        read_datagram(data)


def test_the_sender_is_named_by_the_system_where_it_can(tmp_path: Path) -> None:
    table = tmp_path / "udp"
    table.write_text("head\n 1: 00000000:1F90 00000000:0000 07 0:0 00:0 0 4242 0 77 2 0 0\n")
    assert sender_uid(0x1F90, table) == 4242
    assert sender_uid(0x1F91, table) is None
    assert sender_uid(1, tmp_path / "none") is None


@contextlib.asynccontextmanager
async def monitored() -> AsyncIterator[tuple[Workstation, str, dict[str, Any]]]:
    """A base grant is held by a program of `borrow run dev`; what it would send."""
    async with workstation(look_every=0.05) as machine:
        fake = machine.fake
        fake.roles |= {
            "dev": role_entry("dev", base="base"),
            "base": role_entry("base"),
            "high": role_entry("high", allows=["s3:Put*"]),
        }
        fake.auto = True
        told = await machine.control("POST", "/v1/bearers", {"role": "dev", "run": 1})
        answer = await machine.fetch("dev", str(told["bearer"]))
        fake.auto = False
        mine = {"AccessKey": answer.json["AccessKeyId"]}
        mine |= {"ClientId": told["csm"]["AWS_CSM_CLIENT_ID"]}
        yield machine, str(told["bearer"]), told["csm"] | mine


def send(monitor: dict[str, Any], *data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for each in data:
            sender.sendto(each, ("127.0.0.1", int(monitor["AWS_CSM_PORT"])))


async def counted(machine: Workstation, name: str, least: int = 1) -> dict[str, int]:
    async with asyncio.timeout(5):
        while True:
            counts: dict[str, int] = (await machine.control("GET", "/v1/status"))["csm"]
            if counts.get(name, 0) >= least:
                return counts
            await asyncio.sleep(0.02)


def own(monitor: dict[str, Any], **more: Any) -> bytes:
    return datagram(AccessKey=monitor["AccessKey"], ClientId=monitor["ClientId"], **more)


async def test_a_denied_call_of_our_own_is_offered_once_and_asks_nobody() -> None:
    async with monitored() as (machine, _, monitor):
        before = machine.fake.calls["/bc-authorize"]
        send(monitor, own(monitor), own(monitor))
        await counted(machine, "denied", 2)
        offers = (await machine.control("GET", "/v1/status"))["offers"]
        assert [(each["role"], each["action"]) for each in offers] == [("high", "s3:PutObjectAcl")]
        assert machine.fake.calls["/bc-authorize"] == before


async def test_a76_a_forged_key_or_client_is_ignored_and_counted() -> None:
    async with monitored() as (machine, _, monitor):
        send(
            monitor,
            datagram(AccessKey=monitor["AccessKey"]),
            datagram(ClientId=monitor["ClientId"]),
        )
        await counted(machine, "unknown", 2)
        assert (await machine.control("GET", "/v1/status"))["offers"] == []


async def test_a76_a_flood_is_counted_and_neither_asks_nor_stops_the_service() -> None:
    async with monitored() as (machine, bearer, monitor):
        before = machine.fake.calls["/bc-authorize"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(50_000):
                sender.sendto(b"{\x1b[2J", ("127.0.0.1", int(monitor["AWS_CSM_PORT"])))
                if number % 5_000 == 0:
                    await asyncio.sleep(0)
        counts = await counted(machine, "flood")
        assert counts["malformed"] <= 1_000
        assert (await machine.fetch("dev", bearer)).status == 200
        assert machine.fake.calls["/bc-authorize"] == before


async def test_an_accepted_offer_holds_the_next_fetch_and_lifts_it() -> None:
    async with monitored() as (machine, bearer, monitor):
        send(monitor, own(monitor))
        await counted(machine, "denied")
        assert (await machine.fetch("dev", bearer)).json["AccessKeyId"] == monitor["AccessKey"]
        await machine.control("POST", "/v1/ask", {"role": "high", "wait": False})
        loop = asyncio.get_running_loop()
        held = loop.create_task(machine.fetch("dev", bearer))
        await asyncio.sleep(0.3)
        assert not held.done()
        await machine.fake.approve()
        assert (await held).status == 200
        assert machine.fake.calls["exchange"] == 2  # not the base credential again


async def test_an_ask_without_an_offer_holds_nothing() -> None:
    async with monitored() as (machine, bearer, monitor):
        await machine.control("POST", "/v1/ask", {"role": "high", "wait": False})
        assert (await machine.fetch("dev", bearer)).json["AccessKeyId"] == monitor["AccessKey"]
