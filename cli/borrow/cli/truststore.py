"""Which `.borrow.toml` files this user trusts: by the hash of where they are and what they say.

One private file each, in the state directory. It holds the trusted text (to show what changed)
and what that said (so that no TOML is read on the way of a command). The trusted content decides,
never the file that lies there: `look` compares the two each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from borrow.cli.projectfile import FILE, MAX_FILE, Project, parse
from borrow.daemon.places import read_private, write_private
from borrow.protocol.errors import Misconfigured
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_CLIMB = 64  # folders upwards


class Trust(Enum):
    TRUSTED = "trusted"
    NEW = "new"
    CHANGED = "changed"


class Found(NamedTuple):
    """A file in the project around a folder, and what is known of it."""

    path: Path
    data: bytes
    stamp: Path  # is there once the file was trusted
    trust: Trust
    project: Project | None  # of a trusted one
    before: Project | None  # of a changed one: what was trusted
    trusted_text: str


def folder_of_caller(environment: Mapping[str, str]) -> Path:
    """The working directory by the name under which the shell knows it."""
    named = environment.get("PWD", "")
    try:
        if named.startswith("/") and os.path.samefile(named, "."):  # noqa: PTH121
            return Path(os.path.normpath(named))
        return Path.cwd()
    except OSError:
        return Path("/")


def find(folder: Path) -> Path | None:
    """The nearest file, in `folder` or above it."""
    for each in [folder, *folder.parents][:_MAX_CLIMB]:
        if os.path.lexists(path := each / FILE):  # a folder that may not be searched has none
            return path
    return None


def look(state: Path, path: Path) -> Found:
    """What the file holds now, and whether just that was trusted. Raises if it cannot be read."""
    data = read(path)
    stamp = _stamp(state, path)
    kept = _kept(stamp)
    if kept is None:
        return Found(path, data, stamp, Trust.NEW, None, None, "")
    text = str(kept.get("text", ""))
    before = _remembered(kept, text.encode())
    if kept.get("digest") != digest(path, data):
        return Found(path, data, stamp, Trust.CHANGED, None, before, text)
    return Found(path, data, stamp, Trust.TRUSTED, before, None, text)


def read(path: Path) -> bytes:
    """A plain file of bounded size: a pipe in its place would hold us for ever."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Misconfigured(f"{_name(path)} is no plain file", hint="move it away")
            data = file.read(MAX_FILE + 1)
    except OSError as exc:
        why = (exc.strerror or "failed").lower()
        raise Misconfigured(f"cannot read {_name(path)}: {why}", hint="move it away") from exc
    if len(data) > MAX_FILE:
        raise Misconfigured(f"{_name(path)} is larger than {MAX_FILE >> 10} KiB", hint="shorten it")
    return data


def digest(path: Path, data: bytes) -> str:
    import hashlib

    place = os.fsencode(path)
    return hashlib.sha256(b"%d:%s:%s" % (len(place), place, data)).hexdigest()


def remember(state: Path, path: Path, data: bytes) -> Project:
    """Trust exactly `data` at `path`."""
    project = parse(data)
    stamp = _stamp(state, path)
    stamp.parent.mkdir(mode=0o700, exist_ok=True)
    kept = {
        "v": 1,
        "path": os.fsdecode(path),
        "digest": digest(path, data),
        "text": data.decode(),
        "project": project._asdict(),
    }
    write_private(stamp, json.dumps(kept).encode())
    # Shells see by these two times that the file is not newer; one from the future would stay so.
    with contextlib.suppress(OSError):  # it may be gone by now; what was shown is trusted
        seen, ours = path.lstat().st_mtime_ns, stamp.stat().st_mtime_ns
        if seen > ours:
            os.utime(stamp, ns=(seen, seen))
    return project


def forget(state: Path, path: Path) -> bool:
    """Trust it no longer; False if it was not trusted."""
    stamp = _stamp(state, path)
    try:
        stamp.unlink()
    except FileNotFoundError:
        return False
    return True


def trusted_paths(state: Path) -> list[str]:
    """Where trusted files are, or were."""
    kept = (_kept(stamp) for stamp in sorted((state / "trust").glob("*.json")))
    return sorted(str(each["path"]) for each in kept if each and isinstance(each.get("path"), str))


def _stamp(state: Path, path: Path) -> Path:
    import hashlib

    return state / "trust" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"


def _kept(stamp: Path) -> dict[str, Any] | None:
    data = read_private(stamp)
    if data is None:
        return None
    try:
        kept = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return kept if isinstance(kept, dict) and kept.get("v") == 1 else None


def _remembered(kept: dict[str, Any], data: bytes) -> Project:
    """What was read when it was trusted; read again if another version wrote it down."""
    told = kept.get("project")
    try:
        role, commands, profiles = (told[name] for name in Project._fields)  # type: ignore[index]  # caught
        return Project(str(role), _pairs(commands), _pairs(profiles))
    except (TypeError, KeyError, ValueError):
        return parse(data)


def _pairs(told: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(role)) for name, role in told)


def _name(path: Path) -> str:
    return shown(str(path))
