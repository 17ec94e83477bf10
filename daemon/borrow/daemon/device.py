"""The device's two keys, one to sign and one to be sealed to: `<state>/device.json`, mode 0600.

Cryptography is imported with this module, so the daemon imports it when it first speaks to the
approver and not at its start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.places import read_private, write_private
from borrow.protocol.errors import Misconfigured, Untrusted
from borrow.protocol.keys import device_jwks, load_key, new_key, private_jwk
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.daemon.places import StateDir

NAME: Final = "device.json"


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    sig: ECKey = field(repr=False)
    enc: ECKey = field(repr=False)

    def jwks(self) -> dict[str, Any]:
        return device_jwks(self.sig, self.enc)


def load_device(state: StateDir) -> DeviceKeys | None:
    """None if there is none yet; Misconfigured if the file is not what we wrote."""
    path = state / NAME
    data = read_private(path)
    if data is None:
        return None
    try:
        members = Members(parse_object(data, NAME), NAME)
        keys = DeviceKeys(
            sig=load_key(members.object("sig"), private=True),
            enc=load_key(members.object("enc"), private=True),
        )
        members.end()
    except Untrusted as exc:
        raise Misconfigured(
            f"{path} does not hold this device's keys", hint="restore it, or enrol again"
        ) from exc
    return keys


def require_device(state: StateDir) -> DeviceKeys:
    keys = load_device(state)
    if keys is None:
        raise Misconfigured(
            f"there is no {NAME}", hint="`borrow setup`, or `borrow join URL`", state="not_enrolled"
        )
    return keys


def create_device(state: StateDir) -> DeviceKeys:
    """Make new keys and write them before anybody learns of them; old ones are replaced."""
    keys = DeviceKeys(new_key(), new_key())
    entry = {"sig": private_jwk(keys.sig), "enc": private_jwk(keys.enc)}
    write_private(state / NAME, json.dumps(entry).encode())
    return keys
