"""The tray's process between the daemon, the icon, the notifications and the windows.

It holds no rule: `picture`, `menu` and `quiet` decide from the last snapshot, and this carries it
out. The daemon's stream is read in a thread of its own; everything else happens in one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.errors import BorrowError, Refused, Unavailable
from borrow.tray import menu as menus
from borrow.tray import presence, quiet
from borrow.tray.idling import idle
from borrow.tray.native import NativeBubbles
from borrow.tray.picture import picture
from borrow.tray.snapshot import Snapshot, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbus_fast import Message

    from borrow.tray.native import Center
    from borrow.tray.ports import Daemon, Notifier, Stream
    from borrow.tray.session_bus import SessionBus
    from borrow.tray.tasks import Spawn
    from borrow.tray.windows import Windows

logger = logging.getLogger(__name__)

PAUSE: Final = 0.5  # seconds before the daemon is tried again: first; doubled up to …
LONGEST_PAUSE: Final = 15.0  # … this
MINUTE: Final = 60.0
PAUSED_FOR: Final = 3600.0  # seconds
LOCK_EVERY: Final = 10.0  # seconds between looks at a locked screen while something waits for it
SCREEN_SAVERS: Final = tuple(
    f"org.{desktop}.ScreenSaver" for desktop in ("freedesktop", "gnome", "xfce", "mate", "cinnamon")
)
UNLOCKED: Final = "ActiveChanged"  # the signal of screen savers
WAKE_EVERY: Final = 3600.0  # seconds a silent stream is waited for before looking again


def clock(at: float) -> str:
    """As the person's own clock shows it."""
    return time.strftime("%H:%M", time.localtime(at))


@dataclass(slots=True)
class App:
    """`show` gives picture and menu to the icon; both may be called from the loop's thread.

    `center` shows notifications where there is no session bus.
    """

    daemon: Daemon
    windows: Windows
    show: Callable[[Any, tuple[menus.Entry, ...]], None]
    start_daemon: Callable[[], object]  # blocking
    now: Callable[[], float] = time.time  # noqa: TID251  the edge that reads it
    known: Snapshot = field(default_factory=Snapshot)
    memory: quiet.Memory = field(default_factory=quiet.Memory)
    roles: tuple[str, ...] = ()
    _paused_until: float = 0.0
    center: Center | None = None
    tells_presence: bool = True
    _heard: presence.Heard = field(default_factory=presence.Heard)
    _bubbles: Notifier | None = None
    _bus: SessionBus | None = None
    _spawn: Spawn | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _stream: Stream | None = None
    _over: bool = False
    _shown: tuple[Any, ...] = ()

    async def run(self, bus: SessionBus | None, spawn: Spawn) -> None:
        """Until the person quits."""
        self._bus, self._spawn, self._loop = bus, spawn, asyncio.get_running_loop()
        self._bubbles = self._notifier()
        if self._bubbles is not None:
            await self._bubbles.start()
        if bus is not None:
            # Anybody may say so: all it does is that the screen saver is asked again.
            await bus.listen(f"type='signal',member='{UNLOCKED}'", self._on_signal)
        threading.Thread(target=self._follow, name="daemon", daemon=True).start()
        try:
            while not self._over:
                self._wake.clear()
                await self._refresh()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._until_next_look()):
                        await self._wake.wait()
        finally:
            self._over = True
            if self._stream is not None:
                self._stream.close()
            if self._bubbles is not None:
                await self._bubbles.withdraw_all()

    def _notifier(self) -> Notifier | None:
        on_action, on_closed = self._on_button, self._on_closed
        if self._bus is not None:
            from borrow.tray.bubbles import Bubbles

            return Bubbles(self._bus, on_action=on_action, on_closed=on_closed)
        if self.center is not None:
            return NativeBubbles(self.center, on_action=on_action, on_closed=on_closed)
        return None

    # -- what the daemon tells -----------------------------------------------------------------

    def _follow(self) -> None:
        """In its own thread: the stream, again and again."""
        pause = PAUSE
        while not self._over:
            try:
                self._stream = self.daemon.follow("/v1/watch")
                for told in self._stream.events(WAKE_EVERY):
                    if told is not None:
                        pause = PAUSE
                        self._tell(read(told))
                trouble: BorrowError = Unavailable("the daemon has stopped")
            except BorrowError as exc:
                trouble = exc
            except (OSError, ValueError):  # closed under our hands, at the end
                trouble = Unavailable("the daemon has stopped")
            self._tell(Snapshot(trouble=trouble.message, notices=self.known.notices))
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _tell(self, known: Snapshot) -> None:
        if self._loop is not None and not self._over:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._take, known)

    def _take(self, known: Snapshot) -> None:
        before, self.known = self.known, known
        self._wake.set()
        if known.connected and known.enrolled and (not before.connected or not self.roles):
            self._do(self._load_roles())

    async def _load_roles(self) -> None:
        told = await asyncio.to_thread(self.daemon.get, "/v1/roles")
        listed = told.get("roles")
        entries = listed if isinstance(listed, list) else []
        names = [each.get("name") for each in entries if isinstance(each, dict)]
        self.roles = tuple(name for name in names if isinstance(name, str))[:200]
        self._wake.set()

    # -- what the person sees ------------------------------------------------------------------

    def _until_next_look(self) -> float:
        """Once a minute while something counts down, at the turn of the minute that is shown."""
        now = self.now()
        ends = [grant.expires_at for grant in self.known.grants if grant.expires_at > now]
        if self._paused_until > now:
            ends.append(self._paused_until)
        waits = bool(self.known.waiting) or any(ask.needs for ask in self.known.asks)
        beats = self._bus is not None and self.tells_presence and self.known.connected
        longest = presence.EVERY if beats else WAKE_EVERY
        turn = min(((end - now) % MINUTE + 0.2 for end in ends), default=longest)
        return min(turn, LOCK_EVERY) if waits else turn

    @property
    def paused(self) -> bool:
        return self._paused_until > self.now()

    async def _refresh(self) -> None:
        now = self.now()
        seen = picture(self.known, now, paused=self.paused)
        entries = menus.menu(self.known, self.roles, now, paused=self.paused, clock=clock)
        if (seen, entries) != self._shown:
            self._shown = (seen, entries)
            self.show(seen, entries)
        if self._bubbles is not None:
            await self._notify(self._bubbles, now)
        await self._beat()

    async def _notify(self, bubbles: Notifier, now: float) -> None:
        may_need = bool(self.known.waiting or self.known.asks or self.known.grants)
        silent = self.paused or (may_need and await self._is_locked())
        plan = quiet.plan(self.known, self.memory, now, quiet=silent)
        self.memory = plan.memory
        for key in plan.withdraw:
            await bubbles.withdraw(key)
        for bubble in plan.show:
            if not await bubbles.show(bubble):  # nothing shows any here; it may come yet
                self.memory = quiet.unshown(self.memory, bubble.key)

    async def _beat(self) -> None:
        """Say once a minute, and when it changes, whether the person is here."""
        if self._bus is None or not self.tells_presence or not self.known.enrolled:
            return
        if not self.known.connected:
            self._heard = presence.Heard()  # a new daemon knows nothing
            return
        locked = not self.paused and await self._is_locked()
        quiet_for = None if self.paused or locked else await idle(self._bus)
        state = presence.judge(paused=self.paused, locked=locked, idle=quiet_for)
        now = time.monotonic()
        if self._heard.due(state, now):
            self._heard = presence.Heard(state, now)
            self._do(self._tell_presence(state))

    async def _tell_presence(self, state: presence.State) -> None:
        with contextlib.suppress(BorrowError):  # an older daemon knows no such call
            await self._post("/v1/presence", {"state": state})

    def _on_signal(self, message: Message) -> None:
        if message.member == UNLOCKED and str(message.interface).endswith(".ScreenSaver"):
            self._wake.set()

    async def _is_locked(self) -> bool:
        """What screen savers say; a desktop without one has no lock that we could see."""
        if self._bus is None:
            return False  # macOS and Windows keep notifications from a locked screen themselves
        for name in SCREEN_SAVERS:
            if not await self._bus.owner(name):
                continue
            try:
                told = await self._bus.call(name, "/" + name.replace(".", "/"), name, "GetActive")
            except Unavailable:
                continue
            if told == [True]:
                return True
        return False

    # -- what the person does ------------------------------------------------------------------

    def _on_button(self, key: str, action: str) -> None:
        bubble_role = key.removeprefix(quiet.NEEDS) if key.startswith(quiet.NEEDS) else ""
        if bubble_role:
            self.act(menus.Borrow(bubble_role))
        elif any(each.request == key for each in self.known.waiting):
            self.act(menus.Deny(key) if action == quiet.DENY else menus.Review(key))
        elif key.startswith(quiet.MANY):
            self.act(menus.default_action(self.known))

    def _on_closed(self, key: str) -> None:
        self.memory = quiet.closed(self.memory, key)

    def activate(self) -> None:
        """A click on the icon."""
        self.act(menus.default_action(self.known))

    def act(self, action: menus.Action) -> None:
        self._do(self._act(action))

    async def _act(self, action: menus.Action) -> None:
        try:
            await self._carry_out(action)
        except BorrowError as exc:
            await self._complain(exc)

    async def _carry_out(self, action: menus.Action) -> None:
        match action:
            case menus.Review(request):
                self.memory = quiet.answered(self.memory, request)
                await self.windows.show(request, "--", request)
            case menus.Borrow(role):
                await self.windows.show(f"ask {role}", "--ask", *((role,) if role else ()))
            case menus.Extend(grant, role):
                words = ("--extend", grant, "--ask", role)
                await self.windows.show(f"extend {grant}", *words)
            case menus.Deny(request):
                self.memory = quiet.answered(self.memory, request)
                await self._post(f"/v1/decisions/{request}", {"decision": "deny"})
            case menus.Give(grant):
                await self._post("/v1/return", {"grant": grant})
            case menus.Withdraw(request):
                await self._post("/v1/return", {"request": request})
            case menus.NotMe(subject):
                await self._post("/v1/report", {"id": subject})
            case menus.Pause(on):
                self._paused_until = self.now() + PAUSED_FOR if on else 0.0
                self._wake.set()
            case menus.StartDaemon():
                await asyncio.to_thread(self.start_daemon)
            case menus.Quit():
                self._over = True
                self._wake.set()

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        await asyncio.to_thread(self.daemon.post, path, body)

    async def _complain(self, error: BorrowError) -> None:
        """What did not work is said where it was clicked; somebody faster is no failure."""
        logger.info("refused: %s", error.state)
        title = "Refused" if isinstance(error, Refused) else "That did not work"
        lines = tuple(part for part in (error.message, error.hint) if part)
        if self._bubbles is not None:
            await self._bubbles.show(quiet.Bubble("trouble", f"Borrow: {title.lower()}", lines))

    def _do(self, work: Any) -> None:
        """From any thread: pystray's own icons call from theirs."""
        if self._loop is not None and self._spawn is not None:
            self._loop.call_soon_threadsafe(self._spawn, work)
