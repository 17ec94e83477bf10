"""The daemon put together: what it listens on, who owns what, and in which order it ends.

It listens first and imports aiohttp and cryptography when a request needs them: a program that
starts the daemon by its first call waits 60 ms, not 250. `run` owns every task and every socket;
there is no module state. This is also the edge where clocks and randomness are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon import terminal
from borrow.daemon.broker import GRACE, Broker
from borrow.daemon.caller import Session, session_alive
from borrow.daemon.catalogue import Catalogue
from borrow.daemon.config import load_config, with_port
from borrow.daemon.control import Control, Inbox, Parts, daemon_routes
from borrow.daemon.control_answer import answer_routes
from borrow.daemon.control_borrow import borrow_routes
from borrow.daemon.events import Notice, Poll
from borrow.daemon.front import Door, Limits, our_uid
from borrow.daemon.groups import NAME as BEARERS
from borrow.daemon.groups import Bearers
from borrow.daemon.imds_role import NAME as IMDS_ROLE
from borrow.daemon.imds_role import ImdsRole
from borrow.daemon.kitchen import Kitchen
from borrow.daemon.moments import Moment
from borrow.daemon.peer import PeerSource, system_peers
from borrow.daemon.places import StateDir, lock, runtime_dir, socket_path
from borrow.daemon.ports import HeldPort, choose_port
from borrow.daemon.tasks import Tasks
from borrow.daemon.telling import shared_line, tell
from borrow.daemon.ticker import Ticker
from borrow.daemon.unixhttp import ControlServer
from borrow.daemon.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from borrow.daemon.cache import Grant
    from borrow.daemon.config import DaemonConfig
    from borrow.daemon.flights import Flight
    from borrow.daemon.groups import Group
    from borrow.daemon.tasks import Spawn
    from borrow.daemon.transport import Transport

logger = logging.getLogger(__name__)

VERSION: Final = "0.1.0"

# Seconds between two sweeps of the cache, for tidiness: they happen when something else does.
_SWEEP_EVERY: Final = 60.0
_KNOWN_GROUPS: Final = 256


@dataclass(frozen=True, slots=True)
class Started:
    """What `ready` is told once both sockets listen."""

    port: int
    control: Path


def system_moment() -> Moment:
    # macOS has no CLOCK_BOOTTIME; its monotonic clock stops in sleep, the wall clock does not.
    boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Moment(time.time(), time.clock_gettime(boot))  # noqa: TID251  the edge that reads it


@dataclass(frozen=True, slots=True)
class World:
    """The outside, replaceable in tests by working fakes."""

    now: Callable[[], Moment] = system_moment
    entropy: Callable[[int], bytes] = secrets.token_bytes
    say: Callable[[Session, str], bool] = terminal.say
    alive: Callable[[int, int], bool] = session_alive
    peers: Callable[[], PeerSource] = system_peers
    grace: float = GRACE  # seconds
    limits: Limits | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


async def run(
    state: StateDir,
    *,
    ready: Callable[[Started], None] = lambda started: None,
    stop: asyncio.Event | None = None,
    world: World | None = None,
) -> None:
    """Until `stop`, SIGTERM, SIGINT or `POST /v1/stop`. Raises Misconfigured if it cannot start."""
    world = world or World()
    stop = stop or asyncio.Event()
    with contextlib.ExitStack() as held:
        held.enter_context(lock(state.path))
        config = load_config(state)
        port = choose_port(config.port or None)
        held.callback(port.close)
        config = with_port(state, config, port.number)
        control_path = socket_path(runtime_dir(state.path, world.environ))
        peers = world.peers()
        held.callback(peers.close)
        async with asyncio.TaskGroup() as group:
            tasks = Tasks(group)
            daemon = Daemon(state, config, port, peers, world, tasks.spawn, stop)
            with _signals(stop):
                try:
                    await daemon.start(control_path)
                    ready(Started(port.number, control_path))
                    await stop.wait()
                finally:
                    await daemon.close()
                    tasks.cancel_all()


class Daemon:
    """The parts of one daemon and how they are wired."""

    def __init__(
        self,
        state: StateDir,
        config: DaemonConfig,
        port: HeldPort,
        peers: PeerSource,
        world: World,
        spawn: Spawn,
        stop: asyncio.Event,
    ) -> None:
        self._state = state
        self._config = config
        self._port = port
        self._world = world
        self._spawn = spawn
        self._stop = stop
        self._groups: dict[str, Group] = {}
        self._server: asyncio.Server | None = None
        self._last_sweep = world.now()
        self.upstream = Upstream(self._connect)
        self.poll = Poll(
            self.upstream,
            now=world.now,
            on_ended=self._on_ended,
            on_frozen=self._on_frozen,
            on_notice=self._on_notice,
        )
        self.broker = Broker(
            config,
            self.upstream,
            Catalogue(self.upstream.catalogue, world.now),
            self.poll,
            now=world.now,
            entropy=world.entropy,
            spawn=spawn,
            host=socket.gethostname(),
            os_user=_user_name(world.environ),
            grace=world.grace,
            on_shared=self._on_shared,
            on_flight=self._on_flight,
        )
        self.ticker = Ticker()
        self.bearers = Bearers(
            state / BEARERS,
            clock=lambda: world.now().boot,
            keep=peers.gives_uid,
            alive=world.alive,
        )
        self.imds_role = ImdsRole(state / IMDS_ROLE, gives_uid=peers.gives_uid)
        self.kitchen = Kitchen(self._build, spawn)
        self.door = Door(
            peers,
            self.kitchen.hand_over,
            uid=our_uid(),
            limits=world.limits,
            on_reject=self._on_reject,
        )
        self.control = ControlServer(self._control(), uid=our_uid())

    async def start(self, control_path: Path) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.door, sock=self._port.listener)
        await self.control.start(control_path)
        self._spawn(self.poll.run(self._poll_needed))
        logger.info("listening", extra={"port": self._port.number, "mode": self._config.mode})

    async def close(self) -> None:
        """Held calls first: everything else would wait for them."""
        if self._server is not None:
            self._server.close()
        self.door.abort_all()
        self.ticker.close()
        await self.control.close()
        await self.kitchen.close()
        await self.upstream.close()
        logger.info("stopped")

    # -- wiring --------------------------------------------------------------------------------

    def _control(self) -> Control:
        parts = Parts(
            config=self._config,
            port=self._port.number,
            version=VERSION,
            broker=self.broker,
            bearers=self.bearers,
            upstream=self.upstream,
            poll=self.poll,
            imds=self.imds_role,
            stop=self._stop.set,
            inbox=Inbox(),
        )
        return Control([*daemon_routes(parts), *borrow_routes(parts), *answer_routes(parts)])

    def _connect(self) -> Transport:
        """At the first call upstream: this is where aiohttp and cryptography are imported."""
        from borrow.daemon.device import require_device
        from borrow.daemon.transport import Transport

        self._config.require_enrolled()
        keys = require_device(self._state)
        return Transport(
            self._config,
            lambda: keys,
            clock=lambda: self._world.now().wall,
            entropy=self._world.entropy,
        )

    def _build(self) -> Any:
        """At the first connection: the aiohttp application."""
        from borrow.daemon.endpoint import build_app

        return build_app(
            self.broker,
            self.bearers,
            self.ticker,
            self.door,
            port=self._port.number,
            imds_role=self.imds_role,
            imds_key=self._world.entropy(32),
            on_reject=lambda reason: self._on_reject(reason, None),
        )

    def _poll_needed(self) -> bool:
        now = self._world.now()
        if now.since(self._last_sweep) > _SWEEP_EVERY:
            self._last_sweep = now
            self.broker.cache.sweep(now)
            self.broker.denials.sweep(now)
        return self._config.enrolled and self.broker.needs_contact()

    # -- what happens --------------------------------------------------------------------------

    def _on_reject(self, reason: str, uid: int | None) -> None:
        # Counted by the door as well; the log gets the first of each power of two.
        count = self.door.refused[reason]
        if count & (count - 1) == 0:
            logger.warning("refused at the edge", extra={"reason": reason, "uid": uid, "n": count})

    def _on_ended(self, grant_id: str, until: float | None) -> None:
        ended = self.broker.cache.end(grant_id, self._world.now(), until=until)
        logger.info("grant over", extra={"grant": grant_id})
        if ended is not None and (group := self._groups.get(ended.group)) is not None:
            self._say(group.session, f"borrow: {ended.role} was taken back · {grant_id}")

    def _on_frozen(self) -> None:
        ended = self.broker.cache.end_all(self._world.now())
        logger.warning("this device is frozen", extra={"grants": len(ended)})

    def _on_notice(self, notice: Notice) -> None:
        # In the sessions that asked for this role; a stranger's notice goes to `borrow` only.
        sessions = {g.session for g in self._groups.values() if g.role == notice.role}
        hint = f" · {notice.hint}" if notice.hint else ""
        for session in sessions:
            self._say(session, f"borrow: {notice.text}{hint}")

    def _on_shared(self, group: Group, grant: Grant) -> None:
        self._say(group.session, shared_line(group, grant))

    def _on_flight(self, flight: Flight) -> None:
        while len(self._groups) >= _KNOWN_GROUPS:
            self._groups.pop(next(iter(self._groups)))
        self._groups[flight.group.id] = flight.group
        if flight.group.tty and flight.context.get("via") == "container":
            self._spawn(tell(flight, self._world.say, self._world.now))

    def _say(self, session: Session, line: str) -> None:
        if session.tty:
            self._world.say(session, line)


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT end the daemon in order; tests run it in a thread, which cannot."""
    loop = asyncio.get_running_loop()
    installed = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(number, stop.set)
            installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


def _user_name(environ: Mapping[str, str]) -> str:
    return environ.get("USER") or environ.get("LOGNAME") or f"uid {our_uid()}"
