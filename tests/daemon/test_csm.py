"""What a datagram can lead to: an offer at most (A76)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from borrow.daemon.csm import LIMIT, read_datagram
from borrow.daemon.csm_clients import NAME
from borrow.daemon.peer import Unknown
from borrow.daemon.world import draw as system_draw
from borrow.daemon.world import say as system_say
from borrow.daemon.world import system_moment
from borrow.protocol.errors import Untrusted
from borrow_fakes.approver import role_entry
from borrow_fakes.edge import OTHER, need_two_users, run_as
from borrow_fakes.workstation import PROGRAM, Workstation, workstation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

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


@contextlib.asynccontextmanager
async def monitored(
    credential_seconds: int = 3600, **world: Any
) -> AsyncIterator[tuple[Workstation, str, dict[str, Any]]]:
    """A base grant is held by a program of `borrow run dev`; what it would send."""
    async with workstation(look_every=0.05, **world) as machine:
        with_elastic_roles(machine)
        machine.fake.auto, machine.fake.credential_seconds = True, credential_seconds
        told = await machine.control("POST", "/v1/bearers", {"role": "dev", "run": 1})
        answer = await machine.fetch("dev", str(told["bearer"]))
        machine.fake.auto = False
        mine = {"AccessKey": answer.json["AccessKeyId"]}
        mine |= {"ClientId": told["csm"]["AWS_CSM_CLIENT_ID"]}
        yield machine, str(told["bearer"]), told["csm"] | mine


def with_elastic_roles(machine: Workstation) -> None:
    machine.fake.roles |= {
        "dev": role_entry("dev", base="base"),
        "base": role_entry("base"),
        "high": role_entry("high", allows=["s3:Put*"]),
    }


@contextlib.contextmanager
def sending(monitor: dict[str, Any]) -> Iterator[Callable[[bytes], None]]:
    """A program with one socket, as SDKs have it. It lives on: who has gone is nobody."""
    to = ("127.0.0.1", int(monitor["AWS_CSM_PORT"]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send(data: bytes) -> None:
            sender.sendto(data, to)

        yield send


async def counted(machine: Workstation, name: str, least: int = 1) -> dict[str, int]:
    """Until so many datagrams came to this end; "" is any."""
    async with asyncio.timeout(5):
        while True:
            counts: dict[str, int] = (await machine.control("GET", "/v1/status"))["csm"]
            if (counts.get(name, 0) if name else sum(counts.values())) >= least:
                return counts
            await asyncio.sleep(0.02)


def own(monitor: dict[str, Any], **more: Any) -> bytes:
    return datagram(AccessKey=monitor["AccessKey"], ClientId=monitor["ClientId"], **more)


async def offers(machine: Workstation) -> list[tuple[str, str]]:
    told = (await machine.control("GET", "/v1/status"))["offers"]
    return [(each["role"], each["action"]) for each in told]


async def test_a_denied_call_of_our_own_is_offered_once_and_asks_nobody() -> None:
    async with monitored() as (machine, _, monitor):
        before = machine.fake.calls["/bc-authorize"]
        with sending(monitor) as send:
            send(own(monitor))
            send(own(monitor))
            await counted(machine, "denied", 2)
        assert await offers(machine) == [("high", "s3:PutObjectAcl")]
        assert machine.fake.calls["/bc-authorize"] == before


async def test_a76_a_forged_key_or_client_is_ignored_and_counted() -> None:
    async with monitored() as (machine, _, monitor):
        with sending(monitor) as send:
            send(datagram(AccessKey=monitor["AccessKey"]))
            send(datagram(ClientId=monitor["ClientId"]))
            await counted(machine, "unknown", 2)
        assert await offers(machine) == []


async def test_a_call_denied_with_a_key_that_was_replaced_since_is_still_offered() -> None:
    """What counts is what was handed to those callers, not what they would be handed now."""
    async with monitored(credential_seconds=1800) as (machine, bearer, monitor):
        machine.shift.both(1000)  # the next one is fetched in the background
        await another_key(machine, bearer, monitor["AccessKey"])
        with sending(monitor) as send:
            send(own(monitor))
            await counted(machine, "denied")
        assert [role for role, _ in await offers(machine)] == ["high"]


async def test_a_key_whose_time_is_over_names_nobody() -> None:
    async with monitored() as (machine, _, monitor):
        machine.shift.both(3600 + 61)
        with sending(monitor) as send:
            send(own(monitor))
            await counted(machine, "unknown")
        assert await offers(machine) == []


async def test_a_key_that_another_session_was_handed_is_not_this_ones() -> None:
    async with monitored() as (machine, _, monitor):
        other = await machine.another_program({"role": "dev", "run": 1})
        with sending(monitor) as send:
            send(own(monitor | {"ClientId": other["csm"]["AWS_CSM_CLIENT_ID"]}))
            await counted(machine, "unknown")
        assert await offers(machine) == []


async def test_denied_under_the_elevated_role_itself_offers_nothing() -> None:
    async with monitored() as (machine, bearer, monitor):
        await machine.control("POST", "/v1/ask", {"role": "high", "wait": False})
        await machine.fake.approve()
        key = await another_key(machine, bearer, monitor["AccessKey"])
        with sending(monitor) as send:
            send(own(monitor | {"AccessKey": key}))
            send(own(monitor))  # of before the elevation, and late
            await counted(machine, "denied", 2)
        assert await offers(machine) == []


async def another_key(machine: Workstation, bearer: str, than: str) -> str:
    async with asyncio.timeout(5):
        while (key := await fetched(machine, bearer)) == than:  # noqa: ASYNC110  over the wire
            await asyncio.sleep(0.05)
    return key


async def fetched(machine: Workstation, bearer: str) -> str:
    return str((await machine.fetch("dev", bearer)).json["AccessKeyId"])


async def test_a76_another_users_datagram_makes_no_offer() -> None:
    """With everything right in it, client id and key included: the kernel names its sender."""
    need_two_users()
    async with monitored() as (machine, _, monitor):
        sent = own(monitor).decode()
        code, said = await run_as(OTHER, SEND_AND_STAY, monitor["AWS_CSM_PORT"], sent)
        assert (code, said) == (0, "")
        await counted(machine, "uid")
        assert await offers(machine) == []
        status = await machine.control("GET", "/v1/status")
        assert status["refused"]["csm_uid"] == 1
        with sending(monitor) as send:
            send(own(monitor))  # ours, of the same words
            await counted(machine, "denied")
        assert [role for role, _ in await offers(machine)] == ["high"]


SEND_AND_STAY = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(sys.argv[2].encode(), ("127.0.0.1", int(sys.argv[1])))
time.sleep(1.5)
"""


async def test_a76_a_sender_that_is_already_gone_is_nobody() -> None:
    """As A22: its uid cannot be told any more, so it is not taken for ours."""
    async with monitored() as (machine, _, monitor):
        with sending(monitor) as send:  # in one breath: the daemon hears it afterwards
            send(own(monitor))
        await counted(machine, "gone")
        assert await offers(machine) == []


async def test_where_the_kernel_names_nobody_the_client_id_and_the_key_have_to_do() -> None:
    async with monitored(peers=Unknown) as (machine, _, monitor):
        with sending(monitor) as send:
            send(own(monitor))
            await counted(machine, "denied")
        assert [role for role, _ in await offers(machine)] == ["high"]


async def test_a76_a_flood_is_counted_and_neither_asks_nor_stops_the_service() -> None:
    async with monitored() as (machine, bearer, monitor):
        before = machine.fake.calls["/bc-authorize"]
        with sending(monitor) as send:
            for number in range(50_000):
                send(b"{\x1b[2J")
                if number % 5_000 == 0:
                    await asyncio.sleep(0)
            counts = await counted(machine, "flood")
        assert counts["malformed"] <= 1_000
        assert (await machine.fetch("dev", bearer)).status == 200
        assert machine.fake.calls["/bc-authorize"] == before


async def test_a76_a_flood_from_one_socket_does_not_drown_another() -> None:
    at = system_moment()  # and no moment passes in which there would be room again
    async with monitored(now=lambda: at) as (machine, _, monitor):
        with sending(monitor) as flood, sending(monitor) as send:
            for more in range(1, 5):
                for _ in range(100):  # no more than the kernel keeps for a busy daemon
                    flood(b"{")
                await counted(machine, "", 100 * more)
            send(own(monitor))
            await counted(machine, "denied")
        assert [role for role, _ in await offers(machine)] == ["high"]


HOSTILE = "\x1b]0;x\x07\u202e<b>" + "A" * 300


@pytest.mark.parametrize("name", ["Service", "Api", "AccessKey", "ClientId", "Region", "UserAgent"])
async def test_a76_hostile_names_reach_no_terminal_and_no_status(name: str) -> None:
    async with monitored() as (machine, _, monitor):
        with sending(monitor) as send:
            send(own(monitor, **{name: HOSTILE}) if name[0] in "SRU" or name == "Api" else
                 datagram(**({"AccessKey": monitor["AccessKey"], "ClientId": monitor["ClientId"]}
                             | {name: HOSTILE})))  # fmt: skip
            await counted(machine, "denied" if name in ("Region", "UserAgent") else "malformed")
        told = json.dumps(await machine.control("GET", "/v1/status")) + str(machine.lines)
        assert not any(part in told for part in ("\\u001b", "\x1b", "\u202e", "<b>", "AAAA"))


async def test_a_message_can_name_an_action_and_nothing_else() -> None:
    async with monitored() as (machine, _, monitor):
        said = "is not authorized to perform: s3:PutObject\x1b[2J because\r\nborrow: yes"
        with sending(monitor) as send:
            send(own(monitor, AwsExceptionMessage=said + "x" * 3000))
            await counted(machine, "denied")
        assert await offers(machine) == [("high", "s3:PutObject")]


async def test_an_accepted_offer_holds_the_next_fetch_and_lifts_it() -> None:
    async with monitored() as (machine, bearer, monitor):
        with sending(monitor) as send:
            send(own(monitor))
            await counted(machine, "denied")
        assert await fetched(machine, bearer) == monitor["AccessKey"]
        await machine.control("POST", "/v1/ask", {"role": "high", "wait": False})
        loop = asyncio.get_running_loop()
        held = loop.create_task(machine.fetch("dev", bearer))
        await asyncio.sleep(0.3)
        assert not held.done()
        await machine.fake.approve()
        assert (await held).status == 200
        assert machine.fake.calls["exchange"] == 2  # not the base credential again


async def test_an_offer_alone_lifts_no_fetch() -> None:
    async with monitored() as (machine, bearer, monitor):
        with sending(monitor) as send:
            send(own(monitor))
            await counted(machine, "denied")
        answer = await machine.fetch("dev", bearer, within=2)
        assert answer.json["AccessKeyId"] == monitor["AccessKey"]
        assert machine.fake.calls["/bc-authorize"] == 1


@pytest.mark.parametrize("chosen", [True, False])
async def test_started_with_elevate_a_role_that_is_held_already_is_used_and_stays(
    chosen: bool,
) -> None:
    """Chosen once and left for another, or what a command beside it was run with."""
    async with monitored() as (machine, _, monitor):
        machine.fake.auto = True
        machine.fake.roles["other"] = role_entry("other")
        agreed = await machine.control("POST", "/v1/bearers", {"role": "dev", "elevate": 1})
        if chosen:
            await machine.ask({"role": "high", "wait": True})
            await machine.ask({"role": "other", "wait": True})
        else:
            await machine.fetch("high", await machine.bearer("high"))
        asked = len(machine.fake.asked)
        with sending(monitor) as send:
            send(own(monitor))
            await counted(machine, "denied")

        async def served() -> str:
            answer = await machine.fetch("dev", str(agreed["bearer"]))
            return str(answer.json["RoleArn"]).rpartition("/")[2]

        for _ in range(200):
            if await served() == "high":
                break
            await asyncio.sleep(0.02)
        machine.shift.both(61)
        assert await served() == "high"
        assert len(machine.fake.asked) == asked


async def test_an_offer_that_ended_is_not_accepted_any_more() -> None:
    async with monitored() as (machine, bearer, monitor):
        with sending(monitor) as send:
            send(own(monitor))
            await counted(machine, "denied")
        machine.shift.both(61)
        await machine.control("POST", "/v1/ask", {"role": "high", "wait": False})
        answer = await machine.fetch("dev", bearer, within=2)
        assert answer.json["AccessKeyId"] == monitor["AccessKey"]


async def test_asking_for_another_role_accepts_no_offer() -> None:
    async with monitored() as (machine, bearer, monitor):
        with sending(monitor) as send:
            send(own(monitor))
            await counted(machine, "denied")
        await machine.control("POST", "/v1/ask", {"role": "prod-logs", "wait": False})
        answer = await machine.fetch("dev", bearer, within=2)
        assert answer.json["AccessKeyId"] == monitor["AccessKey"]


async def test_an_ask_without_an_offer_holds_nothing() -> None:
    async with monitored() as (machine, bearer, monitor):
        await machine.control("POST", "/v1/ask", {"role": "high", "wait": False})
        answer = await machine.fetch("dev", bearer, within=2)
        assert answer.json["AccessKeyId"] == monitor["AccessKey"]


# -- over a restart --------------------------------------------------------------------------------


async def test_a_program_reports_on_after_the_daemon_was_started_again() -> None:
    async with monitored() as (machine, bearer, monitor):
        kept = (machine.state / NAME).read_text()
        assert monitor["ClientId"] not in kept
        assert stat.S_IMODE((machine.state / NAME).stat().st_mode) == 0o600
        with sending(monitor) as send:
            await machine.end()
            await machine.start()
            # Held from the start, before anybody asked for anything: nobody can take it.
            assert not _is_free(int(monitor["AWS_CSM_PORT"]))
            monitor["AccessKey"] = await fetched(machine, bearer)
            send(own(monitor))
            await counted(machine, "denied")
        assert [role for role, _ in await offers(machine)] == ["high"]
        assert machine.fake.calls["/bc-authorize"] == 2  # the grant was resumed, nobody asked


async def test_when_the_programs_are_over_their_port_is_given_up() -> None:
    async with monitored() as (machine, _, monitor):
        await machine.end()
        machine.world = machine.world._replace(alive=lambda sid, start: False)
        await machine.start()
        await machine.control("GET", "/v1/status")
        async with asyncio.timeout(5):
            while not _is_free(int(monitor["AWS_CSM_PORT"])):  # noqa: ASYNC110  of the kernel
                await asyncio.sleep(0.02)
        told = await machine.control("POST", "/v1/bearers", {"role": "dev", "run": 1})
        assert int(told["csm"]["AWS_CSM_PORT"]) > 0


async def test_nobody_shares_the_port_that_session_tokens_are_sent_to() -> None:
    async with monitored() as (_, _, monitor):
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            for address in ("127.0.0.1", "0.0.0.0"):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
                    squatter.setsockopt(socket.SOL_SOCKET, option, 1)
                    with pytest.raises(OSError, match="in use"):
                        squatter.bind((address, int(monitor["AWS_CSM_PORT"])))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def test_a_taken_port_is_left_to_its_taker_and_the_next_program_gets_another() -> None:
    async with monitored() as (machine, bearer, monitor):
        await machine.end()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
            squatter.bind(("127.0.0.1", int(monitor["AWS_CSM_PORT"])))
            await machine.start()
            assert (await machine.fetch("dev", bearer)).status == 200
            told = await machine.control("POST", "/v1/bearers", {"role": "dev", "run": 1})
            assert told["csm"]["AWS_CSM_PORT"] != monitor["AWS_CSM_PORT"]


@pytest.mark.parametrize("kept", [b"", b"[]", b'{"v": 2}', b'{"v": 1, "port": 0, "clients": []}'])
async def test_a_saved_file_that_is_not_of_its_form_is_no_reason_not_to_start(kept: bytes) -> None:
    async with workstation() as machine:
        await machine.end()
        (machine.state / NAME).write_bytes(kept)
        (machine.state / NAME).chmod(0o600)
        await machine.start()
        assert (await machine.control("GET", "/v1/status"))["status"] == 200


# -- at a real terminal ----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def at_a_terminal(machine: Workstation) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    """The reading end of a pty, and what a program that lives in it was told by the daemon."""
    assert machine.started is not None
    controller, terminal = pty.openpty()
    code = "import os; os.setsid(); os.close(os.open(os.ttyname(0), os.O_RDWR))" + PROGRAM
    order = (str(machine.started.control), json.dumps({"role": "dev", "run": 1}), "stay")
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", code, *order),
        stdin=terminal,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        yield controller, json.loads(await child.stdout.readline())
    finally:
        child.kill()
        await child.wait()
        os.close(terminal)
        os.close(controller)


async def heard(controller: int, words: str) -> str:
    text = ""
    async with asyncio.timeout(10):
        while words not in text:
            ready, _, _ = await asyncio.to_thread(select.select, [controller], [], [], 0.5)
            text += os.read(controller, 4096).decode() if ready else ""
    return text


async def test_offer_and_extend_are_one_line_each_in_the_callers_terminal() -> None:
    async with workstation(look_every=0.05, say=system_say, draw=system_draw) as machine:
        with_elastic_roles(machine)
        machine.fake.auto = True
        async with at_a_terminal(machine) as (controller, told):
            key = await fetched(machine, str(told["bearer"]))
            client = told["csm"]["AWS_CSM_CLIENT_ID"]
            with sending(told["csm"]) as send:
                send(datagram(AccessKey=key, ClientId=client))
                said = await heard(controller, "lifts dev")
            wanted = "borrow: s3:PutObjectAcl was denied: within 60 s, `borrow ask high` lifts dev"
            assert said.count(wanted) == 1
            assert "\x1b[2J" not in said
            machine.shift.both(3600 - 590)
            said = await heard(controller, "borrow extend base 30m")
            assert "base ends in 10m" in said


async def test_an_elevation_by_the_plug_in_carries_its_reason_and_ticket() -> None:
    async with monitored() as (machine, _, _):
        machine.fake.needs["high"] = {"reason": "10+"}
        body: dict[str, Any] = {"role": "dev", "actions": ["s3:PutObject"]}
        body |= {"reason": "a release", "ticket": "OPS-1"}
        async for event in machine.events("/v1/elevate", body):
            assert event["event"] == "waiting"
            break
        assert machine.fake.last.request.role.justification == "a release"
        assert machine.fake.last.request.role.ticket == "OPS-1"


async def test_an_action_that_acts_on_a_terminal_is_told_escaped() -> None:
    async with monitored() as (machine, _, _):
        told = await machine.control(
            "POST", "/v1/elevate", {"role": "dev", "actions": ["\x1b[2Jx"]}
        )
        assert "\\u{1b}[2Jx" in told["error"]["message"]
