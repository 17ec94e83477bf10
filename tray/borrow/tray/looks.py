"""Light or dark, and how large the text is, as the desktop says. `judge` is pure, `Asked` looks.

Tk knows neither: it takes the screen's own density and one light theme. Where nothing says
otherwise, it is light and not enlarged. BORROW_THEME and BORROW_TEXT_SCALE decide over all.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

WITHIN: Final = 0.25  # seconds for the desktop's own tools, from their start: they run beside us
_LEAST, _MOST = 0.8, 4.0
_ASKED: Final = {
    "scheme": ("gsettings", "get", "org.gnome.desktop.interface", "color-scheme"),
    "resources": ("xrdb", "-query"),
}
_SETTINGS: Final = (
    "gtk-4.0/settings.ini",
    "gtk-3.0/settings.ini",
    "xfce4/xfconf/xfce-perchannel-xml/xsettings.xml",
)


@dataclass(frozen=True, slots=True)
class Looks:
    """`dpi` 0: as the screen says. `factor` multiplies what comes of that."""

    dark: bool = False
    dpi: float = 0.0
    factor: float = 1.0

    def scale(self, screen_dpi: float) -> float:
        """By how much text is enlarged on a screen for which Tk assumes `screen_dpi`."""
        wanted = self.dpi / screen_dpi if self.dpi and screen_dpi else 1.0
        return min(_MOST, max(_LEAST, wanted * self.factor))


def judge(environ: Mapping[str, str], told: Mapping[str, str]) -> Looks:
    """`told`: `scheme` and `resources` of the desktop's tools, `settings` of its files."""
    dpi = re.search(r"^Xft\.dpi:\s*([\d.]+)", told.get("resources", ""), re.MULTILINE)
    factor = _number(environ.get("BORROW_TEXT_SCALE") or environ.get("GDK_DPI_SCALE") or "1")
    return Looks(_is_dark(environ, told), _number(dpi[1]) if dpi else 0.0, factor or 1.0)


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
        told = {"settings": self._settings()}
        for name, child in self._running.items():
            try:
                left = max(0.01, self._until - time.monotonic())
                told[name] = child.communicate(timeout=left)[0].decode("utf-8", "replace")
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
        return judge(self._environ, told)

    def _settings(self) -> str:
        home = Path(self._environ.get("HOME") or "/nonexistent")
        folder = Path(self._environ.get("XDG_CONFIG_HOME") or home / ".config")
        found = []
        for name in _SETTINGS:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.append((folder / name).read_text(encoding="utf-8")[:65_536])
        return "\n".join(found)
