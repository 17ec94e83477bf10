"""The broker's promises, over real sockets: one question, everybody served, a no remembered."""

from __future__ import annotations

import asyncio
import calendar
import time
from typing import TYPE_CHECKING

import pytest

from borrow.daemon.front import Limits
from borrow.protocol.errors import Refused
from borrow_fakes.approver import role_entry
from borrow_fakes.workstation import GO, Fetched, Workstation, workstation

if TYPE_CHECKING:
    from collections.abc import Callable


def fetching(machine: Workstation, bearer: str, *lines: str) -> asyncio.Task[Fetched]:
    return asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer, *lines))


async def granted(machine: Workstation, role: str = "prod-admin") -> str:
    """A bearer of a group that holds a live grant with a credential."""
    bearer = await machine.bearer(role)
    fetch = asyncio.get_running_loop().create_task(machine.fetch(role, bearer))
    await machine.fake.asked_for()
    await machine.fake.approve()
    assert (await fetch).status == 200
    return bearer


async def until(happened: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110  a list has no event to wait for
            await asyncio.sleep(0.01)


async def test_a_call_that_was_held_is_answered_by_the_yes() -> None:
    async with workstation() as machine:
        fetch = fetching(machine, await machine.bearer())
        await machine.fake.asked_for()
        await asyncio.sleep(0.8)
        await machine.fake.approve()
        answer = await fetch
    assert answer.status == 200
    assert answer.json["AccessKeyId"].startswith("ASIA")
    assert answer.spaces >= 2


async def test_two_hundred_callers_are_one_question_and_all_are_served() -> None:
    # The door grants one process 64 connections; this one stands for several.
    async with workstation(limits=Limits(per_process=256)) as machine:
        bearer = await machine.bearer()
        fetches = [fetching(machine, bearer) for _ in range(200)]
        await machine.fake.asked_for()
        await asyncio.sleep(0.6)
        await machine.fake.approve()
        answers = await asyncio.gather(*fetches)
        assert [answer.status for answer in answers] == [200] * 200
        assert machine.fake.calls["/bc-authorize"] == 1
        assert machine.fake.calls["exchange"] == 1


async def test_a_yes_within_a_moment_is_a_plain_answer() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        answers = []
        for _ in range(5):  # a moment is 0.4 s, and a busy machine may miss it
            answers.append(await machine.fetch("prod-admin", bearer))
            await machine.control("POST", "/v1/return", {"role": "prod-admin"})
    assert (200, 0) in [(answer.status, answer.spaces) for answer in answers]


async def test_the_visible_expiration_is_ninety_seconds_away() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        answer = await machine.fetch("prod-admin", await machine.bearer())
    shown = time.strptime(answer.json["Expiration"], "%Y-%m-%dT%H:%M:%SZ")
    left = calendar.timegm(shown) - machine.shift.now().wall
    assert 80 < left <= 90


async def test_a_no_after_an_opened_answer_cuts_the_connection_and_the_retry_sees_why() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        fetch = fetching(machine, bearer)
        asked = await machine.fake.asked_for()
        await asyncio.sleep(0.6)
        await machine.fake.deny(reason="outside working hours")
        assert (await fetch).status == -1
        retry = await machine.fetch("prod-admin", bearer)
        assert retry.status == 403
        assert "outside working hours" in retry.json["Message"]
        assert retry.json["request"] == asked.id
        assert machine.fake.calls["/bc-authorize"] == 1


async def test_go_waits_without_a_byte_and_sees_the_true_status() -> None:
    async with workstation() as machine:
        fetch = fetching(machine, await machine.bearer(), GO)
        await machine.fake.asked_for()
        await asyncio.sleep(0.6)
        await machine.fake.deny()
        answer = await fetch
    assert (answer.status, answer.json["code"]) == (403, "AccessDenied")


async def test_a_refusal_by_policy_is_a_true_status_and_asks_nobody_again() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        machine.fake.refusal = Refused("no rule allows 'prod-admin'", state="policy")
        for _ in range(3):
            answer = await machine.fetch("prod-admin", bearer)
            assert answer.status == 403
        assert machine.fake.calls["/bc-authorize"] == 1
        machine.fake.refusal, machine.fake.auto = None, True
        machine.shift.both(31)
        assert (await machine.fetch("prod-admin", bearer)).status == 200


async def test_too_many_questions_in_vain_end_the_call_instead_of_being_asked_on() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        machine.fake.refusal = Refused("3 requests were denied", state="throttled", hint="wait")
        answer = await machine.fetch("prod-admin", bearer, within=3)
        assert (answer.status, answer.json["code"]) == (403, "AccessDenied")
        assert "3 requests were denied" in answer.json["Message"]
        assert machine.fake.calls["/bc-authorize"] == 1


async def test_a_no_holds_for_programs_and_a_new_reason_opens_the_way() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        fetch = fetching(machine, bearer)
        await machine.fake.asked_for()
        await machine.fake.deny()
        await fetch
        machine.shift.both(880)
        assert (await machine.fetch("prod-admin", bearer)).status == 403
        assert machine.fake.calls["/bc-authorize"] == 1
        again = await machine.ask({"role": "prod-admin", "reason": "INC-7", "wait": False})
        assert again[0]["event"] == "waiting"


async def test_a_client_that_gives_up_and_comes_back_joins_its_question() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        async with machine.connection() as (_, writer):
            writer.write(machine.head("prod-admin", bearer))
            await machine.fake.asked_for()
        await asyncio.sleep(0.1)
        fetch = fetching(machine, bearer)
        await asyncio.sleep(0.1)
        await machine.fake.approve()
        assert (await fetch).status == 200
        assert len(machine.fake.asked) == 1


async def test_when_all_clients_left_the_request_is_cancelled_after_the_grace() -> None:
    async with workstation(grace=0.2) as machine:
        bearer = await machine.bearer()
        async with machine.connection() as (_, writer):
            writer.write(machine.head("prod-admin", bearer))
            asked = await machine.fake.asked_for()
        await machine.fake.until_cancelled(asked)
        # And a later run is a new question, not a refusal.
        fetch = fetching(machine, bearer)
        await machine.fake.asked_for(2)
        await machine.fake.approve()
        assert (await fetch).status == 200


async def test_what_a_person_asked_for_stays_when_nobody_waits() -> None:
    async with workstation(grace=0.1) as machine:
        events = await machine.ask({"role": "prod-admin", "wait": False})
        assert [event["event"] for event in events] == ["waiting"]
        await asyncio.sleep(0.4)
        assert machine.fake.last.state == "pending"
        await machine.fake.approve()
        await until(lambda: machine.fake.last.grant != "")
        bearer = await machine.bearer()
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        assert len(machine.fake.asked) == 1


async def test_a_rule_that_needs_a_reason_holds_the_call_until_somebody_gives_it() -> None:
    async with workstation() as machine:
        machine.fake.needs["prod-admin"] = {"reason": "at least 10 characters"}
        bearer = await machine.bearer()
        fetch = fetching(machine, bearer)
        await until(lambda: machine.fake.calls["/bc-authorize"] == 1)
        events = await machine.ask({"role": "prod-admin", "wait": False})
        assert events[0]["event"] == "needs"
        assert events[0]["fields"] == {"reason": "at least 10 characters"}
        events = await machine.ask(
            {"role": "prod-admin", "reason": "the db is down", "wait": False}
        )
        assert events[0]["event"] == "waiting"
        assert machine.fake.last.request.role.justification == "the db is down"
        await machine.fake.approve()
        assert (await fetch).status == 200


async def test_the_reason_given_with_the_bearer_is_used_first() -> None:
    async with workstation() as machine:
        machine.fake.needs["prod-admin"] = {"reason": "why"}
        machine.fake.auto = True
        bearer = await machine.bearer(reason="nightly restore")
        assert (await machine.fetch("prod-admin", bearer)).status == 200


async def test_nobody_is_asked_inside_a_live_grant() -> None:
    async with workstation() as machine:
        machine.fake.credential_seconds = 900
        bearer = await granted(machine)
        machine.shift.both(1000)
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        assert len(machine.fake.asked) == 1
        assert machine.fake.calls["exchange"] == 2


async def test_a_credential_is_renewed_in_the_background_before_it_ends() -> None:
    async with workstation() as machine:
        machine.fake.credential_seconds = 1800
        bearer = await granted(machine)
        machine.shift.both(1000)  # 800 s left of it, and the grant goes on
        first = await machine.fetch("prod-admin", bearer)
        await until(lambda: machine.fake.calls["exchange"] == 2)
        await asyncio.sleep(0.1)
        second = await machine.fetch("prod-admin", bearer)
    assert first.json["AccessKeyId"] != second.json["AccessKeyId"]


async def test_past_the_grants_end_the_call_is_held_and_asked_anew() -> None:
    async with workstation() as machine:
        bearer = await granted(machine)
        machine.shift.both(3601)
        for grant in machine.fake.grants.values():
            grant.state = "expired"
        fetch = fetching(machine, bearer)
        await machine.fake.asked_for(2)
        await asyncio.sleep(0.6)
        assert not fetch.done()
        await machine.fake.approve()
        assert (await fetch).status == 200


async def test_a_revoked_grant_is_served_no_more_once_the_event_is_acknowledged() -> None:
    async with workstation() as machine:
        bearer = await granted(machine)
        (grant,) = machine.fake.grants.values()
        await machine.fake.acknowledged(await machine.fake.revoke(grant))
        fetch = fetching(machine, bearer)
        await machine.fake.asked_for(2)
        assert not fetch.done()
        await machine.fake.deny()
        assert (await fetch).status in (-1, 403)


async def test_after_a_restart_the_same_bearer_gets_the_same_grant_without_a_prompt() -> None:
    async with workstation() as machine:
        bearer = await granted(machine)
        port = machine.port
        await machine.end()
        await machine.start()
        assert machine.port == port
        answer = await machine.fetch("prod-admin", bearer)
        assert answer.status == 200
        assert len(machine.fake.asked) == 1
        assert len(machine.fake.grants) == 1


async def test_an_approver_out_of_reach_is_waited_for() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        machine.fake.down = True
        fetch = fetching(machine, bearer)
        await asyncio.sleep(1.0)
        assert not fetch.done()
        machine.fake.down = False
        assert (await fetch).status == 200


async def test_without_enrolment_the_call_fails_at_once_and_says_how_to_go_on() -> None:
    async with workstation(enrolled=False) as machine:
        answer = await machine.control("POST", "/v1/bearers", {"role": "prod-admin"})
        assert answer["status"] == 409
        assert "borrow setup" in answer["error"]["hint"]


async def test_a_role_shared_on_the_device_serves_another_group_and_says_so() -> None:
    async with workstation() as machine:
        machine.fake.roles["prod-logs"] = role_entry("prod-logs", share="device")
        await granted(machine, "prod-logs")
        told = await machine.ask({"role": "prod-logs", "wait": True})
        assert told[-1]["event"] == "granted"
        assert len(machine.fake.asked) == 1


async def test_an_elastic_role_is_its_base_until_its_callers_are_lifted() -> None:
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", base="dev-read")
        machine.fake.roles["dev-read"] = role_entry("dev-read", mode="auto")
        machine.fake.auto = True
        bearer = await machine.bearer("work")
        base = await machine.fetch("work", bearer)
        assert base.json["RoleArn"].endswith("role/dev-read")
        await machine.ask({"role": "prod-admin", "wait": True})
        lifted = await machine.fetch("work", bearer)
        assert lifted.json["RoleArn"].endswith("role/prod-admin")
        await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        again = await machine.fetch("work", bearer)
        assert again.json["RoleArn"].endswith("role/dev-read")


@pytest.mark.parametrize("mode", ["auto", "peer"])
async def test_what_one_command_runs_with_lifts_nobody_until_their_person_chooses_it(
    mode: str,
) -> None:
    """A role used in the same terminal for something else is no elevation, whoever said yes."""
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", base="dev-read")
        machine.fake.roles["dev-read"] = role_entry("dev-read", mode="auto")
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", mode=mode)
        machine.fake.auto = True
        bearer, apply = await machine.bearer("work"), await machine.bearer("prod-admin")
        assert (await machine.fetch("prod-admin", apply)).status == 200
        before = await machine.fetch("work", bearer)
        assert before.json["RoleArn"].endswith("role/dev-read")
        asked = len(machine.fake.asked)
        await machine.ask({"role": "prod-admin", "wait": True})
        lifted = await machine.fetch("work", bearer)
        assert lifted.json["RoleArn"].endswith("role/prod-admin")
        assert len(machine.fake.asked) == asked  # it was there: nobody was asked
        await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        again = await machine.fetch("work", bearer)
        assert again.json["RoleArn"].endswith("role/dev-read")
        assert (await machine.fetch("prod-admin", apply)).status == 200
        later = await machine.fetch("work", bearer)
        assert later.json["RoleArn"].endswith("role/dev-read")


async def test_of_two_roles_that_a_person_chose_for_a_session_the_newest_is_served() -> None:
    """However long the older one lasts; what it was chosen for again is a new choice."""
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", base="dev-read")
        machine.fake.roles["dev-read"] = role_entry("dev-read", mode="auto")
        machine.fake.auto = True
        bearer = await machine.bearer("work")

        async def served() -> str:
            answer = await machine.fetch("work", bearer)
            return str(answer.json["RoleArn"]).rpartition("/")[2]

        await machine.ask({"role": "prod-admin", "wait": True})
        machine.fake.grant_seconds = 600
        await machine.ask({"role": "prod-logs", "wait": True})
        assert await served() == "prod-logs"
        await machine.ask({"role": "prod-admin", "wait": True})
        assert await served() == "prod-admin"
        body = {"role": "prod-logs", "seconds": 1800}
        assert [event async for event in machine.events("/v1/extend", body)]
        assert await served() == "prod-admin"
        await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        assert await served() == "prod-logs"


async def test_an_extension_replaces_the_grant_and_the_job_goes_on() -> None:
    async with workstation() as machine:
        bearer = await granted(machine)
        (old,) = machine.fake.grants
        told: list[dict[str, object]] = []

        async def extend() -> None:
            body = {"role": "prod-admin", "seconds": 1800, "reason": "still at it"}
            told.extend([event async for event in machine.events("/v1/extend", body)])

        task = asyncio.get_running_loop().create_task(extend())
        asked = await machine.fake.asked_for(2)
        assert asked.request.extends == old
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        await machine.fake.approve()
        await task
        assert told[-1]["event"] == "granted"
        assert told[-1]["grant"] != old
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        status = await machine.control("GET", "/v1/status")
        assert [grant["grant"] for grant in status["grants"]] == [told[-1]["grant"]]


async def test_what_is_given_back_is_served_no_more_and_the_approver_is_told() -> None:
    async with workstation() as machine:
        await granted(machine)
        (grant,) = machine.fake.grants.values()
        told = await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        assert told["returned"] == [grant.id]
        await until(lambda: grant.state == "released")
        assert (await machine.control("GET", "/v1/status"))["grants"] == []


async def test_stopping_cuts_held_calls_and_waits_for_none() -> None:
    async with workstation() as machine:
        fetches = [fetching(machine, await machine.bearer()) for _ in range(10)]
        await machine.fake.asked_for()
        await asyncio.sleep(0.6)
        async with asyncio.timeout(30):  # aiohttp by itself would wait for them, a minute long
            await machine.end()
        answers = await asyncio.gather(*fetches, return_exceptions=True)
        assert all(isinstance(a, Fetched | OSError | EOFError) for a in answers)
        await machine.start()


async def test_a_refused_extension_takes_nothing_from_the_live_grant() -> None:
    async with workstation() as machine:
        machine.fake.credential_seconds = 900
        bearer = await granted(machine)

        async def extend() -> list[dict[str, object]]:
            body = {"role": "prod-admin", "seconds": 1800}
            return [event async for event in machine.events("/v1/extend", body)]

        task = asyncio.get_running_loop().create_task(extend())
        await machine.fake.asked_for(2)
        await machine.fake.deny()
        assert (await task)[-1]["event"] == "refused"
        machine.shift.both(901)  # its credential is over, the grant is not
        assert (await machine.fetch("prod-admin", bearer)).status == 200


async def test_a_token_that_the_approver_lost_is_replaced_without_a_question() -> None:
    async with workstation() as machine:
        machine.fake.credential_seconds = 1
        bearer = await granted(machine)
        (grant,) = machine.fake.grants.values()
        grant.token = "lost"
        await asyncio.sleep(1.1)  # until the credential is over
        machine.fake.credential_seconds = 3600
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        assert len(machine.fake.asked) == 1


async def test_a_grant_that_ends_while_it_is_collected_is_asked_for_again() -> None:
    """An approver may resume a grant in its very last second: nothing could follow from that."""
    async with workstation() as machine:
        machine.fake.auto = True
        machine.fake.grant_seconds = 0
        fetch = asyncio.get_running_loop().create_task(
            machine.fetch("prod-admin", await machine.bearer())
        )
        await machine.fake.asked_for()
        await until(lambda: any(grant.token for grant in machine.fake.grants.values()))
        (over,) = machine.fake.grants.values()
        over.state = "expired"
        machine.fake.grant_seconds = 3600
        assert (await fetch).status == 200
        assert len(machine.fake.asked) == 2


async def test_a_question_waits_until_the_approver_knows_what_was_given_back() -> None:
    """Else it would join the grant that is on its way out, and serve what was given back."""
    async with workstation() as machine:
        bearer = await granted(machine)
        machine.fake.hold_releases = True
        await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        fetch = fetching(machine, bearer)
        await asyncio.sleep(0.5)
        assert machine.fake.calls["/bc-authorize"] == 1
        machine.fake.hold_releases = False
        await machine.fake.wake()
        await machine.fake.asked_for(2)
        await machine.fake.approve()
        assert (await fetch).status == 200


async def test_a_question_does_not_wait_for_ever_for_a_release() -> None:
    async with workstation() as machine:
        bearer = await granted(machine)
        machine.fake.hold_releases = True
        await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        fetch = fetching(machine, bearer)
        await until(lambda: machine.fake.calls["/bc-authorize"] == 2)
        machine.fake.hold_releases = False
        await machine.fake.wake()
        fetch.cancel()


async def test_a_question_that_joined_a_grant_on_its_way_out_is_asked_anew() -> None:
    """Somebody gave it back, or revoked it, between the question and its answer."""
    async with workstation() as machine:
        machine.fake.hold_answers = True
        fetch = fetching(machine, await machine.bearer())
        await machine.fake.asked_for()
        gone = await machine.fake.approve()
        gone.state = "released"
        machine.fake.hold_answers = False
        await machine.fake.wake()
        await machine.fake.asked_for(2)
        await machine.fake.approve()
        assert (await fetch).status == 200
