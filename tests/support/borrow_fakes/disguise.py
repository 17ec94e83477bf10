"""A relay between a client and the daemon: it shows what the client sent, or passes it on in the
exact shape of Rust's request, so that the daemon takes whoever it is for Rust."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

Header = tuple[bytes, bytes]


class Disguise:
    """`with Disguise(port) as relay`: ask at `relay.port`. `seen` holds each request's headers."""

    def __init__(self, daemon: int) -> None:
        self.seen: list[tuple[Header, ...]] = []
        self.relayed: list[bytes] = []  # the status line of each answer
        self._daemon = daemon
        self._door = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        return int(self._door.getsockname()[1])

    def __enter__(self) -> Self:
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._door.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._door.accept()
                thread = threading.Thread(target=self._relay, args=(line,))
                self._threads.append(thread)
                thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(60)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            first, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
            pairs = [line.partition(b": ")[::2] for line in lines]
            self.seen.append(tuple(pairs))
            bearer = {name.lower(): value for name, value in pairs}.get(b"authorization", b"")
            with socket.create_connection(("127.0.0.1", self._daemon), timeout=60) as daemon:
                daemon.sendall(
                    b"GET %s HTTP/1.1\r\naccept: application/json\r\nauthorization: %s\r\n"
                    b"host: 127.0.0.1:%d\r\n\r\n" % (first.split()[1], bearer, self._daemon)
                )
                self._pass_on(daemon, client)

    def _pass_on(self, daemon: socket.socket, client: socket.socket) -> None:
        """The answer as it comes, until it is whole: the daemon keeps the connection open."""
        answer = b""
        while piece := daemon.recv(65_536):
            if not answer:
                self.relayed.append(piece.partition(b"\r\n")[0])
            answer += piece
            client.sendall(piece)
            head, _, body = answer.partition(b"\r\n\r\n")
            length = b"content-length: %d" % len(body)
            if body.endswith(b"0\r\n\r\n") or length in head.lower():
                return
