"""Abuse cases against the daemon, each named by its id in the abuse catalogue."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json

import pytest

from borrow.daemon import groups
from borrow.daemon.front import Limits
from borrow.daemon.peer import Unknown
from borrow.protocol.errors import Unavailable
from borrow.protocol.oauth import NOT_RECORDED
from borrow_fakes.approver import role_entry
from borrow_fakes.workstation import BOTO, GO, Fetched, Workstation, workstation


async def granted(machine: Workstation, role: str = "prod-admin") -> str:
    bearer = await machine.bearer(role)
    machine.fake.auto = True
    assert (await machine.fetch(role, bearer)).status == 200
    machine.fake.auto = False
    return bearer


def questions(machine: Workstation) -> int:
    """Calls upstream, without the events poll: that runs by itself while a grant lives."""
    calls = machine.fake.calls
    return calls.total() - calls["/events"] - calls["/token"]


def small(answer: Fetched, status: int, word: str) -> None:
    """A refusal says one word and repeats nothing."""
    assert (answer.status, answer.json) == (status, {"error": word})


async def test_a18_a_pipelined_flood_is_cut_and_starves_nobody() -> None:
    """10,000 requests in one breath: 429 past the rate, and other programs get their answers."""
    async with workstation(limits=Limits(per_second=300)) as machine:
        bearer = await granted(machine)
        await machine.raw(machine.head("prod-admin", bearer, "Connection: close"))  # aiohttp comes
        one = machine.head("prod-admin", bearer, BOTO)
        reader, writer = await asyncio.open_connection("127.0.0.1", machine.port)
        slowest, now = 0.0, asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as tasks:
            flood = tasks.create_task(_drained(reader))
            writer.write(one * 10_000)
            for _ in range(5):
                begun = now()
                assert (await machine.fetch("prod-admin", bearer, BOTO)).status == 200
                slowest = max(slowest, now() - begun)
        writer.close()
        assert b"HTTP/1.1 429" in flood.result()
        assert flood.result().count(b"HTTP/1.1 200") < 9_000
        assert slowest < 2.0  # a bound against starvation, not a figure
        status = await machine.control("GET", "/v1/status")
        assert status["refused"]["rate"] == 1


async def _drained(reader: asyncio.StreamReader) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            data += piece
    return data


async def test_a19_a_forwarder_that_sends_only_the_url_gets_401_and_asks_nobody() -> None:
    async with workstation() as machine:
        await granted(machine)
        before = questions(machine)
        small(await machine.fetch("prod-admin", ""), 401, "unauthorized")
        assert questions(machine) == before


@pytest.mark.parametrize("given", ["", "wrong", "Bearer wrong", "x" * 4000, "\xe4\xf6", "Bearer "])
async def test_a20_a_wrong_bearer_gets_401_and_causes_no_request(given: str) -> None:
    async with workstation() as machine:
        await machine.bearer()
        before = questions(machine)
        head = (
            f"GET /v1/credentials/prod-admin HTTP/1.1\r\nHost: 127.0.0.1:{machine.port}\r\n"
            f"Authorization: {given}\r\n{BOTO}\r\n\r\n"
        )
        answer = await machine.raw(head.encode("latin-1"))
        assert answer.status in (400, 401)
        if given:
            assert given.encode("latin-1") not in answer.body
        assert questions(machine) == before


async def test_a20_a_bearer_opens_its_own_role_and_no_other() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer("prod-logs")
        before = questions(machine)
        small(await machine.fetch("prod-admin", bearer), 401, "unauthorized")
        assert questions(machine) == before


@pytest.mark.parametrize("lane", [True, False])
async def test_a20_a_warm_roles_bearer_opens_no_other_role(lane: bool) -> None:
    async with workstation(lane=lane) as machine:
        await granted(machine, "prod-admin")
        other = await granted(machine, "prod-logs")
        before = questions(machine)
        small(await machine.fetch("prod-admin", other), 401, "unauthorized")
        assert questions(machine) == before


async def test_a20_a_bearer_dies_with_its_session() -> None:
    async with workstation() as machine:
        told = await machine.another_program({"role": "prod-admin"})
        small(await machine.fetch("prod-admin", told["bearer"], within=2), 401, "unauthorized")
        assert questions(machine) == 1  # the list of roles, asked with the bearer


async def test_an_agent_of_the_same_session_makes_its_own_request() -> None:
    async with workstation(alive=lambda sid, start: True) as machine:
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", share="device")
        await granted(machine)
        beside = await machine.another_program({"role": "prod-admin"})
        answer = await machine.fetch("prod-admin", beside["bearer"], within=2)
        assert answer.status == 200  # shared with a program of another session …
        agent = await machine.another_program({"role": "prod-admin"}, session=False, CLAUDECODE="1")
        fetch = asyncio.get_running_loop().create_task(
            machine.fetch("prod-admin", agent["bearer"], within=5)
        )
        asked = await machine.fake.asked_for(2)  # … and never with an agent
        assert asked.request.context["agent"] == "claude-code"
        fetch.cancel()


async def test_another_sessions_elevation_lifts_nobody_here() -> None:
    async with workstation(alive=lambda sid, start: True) as machine:
        machine.fake.roles |= {
            "dev": role_entry("dev", base="base"),
            "base": role_entry("base"),
        }
        machine.fake.auto = True
        mine = await machine.bearer("dev")
        base = (await machine.fetch("dev", mine)).json["AccessKeyId"]
        await machine.another_asks("prod-admin")
        assert (await machine.fetch("dev", mine, within=2)).json["AccessKeyId"] == base


async def test_a20_two_authorization_headers_are_none() -> None:
    async with workstation() as machine:
        bearer = await granted(machine)
        extra = f"Authorization: {bearer}"
        assert (await machine.fetch("prod-admin", bearer, extra, BOTO)).status in (400, 401)


@pytest.mark.parametrize("lane", [True, False])
async def test_a20_bearers_are_compared_by_hash_and_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, lane: bool
) -> None:
    """Found by a hash that nobody can steer; and a wrong one costs the comparison all the same."""
    compared: list[tuple[int, int]] = []

    class Counting:
        @staticmethod
        def compare_digest(one: str, other: str) -> bool:
            compared.append((len(one), len(other)))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(groups, "hmac", Counting)
    async with workstation(lane=lane) as machine:
        right = await machine.bearer()
        for bearer in ("wrong", "x" * 43, right):
            compared.clear()
            await machine.fetch("dev-read", bearer)
            assert set(compared) == {(64, 64)}


async def test_a20_bearers_are_kept_as_hashes_only() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        kept = (machine.state / groups.NAME).read_text()
        assert bearer not in kept
        assert len(bearer) >= 43  # 256 bits
        assert (machine.state / groups.NAME).stat().st_mode & 0o077 == 0


async def test_a33_where_the_kernel_names_nobody_old_bearers_are_dead_after_a_restart() -> None:
    async with workstation(peers=Unknown) as machine:
        bearer = await granted(machine)
        await machine.end()
        # A squatter could have been sent the bearer here.
        await machine.start()
        small(await machine.fetch("prod-admin", bearer), 401, "unauthorized")


async def test_a53_asking_again_after_a_no_is_refused_from_memory() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        fetch = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        await machine.fake.asked_for()
        await machine.fake.deny()
        await fetch
        for _ in range(20):
            assert (await machine.fetch("prod-admin", bearer)).status == 403
        same = await machine.control("POST", "/v1/ask", {"role": "prod-admin", "wait": False})
        assert same["status"] == 403
        assert machine.fake.calls["/bc-authorize"] == 1


async def test_a70_without_contact_a_sensitive_role_is_served_no_longer_than_its_lease() -> None:
    async with workstation() as machine:
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", tier="sensitive")
        bearer = await granted(machine)
        machine.fake.down = True  # the partition: a revocation could not reach us
        machine.shift.both(59)
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        machine.shift.both(61)
        held = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        await asyncio.sleep(1.0)
        assert not held.done()  # held, not refused: the job survives
        machine.fake.down = False
        assert (await held).status == 200


async def test_a70_the_lease_also_runs_while_the_machine_sleeps() -> None:
    async with workstation() as machine:
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", tier="critical")
        bearer = await granted(machine)
        machine.fake.down = True
        machine.shift.boot += 3000  # a suspend; a wall clock that was put back
        held = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        await asyncio.sleep(0.6)
        assert not held.done()
        held.cancel()


async def test_a70_without_contact_nothing_sensitive_is_minted_either() -> None:
    """A partition of the events path alone: what could be minted must not be."""
    async with workstation() as machine:
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", tier="sensitive")
        machine.fake.credential_seconds = 900
        bearer = await granted(machine)
        machine.fake.hold_events = True
        machine.shift.both(901)  # the credential is over, the grant is not
        before = machine.fake.calls["exchange"]
        held = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        await asyncio.sleep(0.8)
        assert not held.done()
        assert machine.fake.calls["exchange"] == before
        machine.fake.hold_events = False
        held.cancel()


async def test_a68_what_could_not_be_recorded_is_a_503_and_no_credential() -> None:
    """The minter could not write its log first: that is told, and not tried again and again."""
    async with workstation() as machine:
        machine.fake.mint_error = Unavailable("the log cannot be written", state=NOT_RECORDED)
        machine.fake.auto = True
        bearer = await machine.bearer()
        answer = await machine.fetch("prod-admin", bearer, GO, within=3)
        assert answer.status == 503
        assert "AccessKeyId" not in answer.json
        assert (await machine.fetch("prod-admin", bearer, GO, within=3)).status == 503
        assert machine.fake.calls["exchange"] == 1  # remembered: the retries are not passed on


async def test_a71_an_approval_that_arrives_after_the_revocation_is_ignored() -> None:
    """The yes is on its way while its grant is revoked; it comes late, and then once more."""
    async with workstation() as machine:
        bearer = await granted(machine, "prod-logs")  # keeps the events poll open
        bearer = await machine.bearer()
        fetch = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        asked = await machine.fake.asked_for(2)
        machine.fake.hold_answers = True
        grant = await machine.fake.approve(asked)
        await machine.fake.acknowledged(await machine.fake.revoke(grant))
        grant.state = "active"  # the late answer, of an approver that has not heard of it
        machine.fake.hold_answers = False
        await machine.fake.wake()
        assert (await fetch).status != 200
        for _ in range(2):  # and any later one of the same grant
            again = await machine.fetch("prod-admin", bearer, within=2)
            assert again.status == 403
        assert grant.mints == 0
        status = await machine.control("GET", "/v1/status")
        assert grant.id not in [each["grant"] for each in status["grants"]]


async def test_a72_no_serve_starts_after_a_revocation_was_acknowledged() -> None:
    async with workstation() as machine:
        bearer = await granted(machine)
        (grant,) = machine.fake.grants.values()
        jti = await machine.fake.revoke(grant)
        with contextlib.suppress(TimeoutError):  # held: dropped already, not acknowledged yet
            while jti not in machine.fake.acked:
                await machine.fetch("prod-admin", bearer, within=0.3)
        await machine.fake.acknowledged(jti)
        after = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        await machine.fake.asked_for(2)
        assert not after.done()
        await machine.fake.deny()
        assert (await after).status != 200


async def test_a72_credentials_that_arrive_after_the_revocation_are_dropped() -> None:
    async with workstation() as machine:
        machine.fake.credential_seconds = 900
        bearer = await granted(machine)
        (grant,) = machine.fake.grants.values()
        await machine.fake.acknowledged(await machine.fake.revoke(grant))
        grant.state = "active"  # an approver that would mint all the same
        fetch = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        await asyncio.sleep(0.7)
        assert not fetch.done() or fetch.result().status != 200
        fetch.cancel()


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../prod-admin",
        "prod-admin/..",
        "%2e%2e",
        "prod%2fadmin",
        "prod-admin%00",
        "prod-admin%0d%0a",
        "Prod-Admin",
        "prod\u2011admin",
        "%D1%80rod-admin",
        "a" * 65,
        "",
        "prod-admin/",
        "prod-admin;x",
        "prod admin",
    ],
)
async def test_a84_a_name_that_no_role_can_have_is_404_without_an_upstream_call(name: str) -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        before = questions(machine)
        head = machine.head("ROLE", bearer).replace(b"ROLE", name.encode())
        answer = await machine.raw(head)
        assert answer.status in (400, 404)
        assert questions(machine) == before


async def test_a42_no_secret_reaches_the_log_or_the_status() -> None:
    async with workstation() as machine:
        bearer = await granted(machine)
        status = json.dumps(await machine.control("GET", "/v1/status"))
        for canary in ("canary-secret", "canary-token", bearer):
            assert canary not in status
        for path in machine.state.path.rglob("*"):
            if path.is_file():
                kept = path.read_bytes()
                for secret in (b"canary-secret", b"canary-token", bearer.encode()):
                    assert secret not in kept


async def test_a74_after_a_suspend_a_dead_poll_is_not_waited_for() -> None:
    async with workstation() as machine:
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", tier="sensitive")
        bearer = await granted(machine)
        await asyncio.sleep(0.4)  # the long poll is open by now, and nothing will come over it
        machine.shift.boot += 600
        machine.shift.wall += 600
        async with asyncio.timeout(5):
            assert (await machine.fetch("prod-admin", bearer)).status == 200
