"""A small lab for end-to-end tests: the cloud stand-in, and workstations that run the real thing.

`Home` is one person's machine: own state directory, own HOME, the real `borrow` command and its
daemon process. Nothing in it is patched; tests talk to it as a person or an SDK would.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from typing_extensions import override

from borrow.cli.revival import NAME as REVIVAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_T = TypeVar("_T")
ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
BORROW = str(BIN / "borrow")
AWS_CLI_V1 = str(BIN / "aws")
PASSPHRASE = "correct horse of a test"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, for the control API."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(slots=True)
class Answer:
    status: int
    body: dict[str, Any]


def wait_for(what: Callable[[], _T | None], *, seconds: float = 15.0, why: str = "") -> _T:
    """Poll `what` until it is truthy; an AssertionError that says `why` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s: {why or what}")
        time.sleep(0.05)


@dataclass(slots=True)
class Home:
    """One workstation. `root` is short (Unix sockets) and removed at the end."""

    root: Path
    extra: dict[str, str] = field(default_factory=dict)
    children: list[subprocess.Popen[Any]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(self.root / "home"),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "BORROW_STATE_DIR": str(self.state),
            "CREDENTIALS_DIRECTORY": str(self.root / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            **self.extra,
        }

    @classmethod
    def make(cls, **extra: str) -> Home:
        root = Path(tempfile.mkdtemp(prefix="b-"))
        for name in ("home/.cache", "run", "credentials"):
            (root / name).mkdir(parents=True, mode=0o700)
        (root / "credentials/borrow-passphrase").write_text(PASSPHRASE)
        (root / "credentials/borrow-passphrase").chmod(0o600)
        return cls(root, extra)

    def borrow(
        self,
        *words: str,
        text: str | None = None,
        timeout: float = 60,
        ok: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the real command to its end; with `ok`, a failure shows what it printed."""
        done = subprocess.run(
            [BORROW, *words],
            env=self.env | dict(env or {}),
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=self.root,
        )
        if ok and done.returncode:
            raise AssertionError(f"borrow {' '.join(words)}: {done.stdout}\n{done.stderr}")
        return done

    def spawn(
        self,
        *command: str,
        session: bool = False,
        env: Mapping[str, str] | None = None,
        typed: bool = False,
    ) -> subprocess.Popen[str]:
        """Start any command in this home, in its own terminal session if `session`.

        With `typed` its stdin is a pipe that the test writes to; else it is empty.
        """
        child = subprocess.Popen(
            command,
            env=self.env | dict(env or {}),
            stdin=subprocess.PIPE if typed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
            start_new_session=session,
        )
        self.children.append(child)
        return child

    def control(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float = 40
    ) -> Answer:
        """One call of the daemon's control API."""
        with contextlib.closing(UnixConnection(self.socket, timeout)) as line:
            line.request(
                method,
                path,
                body=json.dumps(body) if body is not None else None,
                headers={"Content-Type": "application/json"},
            )
            answer = line.getresponse()
            raw = answer.read()
            return Answer(answer.status, json.loads(raw) if raw else {})

    @property
    def socket(self) -> Path:
        found = [*self.root.glob("run/borrow-*/daemon.sock"), *self.state.glob("run/daemon.sock")]
        if not found:
            raise FileNotFoundError("no control socket")
        return found[0]

    def status(self) -> dict[str, Any]:
        return self.control("GET", "/v1/status").body

    def asks(self) -> list[dict[str, Any]]:
        return list(self.status()["asks"])

    def pending(self, role: str = "", *, seconds: float = 15.0) -> dict[str, Any]:
        """The one open question (of `role`), as soon as it has an id."""

        def one() -> dict[str, Any] | None:
            found = [
                ask
                for ask in self.asks()
                if ask.get("request") and role in ("", ask["role"]) and ask["state"] == "pending"
            ]
            return found[0] if found else None

        return wait_for(one, seconds=seconds, why=f"a question about {role or 'any role'}")

    def decide(self, request: str, decision: str = "approve", **more: Any) -> Answer:
        """Answer as this home's person. `more` may hold number, code, reason, seconds."""
        shown = self.control("GET", f"/v1/decisions/{request}").body
        return self.control(
            "POST",
            f"/v1/decisions/{request}",
            {"decision": decision, "request_hash": shown.get("request_hash", "")} | more,
        )

    def log(self, kind: str = "") -> list[dict[str, Any]]:
        """The audit log's entries (of `kind`), oldest first, as exported."""
        out = self.borrow("audit", "export").stdout
        entries = [json.loads(line) for line in out.splitlines() if line.strip()]
        return [entry for entry in entries if kind in ("", entry.get("kind"))]

    def daemon_pid(self) -> int:
        return int(self.status()["pid"])

    def kill_daemon(self) -> None:
        """kill -9 of it and of what would revive it, and wait until it is gone."""
        pid = self.daemon_pid()
        self._kill(pid)
        wait_for(lambda: not _alive(pid), why="the daemon to die")

    def _kill(self, pid: int) -> None:
        for each in (*self.revival(), pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)

    def revival(self) -> list[int]:
        """The shells that wait for this home's daemon to be killed: one, as a rule."""
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (each / "cmdline").read_text(errors="replace").split("\0")
                if REVIVAL in words and any(one.startswith(f"{self.root}/") for one in words):
                    found.append(int(each.name))
        return found

    def start(self) -> Self:
        self.borrow("daemon", "start")
        return self

    def bearer(self, role: str) -> dict[str, str]:
        """The two variables `borrow env` would export, for this process's own session."""
        made = self.control("POST", "/v1/bearers", {"role": role}).body
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": made["url"],
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": made["bearer"],
        }

    def close(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.communicate()
        with contextlib.suppress(OSError, AssertionError, subprocess.TimeoutExpired, KeyError):
            pid = self.daemon_pid()
            self.borrow("daemon", "stop", ok=False, timeout=15)
            if _alive(pid):
                self._kill(pid)
        shutil.rmtree(self.root, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextlib.contextmanager
def home(**extra: str) -> Iterator[Home]:
    made = Home.make(**extra)
    try:
        yield made
    finally:
        made.close()


def finish(child: subprocess.Popen[str], *, seconds: float = 30) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a spawned command."""
    out, err = child.communicate(timeout=seconds)
    return child.returncode, out, err


def names_number(text: str, number: str) -> bool:
    """Whether `number` stands there by itself: ids and accounts may hold the same digits."""
    return re.search(rf"(?<![\w-]){number}(?![\w-])", text) is not None


def shell(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)
