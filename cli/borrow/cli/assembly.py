"""Putting the rooms together: policy file, driver, minter and approver of one folder.

The one place that knows all of them. Solo mode runs the result beside the daemon, a team's server
runs it alone; the parts do not know which.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from borrow.approver.app import build_app
from borrow.approver.channels.ways import Reach
from borrow.approver.settings import ApproverSettings
from borrow.cli.cloud import make_driver
from borrow.cli.keyfiles import load_or_make
from borrow.cli.policyfile import PolicyFile
from borrow.daemon.places import read_private
from borrow.minter.authority import Minter
from borrow.minter.inprocess import InProcessMinter
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp import web

    from borrow.cli.cloud import CloudSettings
    from borrow.cli.keyfiles import ServerKeys
    from borrow.minter.basekeys import KeySource

APPROVER_DB, MINTER_DB = "approver.db", "minter.db"


@dataclass(frozen=True, slots=True)
class Parts:
    keys: ServerKeys
    policy: PolicyFile
    minter: Minter
    app: web.Application


def clock() -> float:
    return time.time()  # noqa: TID251  the edge: the clock that everything else is given


def assemble(
    folder: Path,
    *,
    policy: Path,
    issuer: str,
    cloud: CloudSettings,
    base_keys: KeySource,
    webhooks: tuple[str, ...] = (),
    reach: Reach | None = None,
    public_url: str = "",
    trusted_proxies: tuple[str, ...] = (),
) -> Parts:
    """Raises Misconfigured for a policy that does not pass, before any database is touched."""
    watched = PolicyFile(policy)
    reach = reach or Reach()
    settings = ApproverSettings(
        issuer=issuer,
        db=folder / APPROVER_DB,
        webhooks=webhooks,
        push_contact=reach.contact,
        push_allow_hosts=reach.allow_hosts,
        push_proxy=reach.proxy,
        channels=reach.ways,
        deciders=lambda: watched.current().deciders(),
        critical=lambda: watched.current().critical_deciders(),
        public_url=public_url,
        trusted_proxies=trusted_proxies,
        admins=lambda: watched.current().admins,
        trouble=lambda: _trouble(watched),
    )
    keys = load_or_make(folder)
    for name in (APPROVER_DB, MINTER_DB):
        _private(folder / name)
    driver = make_driver(cloud, keys=base_keys, issuer_key=keys.issuer, clock=clock)
    minter = Minter(
        folder / MINTER_DB,
        issuer=issuer,
        keys=keys.minter,
        policy=watched.current,
        driver=driver,
        clock=clock,
        public_url=settings.pages,
    )
    app = build_app(
        settings,
        minter=InProcessMinter(minter),
        signer=keys.approver,
        vapid=keys.vapid,
        clock=clock,
    )
    return Parts(keys, watched, minter, app)


def _trouble(watched: PolicyFile) -> str:
    trouble = watched.trouble()
    return "" if trouble is None else f"{trouble.message}; {trouble.hint}"


def _private(path: Path) -> None:
    """The database's file is ours and 0600 before SQLite opens it, or it is refused."""
    if path.exists():
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            seen = os.fstat(handle)
        finally:
            os.close(handle)
        if seen.st_uid != os.getuid() or seen.st_mode & 0o077:
            raise Misconfigured(
                f"{path} is open to others (mode {seen.st_mode & 0o777:04o})",
                hint=f"chmod 600 {path}",
            )
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    os.close(os.open(path, flags, 0o600))


@contextlib.contextmanager
def alone(folder: Path, *, look: str) -> Iterator[None]:
    """At most one process works on the databases of `folder`; the kernel keeps the lock.

    `look` is the command that shows the one that runs.
    """
    path = folder / "approver.lock"
    read_private(path)  # ours and 0600, or refused
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(f"an approver runs already for {folder}", hint=look) from None
        yield
    finally:
        os.close(handle)
