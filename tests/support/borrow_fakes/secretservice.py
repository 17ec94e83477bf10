"""A D-Bus session of a test's own, with a real gnome-keyring on it, or a Secret Service that hangs.

The bus activates nothing: what is not started here is not there. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from jeepney import (  # type: ignore[import-untyped]  # ships no types
    DBusAddress,
    message_bus,
    new_method_call,
)
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]  # as above

from borrow_fakes.tools import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

INSTALL = "apt-get install --no-install-recommends dbus-daemon gnome-keyring libsecret-tools"
SERVICE = "org.freedesktop.secrets"
_READY_WITHIN = 10.0  # seconds; it takes 0.1

_CONF = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def missing() -> str | None:
    return lacking("dbus-daemon", "gnome-keyring-daemon", "secret-tool")


def _answers(path: Path) -> bool:
    """Whether somebody listens there: a socket's file is there a moment before."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as one, contextlib.suppress(OSError):
        one.connect(str(path))
        return True
    return False


class Session:
    """`with Session() as session:`; `environ` is what a program of this session gets."""

    def __init__(self) -> None:
        self._dir = Path()
        self._running: list[subprocess.Popen[bytes]] = []
        self.environ: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._dir = Path(tempfile.mkdtemp(prefix="b-"))
        for name in ("run", "home", "home/.cache"):
            (self._dir / name).mkdir(mode=0o700)
        place = self._dir / "bus"
        (self._dir / "bus.conf").write_text(_CONF.format(socket=place))
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._dir / "home"),
            "XDG_RUNTIME_DIR": str(self._dir / "run"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={place}",
        }
        self._spawn("dbus-daemon", f"--config-file={self._dir / 'bus.conf'}", "--nofork")
        _until(lambda: _answers(place))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._dir, ignore_errors=True)

    @property
    def home(self) -> Path:
        return self._dir / "home"

    def gnome_keyring(self) -> Self:
        """Start a real one, unlocked with a password of this session."""
        read, write = os.pipe()
        os.write(write, b"a password of this session")
        os.close(write)
        with os.fdopen(read, "rb") as password:
            self._spawn(
                *("gnome-keyring-daemon", "--unlock", "--components=secrets", "--foreground"),
                stdin=password,
            )
        _until(self._has_service)
        _until(self._is_unlocked)
        return self

    @contextlib.contextmanager
    def silent_service(self) -> Iterator[None]:
        """Somebody owns the Secret Service's name, and never answers a call."""
        with open_dbus_connection(self.environ["DBUS_SESSION_BUS_ADDRESS"]) as bus:
            bus.send_and_get_reply(message_bus.RequestName(SERVICE))
            yield

    def secret_tool(self, *arguments: str) -> str:
        """What another program of the session can look up."""
        done = subprocess.run(
            ["secret-tool", *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return done.stdout

    def _has_service(self) -> bool:
        with open_dbus_connection(self.environ["DBUS_SESSION_BUS_ADDRESS"]) as bus:
            reply = bus.send_and_get_reply(message_bus.NameHasOwner(SERVICE), timeout=5)
        return bool(reply.body[0])

    def _is_unlocked(self) -> bool:
        service = DBusAddress("/org/freedesktop/secrets", SERVICE, "org.freedesktop.Secret.Service")
        with open_dbus_connection(self.environ["DBUS_SESSION_BUS_ADDRESS"]) as bus:
            asked = new_method_call(service, "ReadAlias", "s", ("default",))
            return bool(bus.send_and_get_reply(asked, timeout=5).body[0] != "/")

    def _spawn(self, *command: str, stdin: BinaryIO | int = subprocess.DEVNULL) -> None:
        self._running.append(
            subprocess.Popen(
                command,
                env=self.environ,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )


def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError("the session was not ready in time")
        time.sleep(0.02)
