"""Reading /proc: processes, their descriptors and states, as they are at this moment.

Owns the file formats of proc(5) and the rule that a process may vanish between any two reads:
everything here answers with nothing (None, "", no items) instead of raising. Where there is no
/proc, there is nothing to be found.
"""

# A scan reads ten thousand links, and Path objects would triple its cost.
# ruff: noqa: PTH115, PTH116, PTH123, PTH208
from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROC: Final = "/proc"

# Bytes of one file: an environment may be as large as the stack limit allows.
MAX_READ: Final = 1 << 20

# Characters of a path, a name or a branch.
MAX_TEXT: Final = 256


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/<pid>/stat says of one process."""

    state: str
    comm: str
    ppid: int
    session: int
    tty_number: int
    start: int  # clock ticks since boot


def pids(uid: int | None = None) -> Iterator[int]:
    """The processes of `uid` (None: all), newest number first."""
    try:
        numbers = sorted((int(name) for name in os.listdir(PROC) if name.isdecimal()), reverse=True)
    except OSError:
        return
    for pid in numbers:
        try:
            if uid is None or os.stat(f"{PROC}/{pid}").st_uid == uid:
                yield pid
        except OSError:
            continue


def all_stats() -> Iterator[Stat]:
    for pid in pids():
        if (one := stat_of(pid)) is not None:
            yield one


def links(pid: int) -> Iterator[str]:
    """What the descriptors of `pid` point at, the newest first."""
    folder = f"{PROC}/{pid}/fd"
    try:
        numbers = sorted(os.listdir(folder), key=int, reverse=True)
    except (OSError, ValueError):
        return
    for number in numbers:
        try:
            yield os.readlink(f"{folder}/{number}")
        except OSError:
            continue


def holds(pid: int, link: str) -> bool:
    return any(each == link for each in links(pid))


def stat_of(pid: int) -> Stat | None:
    raw = read(f"{PROC}/{pid}/stat", limit=4096)
    # The name is in parentheses and may hold any byte, parentheses included.
    head, _, tail = raw.rpartition(b") ")
    fields = tail.split()
    if len(fields) < 20:
        return None
    return Stat(
        state=decode(fields[0]),
        comm=decode(head.partition(b"(")[2]),
        ppid=int(fields[1]),
        session=int(fields[3]),
        tty_number=int(fields[4]),
        start=int(fields[19]),
    )


def is_alive(one: Stat) -> bool:
    return one.state not in "ZXx"


def unix_start(ticks: int) -> int:
    for line in read(f"{PROC}/stat").splitlines():
        if line.startswith(b"btime "):
            return int(line.split()[1]) + ticks // os.sysconf("SC_CLK_TCK")
    return 0


def link(pid: int, name: str) -> str:
    try:
        return os.readlink(f"{PROC}/{pid}/{name}")
    except OSError:
        return ""


def read(path: str, limit: int = MAX_READ) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""


def read_plain(path: Path) -> bytes:
    """A file in the caller's own folders: a pipe planted there must not hang us."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(handle, 4096) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(handle)


def decode(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def clean(value: str, limit: int = MAX_TEXT) -> str:
    """`value` as valid UTF-8 (paths may hold anything), cut."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")[:limit]
