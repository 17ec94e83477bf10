"""An agent makes its own requests: with its person's bearer, in its person's session or alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from borrow.daemon.agents import Agent, Agents
from borrow.daemon.groups import Group
from borrow.daemon.peer import Peer
from borrow_fakes.approver import role_entry
from borrow_fakes.workstation import Workstation, read_answer, workstation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

ROLE = "prod-admin"
AGENT = {"CLAUDECODE": "1"}

# An SDK's fetch: with what the environment names, and whatever came printed as one line.
FETCH = """
import json, os, urllib.request, urllib.error
r = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
r.add_header("Authorization", os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
try:
    print(json.loads(urllib.request.urlopen(r, timeout=30).read())["AccessKeyId"])
except urllib.error.HTTPError as e:
    print(e.code)
"""

# A call of the control socket, as `borrow` makes it: method, path, body on argv.
CALL = """
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
data = sys.argv[4].encode()
s.sendall(f"{sys.argv[2]} {sys.argv[3]} HTTP/1.1\\r\\nHost: borrow\\r\\nConnection: close\\r\\n"
          f"Content-Length: {len(data)}\\r\\n\\r\\n".encode() + data)
answer = b""
while piece := s.recv(65536):
    answer += piece
print(json.dumps(answer.partition(b"\\r\\n\\r\\n")[2].decode()))
"""


class Child:
    """A program of the person or the agent, started in this session, a new one or on a pty."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    async def said(self) -> str:
        async with asyncio.timeout(30):
            out, err = await self._child.communicate()
        assert self._child.returncode == 0, err
        return out.decode().strip()


async def start(
    code: str, *words: str, env: dict[str, str] | None = None, where: str = "here"
) -> Child:
    command = [sys.executable, "-I", "-c", code, *words]
    if where == "pty":  # a terminal of its own, as an agent gives each of its commands
        command = [sys.executable, "-I", "-c", ON_A_PTY, *command]
    child = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"]} | (env or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=where == "setsid",
    )
    return Child(child)


ON_A_PTY = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


async def fetch(
    machine: Workstation, bearer: str, *, agent: bool = False, where: str = "here"
) -> Child:
    env = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{machine.port}"
        f"/v1/credentials/{ROLE}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": bearer,
    }
    return await start(FETCH, env=env | (AGENT if agent else {}), where=where)


async def call(
    machine: Workstation,
    method: str,
    path: str,
    body: dict[str, Any],
    *,
    env: dict[str, str] | None = None,
    where: str = "here",
) -> list[dict[str, Any]]:
    """The JSON lines of an answer to a program of that environment."""
    assert machine.started is not None
    words = (str(machine.started.control), method, path, json.dumps(body))
    child = await start(CALL, *words, env=env, where=where)
    text: str = json.loads(await child.said())
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


@contextlib.asynccontextmanager
async def lent(**world: Any) -> AsyncIterator[tuple[Workstation, str]]:
    """A person with a live grant, and the bearer in their shell."""
    async with workstation(**world) as machine:
        bearer = await machine.bearer()
        held = asyncio.get_running_loop().create_task(machine.fetch(ROLE, bearer))
        await machine.fake.asked_for()
        await machine.fake.approve()
        assert (await held).status == 200
        yield machine, bearer


@pytest.mark.parametrize("where", ["here", "setsid", "pty"])
async def test_an_agent_never_rides_on_its_persons_live_grant(where: str) -> None:
    async with lent() as (machine, bearer):
        person = await (await fetch(machine, bearer, where=where)).said()
        assert person.startswith("ASIA")
        assert len(machine.fake.asked) == 1
        agent = await fetch(machine, bearer, agent=True, where=where)
        asked = await machine.fake.asked_for(2)
        assert asked.request.agent == "claude-code"
        assert asked.request.group.endswith(":claude-code")
        await machine.fake.deny()
        assert await agent.said() == "403"
        again = await (await fetch(machine, bearer, where=where)).said()
        assert again == person  # and its person goes on as before
        assert len(machine.fake.asked) == 2


async def test_the_fast_lane_serves_people_and_no_agent() -> None:
    async with lent(lane=True) as (machine, bearer):
        for _ in range(3):
            assert (await machine.fetch(ROLE, bearer)).status == 200
        served = (await machine.control("GET", "/v1/status"))["served"]
        assert served.get(ROLE, 0) >= 2
        agent = await fetch(machine, bearer, agent=True)
        await machine.fake.asked_for(2)
        await machine.fake.deny()
        await agent.said()
        assert (await machine.control("GET", "/v1/status"))["served"] == served


async def test_all_commands_of_one_agent_are_one_caller() -> None:
    """It may give each a session: what it was granted in one is its own in the next."""
    async with workstation() as machine:
        machine.fake.auto = True
        for where in ("here", "setsid", "pty"):
            *_, told = await call(
                machine, "POST", "/v1/ask", {"role": ROLE}, env=AGENT, where=where
            )
            assert told["event"] == "granted"
        assert len(machine.fake.asked) == 1
        *_, told = await call(machine, "POST", "/v1/ask", {"role": ROLE})
        assert told["event"] == "granted"
        assert len(machine.fake.asked) == 2  # not its person's


async def test_what_is_shared_on_the_device_is_shared_with_no_agent_and_by_none() -> None:
    async with workstation() as machine:
        machine.fake.roles[ROLE] = role_entry(ROLE, share="device")
        machine.fake.auto = True
        for env, asked in ((AGENT, 1), (None, 2), ({"AI_AGENT": "x"}, 3), (None, 3)):
            *_, told = await call(machine, "POST", "/v1/ask", {"role": ROLE}, env=env)
            assert (told["event"], len(machine.fake.asked)) == ("granted", asked)


async def test_an_agent_gets_the_base_of_an_elastic_role_while_its_person_is_lifted() -> None:
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", base="dev-read")
        machine.fake.roles["dev-read"] = role_entry("dev-read", mode="auto")
        machine.fake.auto = True
        bearer = await machine.bearer("work")
        await machine.ask({"role": ROLE, "wait": True})
        assert (await machine.fetch("work", bearer)).json["RoleArn"].endswith("prod-admin")
        env = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{machine.port}"
            "/v1/credentials/work",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": bearer,
        }
        code = FETCH.replace('["AccessKeyId"]', '["RoleArn"]')
        assert (await (await start(code, env=env | AGENT)).said()).endswith("role/dev-read")


async def test_saying_that_one_is_an_agent_only_tightens() -> None:
    async with lent() as (machine, _bearer):
        claimed = await machine.bearer(agent="my-bot")
        held = asyncio.get_running_loop().create_task(machine.fetch(ROLE, claimed))
        asked = await machine.fake.asked_for(2)
        assert asked.request.agent == "my-bot"
        await machine.fake.deny()
        await held
        nameless = await machine.bearer(agent=1)
        held = asyncio.get_running_loop().create_task(machine.fetch(ROLE, nameless))
        asked = await machine.fake.asked_for(3)
        assert asked.request.agent == "agent"
        await machine.fake.deny()
        await held
        # An agent cannot talk itself out of it, whatever it says it is.
        (told,) = await call(
            machine, "POST", "/v1/ask", {"role": ROLE, "wait": False, "agent": ""}, env=AGENT
        )
        assert told["request"] == machine.fake.last.id
        assert machine.fake.last.request.agent == "claude-code"


@pytest.mark.parametrize("agent", [2, 0, False, None, [], {}, 1.5])
async def test_what_is_no_agent_is_refused_and_nothing_issued(agent: object) -> None:
    async with workstation() as machine:
        for path in ("/v1/bearers", "/v1/ask"):
            told = await machine.control("POST", path, {"role": ROLE, "agent": agent})
            assert (told["status"], told["error"]["hint"]) == (409, "leave it out for a person")
        assert not machine.fake.asked


async def test_a_claimed_name_cannot_make_a_group_of_somebody_else() -> None:
    async with workstation() as machine:
        body = {"role": ROLE, "wait": False, "agent": ":1:2\x1b[2J\u202e" + "x" * 50}
        await machine.ask(body)
        asked = await machine.fake.asked_for()
        name = asked.request.agent
        assert name == "1-2-2J-" + "x" * 32
        assert asked.request.group.count(":") == 3


async def test_an_agent_says_no_yes_for_its_person() -> None:
    async with workstation() as machine:
        (told,) = await machine.ask({"role": ROLE, "wait": False})
        path = f"/v1/decisions/{told['request']}"
        shown = await machine.control("GET", path)
        body = {"decision": "approve", "request_hash": shown.get("request_hash", "")}
        for env, where in ((AGENT, "here"), (AGENT, "setsid"), ({"AI_AGENT": "x"}, "pty")):
            (said,) = await call(machine, "POST", path, body, env=env, where=where)
            assert said["error"]["state"] == "agent"
            assert "person" in said["error"]["hint"]
        (said,) = await call(machine, "POST", "/v1/imds", {"role": ROLE}, env=AGENT)
        assert said["error"]["state"] == "agent"
        (said,) = await call(machine, "POST", "/v1/totp", {}, env=AGENT)
        assert said["error"]["state"] == "agent"
        assert machine.fake.decided == []


async def test_instance_credentials_of_a_person_are_not_an_agents() -> None:
    key = "X-aws-ec2-metadata-token"
    code = f"""
import json, sys, urllib.request
base = "http://127.0.0.1:" + sys.argv[1] + "/latest/"
put = urllib.request.Request(base + "api/token", method="PUT",
                             headers={{"{key}-ttl-seconds": "60"}})
token = urllib.request.urlopen(put).read().decode()
get = urllib.request.Request(base + "meta-data/iam/security-credentials/work",
                             headers={{"{key}": token}})
print(json.loads(urllib.request.urlopen(get, timeout=20).read())["Code"])
"""
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", imds=True)
        machine.fake.auto = True
        await machine.control("POST", "/v1/imds", {"role": "work"})
        for env, groups in ((None, ["imds"]), (AGENT, ["imds", "imds:claude-code"])):
            for _ in range(2):
                assert await (await start(code, str(machine.port), env=env)).said() == "Success"
            assert [each.request.group for each in machine.fake.asked.values()] == groups


async def test_a_connection_of_nobody_is_believed_to_be_its_bearers() -> None:
    agents = Agents(lambda work: asyncio.ensure_future(work).cancel)
    assert agents.cleared(None)
    assert not agents.cleared(Peer(os.getuid(), 1))
    assert await agents.behind(Peer(os.getuid(), 1)) is None


LENDER = """
import os, socket, sys
mine = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.set_inheritable(mine.fileno(), True)
        waits = "import sys; print('ready', flush=True); sys.stdin.read()"
        os.execve(sys.executable, [sys.executable, "-I", "-c", waits], {})
    os._exit(0)
os.wait()
print(os.fstat(mine.fileno()).st_ino, flush=True)
sys.stdin.read()
"""


async def test_an_agent_that_lends_its_socket_to_a_child_without_its_marks_is_told_apart() -> None:
    """The child is orphaned, of a session of its own and with a clean environment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", LENDER, str(server.getsockname()[1])),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=AGENT,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdin is not None
        async with asyncio.timeout(30):
            lines = {(await child.stdout.readline()).decode().strip() for _ in range(2)}
            (inode,) = lines - {"ready"}
            agents = Agents(lambda work: asyncio.ensure_future(work).cancel)
            found = await agents.behind(Peer(os.getuid(), int(inode)))
            agents.close()
            child.stdin.close()
            await child.wait()
    assert isinstance(found, Agent)
    assert found.name == "claude-code"


async def test_many_connections_at_once_are_looked_at_together() -> None:
    """A look passes over all descriptors of the user: one for each would hold up all the others."""
    looks: list[asyncio.Future[None]] = []

    def spawn(work: Coroutine[Any, Any, None]) -> Callable[[], object]:
        looks.append(asyncio.ensure_future(work))
        return looks[-1].cancel

    with contextlib.ExitStack() as held:
        pairs = [socket.socketpair() for _ in range(200)]
        for pair in pairs:
            held.callback(pair[0].close)
            held.callback(pair[1].close)
        agents = Agents(spawn)
        held.callback(agents.close)
        peers = [Peer(os.getuid(), os.fstat(pair[0].fileno()).st_ino) for pair in pairs]
        async with asyncio.timeout(30):
            assert await asyncio.gather(*map(agents.behind, peers)) == [None] * 200
        assert all(map(agents.cleared, peers))
        assert len(looks) == 1


def test_an_agents_group_is_in_its_own_session_if_that_is_known() -> None:
    group = Group("r", 5, 6, "/dev/pts/1")
    assert Agent("a", 7, 8).of(group).id == "r:7:8:a"
    assert Agent("a", 0, 0).of(group).id == "r:5:6:a"
    assert Agent("a", 7, 8).of(Group("r")).id == "imds:a"


async def test_a_process_that_was_looked_at_is_known_by_its_next_connection() -> None:
    """And by a kept one: neither goes to aiohttp for it, and both are forgotten after a while."""
    async with lent(lane=True) as (machine, bearer):
        async with machine.connection() as (reader, writer):
            for _ in range(3):
                writer.write(machine.head(ROLE, bearer))
                assert (await read_answer(reader)).status == 200
            for _ in range(3):
                assert (await machine.fetch(ROLE, bearer)).status == 200
        served = (await machine.control("GET", "/v1/status"))["served"]
        assert served == {ROLE: 6}


async def test_what_comes_while_a_process_is_looked_at_waits_its_turn() -> None:
    async with lent() as (machine, bearer), machine.connection() as (reader, writer):
        whole = machine.head(ROLE, bearer)
        writer.write(whole)
        writer.write(whole[:20])
        await asyncio.sleep(0.05)
        writer.write(whole[20:])
        for _ in range(2):
            assert (await read_answer(reader)).status == 200
