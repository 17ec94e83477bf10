"""`borrow keys`: the base keys of solo mode, which may assume roles and do nothing else.

They go to the desktop keyring, else into a file sealed with a passphrase; never into an argument,
an environment or a log. `unlock` and `mfa` speak to the running process, which alone keeps what
they give.
"""

from __future__ import annotations

import json
import os
import sys
import time
from getpass import getpass
from typing import TYPE_CHECKING, Any, Final

import click

from borrow.cli import say
from borrow.cli.errors import WrongUse
from borrow.cli.options import json_option
from borrow.protocol.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from borrow.cli.client import Control
    from borrow.cli.home import Home
    from borrow.minter.basekeys import BaseKeys, KeyStore

MAX_INPUT: Final = 16_384  # characters of JSON on stdin
_SPELLINGS: Final = {
    "access_key_id": ("access_key_id", "AccessKeyId", "aws_access_key_id"),
    "secret_access_key": ("secret_access_key", "SecretAccessKey", "aws_secret_access_key"),
    "session_token": ("session_token", "SessionToken", "aws_session_token"),
    "mfa_serial": ("mfa_serial", "SerialNumber"),
}


@click.group(name="keys", short_help="The base keys of solo mode.")
def keys() -> None:
    """The base keys of solo mode: they may assume your roles, and nothing else.

    Give them to a user that can do only sts:AssumeRole, with an MFA device. Any program of your
    user can ask an unlocked keyring; only roles that demand MFA keep it from more.
    """


@keys.command()
@click.option("--sealed", is_flag=True, help="In a file under a passphrase, not the keyring.")
@click.option("--mfa-serial", default="", metavar="ARN", help="The MFA device of their user.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from here.")
@json_option
def add(*, sealed: bool, mfa_serial: str, passphrase_fd: int | None, as_json: bool) -> None:
    """Keep base keys: typed at the terminal, or as JSON on stdin.

    JSON as `aws iam create-access-key` prints it, or with access_key_id and secret_access_key.
    """
    home = _home()
    given = _typed() if say.can_ask() else _piped()
    if mfa_serial:
        given["mfa_serial"] = mfa_serial
    from borrow.minter.basekeys import BaseKeys, checked

    made = checked(BaseKeys(**given))
    store = _store(home, sealed=sealed, passphrase_fd=passphrase_fd, fresh=True)
    store.save(made)
    if as_json:
        say.document({"access_key_id": made.access_key_id, "where": store.where()})
        return
    say.line(f"kept {made.access_key_id} in {store.where()}")
    if made.mfa_serial:
        say.note("open a session of it with: borrow keys mfa")
    elif not sealed:
        say.note("any program of your user can use them; roles that demand MFA are safe from that")


def _typed() -> dict[str, str]:
    without = "borrow keys add < keys.json"
    return {
        "access_key_id": say.ask("access key id", without=without),
        "secret_access_key": getpass("secret access key (not shown): ").strip(),
    }


def _piped() -> dict[str, str]:
    """The keys in a JSON document on stdin; no message repeats any of it."""
    wrong = WrongUse(
        "no base keys on stdin",
        hint='echo \'{"access_key_id": …, "secret_access_key": …}\' | borrow keys add',
    )
    try:
        entry = json.loads(sys.stdin.read(MAX_INPUT))
    except (ValueError, RecursionError):
        raise wrong from None
    if isinstance(entry, dict) and isinstance(entry.get("AccessKey"), dict):
        entry = entry["AccessKey"]
    if not isinstance(entry, dict):
        raise wrong
    found: dict[str, str] = {}
    for name, spellings in _SPELLINGS.items():
        value = next((entry[each] for each in spellings if each in entry), None)
        if isinstance(value, str):
            found[name] = value
    if not {"access_key_id", "secret_access_key"} <= found.keys():
        raise wrong
    return found


@keys.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Which base keys are kept, and where; never the secret."""
    from borrow.cli.keyholder import none_sealed

    home = _home()
    sealed = _has_file(home)
    store = _store(home, sealed=sealed, passphrase_fd=None, fresh=False)
    session = _session_end(home)
    kept: BaseKeys | None = None
    try:
        kept = None if sealed else store.load()  # a look is not worth a passphrase
    except Misconfigured as exc:
        raise none_sealed(exc) from None
    told: dict[str, Any] = {"where": store.where(), "session_ends_at": session}
    if kept is not None:
        told |= {"access_key_id": kept.access_key_id, "mfa_serial": kept.mfa_serial}
    if as_json:
        say.document(told)
        return
    name = kept.access_key_id if kept else "sealed keys"
    say.line(f"{name} in {store.where()}")
    if kept and kept.mfa_serial:
        say.line(f"MFA device {say.text_of(kept.mfa_serial)}")
    if session:
        say.line(f"a base session is open for {say.left(session - _now())}")


@keys.command()
@json_option
def remove(*, as_json: bool) -> None:
    """Forget the base keys, here. They stay valid at AWS until they are deleted there."""
    from borrow.cli.keyholder import none_sealed

    home = _home()
    try:
        removed = _store(home, sealed=_has_file(home), passphrase_fd=None, fresh=False).remove()
    except Misconfigured as exc:
        # A keyring that does not answer may still hold them: "forgotten" has to be true.
        raise none_sealed(exc) from None
    if as_json:
        say.document({"removed": removed})
    else:
        say.line("the base keys are forgotten" if removed else "there were no base keys")


@keys.command()
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from here.")
@json_option
def unlock(*, passphrase_fd: int | None, as_json: bool) -> None:
    """Give the running daemon the passphrase of the sealed base keys, until it stops."""
    home = _home()
    if not _has_file(home):
        raise Misconfigured("there are no sealed base keys", hint="borrow keys add --sealed")
    phrase = _passphrase(passphrase_fd)().decode("utf-8", "strict")
    told = _holder(home).post("/unlock", {"passphrase": phrase})
    if as_json:
        say.document(told)
    else:
        say.line("the base keys are unlocked until the daemon stops")


@keys.command()
@click.option("--code-fd", type=int, metavar="N", help="Read the code from here.")
@json_option
def mfa(*, code_fd: int | None, as_json: bool) -> None:
    """Open a base session with a code of the keys' MFA device; good for a working day."""
    home = _home()
    if code_fd is None:
        code = say.ask("code of the MFA device", without="borrow keys mfa --code-fd 0")
    else:
        code = os.read(code_fd, 64).decode("ascii", "replace").strip()
    told = _holder(home).post("/mfa", {"code": code})
    if as_json:
        say.document(told)
    else:
        ends = say.left(say.number_of(told.get("expires_at")) - _now())
        say.line(f"a base session is open for {ends}")


def _home() -> Home:
    from borrow.cli.home import open_home

    home = open_home()
    if home.mode() != "solo":
        raise Misconfigured(
            "this machine belongs to a team and keeps no base keys",
            hint="the team's server has its own way to the cloud",
        )
    return home


def _has_file(home: Home) -> bool:
    from borrow.cli.keyholder import SEALED

    return (home.state / SEALED).exists()


def _store(home: Home, *, sealed: bool, passphrase_fd: int | None, fresh: bool) -> KeyStore:
    """Where the keys are, or will be. `fresh` asks for the passphrase twice at a terminal."""
    from borrow.cli.keyholder import SEALED
    from borrow.minter.basekeys import KeyringSource, SealedFileSource

    if sealed:
        return SealedFileSource(home.state / SEALED, _passphrase(passphrase_fd, twice=fresh))
    return KeyringSource(seconds=60.0 if say.can_ask() else 3.0)


def _passphrase(descriptor: int | None, *, twice: bool = False) -> Any:
    from borrow.minter.sealedfile import passphrase_source

    def prompt() -> bytes:
        typed = getpass("passphrase (not shown): ")
        if twice and getpass("once more: ") != typed:
            raise WrongUse("the two passphrases differ", hint="borrow keys add --sealed")
        return typed.encode()

    return passphrase_source(os.environ, fd=descriptor, prompt=prompt if say.can_ask() else None)


def _holder(home: Home) -> Control:
    """The running solo process's own socket for keys."""
    from borrow.cli.client import Control
    from borrow.cli.keyholder import SOCKET
    from borrow.cli.launch import running
    from borrow.daemon.places import socket_path

    running(home)
    return Control(socket_path(home.runtime, SOCKET), uid=os.getuid())


def _session_end(home: Home) -> float:
    """When the base session ends, 0 for none; a daemon is not started for it."""
    from borrow.cli.client import Control
    from borrow.cli.keyholder import SOCKET
    from borrow.daemon.places import socket_path

    try:
        told = Control(socket_path(home.runtime, SOCKET), uid=os.getuid()).get("/status")
    except Unavailable:
        return 0.0
    return say.number_of(told.get("session_ends_at"))


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: a countdown for eyes only
