"""Light or dark, how large the text is, and where, as the desktop says. `judge` is pure, `Asked`
looks.

Tk knows none of it: it takes the screen's own density and one light theme. Where nothing says
otherwise, it is light and not enlarged. BORROW_THEME and BORROW_TEXT_SCALE decide over all.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from borrow.tray import screens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from borrow.tray.screens import Monitor

WITHIN: Final = 0.25  # seconds for the desktop's own tools, from their start: they run beside us
_LEAST, _MOST = 0.8, 4.0
_ASKED: Final = {
    "scheme": ("gsettings", "get", "org.gnome.desktop.interface", "color-scheme"),
    "text": ("gsettings", "get", "org.gnome.desktop.interface", "text-scaling-factor"),
}
_SETTINGS: Final = (
    "gtk-4.0/settings.ini",
    "gtk-3.0/settings.ini",
    "xfce4/xfconf/xfce-perchannel-xml/xsettings.xml",
)


@dataclass(frozen=True, slots=True)
class Looks:
    """`dpi` 0: as the screen says. `factor` multiplies what comes of that.

    `monitors`: none where they cannot be told apart.
    """

    dark: bool = False
    dpi: float = 0.0
    factor: float = 1.0
    monitors: tuple[Monitor, ...] = ()

    def scale(self, screen_dpi: float) -> float:
        """By how much text is enlarged on a screen for which Tk assumes `screen_dpi`."""
        wanted = self.dpi / screen_dpi if self.dpi and screen_dpi else 1.0
        return min(_MOST, max(_LEAST, wanted * self.factor))


def judge(environ: Mapping[str, str], told: Mapping[str, str]) -> Looks:
    """`told`: `scheme` and `text` of GNOME's settings, `dpi` of the display, `settings` of files.

    A desktop that sets Xft.dpi has multiplied it with its own text scale already.
    """
    dpi = _number(told.get("dpi", ""))
    if chosen := _number(environ.get("BORROW_TEXT_SCALE", "")):
        return Looks(_is_dark(environ, told), 0.0, chosen)
    factor = _number(environ.get("GDK_DPI_SCALE") or "1") or 1.0
    scale = 1.0 if dpi else _number(told.get("text", "")) or 1.0
    return Looks(_is_dark(environ, told), dpi, factor * scale)


def _is_dark(environ: Mapping[str, str], told: Mapping[str, str]) -> bool:
    for name in ("BORROW_THEME", "GTK_THEME"):
        if value := environ.get(name, "").lower():
            return value.endswith("dark")
    settings = told.get("settings", "").lower()
    if "prefer-dark" in told.get("scheme", ""):
        return True
    return bool(
        re.search(r"gtk-application-prefer-dark-theme\s*=\s*(1|true)", settings)
        or re.search(r"gtk-theme-name\s*=\s*\S*dark\s*$", settings, re.MULTILINE)
        or re.search(r'"themename"[^>]*value="[^"]*dark"', settings)
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < 1000 else 0.0


class Asked:
    """The desktop's tools, started at once and read when it is time to draw."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._until = time.monotonic() + WITHIN
        self._running = {
            name: subprocess.Popen(  # noqa: S603  two fixed commands
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            for name, words in _ASKED.items()
            if shutil.which(words[0])
        }

    def looks(self) -> Looks:
        display = self._environ.get("DISPLAY", "")
        seen = screens.look(display) if display else screens.Seen()
        told = {"settings": self._settings(), "dpi": seen.dpi}
        for name, child in self._running.items():
            try:
                left = max(0.01, self._until - time.monotonic())
                told[name] = child.communicate(timeout=left)[0].decode("utf-8", "replace")
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
        return replace(judge(self._environ, told), monitors=seen.monitors)

    def _settings(self) -> str:
        home = Path(self._environ.get("HOME") or "/nonexistent")
        folder = Path(self._environ.get("XDG_CONFIG_HOME") or home / ".config")
        found = []
        for name in _SETTINGS:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.append((folder / name).read_text(encoding="utf-8")[:65_536])
        return "\n".join(found)
