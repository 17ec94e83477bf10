"""A team in the lab: one real `borrow server serve`, and workstations that joined it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from borrow_fakes.lab import BORROW, Home, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

FAKE = {"driver": "fake"}
ANN, BO = "ann@example.com", "bo@example.com"
POLICY = f"""
version = 1
[groups]
team = ["{ANN}", "{BO}"]
[admins]
people = ["{ANN}"]
[roles.reader]
aws = "arn:aws:iam::123456789012:role/Reader"
tier = "low"
[roles.change]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "sensitive"
[roles.click]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "normal"
[[rule]]
id = "reads"
who = ["group:team"]
roles = ["reader"]
max = "1h"
approve = {{ mode = "auto" }}
[[rule]]
id = "changes"
who = ["group:team"]
roles = ["change"]
max = "1h"
approve = {{ mode = "peer", from = ["group:team"], match = true }}
[[rule]]
id = "clicks"
who = ["group:team"]
roles = ["click"]
max = "1h"
approve = {{ mode = "self", factor = ["consent"] }}
"""
WITH_PHONES = f"""{POLICY}
[roles.phone]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "sensitive"
[[rule]]
id = "phones"
who = ["group:team"]
roles = ["phone"]
max = "1h"
approve = {{ mode = "self", factor = ["passkey"], match = true }}
"""


@dataclass(slots=True)
class Server:
    """The team's server in a folder of its own. Without `base_key` its cloud is the fake driver."""

    home: Home
    cloud: dict[str, str] = field(default_factory=dict)
    base_key: dict[str, str] = field(default_factory=dict)
    webhooks: tuple[str, ...] = ()
    push_allow_hosts: tuple[str, ...] = ()
    front: str = ""  # the address that devices know, if something stands in front of the server
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @classmethod
    def make(
        cls,
        *,
        cloud: Mapping[str, str] | None = None,
        base_key: Mapping[str, str] | None = None,
        webhooks: tuple[str, ...] = (),
        push_allow_hosts: tuple[str, ...] = (),
        front: str = "",
    ) -> Server:
        """Ready to be entered: `with Server.make() as server:`."""
        made = cls(
            Home.make(),
            dict(cloud or FAKE),
            dict(base_key or {}),
            webhooks,
            push_allow_hosts,
            front,
        )
        made.home.extra["BORROW_SERVER_DIR"] = str(made.home.root / "server")
        return made

    def __enter__(self) -> Self:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        issuer = self.front or f"http://127.0.0.1:{self.port}"
        self.home.borrow("server", "init", "--issuer", issuer, "--admin", ANN)
        folder = self.home.root / "server"
        (folder / "policy.toml").write_text(POLICY)
        lines = [f'issuer = "{issuer}"', f"port = {self.port}", f"webhooks = {list(self.webhooks)}"]
        lines.append(f"push_allow_hosts = {list(self.push_allow_hosts)}")
        if not self.front:
            lines.append(f'public_url = "{self.pages}"')
        cloud = [f'{name} = "{value}"' for name, value in self.cloud.items()]
        (folder / "server.toml").write_text("\n".join([*lines, "[cloud]", *cloud, ""]))
        if self.base_key:
            self._seal_base_key()
        return self.start()

    @property
    def pages(self) -> str:
        """Where people open it: passkeys want a name."""
        return f"http://localhost:{self.port}"

    def page_invitation(self, person: str) -> str:
        """The link as a phone opens it."""
        told = json.loads(self.home.borrow("server", "invite", person, "--json").stdout)
        return str(told["page"])

    def _seal_base_key(self) -> None:
        """The server reads `base-keys.sealed` in its folder, as `borrow keys add` writes it."""
        with contextlib.ExitStack() as stack:
            maker = Home.make()
            stack.callback(maker.close)
            maker.borrow("setup", "--yes", "--no-totp")
            maker.borrow("keys", "add", "--sealed", text=json.dumps(self.base_key))
            sealed = (maker.state / "base-keys.sealed").read_bytes()
        path = self.home.root / "server/base-keys.sealed"
        path.touch(mode=0o600)
        path.write_bytes(sealed)

    def start(self) -> Self:
        self.process = self.home.spawn(BORROW, "server", "serve")
        wait_for(self._is_up, seconds=30, why="the server to start")
        return self

    def _is_up(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the server ended: {self.process.communicate()}")
        return self.home.borrow("server", "status", ok=False).returncode == 0

    def kill(self) -> None:
        """kill -9."""
        if self.process is None:
            raise RuntimeError("the server does not run")
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def invitation(self, person: str) -> str:
        told = json.loads(self.home.borrow("server", "invite", person, "--json").stdout)
        return str(told["url"])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.communicate(timeout=10)
        self.home.close()


def join(server: Server, home: Home, person: str) -> Home:
    """`borrow join` with a fresh invitation for `person`."""
    home.borrow("join", server.invitation(person), "--yes")
    return home
