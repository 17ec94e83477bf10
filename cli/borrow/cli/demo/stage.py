"""The demo's private world: a temporary folder with a cloud, a policy, base keys and a daemon.

Nothing of the person who runs it is read or touched: HOME, state, runtime folder and AWS files are
all inside the folder, and the folder is gone at the end. The cloud is moto behind our wrapper
(`standin`); everything else is Borrow as it is installed, started by its own commands.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from borrow.cli.client import Control
from borrow.cli.demo.standin_process import StandInProcess
from borrow.cli.demo.standin_seed import Role, Seed, Trust
from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BUCKET: Final = "acme-reports"
READER: Final = "demo-readonly"
ADMIN: Final = "prod-admin"
_TRUST: Final = Trust(("user/borrow-base",))
SEED: Final = Seed(
    roles={
        "DemoReadOnly": Role(("s3:GetObject", "s3:ListBucket"), trust=_TRUST),
        "ProdAdmin": Role(("s3:*",), trust=_TRUST),
    },
    buckets={BUCKET: {"figures.csv": "month,value\n10,41\n11,43\n", "queue/stuck-job": "{}"}},
)
_POLICY: Final = """\
version = 1
[admins]
people = ["{person}"]
[roles.demo-readonly]
aws  = "arn:aws:iam::{account}:role/DemoReadOnly"
tier = "low"
[roles.prod-admin]
aws  = "arn:aws:iam::{account}:role/ProdAdmin"
tier = "sensitive"
[[rule]]
id = "reading"
who = ["{person}"]
roles = ["demo-readonly"]
max = "1h"
approve = {{ mode = "auto" }}
[[rule]]
id = "production"
who = ["{person}"]
roles = ["prod-admin"]
max = "1h"
approve = {{ mode = "self", factor = ["totp"], match = true }}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a demo happens; enough to take part in it from another terminal."""

    root: Path
    endpoint: str

    @property
    def env(self) -> dict[str, str]:
        return environment(self.root) | {"AWS_ENDPOINT_URL": self.endpoint}

    @property
    def control(self) -> Control:
        return control(self.root)

    @property
    def script(self) -> list[str]:
        """The ordinary program: `python report.py BUCKET`, run by the same Python."""
        return [sys.executable, str(Path(__file__).with_name("report.py")), BUCKET]


@dataclass(frozen=True, slots=True)
class World:
    """One demo. `totp_secret` is what the person's authenticator app would hold."""

    place: Place
    cloud: StandInProcess
    totp_secret: str = field(repr=False)


def control(root: Path) -> Control:
    """The daemon of the demo in `root`."""
    found = next(root.glob("run/borrow-*/daemon.sock"), None)
    if found is None:
        raise Unavailable("the demo's daemon is not running", hint="run the demo again")
    return Control(found, uid=os.getuid())


def environment(root: Path) -> dict[str, str]:
    """Where every process of the demo lives. PATH and the terminal's own variables stay."""
    kept = ("PATH", "TERM", "LANG", "LC_ALL", "COLUMNS", "LINES", "NO_COLOR")
    out = {name: os.environ[name] for name in kept if name in os.environ}
    return out | {
        "HOME": str(root / "home"),
        "XDG_RUNTIME_DIR": str(root / "run"),
        "BORROW_STATE_DIR": str(root / "state"),
        "CREDENTIALS_DIRECTORY": str(root / "credentials"),
        "AWS_DEFAULT_REGION": SEED_REGION,
    }


SEED_REGION: Final = "us-east-1"


def command(*words: str) -> list[str]:
    """`borrow WORDS…`, by the Python that runs the demo."""
    return [sys.executable, "-m", "borrow.cli.main", *words]


def borrow(env: Mapping[str, str], *words: str, text: str = "") -> str:
    """Run one of Borrow's own commands; its error becomes ours. Returns its standard output."""
    done = subprocess.run(  # noqa: S603  our own command
        command(*words), env=dict(env), input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Unavailable(
            f"`borrow {words[0]}` failed: {told[0].removeprefix('borrow: error: ')}",
            hint="`make test` shows whether this machine lacks something",
        )
    return done.stdout


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Set everything up, and take everything down again, whatever happens in between."""
    root = Path(tempfile.mkdtemp(prefix="b-"))
    try:
        for name in ("home/.cache", "run", "credentials"):
            (root / name).mkdir(parents=True, mode=0o700)
        phrase = root / "credentials/borrow-passphrase"
        phrase.touch(mode=0o600)
        phrase.write_text(secrets.token_urlsafe(24))
        with StandInProcess(SEED, directory=root) as cloud:
            env = environment(root)
            try:
                _set_up(root, env, cloud)
                yield World(Place(root, cloud.endpoint), cloud, _enrol_totp(control(root)))
            finally:
                with contextlib.suppress(Unavailable):
                    borrow(env, "daemon", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _set_up(root: Path, env: Mapping[str, str], cloud: StandInProcess) -> None:
    """What a person does once: `borrow setup`, a policy, base keys."""
    state = root / "state"
    borrow(env, "setup", "--yes", "--no-totp")
    borrow(env, "daemon", "stop")
    policy = _POLICY.format(person=f"local:{getpass.getuser()}", account=SEED.account)
    (state / "policy.toml").write_text(policy)
    (state / "cloud.toml").write_text(
        f'driver = "assume-role"\nregion = "{SEED_REGION}"\nendpoint_url = "{cloud.endpoint}"\n'
    )
    key = cloud.base_key
    borrow(env, "keys", "add", "--sealed", text=json.dumps(key))
    borrow(env, "daemon", "start")


def _enrol_totp(daemon: Control) -> str:
    """Put the demo person's authenticator app in place: scan, confirm one code, keep the secret."""
    import pyotp

    begun: dict[str, Any] = daemon.post("/v1/totp")
    secret = str(begun["secret"])
    # The step before this one is still taken, and leaves the current code unspent: each counts
    # once, and nobody should wait half a minute for the next.
    step = pyotp.TOTP(secret).interval
    code = pyotp.TOTP(secret).at(int(time.time()) - step)  # noqa: TID251  as an app reads it
    daemon.post(f"/v1/totp/{begun['enrolment']}", {"code": code})
    return secret


def code_now(secret: str) -> tuple[str, int]:
    """What the authenticator app shows, and for how many seconds more."""
    import pyotp

    app = pyotp.TOTP(secret)
    now = int(time.time())  # noqa: TID251  as an app reads it
    return str(app.at(now)), app.interval - now % app.interval
