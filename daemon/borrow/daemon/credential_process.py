"""`credential_process`: fetch one credential document from the daemon and print it.

Run through `credential.py` by an SDK, sometimes for every API call, so it imports `_socket` and
what is built in, nothing else (not even `__future__`): 10 ms are the whole budget. The daemon does
the work and sends the finished document; while people decide it writes to the terminal itself, or
where it cannot find that, its `L` lines are written there from here, because SDKs hide what this
process writes to stderr.
"""

import posix
import sys
from _socket import AF_UNIX, SOCK_STREAM, socket

MAX_LINE = 1 << 20  # bytes
LOOK_EVERY = 1.0  # seconds between two looks whether our SDK still lives
_ROLE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def main(argv: list[str]) -> int:
    """`argv` is SOCKET ROLE, or ROLE alone: then the daemon of the user's state directory.

    SOCKET ROLE BORROW STATE is the line of an installed profile: without a daemon it becomes
    `BORROW credential ROLE`, which starts the one of STATE. `--unserved PROFILE ROLE` stands in a
    run as ROLE for a profile whose own keys are not to be used.
    """
    if len(argv) == 3 and argv[0] == "--unserved":
        return _unserved(argv[1], argv[2])
    if len(argv) not in (1, 2, 4):
        return _fail("credential takes a role", "borrow credential ROLE")
    path, role = (_default_socket(), argv[0]) if len(argv) == 1 else argv[:2]
    if not path:
        return 1
    if not role or not _ROLE.issuperset(role):
        return _fail("that cannot be a role's name", "borrow roles lists them")
    try:
        connection = socket(AF_UNIX, SOCK_STREAM)
        connection.connect(path)
    except OSError:
        if len(argv) == 4:
            _start_with(argv[2], argv[3], role)
        return _fail("the daemon is not running", "borrow daemon start")
    try:
        connection.sendall(_request(role))
        return _follow(connection)
    except OSError:
        return _fail("the daemon broke off", "borrow daemon logs")
    finally:
        connection.close()


def _start_with(borrow: str, state: str, role: str) -> None:
    """Become the command that starts a daemon first; returns only if that cannot be."""
    environment = dict(posix.environ)
    environment[b"BORROW_STATE_DIR"] = state.encode("utf-8", "surrogateescape")
    try:
        posix.execve(borrow, [borrow, "credential", role], environment)
    except OSError:
        return


def _unserved(profile: str, role: str) -> int:
    told = f"the profile {profile!r}" if profile != "?" else "this profile"
    return _fail(
        f"{told} has keys of its own, which a run as {role} does not use, and no role of yours "
        "is known for it",
        f"borrow run {role} --profile {profile} -- COMMAND lets {role} stand for it",
    )


def _request(role: str) -> bytes:
    pairs = []
    for name, variable in ((b"reason", b"BORROW_REASON"), (b"ticket", b"BORROW_TICKET")):
        if value := posix.environ.get(variable, b""):
            pairs.append(name + b"=" + _quoted(value[:500]))
    query = b"?" + b"&".join(pairs) if pairs else b""
    return b"GET /v1/process/" + role.encode() + query + b" HTTP/1.1\r\nHost: borrow\r\n\r\n"


def _quoted(value: bytes) -> bytes:
    return b"".join(bytes([c]) if c in _PLAIN else b"%%%02X" % c for c in value)


def _follow(connection: socket) -> int:
    """Read the answer line by line until its `D` or `E`."""
    parent = posix.getppid()
    connection.settimeout(LOOK_EVERY)
    head, rest = _head(connection, parent)
    if b" 200 " not in head.partition(b"\r\n")[0]:
        return _refused(connection, rest)
    while True:
        line, found, left = rest.partition(b"\n")
        if not found:
            data = _receive(connection, parent)
            if not data or len(rest) > MAX_LINE:
                return _fail("the daemon broke off", "borrow daemon logs")
            rest += data
            continue
        rest = left
        kind, text = line[:2], line[2:]
        if kind == b"L ":
            _tell(text)
        elif kind == b"D ":
            _write(1, text + b"\n")
            return 0
        elif kind == b"E ":
            return _fail(text.decode("utf-8", "replace"), "")


def _receive(connection: socket, parent: int) -> bytes:
    """The next bytes, however late. Raises OSError once the SDK that started us has gone: then
    nobody reads the document, and the question is to be withdrawn."""
    while True:
        try:
            return connection.recv(65536)
        except TimeoutError:
            if posix.getppid() != parent:
                raise OSError from None


def _head(connection: socket, parent: int) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = _receive(connection, parent)
        if not more or len(data) > MAX_LINE:
            raise OSError
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _refused(connection: socket, body: bytes) -> int:
    import json  # only on this path: it costs a quarter of our start

    while more := connection.recv(65536):
        body += more
    try:
        error = json.loads(body)["error"]
        return _fail(str(error["message"]), str(error.get("hint", "")))
    except (ValueError, KeyError, TypeError):
        return _fail("the daemon refused", "borrow daemon logs")


def _tell(text: bytes) -> None:
    """Into the caller's terminal, if it has one. The daemon escaped the text."""
    try:
        terminal = posix.open("/dev/tty", posix.O_WRONLY | posix.O_NOCTTY)
    except OSError:
        return
    try:
        _write(terminal, b"\r" + text + b"\r\n")
    except OSError:
        return
    finally:
        posix.close(terminal)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[posix.write(handle, data) :]


def _fail(message: str, hint: str) -> int:
    told = f"borrow: error: {message}\n" + (f"borrow: hint: {hint}\n" if hint else "")
    _write(2, told.encode("utf-8", "replace"))
    return 1


def _default_socket() -> str:
    """Where the daemon of the user's own state directory listens; "" after saying what is wrong."""
    import os
    from pathlib import Path

    from borrow.daemon.places import StateDir, default_state_dir, runtime_dir, socket_path
    from borrow.protocol.errors import BorrowError

    try:
        state = StateDir.open(default_state_dir(os.environ, Path.home()), create=False)
        return str(socket_path(runtime_dir(state.path, os.environ)))
    except BorrowError as exc:
        _fail(exc.message, exc.hint)
        return ""


def run() -> None:
    """As the whole process. Taking the interpreter apart would cost a fifth of it, for nothing:
    what is written is written, and nothing else is open."""
    try:
        status = main(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    posix._exit(status)  # noqa: SLF001  os._exit by the module that is built in
