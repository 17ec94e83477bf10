"""A stand-in ntfy server: publish by POST, sequence ids, and a topic's stream as JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from borrow_fakes.lab import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

KEEPALIVE = b'{"id":"k","time":1,"event":"keepalive","topic":"t"}\n'


@dataclass
class Message:
    """As the phone's app has it. A later one with the same `sequence` replaces it there."""

    title: str
    text: str
    priority: str
    sequence: str
    actions: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


class Ntfy:
    """In a thread of its own. `stop` and `start` again: the same port, and nothing forgotten."""

    def __init__(self) -> None:
        self._bound = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._bound.getsockname()[1]
        self.messages: defaultdict[str, list[Message]] = defaultdict(list)
        self.listened: list[dict[str, str]] = []  # query and headers of each stream
        self._lines: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._changed: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._time = 1_000  # its own clock, which is far from ours

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def stop(self) -> None:
        if self._thread is not None and self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(10)
            self._thread = None

    def inject(self, topic: str, line: bytes) -> None:
        """A line of the topic's stream, as it stands."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._add, topic, line)

    def shown(self, topic: str) -> list[Message]:
        """What stands on the phone: the last message of each sequence id."""
        last = {message.sequence: message for message in self.messages[topic]}
        return list(last.values())

    def wait_for(self, topic: str, title: str, *, seconds: float = 20) -> Message:
        def one() -> Message | None:
            return next((each for each in self.shown(topic) if each.title == title), None)

        return wait_for(one, seconds=seconds, why=f"{title!r} on the phone")

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._changed = asyncio.Event()
        app = web.Application()
        app.add_routes(
            [web.post("/{topic}", self._publish), web.get("/{topic}/json", self._stream)]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        bound = (
            self._bound
            if self._bound.fileno() >= 0
            else socket.create_server(("127.0.0.1", self.port))
        )
        await web.SockSite(runner, bound).start()
        ready.set()
        await self._ended.wait()
        self._ring()
        await runner.cleanup()

    def _ring(self) -> None:
        assert self._changed is not None
        self._changed.set()
        self._changed = asyncio.Event()

    def _add(self, topic: str, line: bytes) -> None:
        self._time += 1
        self._lines[topic].append((self._time, line))
        self._ring()

    async def _publish(self, request: web.Request) -> web.Response:
        topic, text = request.match_info["topic"], (await request.read()).decode()
        told = request.headers
        self.messages[topic].append(
            Message(
                told.get("Title", ""),
                text,
                told.get("Priority", ""),
                told.get("X-Sequence-ID", ""),
                json.loads(told.get("Actions", "[]")),
                dict(told),
            )
        )
        event = {"id": "m", "time": self._time + 1, "event": "message", "topic": topic}
        self._add(topic, json.dumps(event | {"message": text}).encode() + b"\n")
        return web.json_response(event)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        assert self._ended is not None
        topic, since = request.match_info["topic"], request.query.get("since", "")
        assert re.fullmatch(r"[0-9]*", since)
        self.listened.append({**request.headers, "since": since})
        answer = web.StreamResponse()
        await answer.prepare(request)
        seen = len(self._lines[topic])
        event = {"id": "o", "time": self._time, "event": "open", "topic": topic}
        with contextlib.suppress(ConnectionError):
            await answer.write(json.dumps(event).encode() + b"\n")
            for at, line in self._lines[topic][:seen] if since else ():
                if at >= int(since):
                    await answer.write(line)
            while not self._ended.is_set():
                changed = self._changed
                assert changed is not None
                for _, line in self._lines[topic][seen:]:
                    seen += 1
                    await answer.write(line)
                if changed is self._changed and not self._ended.is_set():
                    await changed.wait()
        return answer


def press(action: Mapping[str, Any]) -> None:
    """What the phone's app does when a button is pressed."""
    assert action["action"] == "http"
    request = urllib.request.Request(
        action["url"], data=action["body"].encode(), method=action["method"]
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
