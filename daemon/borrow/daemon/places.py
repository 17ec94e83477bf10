"""Where the daemon keeps what is its own: state directory, private files, sockets, its port.

Every place is checked before it is used, by the descriptor that is then used: ours, not a symlink,
closed to others. Anything wider is refused with the mode and the cure rather than repaired: we
cannot know who read it meanwhile. The port is the same at each start, because it stands in the
environment of running programs; if somebody else has it, starting fails and says who.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Bytes of a Unix socket's path: `sun_path` is 108 on Linux with its final NUL, 104 on macOS.
MAX_SOCKET_PATH: Final = 103 if sys.platform == "darwin" else 107

# Bytes. Tokens, keys and settings are far smaller; a larger file is not ours.
MAX_PRIVATE_FILE: Final = 1 << 20

LOCK_FILE: Final = "daemon.lock"

_FILE_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_DIR_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def default_state_dir(environ: Mapping[str, str], home: Path) -> Path:
    """`$BORROW_STATE_DIR`, else the user data directory. A relative XDG path is void (its spec)."""
    if chosen := environ.get("BORROW_STATE_DIR"):
        return Path(chosen).absolute()
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "borrow"
    data = Path(environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else home / ".local" / "share") / "borrow"


class StateDir(NamedTuple):
    """A directory that was found to be ours and closed to others."""

    path: Path

    @classmethod
    def open(cls, path: Path, create: bool = True) -> Self:
        """Raises Misconfigured with the cure if it is missing, a link, foreign or too open."""
        path = path.absolute()
        try:
            if create:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, _DIR_FLAGS)
        except OSError as exc:
            raise _not_a_folder(exc, path) from exc
        try:
            _check_private(os.fstat(handle), path, allowed=0o700)
        finally:
            os.close(handle)
        for parent in path.parents:
            mode = parent.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise Misconfigured(
                    f"everybody may replace {_name(path)}, because {_name(parent)} is open to all",
                    hint=f"`chmod o-w {_quoted(str(parent))}`",
                )
        return cls(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name


# -- private files -------------------------------------------------------------------------------


def read_private(path: Path) -> bytes | None:
    """The content of a file of ours with mode 0600; None if there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | _FILE_FLAGS)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _file_trouble(exc, path) from exc
    try:
        seen = _check_file(handle, path)
        if seen.st_size > MAX_PRIVATE_FILE:
            raise Misconfigured(f"{_name(path)} is too large to be ours", hint="move it away")
        # Replaced in one step by its writer, so what is open has the size that was seen.
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(seen.st_size)
    except OSError as exc:
        raise _file_trouble(exc, path) from exc
    finally:
        os.close(handle)


def append_private(path: Path) -> int:
    """A descriptor that appends to a file of ours with mode 0600, made if there is none.

    A FIFO in its place is not waited for: it is refused, as everything is that is no file.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FILE_FLAGS, 0o600)
    except OSError as exc:
        if exc.errno == errno.ENXIO:  # a FIFO that nobody reads, or a socket
            raise _no_file(path) from exc
        raise _file_trouble(exc, path) from exc
    try:
        _check_file(handle, path)
    except BorrowError:
        os.close(handle)
        raise
    return handle


def _check_file(handle: int, path: Path) -> os.stat_result:
    seen = os.fstat(handle)
    if not stat.S_ISREG(seen.st_mode):
        raise _no_file(path)
    _check_private(seen, path, allowed=0o600)
    return seen


def _no_file(path: Path) -> Misconfigured:
    return Misconfigured(f"{_name(path)} is not a regular file", hint="move it away")


def write_private(path: Path, content: bytes) -> None:
    """Replace the file in one step: a reader, or a power cut, finds the old or the new, whole."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        _write_new(temporary, content)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as exc:
        raise _file_trouble(exc, path) from exc


def _write_new(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE_FLAGS, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _sync_folder(path: Path) -> None:
    handle = os.open(path, _DIR_FLAGS)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- sockets -------------------------------------------------------------------------------------


def runtime_dir(state: Path, environ: Mapping[str, str]) -> Path:
    """The 0700 folder for sockets: under `$XDG_RUNTIME_DIR` if that is private, else in `state`.

    The name holds a digest of the state directory, so that two of them never share a socket.
    """
    state = state.absolute()
    base = Path(environ.get("XDG_RUNTIME_DIR", ""))
    if base.is_absolute() and _is_private_folder(base):
        import hashlib  # late, like all that the daemon may not need before it listens

        digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:8]
        return StateDir.open(base / f"borrow-{digest}").path
    return StateDir.open(state / "run").path


def socket_path(folder: Path, name: str = "daemon.sock") -> Path:
    """The path of a socket in `folder`. A path socket only: abstract names have no owner (A39)."""
    path = folder / name
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH:
        raise Misconfigured(
            f"the socket path {_name(path)} has {size} bytes; the system allows {MAX_SOCKET_PATH}",
            hint="set BORROW_STATE_DIR to a shorter path",
        )
    return path


@contextmanager
def lock(state: Path) -> Iterator[None]:
    """Held while a daemon lives, by the kernel: a killed daemon leaves no stale lock behind."""
    path = state / LOCK_FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _FILE_FLAGS, 0o600)
    except OSError as exc:
        raise _file_trouble(exc, path) from exc
    try:
        _check_private(os.fstat(handle), path, allowed=0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            told = f", pid {owner}" if owner.isdecimal() else ""
            raise Misconfigured(
                f"a daemon is already running for {_name(state)}{told}",
                hint="`borrow daemon stop` ends it",
            ) from exc
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(handle)


# -- checks and words ----------------------------------------------------------------------------


def _check_private(seen: os.stat_result, path: Path, *, allowed: int) -> None:
    if seen.st_uid != os.getuid():
        raise Misconfigured(
            f"{_name(path)} belongs to uid {seen.st_uid}, not to you (uid {os.getuid()})",
            hint="run this without sudo, as that user"
            if os.getuid() == 0
            else "move it away, or set BORROW_STATE_DIR to a folder of your own",
        )
    mode = stat.S_IMODE(seen.st_mode)
    if mode & ~allowed:
        raise Misconfigured(
            f"{_name(path)} is open to others (mode {mode:04o})",
            hint=f"`chmod {allowed:o} {_quoted(str(path))}`",
        )


def _is_private_folder(path: Path) -> bool:
    try:
        seen = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(seen.st_mode)
        and seen.st_uid == os.getuid()
        and stat.S_IMODE(seen.st_mode) == 0o700
    )


def _not_a_folder(exc: OSError, path: Path) -> BorrowError:
    if exc.errno in (errno.ELOOP, errno.ENOTDIR, errno.EEXIST):
        return Misconfigured(
            f"{_name(path)} is not a folder of its own (a symlink or a file)",
            hint="set BORROW_STATE_DIR to a real folder",
        )
    if exc.errno == errno.ENOENT:
        return Misconfigured(f"there is no folder {_name(path)}", hint="`borrow setup` makes it")
    return _file_trouble(exc, path)


def _file_trouble(exc: OSError, path: Path) -> BorrowError:
    if exc.errno == errno.ELOOP:
        return Misconfigured(f"{_name(path)} is a symlink", hint="replace it by the file itself")
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EISDIR):
        why = os.strerror(exc.errno).lower()
        read_only = "set BORROW_STATE_DIR to a folder that can be written to"
        hint = read_only if exc.errno == errno.EROFS else "check the folder's owner"
        return Misconfigured(f"cannot use {_name(path)}: {why}", hint=hint)
    why = os.strerror(exc.errno or errno.EIO).lower()
    hint = "is there room? `df -h` shows it" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return Unavailable(f"cannot use {_name(path)}: {why}", hint=hint)


def _quoted(path: str) -> str:
    import shlex  # late: only for a hint

    return shlex.quote(path)


def _name(path: Path) -> str:
    return shown(str(path))
