"""The Model Context Protocol's own client drives `borrow mcp`, through the real daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.solo_mode import POLICY, set_up
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent / "mcp_client"
CACHE = HERE / "node_modules"
SECRETS = ("ASIA", "SecretAccessKey", "bearer", "Authorization")


@pytest.fixture(scope="session")
def script() -> Path:
    """The script beside its installed libraries; installed once, from the lock file."""
    need(lacking("node", "npm"), "apt-get install nodejs npm")
    marker, lock = CACHE / ".package-lock.json", HERE / "package-lock.json"
    if not marker.exists() or marker.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        done = subprocess.run(
            command, cwd=HERE, capture_output=True, text=True, timeout=110, check=False
        )
        missing = "the MCP client could not be installed" if done.returncode else None
        need(missing, "cd tests/peers/mcp_client && npm ci")
        os.utime(marker)
    return HERE / "peer.mjs"


class Peer:
    """A running client: what it is told to do, and what it says, by step and id."""

    def __init__(self, one: Home, script: Path) -> None:
        node = shutil.which("node")
        assert node is not None
        self.child = subprocess.Popen(
            [node, str(script), BORROW, "mcp"],
            env=one.env,
            cwd=one.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.heard: list[dict[str, Any]] = []
        self._said: Queue[dict[str, Any]] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self._said.put(json.loads(line))

    def tell(self, do: str, **more: Any) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.child.stdin.flush()

    def step(self, wanted: str, number: int | None = None) -> dict[str, Any]:
        """The next thing it says of that kind; what comes before is kept in `heard`."""
        while True:
            said = self._said.get(timeout=40)
            self.heard.append(said)
            if said["step"] == wanted and number in (None, said.get("id")):
                return said
            assert said["step"] in ("progress", wanted), said

    def call(self, number: int, name: str, **arguments: Any) -> dict[str, Any]:
        self.tell("call", id=number, name=name, args=arguments)
        result: dict[str, Any] = self.step("call", number)["result"]
        return result

    def close(self) -> None:
        if self.child.poll() is None:
            assert self.child.stdin is not None
            self.child.stdin.close()
            self.child.wait(timeout=20)
        self._reader.join(5)
        assert self.child.stdout is not None
        self.child.stdout.close()


@pytest.fixture(scope="module")
def one() -> Iterator[Home]:
    peer_role = POLICY.replace(
        "[[test]]",
        '[roles.work]\naws = "arn:aws:iam::111122223333:role/W"\nbase = "dev-read"\n[[test]]',
        1,
    ).replace("version = 1", 'version = 1\n[defaults]\nagents = "50/1h"', 1)
    with home() as made:
        yield set_up(made, peer_role)


@pytest.fixture
def peer(one: Home, script: Path) -> Iterator[Peer]:
    made = Peer(one, script)
    try:
        yield made
    finally:
        made.close()


def test_the_client_finds_the_tools_and_their_schemas(peer: Peer) -> None:
    hello = peer.step("connected")
    assert hello["server"]["name"] == "borrow"
    assert "borrow run ROLE" in hello["instructions"]
    peer.tell("ping")
    peer.step("ping")
    peer.tell("list")
    tools = {tool["name"]: tool for tool in peer.step("list")["tools"]}
    assert sorted(tools) == ["request_role", "return_role", "status"]
    assert tools["request_role"]["inputSchema"]["required"] == ["role", "reason"]


def test_an_agent_asks_gets_its_base_and_gives_it_back(one: Home, peer: Peer) -> None:
    peer.step("connected")
    told = peer.call(1, "request_role", role="dev-read", reason="to read the logs")
    assert told["structuredContent"]["state"] == "granted"
    assert "borrow run --agent dev-read" in told["content"][0]["text"]
    held = peer.call(2, "status")["structuredContent"]["held"]
    assert [each["role"] for each in held] == ["dev-read"]
    assert finish(one.spawn(BORROW, "run", "dev-read", "--", "true"))[0] == 0
    assert peer.call(3, "return_role", role="dev-read")["structuredContent"]["returned"]
    told = peer.call(4, "return_role", role="dev-read")
    assert (told["isError"], told["structuredContent"]["state"]) == (True, "not_held")
    assert not any(secret in json.dumps(peer.heard) for secret in SECRETS)


def test_a_wait_is_told_and_a_cancellation_withdraws_the_question(one: Home, peer: Peer) -> None:
    peer.step("connected")
    told = {"role": "prod-admin", "reason": "to delete the stuck job"}
    peer.tell("call", id=1, name="request_role", args=told)
    note = peer.step("progress", 1)["note"]
    assert note["progress"] >= 1
    request = one.pending("prod-admin")
    shown = one.control("GET", f"/v1/decisions/{request['request']}").body
    assert shown["context"]["agent"] == "agent"
    assert shown["factors"] == ["totp"]
    wait_for(lambda: any(request["request"] in str(each) for each in _notes(peer)), why="a note")
    peer.tell("cancel", of=1)
    wait_for(lambda: one.asks() == [], why="the question to be withdrawn")


def _notes(peer: Peer) -> list[dict[str, Any]]:
    peer.tell("ping")
    peer.step("ping")
    return [each for each in peer.heard if each["step"] == "progress"]


def test_a_no_and_wrong_use_are_told_to_the_model(one: Home, peer: Peer) -> None:
    peer.step("connected")
    peer.tell("call", id=1, name="request_role", args={"role": "prod-admin", "reason": "please"})
    one.decide(one.pending("prod-admin")["request"], "deny", reason="not \x1b[31mtoday")
    told = peer.step("call", 1)["result"]
    assert told["isError"]
    assert "not \\u{1b}[31mtoday" in told["content"][0]["text"]
    odd: list[dict[str, Any]] = [
        {"role": "click", "reason": "x"},
        {"role": "nobodys", "reason": "x"},
        {"role": "../x", "reason": "x"},
        {"role": "prod-admin", "reason": " "},
        {"role": "prod-admin"},
        {"role": "prod-admin", "reason": "x", "minutes": 0},
        {"role": "prod-admin", "reason": "x", "shell": "rm"},
        {"role": "prod-admin", "reason": ["x"]},
        {"role": "prod-admin", "reason": "x" * 501},
    ]
    for number, arguments in enumerate(odd, 2):
        told = peer.call(number, "request_role", **arguments)
        assert told["isError"], arguments
        assert "Traceback" not in str(told)
    assert one.asks() == []


def test_an_unanswered_question_stays_open_and_is_joined(one: Home, peer: Peer) -> None:
    peer.step("connected")
    told = {"role": "prod-admin", "reason": f"again {os.getpid()}", "wait_seconds": 0}
    first = peer.call(1, "request_role", **told)
    assert first["structuredContent"]["state"] == "pending"
    again = peer.call(2, "request_role", **told)
    assert again["structuredContent"]["request"] == first["structuredContent"]["request"]
    assert len(one.asks()) == 1
    assert peer.call(3, "status")["structuredContent"]["asked"]
    peer.close()  # the agent leaves: nobody is asked for it any more
    wait_for(lambda: one.asks() == [], why="the question to be withdrawn")
