"""A real desktop on a display of its own: X, window manager, panel, notifications, session bus.

Ends only the processes it started. `Desk.env` is what a program needs to live on it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from borrow_fakes.lab import wait_for
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from types import TracebackType

    from PIL.Image import Image

NOTIFYD = "/usr/lib/x86_64-linux-gnu/xfce4/notifyd/xfce4-notifyd"
INSTALL = (
    "apt-get install --no-install-recommends xvfb xdotool openbox xfce4-panel xfce4-notifyd"
    " dbus-daemon x11-utils x11-xserver-utils fonts-dejavu-core"
)
PANEL = 30  # pixels; it is at the top, and its only plug-in is the tray at the left
_PANEL_XML = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
<property name="configver" type="int" value="2"/>
<property name="panels" type="array"><value type="int" value="1"/>
<property name="panel-1" type="empty">
<property name="position" type="string" value="p=6;x=0;y=0"/>
<property name="length" type="uint" value="100"/>
<property name="position-locked" type="bool" value="true"/>
<property name="size" type="uint" value="30"/>
<property name="plugin-ids" type="array"><value type="int" value="1"/></property>
</property></property>
<property name="plugins" type="empty">
<property name="plugin-1" type="string" value="systray">
<property name="square-icons" type="bool" value="true"/></property></property></channel>
"""


Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(slots=True)
class Desk:
    """`with Desk() as desk:`. Several `monitors` stand side by side, aligned at the top."""

    monitors: tuple[str, ...] = ("1000x700",)
    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="d-")))
    env: dict[str, str] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        need(lacking("Xvfb", "xdotool", "openbox", "xfce4-panel", "dbus-daemon"), INSTALL)
        need(None if Path(NOTIFYD).exists() else "no xfce4-notifyd", INSTALL)
        try:
            return self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> Self:
        for name in ("run", "home/.cache", "home/.config/xfce4/xfconf/xfce-perchannel-xml"):
            (self.root / name).mkdir(parents=True, mode=0o700)
        config = self.root / "home/.config"
        (config / "xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml").write_text(_PANEL_XML)
        self.env = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "DISPLAY": self._x_server(),
            "HOME": str(self.root / "home"),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "XDG_CONFIG_HOME": str(config),
            "XDG_CACHE_HOME": str(self.root / "home/.cache"),
            "NO_AT_BRIDGE": "1",
            "GTK_A11Y": "none",
            "GDK_BACKEND": "x11",
        }
        bus = self.spawn(
            "dbus-daemon", "--session", "--nofork", "--print-address=1", stdout=subprocess.PIPE
        )
        assert bus.stdout is not None
        self.env["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().decode().strip()
        self.spawn("openbox")
        self.start_panel()
        self.spawn(NOTIFYD)
        wait_for(lambda: self.owns("org.freedesktop.Notifications"), why="notifications")
        return self

    def _x_server(self) -> str:
        read, write = os.pipe()
        self.spawn(
            "Xvfb",
            *("-displayfd", str(write), "-screen", "0", f"{self._size}x24"),
            *("-nolisten", "tcp", "-noreset"),
            pass_fds=[write],
        )
        os.close(write)
        with os.fdopen(read) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        if len(self.monitors) > 1:
            _part(f":{number}", [_pixels(each) for each in self.monitors])
        return f":{number}"

    @property
    def _size(self) -> str:
        sizes = [_pixels(each) for each in self.monitors]
        return f"{sum(wide for wide, _ in sizes)}x{max(high for _, high in sizes)}"

    def spawn(self, *command: str, **more: Any) -> subprocess.Popen[Any]:
        name = Path(command[0]).name
        with (self.root / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                env=self.env or dict(os.environ),
                stdout=more.pop("stdout", log),
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **more,
            )
        self._running[name] = child
        return child

    def start_panel(self) -> None:
        self.spawn("xfce4-panel", "--disable-wm-check")
        wait_for(lambda: self.owns("org.kde.StatusNotifierWatcher"), why="the panel's tray")

    def end(self, name: str) -> None:
        child = self._running.pop(name)
        if child.stdout is not None:
            child.stdout.close()
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for name in reversed(list(self._running)):
            self.end(name)
        shutil.rmtree(self.root, ignore_errors=True)

    # -- what a person does ----------------------------------------------------------------------

    def tool(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout.strip()

    def owns(self, name: str) -> bool:
        told = self.tool(
            *("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus"),
            *("/", "org.freedesktop.DBus.NameHasOwner", f"string:{name}"),
        )
        return "true" in told

    def window(self, title: str, *, seconds: float = 15.0) -> str:
        """The id of the visible window with `title` in its name."""

        def found() -> str | None:
            ids = self.tool("xdotool", "search", "--onlyvisible", "--name", title).split()
            return ids[-1] if ids else None

        return wait_for(found, seconds=seconds, why=f"a window named {title}")

    def has_window(self, title: str) -> bool:
        return bool(self.tool("xdotool", "search", "--onlyvisible", "--name", title))

    def click(self, x: int, y: int, button: int = 1) -> None:
        self.tool("xdotool", "mousemove", str(x), str(y))
        self.tool("xdotool", "sleep", "0.15", "click", str(button))

    def key(self, *keys: str) -> None:
        self.tool("xdotool", "key", "--clearmodifiers", *keys)

    def type(self, text: str) -> None:
        self.tool("xdotool", "type", "--delay", "15", text)

    def focus(self, window: str) -> None:
        self.tool("xdotool", "windowactivate", "--sync", window)

    # -- what a person sees ----------------------------------------------------------------------

    def shot(self) -> Image:
        from PIL import ImageGrab

        return ImageGrab.grab(xdisplay=self.env["DISPLAY"])

    def window_shot(self, window: str) -> Image:
        return self.shot().crop(self.place(window))

    def place(self, window: str) -> Box:
        """Left, top, right, bottom on the screen; all 0 for one that has just gone."""
        told = self.tool("xwininfo", "-id", window)
        facts = {
            line.partition(":")[0].strip(): line.partition(":")[2].strip()
            for line in told.splitlines()
        }
        try:
            left, top = int(facts["Absolute upper-left X"]), int(facts["Absolute upper-left Y"])
            return left, top, left + int(facts["Width"]), top + int(facts["Height"])
        except KeyError:
            return 0, 0, 0, 0

    def notifications(self) -> list[Box]:
        """Where notifications stand, the oldest first."""
        ids = self.tool("xdotool", "search", "--onlyvisible", "--class", "xfce4-notifyd").split()
        boxes = [self.place(each) for each in ids]
        return sorted((box for box in boxes if box[2] - box[0] > 60), key=lambda box: box[1])

    def menus(self) -> list[Box]:
        """Where menus of the panel stand open; the first level first."""
        ids = self.tool("xdotool", "search", "--onlyvisible", "--class", "wrapper-2.0").split()
        kinds = {each: self.tool("xprop", "-id", each, "_NET_WM_WINDOW_TYPE") for each in ids}
        return sorted(self.place(each) for each in ids if "_MENU" in kinds[each])

    def icon(self) -> tuple[int, int] | None:
        """Where in the panel something coloured or bright stands: our icon's middle."""
        panel = self.shot().crop((0, 0, 200, PANEL)).convert("RGB")
        back = panel.getpixel((190, PANEL // 2))
        marks = [
            (x, y)
            for x in range(120)
            for y in range(4, PANEL - 4)
            if _far(panel.getpixel((x, y)), back)
        ]
        if len(marks) < 20:
            return None
        return sum(x for x, _ in marks) // len(marks), sum(y for _, y in marks) // len(marks)

    def has_colour(self, colour: str, box: Box, least: int = 15) -> bool:
        """Whether `least` pixels of about this colour (`#rrggbb`) are in `box`."""
        wanted = tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))
        seen = self.shot().crop(box).convert("RGB")
        pixels = (seen.getpixel((x, y)) for x in range(seen.width) for y in range(seen.height))
        return sum(not _far(pixel, wanted, 40) for pixel in pixels) >= least


def _pixels(size: str) -> tuple[int, int]:
    wide, _, high = size.partition("x")
    return int(wide), int(high)


def _part(name: str, sizes: list[tuple[int, int]]) -> None:
    """Xvfb has one output: its screen is parted into monitors that it calls by our names."""
    need(lacking("xrandr"), INSTALL)
    left = 0
    for place, (wide, high) in enumerate(sizes):
        where = f"{wide}/{wide // 4}x{high}/{high // 4}+{left}+0"
        words = ("--setmonitor", f"monitor-{place}", where, "none" if place else "screen")
        subprocess.run(("xrandr", "-display", name, *words), capture_output=True, check=True)
        left += wide


def _far(one: Any, other: Any, by: int = 60) -> bool:
    return bool(max(abs(a - b) for a, b in zip(one, other, strict=True)) > by)
