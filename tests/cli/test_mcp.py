"""`borrow mcp` on raw lines: strict, bounded, and the same caller as the agent's own commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli import mcpwire
from borrow.cli.mcpwire import Broken, Nothing, Request
from borrow_fakes.lab import BORROW, finish, wait_for
from borrow_fakes.solo_mode import POLICY, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow_fakes.lab import Home

HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x"}},
}


class Wire:
    """The server's two pipes."""

    def __init__(self, one: Home) -> None:
        self.child = subprocess.Popen(
            [BORROW, "mcp"],
            env=one.env,
            cwd=one.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def send(self, line: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()

    def say(self, message: object) -> dict[str, Any]:
        self.send(json.dumps(message).encode())
        return self.next()

    def next(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        answer: dict[str, Any] = json.loads(self.child.stdout.readline())
        assert answer["jsonrpc"] == "2.0"
        return answer

    def close(self) -> tuple[int, bytes]:
        """Its exit status, and what it printed beside the messages."""
        _, err = self.child.communicate(timeout=20)
        return self.child.returncode, err


@pytest.fixture
def wire(solo: Home) -> Iterator[Wire]:
    made = Wire(solo)
    try:
        yield made
    finally:
        made.child.kill()
        made.child.communicate()


def call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [(each, each) for each in mcpwire.VERSIONS]
    + [("1999-01-01", mcpwire.VERSIONS[0]), (7, mcpwire.VERSIONS[0])],
)
def test_a_version_that_is_known_is_spoken_else_the_newest_is_offered(
    asked: object, spoken: str
) -> None:
    assert mcpwire.version_for(asked) == spoken


def test_whatever_comes_is_answered_strictly_and_the_session_goes_on(wire: Wire) -> None:
    early = wire.say({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert early["error"]["message"] == "initialize comes first"
    assert wire.say(HELLO)["result"]["protocolVersion"] == "2025-06-18"
    assert wire.say(HELLO | {"id": 9})["error"]["code"] == mcpwire.INVALID_REQUEST
    wire.send(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}')  # no answer
    wire.send(
        b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}'
    )
    wire.send(b'{"jsonrpc": "2.0", "id": 3, "result": {}}')  # an answer to nothing: no answer
    wire.send(b"")
    for line, code in (
        (b"nonsense", mcpwire.PARSE_ERROR),
        (b'{"a": 1, "a": 2}', mcpwire.PARSE_ERROR),
        (b"\xff\xfe", mcpwire.PARSE_ERROR),
        (b"[1]", mcpwire.INVALID_REQUEST),
        (b"{}", mcpwire.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', mcpwire.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', mcpwire.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 3}', mcpwire.INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', mcpwire.INVALID_PARAMS),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "resources/list"}', mcpwire.METHOD_NOT_FOUND),
        (b"[" * 50_000, mcpwire.INVALID_REQUEST),
        (b'{"a":' * 10_000, mcpwire.PARSE_ERROR),
        (b'{"x": "' + b"y" * 300_000 + b'"}', mcpwire.PARSE_ERROR),
    ):
        wire.send(line)
        assert wire.next()["error"]["code"] == code, line[:60]
    assert wire.say({"jsonrpc": "2.0", "id": "p", "method": "ping"})["result"] == {}
    odd = wire.say(call(4, "run_shell"))
    assert odd["error"] == {"code": mcpwire.INVALID_PARAMS, "message": "no such tool"}
    message = call(5, "status") | {"params": {"name": "status", "arguments": [1]}}
    assert wire.say(message)["error"]["code"] == mcpwire.INVALID_PARAMS
    assert "held" in wire.say(call(6, "status"))["result"]["structuredContent"]
    assert wire.close() == (0, b"")


def test_without_borrow_set_up_the_tools_say_what_to_do(fresh: Home) -> None:
    wire = Wire(fresh)
    try:
        assert "result" in wire.say(HELLO)
        told = wire.say(call(1, "request_role", role="x", reason="y"))["result"]
        assert told["isError"]
        assert "borrow setup" in told["content"][0]["text"]
    finally:
        assert wire.close()[0] == 0


def test_calls_beyond_a_bound_and_ids_in_use_are_refused(wire: Wire, solo: Home) -> None:
    wire.say(HELLO)
    asked = {"role": "prod-admin", "reason": "y", "wait_seconds": 60}
    wire.send(json.dumps(call(1, "request_role", **asked)).encode())
    assert wire.say(call(1, "status"))["error"]["message"] == "this id is in use"
    for number in range(2, 9):
        wire.send(json.dumps(call(number, "request_role", **asked)).encode())
    assert "are open: wait for one" in wire.say(call(10, "status"))["error"]["message"]
    solo.pending("prod-admin")
    assert len(solo.asks()) == 1  # eight calls, one question
    wire.child.send_signal(signal.SIGTERM)
    assert wire.close()[0] == 0
    wait_for(lambda: solo.asks() == [], why="its question to be withdrawn")


AGENT = """\
#!{python}
import json, subprocess, sys
server = subprocess.Popen([sys.argv[1], "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for message in {messages}:
    server.stdin.write(json.dumps(message).encode() + b"\\n")
    server.stdin.flush()
    answer = json.loads(server.stdout.readline())
code = "import boto3; print(boto3.Session().get_credentials().access_key)"
run = [sys.argv[1], "run", "dev-read", "--", sys.executable, "-c", code]
keys = [subprocess.run(run, start_new_session=s, capture_output=True, text=True).stdout.strip()
        for s in (False, True)]
print(json.dumps([answer["result"]["structuredContent"], keys]))
server.stdin.close()
server.wait()
"""


def test_what_an_agent_asked_for_is_there_for_its_commands_and_not_for_its_person(
    fresh: Home,
) -> None:
    """The agent is known by its name; its commands run in this session and in one of their own."""
    elastic = '[roles.work]\naws = "arn:aws:iam::111122223333:role/W"\nbase = "dev-read"\n[[test]]'
    one = set_up(fresh, POLICY.replace("[[test]]", elastic, 1))
    agent = one.root / "claude"
    messages = [HELLO, call(1, "request_role", role="dev-read", reason="to read")]
    agent.write_text(AGENT.format(python=sys.executable, messages=messages))
    agent.chmod(0o755)
    code, out, err = finish(one.spawn(str(agent), BORROW))
    assert code == 0, err
    told, keys = json.loads(out)
    assert told["run"] == "borrow run dev-read -- COMMAND"
    assert keys[0].startswith("ASIA")
    assert keys[0] == keys[1]
    boto = "import boto3; print(boto3.Session().get_credentials().access_key)"
    code, key, err = finish(one.spawn(BORROW, "run", "dev-read", "--", sys.executable, "-c", boto))
    assert code == 0, err
    assert key.strip() not in keys
    assert [each["agent"] for each in one.log("request.accept")] == ["claude-code", ""]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
messages = st.dictionaries(
    st.sampled_from(["jsonrpc", "id", "method", "params", "result"]),
    json_values | st.just("2.0") | st.just("ping"),
)


@given(st.binary(max_size=300) | messages.map(lambda each: json.dumps(each).encode()))
def test_no_line_is_an_exception(line: bytes) -> None:
    said = mcpwire.read(line)
    assert isinstance(said, Request | Broken | Nothing)
    if isinstance(said, Broken):
        assert mcpwire.error(said.id, said.code, said.message).count(b"\n") == 1
