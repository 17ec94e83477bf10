"""The daemon's settings: `<state>/config.json`, read once at start, written by setup and join.

Unknown keys are errors. A missing file means "not enrolled yet": the daemon runs, and says so to
whoever asks it for something.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from borrow.daemon.places import read_private, write_private
from borrow.protocol.errors import Misconfigured, Untrusted
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from borrow.daemon.places import StateDir

NAME: Final = "config.json"
MODES: Final = ("", "solo", "team")


class DaemonConfig(NamedTuple):
    """Who we are and whom we ask. `issuer` is A, also the URL's base; pins are thumbprints."""

    mode: str = ""
    issuer: str = ""
    approver_socket: str = ""  # path of the Unix socket in solo mode; then issuer's host is unused
    client_id: str = ""
    person: str = ""
    approver_pin: str = ""
    minter_pin: str = ""
    port: int = 0  # 0 until the first start chose one

    @property
    def enrolled(self) -> bool:
        return bool(self.client_id and self.issuer)

    def require_enrolled(self) -> None:
        if not self.enrolled:
            raise Misconfigured(
                "this machine is not enrolled",
                hint="`borrow setup` for yourself, or `borrow join URL` for a team",
                state="not_enrolled",
            )


def load_config(state: StateDir) -> DaemonConfig:
    """Raises Misconfigured naming the file and the key."""
    path = state / NAME
    data = read_private(path)
    if data is None:
        return DaemonConfig()
    try:
        return _read(parse_object(data, NAME))
    except Untrusted as exc:
        raise Misconfigured(
            f"{path}: {exc}", hint="`borrow setup` or `borrow join URL` writes it"
        ) from exc


def save_config(state: StateDir, config: DaemonConfig) -> None:
    known = {key: value for key, value in config._asdict().items() if value}
    write_private(state / NAME, json.dumps(known, indent=2).encode() + b"\n")


def with_port(state: StateDir, config: DaemonConfig, port: int) -> DaemonConfig:
    """`config` with the port that was chosen, kept for every later start."""
    if config.port == port:
        return config
    chosen = config._replace(port=port)
    save_config(state, chosen)
    return chosen


def _read(entry: dict[str, Any]) -> DaemonConfig:
    members = Members(entry, NAME)
    mode = members.text_or("mode", limit=16)
    if mode not in MODES:
        raise Misconfigured(
            f"mode in {NAME} is none of solo and team", hint="`borrow setup` writes it"
        )
    config = DaemonConfig(
        mode=mode,
        issuer=members.text_or("issuer").rstrip("/"),
        approver_socket=members.text_or("approver_socket"),
        client_id=members.text_or("client_id", limit=64),
        person=members.text_or("person", limit=255),
        approver_pin=members.text_or("approver_pin", limit=64),
        minter_pin=members.text_or("minter_pin", limit=64),
        port=members.whole("port", high=65_535) if members.has("port") else 0,
    )
    members.end()
    return config
