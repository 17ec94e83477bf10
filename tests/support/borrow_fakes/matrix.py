"""The bench of the SDK matrix: one daemon for all cells of a worker, one role for each.

A cell never meets another's grant or refusal, because its role is its own; so setting up a
workstation, which costs more than most clients do, is done once.
"""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import borrow.daemon.credential
from borrow_fakes.lab import finish, wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from borrow.cli.demo.standin_process import StandInProcess
    from borrow_fakes.lab import Home
    from borrow_fakes.sdks import Sdk

FAILED: Final = "FAILED"
# Go, Rust and Java look for a region in AWS_REGION only.
REGION: Final = {"AWS_REGION": "us-east-1", "JAVA_TOOL_OPTIONS": "-Xshare:auto"}
ROLES: Final = 120  # cells of one worker; a worker alone runs all of them

# What the cloud says to a call that Borrow's credentials did not sign.
_NOT_SIGNED: Final = frozenset(
    {"MissingAuthenticationToken", "InvalidClientTokenId", "SignatureDoesNotMatch"}
)


def policy() -> str:
    """What the matrix adds to the lab's policy."""
    admin = 'aws = "arn:aws:iam::123456789012:role/Admin"\ntier = "normal"\nshare = "session"\n'
    own = "".join(f"[roles.m{number:03}]\n{admin}imds = true\n" for number in range(ROLES))
    return (
        f'{own}[roles.elastic]\naws = "arn:aws:iam::123456789012:role/Reader"\ntier = "low"\n'
        f'base = "reader"\n[roles.lift]\n{admin}allows = ["s3:Put*", "sts:AssumeRole"]\n'
        '[[rule]]\nid = "cells"\nwho = ["{me}"]\nroles = ["m*", "lift"]\nmax = "1h"\n'
        'approve = {{ mode = "self", factor = ["consent"] }}\n'
        '[[rule]]\nid = "elastic"\nwho = ["{me}"]\nroles = ["elastic"]\nmax = "1h"\n'
        'approve = {{ mode = "auto" }}\n'
    )


@dataclass(slots=True)
class Bench:
    """A workstation with its cloud, and what was read of its audit log."""

    home: Home
    cloud: StandInProcess
    entries: list[dict[str, Any]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def role(self) -> str:
        return f"m{next(self._numbers):03}"

    def log(self) -> list[dict[str, Any]]:
        """The whole audit log, oldest first; only what is new is asked for."""
        while True:
            path = f"/v1/audit/entries?start={len(self.entries)}&count=500"
            found = self.home.control("GET", path).body["entries"]
            read = [json.loads(one["entry"]) for one in found]
            self.entries += [one.get("facts", {}) | one for one in read]
            if not found:
                return self.entries


class Cell:
    """One client in one scenario: the columns it fills, its role, and what to do there.

    What is never marked `ok` stays a failure in the table.
    """

    def __init__(self, record: Callable[[str, object], None], sdk: Sdk, *columns: str) -> None:
        self.sdk = sdk
        self._record = record
        self._columns = columns

    def say(self, text: str, *columns: str) -> None:
        for column in columns or self._columns:
            self._record("matrix", [self.sdk.name, column, text])

    def begin(self, bench: Bench) -> None:
        self.say(FAILED)
        self.bench, self.home, self.cloud = bench, bench.home, bench.cloud
        self.role = bench.role()
        self._log, self._trail = len(bench.log()), len(bench.cloud.trail())

    def ok(self, text: str = "ok", *columns: str) -> None:
        """Nothing that this cell did reached the cloud without credentials; then the columns."""
        self._record("matrix", [self.sdk.name, "unsigned calls", FAILED])
        stray = [line for line in self.trail() if line.get("errorCode") in _NOT_SIGNED]
        assert not stray
        self._record("matrix", [self.sdk.name, "unsigned calls", "none"])
        self.say(text, *columns)

    def env(self, role: str = "") -> dict[str, str]:
        """What `borrow env` exports for this cell's role."""
        return REGION | self.home.bearer(role or self.role)

    def start(
        self, *words: str, env: dict[str, str] | None = None, typed: bool = False
    ) -> subprocess.Popen[str]:
        """The client; without `env` at the container endpoint for this cell's role."""
        command = (*self.sdk.command, *words)
        return self.home.spawn(*command, env=env or self.env(), typed=typed)

    def pending(self, role: str = "", *, seconds: float = 15.0) -> str:
        """The one question about this cell's role."""
        return str(self.home.pending(role or self.role, seconds=seconds)["request"])

    def yes(self, request: str) -> None:
        assert self.home.decide(request).status == 200

    def no(self, request: str, reason: str) -> None:
        assert self.home.decide(request, "deny", reason=reason).status == 200

    def waiters(self, least: int) -> None:
        wait_for(
            lambda: self.home.pending(self.role).get("waiters", 0) >= least,
            why=f"{least} of them to wait",
        )

    def left(self) -> None:
        wait_for(
            lambda: not self.home.pending(self.role).get("waiters"),
            why="the daemon to see it gone",
        )

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The audit log's entries of `kind` since this cell began."""
        return [one for one in self.bench.log()[self._log :] if one.get("kind") == kind]

    def questions(self) -> list[str]:
        return [str(one["request"]) for one in self.entries("request.accept")]

    def trail(self, event: str = "") -> list[dict[str, Any]]:
        """What reached the cloud since this cell began."""
        lines = self.cloud.trail()[self._trail :]
        return [line for line in lines if event in ("", line["eventName"])]


class Caller:
    """A client that calls when told: one process for all calls, or where it knows no `each`, one
    for every call."""

    def __init__(self, cell: Cell, env: dict[str, str]) -> None:
        self._cell, self._env = cell, env
        self._child = cell.start("each", env=env, typed=True) if cell.sdk.each else None

    def ask(self) -> None:
        if self._child is None or not self._cell.sdk.each:
            self._child = self._cell.start(env=self._env)
            return
        go_on(self._child)

    def answer(self) -> str:
        assert self._child is not None
        if not self._cell.sdk.each:
            return succeeded(self._child)
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert "assumed-role/" in line, line or finish(self._child)
        return line

    def call(self) -> str:
        self.ask()
        return self.answer()

    def end(self) -> None:
        if self._child is not None and self._cell.sdk.each:
            finish(self._child)


def profile(cell: Cell, *lines: str) -> dict[str, str]:
    """The environment of one who chose a profile of these lines."""
    path = cell.home.root / f"home/{cell.role}"
    path.write_text("\n".join(["[profile borrowed]", *lines, "region = us-east-1\n"]))
    return REGION | {"AWS_CONFIG_FILE": str(path), "AWS_PROFILE": "borrowed"}


def helper(cell: Cell, role: str = "") -> dict[str, str]:
    """A profile whose `credential_process` gives this cell's role, or `role`."""
    program = f"{sys.executable} -I -S -E {borrow.daemon.credential.__file__}"
    line = f"{program} {cell.home.socket} {role or cell.role}"
    return profile(cell, f"credential_process = {line}")


def go_on(child: subprocess.Popen[str]) -> None:
    """One line on its stdin."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def succeeded(child: subprocess.Popen[str]) -> str:
    code, out, err = finish(child, seconds=60)
    assert code == 0, err
    assert "assumed-role/" in out
    return out


def failed(child: subprocess.Popen[str]) -> str:
    code, out, err = finish(child, seconds=60)
    assert code != 0, out
    assert "assumed-role/" not in out
    return out + err
