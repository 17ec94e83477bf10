"""IMDSv2: off until switched on, no answer without its token, real expiries."""

from __future__ import annotations

import asyncio
import calendar
import os
import shutil
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.daemon.forwarders import is_forwarder
from borrow.daemon.imds import Tokens
from borrow.daemon.peer import Unknown
from borrow_fakes.approver import role_entry
from borrow_fakes.edge import SYSTEM_PYTHON, need_two_users, run_program
from borrow_fakes.tools import lacking, need
from borrow_fakes.workstation import Fetched, Workstation, workstation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROLES = "/latest/meta-data/iam/security-credentials"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


@asynccontextmanager
async def offering() -> AsyncIterator[Workstation]:
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", imds=True)
        machine.fake.auto = True
        assert (await machine.control("POST", "/v1/imds", {"role": "work"}))["status"] == 200
        yield machine


async def call(machine: Workstation, method: str, path: str, *lines: str) -> Fetched:
    head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{machine.port}", *lines]
    return await machine.raw(("\r\n".join(head) + "\r\n\r\n").encode())


async def token(machine: Workstation) -> str:
    answer = await call(machine, "PUT", "/latest/api/token", f"{TTL}: 60")
    assert answer.status == 200
    return f"X-aws-ec2-metadata-token: {answer.body.decode()}"


async def test_it_is_off_until_it_is_switched_on() -> None:
    async with workstation() as machine:
        assert (await call(machine, "PUT", "/latest/api/token", f"{TTL}: 60")).status == 404
        assert (await call(machine, "GET", f"{ROLES}/")).status == 404


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_role_is_listed_and_served_with_its_real_expiry(slash: str) -> None:
    async with offering() as machine:
        key = await token(machine)
        for path in (ROLES, f"{ROLES}/"):
            assert (await call(machine, "GET", slash + path, key)).body == b"work"
        answer = await call(machine, "GET", f"{slash}{ROLES}/work", key)
        assert answer.status == 200
        end = calendar.timegm(time.strptime(answer.json["Expiration"], "%Y-%m-%dT%H:%M:%SZ"))
        assert end - machine.shift.now().wall > 3000
        assert machine.fake.last.request.context["via"] == "imds"
        assert machine.fake.last.request.group == "imds"


@pytest.mark.parametrize("line", ["", "X-aws-ec2-metadata-token: x", "X-aws-ec2-metadata-token:"])
async def test_version_one_and_wrong_tokens_are_refused_and_ask_nobody(line: str) -> None:
    async with offering() as machine:
        before = machine.fake.calls.total()
        for path in (f"{ROLES}/work", f"{ROLES}/", "/latest/meta-data/"):
            assert (await call(machine, "GET", path, *([line] if line else []))).status == 401
        assert machine.fake.calls.total() == before


@pytest.mark.parametrize("ttl", ["", "0", "-1", "21601", "x", "1e3", "٣", "999999999"])
async def test_a_token_needs_a_ttl_within_its_bounds(ttl: str) -> None:
    async with offering() as machine:
        lines = [f"{TTL}: {ttl}"] if ttl else []
        assert (await call(machine, "PUT", "/latest/api/token", *lines)).status in (400, 0)


async def test_a_token_ends() -> None:
    async with offering() as machine:
        key = await token(machine)
        machine.shift.both(61)
        assert (await call(machine, "GET", f"{ROLES}/", key)).status == 401


@pytest.mark.parametrize("entry", [{"imds": False}, {"imds": True, "tier": "sensitive"}])
async def test_only_a_role_that_the_policy_marks_below_sensitive_is_offered(
    entry: dict[str, Any],
) -> None:
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", **entry)
        assert (await machine.control("POST", "/v1/imds", {"role": "work"}))["status"] == 403
        assert (await call(machine, "PUT", "/latest/api/token", f"{TTL}: 60")).status == 404


async def test_a_role_that_the_policy_took_from_imds_is_served_no_more() -> None:
    async with offering() as machine:
        key = await token(machine)
        machine.fake.roles["work"] = role_entry("work", imds=False)
        machine.shift.both(6)
        await machine.control("GET", "/v1/roles")  # the new list arrives
        key = await token(machine)
        assert (await call(machine, "GET", f"{ROLES}/work", key)).status == 403
        assert machine.fake.calls["/bc-authorize"] == 0


async def test_where_the_kernel_names_nobody_it_cannot_be_switched_on() -> None:
    async with workstation(peers=Unknown) as machine:
        machine.fake.roles["work"] = role_entry("work", imds=True)
        assert (await machine.control("POST", "/v1/imds", {"role": "work"}))["status"] == 409
        assert (await call(machine, "PUT", "/latest/api/token", f"{TTL}: 60")).status == 404


FORWARDERS = (
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Via"),
    *("X-Real-IP", "X-Client-IP", "X-Envoy-External-Address", "Proxy-Connection"),
)


@pytest.mark.parametrize("name", FORWARDERS)
async def test_a13_a_forwarder_gets_neither_token_nor_credentials(name: str) -> None:
    """Also with a token of its own: whoever forwards speaks for somebody else."""
    async with offering() as machine:
        key = await token(machine)
        for value in ("10.0.0.1", ""):
            line = f"{name}: {value}"
            put = await call(machine, "PUT", "/latest/api/token", f"{TTL}: 60", line)
            got = await call(machine, "GET", f"{ROLES}/work", key, line)
            assert (put.status, got.status) == (403, 403)
            assert (put.json, got.json) == ({"error": "proxied"}, {"error": "proxied"})
        assert machine.fake.calls["/bc-authorize"] == 0


async def test_other_roles_and_paths_are_not_there() -> None:
    async with offering() as machine:
        key = await token(machine)
        for path in (f"{ROLES}/prod-admin", f"{ROLES}/work/more", "/latest/user-data"):
            assert (await call(machine, "GET", path, key)).status == 404
        assert machine.fake.calls["/bc-authorize"] == 0


STUBS = {
    "/latest/": "dynamic/\nmeta-data/",
    "/latest/meta-data": "iam/\ninstance-id\nplacement/",
    "/latest/meta-data/iam/": "security-credentials/",
    "/latest/meta-data/placement/region": "eu-central-1",
    "//latest/meta-data/placement/availability-zone": "eu-central-1a",
    "/latest/meta-data/instance-id/": "i-00000000000000000",
}


async def test_what_tools_probe_follows_from_the_role_and_asks_nobody() -> None:
    async with offering() as machine:
        key = await token(machine)
        for path, text in STUBS.items():
            assert (await call(machine, "GET", path, key)).body.decode() == text
            assert (await call(machine, "GET", path)).status == 401
        document = await call(machine, "GET", "/latest/dynamic/instance-identity/document", key)
        assert document.json["region"] == "eu-central-1"
        assert document.json["accountId"] == "111122223333"
        assert (await call(machine, "GET", "/latest/user-data", key)).status == 404
        assert not machine.fake.asked


async def test_a_role_without_a_region_gives_none() -> None:
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", imds=True, region="")
        await machine.control("POST", "/v1/imds", {"role": "work"})
        key = await token(machine)
        path = "/latest/meta-data/placement/region"
        assert (await call(machine, "GET", path, key)).status == 404


async def test_a_question_for_one_role_is_not_joined_by_another() -> None:
    async with offering() as machine:
        machine.fake.auto = False
        machine.fake.roles["other"] = role_entry("other", imds=True)
        machine.shift.both(6)  # the catalogue is asked for an unknown role every five seconds
        key = await token(machine)
        first = asyncio.get_running_loop().create_task(call(machine, "GET", f"{ROLES}/work", key))
        await machine.fake.asked_for(1)
        await machine.control("POST", "/v1/imds", {"role": "other"})
        second = asyncio.get_running_loop().create_task(call(machine, "GET", f"{ROLES}/other", key))
        asked = await machine.fake.asked_for(2)
        await machine.fake.approve(asked)
        assert (await second).json["RoleArn"].endswith("role/other")
        assert not first.done()
        first.cancel()


@given(st.text(max_size=80))
def test_no_text_is_a_token(text: str) -> None:
    assert not Tokens(b"k" * 32).holds(text, 0.0)


def test_a_token_of_another_key_or_with_a_longer_life_does_not_hold() -> None:
    tokens, others = Tokens(b"k" * 32), Tokens(b"o" * 32)
    issued = tokens.issue(60, 100.0)
    assert tokens.holds(issued, 159.0)
    assert not tokens.holds(issued, 160.0)
    assert not others.holds(issued, 100.0)
    assert not tokens.holds("AAAAAAAAAA" + issued[10:], 100.0)


# -- who passes on what others ask -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("exe", "does"),
    [
        ("/usr/bin/slirp4netns", True),
        ("/usr/bin/pasta (deleted)", True),
        ("/usr/bin/qemu-system-x86_64", True),
        ("/usr/bin/ssh", True),
        ("/usr/bin/python3.11", False),
        ("/home/ann/slirp4netns/aws", False),
        ("", False),
    ],
)
def test_a_forwarder_is_known_by_the_file_that_runs(exe: str, does: bool) -> None:
    assert is_forwarder(exe) is does


ASK = r"""
import socket, sys
def ask(method, path, *lines):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
    head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{sys.argv[1]}", *lines]
    head += ["Connection: close"]
    s.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
    answer = b""
    while piece := s.recv(65536):
        answer += piece
    return answer.decode()
print(ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60").split()[1])
print(ask("GET", sys.argv[2], f"X-aws-ec2-metadata-token: {sys.argv[3]}").split()[1])
"""


@pytest.mark.parametrize(("name", "codes"), [("slirp4netns", "403\n403"), ("tool", "200\n200")])
async def test_a28_what_comes_through_a_containers_network_gets_no_imds(
    name: str, codes: str, tmp_path: Path
) -> None:
    """The very same program, under the name of a forwarder and under another one."""
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    program = tmp_path / name
    shutil.copy(os.path.realpath(SYSTEM_PYTHON), program)  # noqa: ASYNC240  once
    async with offering() as machine:
        key = (await token(machine)).partition(": ")[2]
        child = await asyncio.create_subprocess_exec(
            *(str(program), "-I", "-c", ASK, str(machine.port), f"{ROLES}/work", key),
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONHOME": "/usr"},
        )
        said, _ = await child.communicate()
        assert said.decode().strip() == codes
        if "403" in codes:
            status = await machine.control("GET", "/v1/status")
            assert status["refused"]["forwarder"] == 2
            assert machine.fake.calls["/bc-authorize"] == 0


HAND_OVER = r"""
import ctypes, os, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET, with the socket in hand
    sys.exit(7)
s.sendall((f"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1:{sys.argv[1]}\r\n"
    "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n").encode())
print(s.recv(65536).decode().split()[1])
"""


async def test_a_process_in_another_network_namespace_gets_no_imds() -> None:
    need_two_users()  # root, to make a namespace
    async with offering() as machine:
        code, said = await run_program(SYSTEM_PYTHON, "-I", "-c", HAND_OVER, str(machine.port))
        need("no network namespaces here" if code == 7 else None, "run as root")
        assert said.strip() == "403"
