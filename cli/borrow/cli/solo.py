"""Solo mode: minter, approver and daemon in one process and one event loop.

Started by any command that needs it (`borrow.cli.launch`). The approver listens on a Unix socket in
the private runtime folder. The first start makes the keys and the databases, and enrols this
machine as the person's own device, by an invitation that never leaves the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import getpass
import os
import secrets
import socket as sockets
import sys
from typing import TYPE_CHECKING

from borrow.daemon.hardening import protect_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from borrow.cli.assembly import Parts
    from borrow.cli.home import Home
    from borrow.daemon.config import DaemonConfig

ISSUER = "http://localhost"  # no socket of that name is opened: the daemon uses the Unix socket


def person() -> str:
    """The one person of solo mode."""
    return f"local:{getpass.getuser()}"


def main() -> int:
    """`python -m borrow.cli.solo`. Errors go to stderr as the two lines every command prints."""
    protect_process()
    os.umask(0o077)
    from borrow.cli import errors, logs
    from borrow.cli.home import open_home
    from borrow.daemon.loops import loop_factory
    from borrow.protocol.errors import BorrowError

    home = None
    try:
        home = open_home(os.environ)
        logs.to_file(home.log)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(home))
    except BorrowError as exc:
        errors.tell(exc)
        return errors.exit_code(exc)
    except KeyboardInterrupt:
        return errors.INTERRUPTED
    except BaseExceptionGroup as group:
        return _group(group, home)
    except Exception as exc:  # noqa: BLE001  the last resort: one line, and no secret in it
        return _crash(exc, home)
    return errors.OK


def _group(group: BaseExceptionGroup[BaseException], home: Home | None) -> int:
    """The first known error of a task group, else a crash."""
    from borrow.cli import errors
    from borrow.protocol.errors import BorrowError

    known, _ = group.split(BorrowError)
    if known is None:
        return _crash(group, home)
    first: BaseException = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if not isinstance(first, BorrowError):
        return _crash(group, home)
    errors.tell(first)
    return errors.exit_code(first)


def _crash(exc: BaseException, home: Home | None) -> int:
    from borrow.cli import errors
    from borrow.cli.assembly import clock

    told = errors.internal(exc, home.state.path if home else None, now=clock())
    errors.tell(told)
    return errors.exit_code(told)


async def serve(home: Home) -> None:
    """Run until the daemon is told to stop."""
    from borrow.cli.assembly import alone
    from borrow.cli.phonefile import FILE
    from borrow.daemon.app import run

    with alone(home.state.path, look="borrow daemon status"):
        async with approver(home) as parts, contextlib.AsyncExitStack() as more:
            if (home.state / FILE).exists():
                from borrow.cli.solophone import beside  # late: few have one

                await more.enter_async_context(beside(home, parts))
            # As the daemon alone does it: what was imported stays, and is not looked through again.
            await run(home.state, ready=lambda started: gc.freeze())


@contextlib.asynccontextmanager
async def approver(home: Home) -> AsyncIterator[Parts]:
    """The approver's half: serving on its socket, with this device enrolled."""
    from borrow.approver.app import build_pages_app
    from borrow.approver.serve import start
    from borrow.cli.assembly import assemble, clock
    from borrow.cli.cloud import parse_cloud, read_toml
    from borrow.cli.keyholder import SOCKET, base_keys_of, build_keys_app
    from borrow.cli.solopages import address, listening, ours_only
    from borrow.cli.thawing import unfreeze_routes
    from borrow.daemon.config import load_config, save_config
    from borrow.daemon.front import our_uid
    from borrow.daemon.peer import system_peers
    from borrow.daemon.places import socket_path

    cloud = parse_cloud(read_toml(home.cloud), home.cloud.name)
    stored, base = base_keys_of(
        home.state.path,
        os.environ,
        endpoint_url=cloud.endpoint_url,
        region=cloud.region,
        clock=clock,
    )
    found = listening(home)
    public_url = address(found[0].getsockname()[1]) if found else ""
    parts = await asyncio.to_thread(
        assemble,
        home.state.path,
        policy=home.policy,
        issuer=ISSUER,
        cloud=cloud,
        base_keys=base,
        public_url=public_url,
    )
    config = load_config(home.state)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, parts.minter.close)
        if not config.enrolled:
            await asyncio.to_thread(enrol, home, parts, config)
        elif config.approver_socket != str(home.approver_socket):
            # The runtime folder differs between logins; the daemon reads where we listen now.
            save_config(home.state, config._replace(approver_socket=str(home.approver_socket)))
        runner = await start(parts.app, unix=home.approver_socket)
        stack.push_async_callback(runner.cleanup)
        if found:
            peers = system_peers()
            stack.callback(peers.close)
            admit = ours_only(peers, our_uid())
            shown = await start(build_pages_app(parts.app), sockets=found, admit=admit)
            stack.push_async_callback(shown.cleanup)
        known = load_config(home.state)
        more = unfreeze_routes(parts, known.client_id, known.person)
        keys = build_keys_app(stored, base, *more)
        held = await start(keys, unix=socket_path(home.runtime, SOCKET))
        stack.push_async_callback(held.cleanup)
        yield parts


def enrol(home: Home, parts: Parts, config: DaemonConfig) -> None:
    """Register this machine as the person's device; config and keys are written at the end."""
    from borrow.cli.assembly import clock
    from borrow.daemon.config import save_config
    from borrow.daemon.device import create_device, load_device
    from borrow.protocol.enrolment import Invitation, sign_software_statement

    who = config.person or person()
    keys = load_device(home.state) or create_device(home.state)
    invited = parts.minter.invite(who)
    minter = parts.minter.keys()
    invitation = Invitation(ISSUER, who, parts.keys.approver_pin, minter.pin, invited.key)
    statement = sign_software_statement(
        invitation,
        keys.jwks(),
        device_name=sockets.gethostname()[:64] or "this machine",
        now=clock(),
        jti=secrets.token_urlsafe(16),
    )
    device, _ = parts.minter.register(statement)
    enrolled = config._replace(
        mode="solo",
        issuer=ISSUER,
        approver_socket=str(home.approver_socket),
        client_id=device.client_id,
        person=who,
        approver_pin=parts.keys.approver_pin,
        minter_pin=minter.pin,
    )
    save_config(home.state, enrolled)


if __name__ == "__main__":
    sys.exit(main())
