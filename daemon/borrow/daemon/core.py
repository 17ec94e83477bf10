"""The daemon's parts and how they are wired, built when somebody needs them.

An idle daemon holds nothing: `app` listens first and builds this at the first call on the control
socket or the first request that shows a bearer. aiohttp and cryptography come later still, with
the first connection that passes the lane and the first question to the approver.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.agents import Agents
from borrow.daemon.broker import Broker
from borrow.daemon.catalogue import Catalogue
from borrow.daemon.console import Links, console_routes
from borrow.daemon.control import Control, Inbox, Parts, daemon_routes
from borrow.daemon.control_answer import answer_routes
from borrow.daemon.control_borrow import borrow_routes
from borrow.daemon.control_elevate import elevate_routes
from borrow.daemon.control_held import held_routes
from borrow.daemon.control_passkeys import passkey_routes
from borrow.daemon.control_watch import Watchers, watch_routes
from borrow.daemon.csm import Denied, Listener
from borrow.daemon.csm_clients import NAME as MONITORED
from borrow.daemon.elevation import lifting_role
from borrow.daemon.ending import Endings
from borrow.daemon.events import Notice, Poll
from borrow.daemon.front import our_uid
from borrow.daemon.groups import NAME as BEARERS
from borrow.daemon.groups import Bearers
from borrow.daemon.imds_role import NAME as IMDS_ROLE
from borrow.daemon.imds_role import ImdsRole
from borrow.daemon.lane import Lane
from borrow.daemon.places import runtime_dir
from borrow.daemon.presence import Presence, presence_routes
from borrow.daemon.prompts import FOLDER as PROMPTS
from borrow.daemon.prompts import Prompts
from borrow.daemon.telling import Teller, shared_line
from borrow.daemon.ticker import Ticker
from borrow.daemon.upstream import Upstream
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket as UdpSocket  # noqa: N812 -- `socket` is the module here

    from borrow.daemon.cache import Grant
    from borrow.daemon.caller import Session
    from borrow.daemon.config import DaemonConfig
    from borrow.daemon.flights import Flight
    from borrow.daemon.front import Door
    from borrow.daemon.groups import Group
    from borrow.daemon.peer import PeerSource
    from borrow.daemon.places import StateDir
    from borrow.daemon.rejections import Rejections
    from borrow.daemon.tasks import Spawn
    from borrow.daemon.transport import Transport
    from borrow.daemon.vends import Vend
    from borrow.daemon.world import World

logger = logging.getLogger(__name__)

VERSION: Final = "0.1.0"

# Seconds between two sweeps of the cache, for tidiness: they happen when something else does.
_SWEEP_EVERY: Final = 60.0
_KNOWN_GROUPS: Final = 256
MOST_SHOWN: Final = 80  # characters of an action's name in an offer


class Core:
    """Everything behind the two sockets. `door` is asked who made a connection."""

    def __init__(
        self,
        state: StateDir,
        config: DaemonConfig,
        port: int,
        door: Door,
        world: World,
        spawn: Spawn,
        *,
        peers: PeerSource,
        monitor: UdpSocket | None,
        rejections: Rejections,
        stop: Callable[[], None],
    ) -> None:
        self._state = state
        self._config = config
        self._port = port
        self._door = door
        self._world = world
        self._spawn = spawn
        self._rejections = rejections
        self._stop = stop
        self._groups: dict[str, Group] = {}
        self._last_sweep = world.now()
        self._watchers = Watchers()
        self._teller = Teller(world.say, world.draw, world.now)
        self.upstream = Upstream(self._connect)
        self._presence = Presence(world.now)
        self.poll = Poll(
            self.upstream,
            now=world.now,
            on_ended=self._on_ended,
            on_frozen=self._on_frozen,
            on_notice=self._on_notice,
            on_contact=self._watchers.touch,
            presence=self._presence,
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
            os_user=user_name(),
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
        self.csm = Listener(
            state / MONITORED,
            monitor,
            now=world.now,
            entropy=world.entropy,
            uid=our_uid(),
            peers=peers,
            alive=world.alive,
            vended=lambda group, key: self.broker.vends.find(group, key, world.now()),
            on_denied=self._on_denied,
            on_reject=rejections.add,
        )
        if monitor is not None:
            spawn(self.csm.resume())
        self.endings = Endings(self.broker.cache, world.now, self._say, world.look_every)
        prompts = runtime_dir(state.path, world.environ) / PROMPTS
        self.prompts = Prompts(prompts, self.broker.cache.live, world.now)
        self.broker.cache.on_change = self.prompts.refresh
        self.links = Links(lambda: world.now().boot, world.entropy)
        self.agents = Agents(spawn)
        self.lane = Lane(self.broker, self.bearers, self.agents, self.ticker, spawn, port=port)
        self.control = self._routes()
        self._spawn(self.poll.run(self._poll_needed))

    async def close(self) -> None:
        self.prompts.clear()
        self.lane.close()
        self.agents.close()
        self.ticker.close()
        self.csm.close()
        await self.upstream.close()

    # -- wiring --------------------------------------------------------------------------------

    def _routes(self) -> Control:
        parts = Parts(
            config=self._config,
            port=self._port,
            version=VERSION,
            broker=self.broker,
            bearers=self.bearers,
            upstream=self.upstream,
            poll=self.poll,
            imds=self.imds_role,
            stop=self._stop,
            inbox=Inbox(),
            rejections=self._rejections.counts,
            csm=self.csm,
            endings=self.endings,
            served=self.lane.served,
        )
        return Control(
            [
                *daemon_routes(parts),
                *borrow_routes(parts),
                *held_routes(parts),
                *elevate_routes(parts),
                *answer_routes(parts),
                *passkey_routes(parts),
                *console_routes(parts, self.links),
                *watch_routes(parts, self._watchers),
                *presence_routes(self._presence),
            ],
            on_change=lambda: self._watchers.touch(asked=True),
        )

    def _connect(self) -> Transport:
        """At the first call upstream: this is where aiohttp and cryptography are imported."""
        from borrow.daemon.device import require_device
        from borrow.daemon.transport import Transport

        gc.freeze()  # what was just imported stays: looking through it would cost 50 ms each time
        self._config.require_enrolled()
        keys = require_device(self._state)
        return Transport(
            self._config,
            lambda: keys,
            clock=lambda: self._world.now().wall,
            entropy=self._world.entropy,
        )

    def build_app(self) -> Any:
        """At the first connection: the aiohttp application."""
        from borrow.daemon.endpoint import build_app

        return build_app(
            self.broker,
            self.bearers,
            self.agents,
            self.ticker,
            self._door,
            self.links,
            port=self._port,
            imds_role=self.imds_role,
            imds_key=self._world.entropy(32),
            on_reject=self._rejections.add,
        )

    def _poll_needed(self) -> bool:
        now = self._world.now()
        if now.since(self._last_sweep) > _SWEEP_EVERY:
            self._last_sweep = now
            self.broker.cache.sweep(now)
            self.broker.denials.sweep(now)
        watched = self._watchers.count > 0
        return self._config.enrolled and (watched or self.broker.needs_contact())

    # -- what happens --------------------------------------------------------------------------

    def _on_ended(self, grant_id: str, until: float | None) -> None:
        ended = self.broker.cache.end(grant_id, self._world.now(), until=until)
        logger.info("grant over", extra={"grant": grant_id})
        self._watchers.touch()
        if ended is not None and (group := self._groups.get(ended.group)) is not None:
            self._say(group.session, f"borrow: {ended.role} was taken back · {grant_id}")

    def _on_frozen(self) -> None:
        ended = self.broker.cache.end_all(self._world.now())
        logger.warning("this device is frozen", extra={"grants": len(ended)})
        self._watchers.touch(asked=True)

    def _on_notice(self, notice: Notice) -> None:
        # In the sessions that asked for this role and do not hear the same of their own question;
        # a stranger's notice goes to `borrow` only.
        self._watchers.touch(asked=True)
        sessions = {g.session for g in self._groups.values() if g.role == notice.role}
        hint = f" · {notice.hint}" if notice.hint else ""
        for session in sessions:
            if not self._teller.has_told(session, notice):
                self._say(session, f"borrow: {notice.text}{hint}")

    def _on_shared(self, group: Group, grant: Grant) -> None:
        self._say(group.session, shared_line(group, grant))

    def _on_denied(self, vend: Vend, denied: Denied) -> None:
        """A call of ours was denied: offer the role that allows it. Grants and asks nothing."""
        catalogue, group = self.broker.catalogue, vend.group
        facts = catalogue.known(group.role)
        role = lifting_role(facts, denied.actions, catalogue.all()) if facts else ""
        # Denied under that very role, or told of late: it would change nothing.
        if not role or role in (vend.role, self.broker.lifted_to(group)):
            return
        action = shown(denied.actions[0], MOST_SHOWN)
        offer = self.broker.offer(group, role, action)
        if offer is not None:
            how = f"within 60 s, `borrow ask {role}` lifts {group.role}"
            self._say(group.session, f"borrow: {offer.action} was denied: {how}")

    def _on_flight(self, flight: Flight) -> None:
        while len(self._groups) >= _KNOWN_GROUPS:
            self._groups.pop(next(iter(self._groups)))
        self._groups[flight.group.id] = flight.group
        self._spawn(self.endings.follow(flight))
        self._spawn(self._watchers.follow(flight))
        self._watchers.touch()
        if flight.group.tty:
            self._spawn(self._teller.follow(flight))

    def _say(self, session: Session, line: str) -> None:
        if session.tty:
            self._world.say(session, line)


def user_name() -> str:
    """Of the user we run as, by the system's table: the environment says what somebody put there.

    A user without an entry (a container's number) is named by the number.
    """
    if not hasattr(os, "getuid"):
        return ""
    import pwd  # not on Windows

    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
