"""The daemon's process: what it listens on, who owns what, and in which order it ends.

It listens first and imports what a request needs when one comes: a program that starts the daemon
by its first call waits 60 ms, not 250. `run` owns every task and every socket; there is no module
state. What is behind the sockets is `core`. Values of modules that are loaded before listening are
`NamedTuple`s where that is no loss: to define a frozen dataclass takes 0.3 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from borrow.daemon.config import load_config, with_port
from borrow.daemon.front import Door, our_uid
from borrow.daemon.kitchen import Kitchen
from borrow.daemon.places import StateDir, lock, runtime_dir, socket_path
from borrow.daemon.ports import BACKLOG, HeldPort, choose_port
from borrow.daemon.rejections import Rejections
from borrow.daemon.tasks import Tasks
from borrow.daemon.unixhttp import Answer, Call, ControlServer
from borrow.daemon.world import World

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from borrow.daemon.config import DaemonConfig
    from borrow.daemon.core import Core
    from borrow.daemon.peer import PeerSource
from borrow.daemon.tasks import Spawn

logger = logging.getLogger(__name__)

MONITORED: Final = "csm.json"  # as in `csm_clients`, which ordinary starts do without


class Started(NamedTuple):
    """What `ready` is told once both sockets listen."""

    port: int
    control: Path


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
    """The two listeners, and the core behind them once it is needed."""

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
        self._peers = peers
        self._world = world
        self._spawn = spawn
        self._stop = stop
        self._server: asyncio.Server | None = None
        self._core: Core | None = None
        self._monitor: socket.socket | None = None
        self._rejections = Rejections()
        self._kitchen = Kitchen(
            self._app,
            self._known,
            spawn,
            port=port.number,
            on_reject=self._rejections.add,
        )
        self._door = Door(
            peers,
            self._kitchen.hand_over,
            uid=our_uid(),
            limits=world.limits,
            on_reject=self._rejections.add,
        )
        self._control = ControlServer(self._answer, uid=our_uid())

    async def start(self, control_path: Path) -> None:
        loop = asyncio.get_running_loop()
        # The loop listens once more, and its own backlog is a tenth of ours: what finds no place in
        # it is tried again by its kernel after seconds.
        self._server = await loop.create_server(
            self._door, sock=self._port.listener, backlog=BACKLOG
        )
        if (self._state / MONITORED).exists():
            from borrow.daemon.csm_clients import hold_saved  # late: few have such programs

            self._monitor = hold_saved(self._state / MONITORED)
        await self._control.start(control_path)
        logger.info("listening", extra={"port": self._port.number, "mode": self._config.mode})

    async def close(self) -> None:
        """Held calls first: everything else would wait for them."""
        if self._server is not None:
            self._server.close()
        if self._core is not None:
            self._core.ticker.say_farewell()
            await asyncio.sleep(0)  # uvloop writes at the end of its turn
        self._door.abort_all()
        await self._control.close()
        await self._kitchen.close()
        if self._core is not None:
            await self._core.close()
        if self._monitor is not None:
            self._monitor.close()
        logger.info("stopped")

    def core(self) -> Core:
        if self._core is None:
            from borrow.daemon.core import Core  # late: see the module's text

            self._core = Core(
                self._state,
                self._config,
                self._port.number,
                self._door,
                self._world,
                self._spawn,
                peers=self._peers,
                monitor=self._monitor,
                rejections=self._rejections,
                stop=self._stop.set,
            )
            # Not before: nothing is cached, and a stranger's bytes must not build a core.
            self._door.lane = self._core.lane.answer if self._world.lane else None
            self._door.look = self._core.lane.look
            self._door.hold = self._core.lane.hold
            self._door.count = self._core.agents.count
        return self._core

    async def _answer(self, call: Call) -> Answer:
        return await self.core().control(call)

    def _known(self, authorization: str) -> bool:
        return self.core().bearers.holds(authorization)

    def _app(self) -> Callable[[], Any]:
        # The core belongs to the event loop; only the imports behind it may go to a thread.
        return self.core().build_app


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
