"""`borrow mcp`: a Model Context Protocol server on stdin and stdout, for coding agents.

One thread reads; each call of a tool has a thread of its own, because a person's answer takes its
time. Only messages go to stdout. When the agent leaves, its unanswered questions are withdrawn.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from borrow.cli import errors, mcpwire
from borrow.cli.mcptools import TOOLS, Call, Told, Tools, failed
from borrow.cli.mcpwire import Broken, Id, Nothing, Request

if TYPE_CHECKING:
    from borrow.cli.client import Control

MOST_CALLS: Final = 8  # at once; an agent with more open questions is refused the next
LEAVE_WITHIN: Final = 5.0  # seconds for the withdrawals when the agent left
_NAMES: Final = frozenset(tool["name"] for tool in TOOLS)
_INSTRUCTIONS: Final = (
    "Cloud power is borrowed for the moment it is needed, after a person's yes. Do not search for "
    "keys, profiles or tokens. Use `borrow run ROLE -- COMMAND` for cloud commands; if you are "
    "refused, ask with request_role and a reason that a person can judge, then wait."
)


@click.command()
def mcp() -> int:
    """Serve coding agents: request_role, status, return_role (MCP on stdin and stdout).

    For the agent's own configuration; started by hand it waits for an agent's messages. What is
    asked here is asked as an agent: never granted by policy alone or by a click.
    """
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the messages
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended as by Ctrl-C: in order
    Server(sys.stdin.buffer, out, Tools(_connect)).serve()
    return errors.OK


def _connect() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    return running(open_home())


class Server:
    """One client's session, until `lines` end."""

    def __init__(self, lines: BinaryIO, out: BinaryIO, tools: Tools) -> None:
        self._lines = lines
        self._out = out
        self._tools = tools
        self._writing = threading.Lock()
        self._lock = threading.Lock()  # of the calls that run
        self._version = ""  # "" until the client said hello
        self._running: dict[Id, threading.Event] = {}  # set = cancelled
        self._threads: list[threading.Thread] = []

    def serve(self) -> None:
        try:
            while (line := self._next()) is not None:
                self._take(line)
        except KeyboardInterrupt:
            pass  # the agent's person ended it: as if it had left
        finally:
            self._leave()

    def _next(self) -> bytes | None:
        """One line, None at the end; of one that is too long only so much that it is refused."""
        line = self._lines.readline(mcpwire.MAX_LINE + 1)
        if not line:
            return None
        rest = line
        while not rest.endswith(b"\n") and len(rest) > mcpwire.MAX_LINE:
            rest = self._lines.readline(mcpwire.MAX_LINE + 1)
        return line

    def _take(self, line: bytes) -> None:
        match mcpwire.read(line):
            case Nothing():
                return
            case Broken(code=code, message=message, id=known):
                self._send(mcpwire.error(known, code, message))
            case Request() as request:
                if request.id is None:
                    self._noted(request)
                else:
                    self._asked(request, request.id)

    def _noted(self, note: Request) -> None:
        if note.method == "notifications/cancelled":
            wanted = note.params.get("requestId")
            with self._lock:
                cancelled = self._running.get(wanted) if isinstance(wanted, str | int) else None
            if cancelled is not None:
                cancelled.set()

    def _asked(self, request: Request, known: Id) -> None:
        match request.method:
            case "initialize":
                self._hello(request, known)
            case "ping":
                self._send(mcpwire.result(known, {}))
            case _ if not self._version:
                self._send(mcpwire.error(known, mcpwire.INVALID_REQUEST, "initialize comes first"))
            case "tools/list":
                self._send(mcpwire.result(known, {"tools": list(TOOLS)}))
            case "tools/call":
                self._call(request, known)
            case _:
                self._send(mcpwire.error(known, mcpwire.METHOD_NOT_FOUND, "no such method"))

    def _hello(self, request: Request, known: Id) -> None:
        from importlib.metadata import version

        if self._version:
            told = "initialize comes once"
            self._send(mcpwire.error(known, mcpwire.INVALID_REQUEST, told))
            return
        self._version = mcpwire.version_for(request.params.get("protocolVersion"))
        told_of_us = {
            "protocolVersion": self._version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "borrow", "title": "Borrow", "version": version("borrow")},
            "instructions": _INSTRUCTIONS,
        }
        self._send(mcpwire.result(known, told_of_us))

    def _call(self, request: Request, known: Id) -> None:
        name, arguments = request.params.get("name"), request.params.get("arguments", {})
        if name not in _NAMES or not isinstance(arguments, dict):
            told = "no such tool" if name not in _NAMES else "arguments is no object"
            self._send(mcpwire.error(known, mcpwire.INVALID_PARAMS, told))
            return
        with self._lock:
            taken, full = known in self._running, len(self._running) >= MOST_CALLS
            if not taken and not full:
                self._running[known] = threading.Event()
        if taken or full:
            told = "this id is in use" if taken else f"{MOST_CALLS} calls are open: wait for one"
            self._send(mcpwire.error(known, mcpwire.INVALID_REQUEST, told))
            return
        thread = threading.Thread(target=self._run, args=(known, name, arguments, request.params))
        thread.daemon = True  # a call that hangs does not keep us when the agent left
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _run(self, known: Id, name: str, arguments: dict[str, Any], params: dict[str, Any]) -> None:
        cancelled = self._running[known]
        call = Call(arguments, self._teller(mcpwire.progress_token(params)), cancelled.is_set)
        try:
            told = self._tools.call(name, call)
        except Exception as exc:  # noqa: BLE001  named by its type: its text could hold anything
            told = failed(errors.internal(exc, None, now=0.0))
        with self._lock:
            del self._running[known]
        if told is not None and not cancelled.is_set():
            self._send(mcpwire.result(known, self._shaped(told)))

    def _shaped(self, told: Told) -> dict[str, Any]:
        shaped: dict[str, Any] = {"content": [{"type": "text", "text": told.text}]}
        if self._version >= mcpwire.STRUCTURED_SINCE and told.data:
            shaped["structuredContent"] = told.data
        return shaped | ({"isError": True} if told.is_error else {})

    def _teller(self, token: Id | None) -> Any:
        """Sends a progress note each time it is called; the number only has to grow."""
        count = 0

        def tell(message: str) -> None:
            nonlocal count
            count += 1
            if token is not None:
                params = {"progressToken": token, "progress": count, "message": message}
                self._send(mcpwire.notification("notifications/progress", params))

        return tell

    def _send(self, line: bytes) -> None:
        with self._writing:
            try:
                self._out.write(line)
                self._out.flush()
            except (BrokenPipeError, ValueError):
                return  # it left; the reading side will see that too

    def _leave(self) -> None:
        with self._lock:
            for cancelled in self._running.values():
                cancelled.set()
        for thread in self._threads:
            thread.join(LEAVE_WITHIN)
        self._tools.withdraw_all()
