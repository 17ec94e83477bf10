"""A team's server in one process: the approver on TCP, the minter beside it, and the admin socket.

`borrow server init` writes its folder, `serve` runs it in the foreground (as a service does). The
folder is the minter's: policy, databases, keys. Plain http is for the loopback, or for behind a
proxy that speaks https under the issuer's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from borrow.approver.channels.ways import Reach, read_reach
from borrow.cli.cloud import CloudSettings, parse_cloud, read_toml
from borrow.cli.home import is_there
from borrow.daemon.places import StateDir, runtime_dir, socket_path
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from borrow.cli.assembly import Parts

POLICY: Final = "policy.toml"
SETTINGS: Final = "server.toml"
ADMIN_SOCKET: Final = "admin.sock"
DEFAULT_PORT: Final = 8440
_REACH: Final = ("push_contact", "push_allow_hosts", "push_proxy", "channels")
_KEYS: Final = (
    *("issuer", "public_url", "host", "port", "trusted_proxies", "tls_cert", "tls_key"),
    *("webhooks", *_REACH, "cloud"),
)
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`server.toml`. `issuer` is what devices know, `public_url` where people open the pages; host
    and port are where we listen."""

    issuer: str
    public_url: str = ""  # "": the issuer's origin
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For is believed
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tls_cert: str = ""  # PEM files; without them a proxy in front speaks https
    tls_key: str = ""
    webhooks: tuple[str, ...] = ()
    reach: Reach = field(default_factory=Reach)
    cloud: CloudSettings = field(default_factory=CloudSettings)


@dataclass(frozen=True, slots=True)
class ServerHome:
    folder: StateDir
    runtime: Path

    @property
    def policy(self) -> Path:
        return self.folder / POLICY

    @property
    def settings(self) -> Path:
        return self.folder / SETTINGS

    @property
    def admin_socket(self) -> Path:
        return socket_path(self.runtime, ADMIN_SOCKET)


def default_folder(environment: Mapping[str, str]) -> Path:
    if chosen := environment.get("BORROW_SERVER_DIR"):
        return Path(chosen).absolute()
    return Path.home() / ".local" / "share" / "borrow-server"


def open_server(environment: Mapping[str, str] = os.environ, *, create: bool = False) -> ServerHome:
    path = default_folder(environment)
    if not create and not is_there(path / SETTINGS):
        raise Misconfigured(
            f"there is no server in {path}", hint="borrow server init --issuer URL --admin PERSON"
        )
    folder = StateDir.open(path, create=create)
    return ServerHome(folder, runtime_dir(folder.path, environment))


def read_settings(path: Path) -> ServerSettings:
    """Raises Misconfigured naming file, key and what is allowed."""
    table = read_toml(path)
    for key in table:
        if key not in _KEYS:
            raise Misconfigured(
                f"{path.name}: unknown key {key[:40]!r}", hint=f"allowed: {', '.join(_KEYS)}"
            )
    from borrow.approver.settings import networks_of

    issuer = _text(table, "issuer", path).rstrip("/")
    check_issuer(issuer, f"{path.name}: issuer")
    public_url = _text(table, "public_url", path, "").rstrip("/")
    if public_url:
        check_issuer(public_url, f"{path.name}: public_url")
    proxies = _texts(table, "trusted_proxies", path, '["10.0.0.7"]')
    networks_of(proxies)
    cloud = table.get("cloud", {})
    if not isinstance(cloud, dict):
        raise Misconfigured(f"{path.name}: cloud is no table", hint="[cloud]")
    settings = ServerSettings(
        issuer=issuer,
        public_url=public_url,
        trusted_proxies=proxies,
        host=_text(table, "host", path, "127.0.0.1"),
        port=_port(table.get("port", DEFAULT_PORT), path),
        tls_cert=_text(table, "tls_cert", path, ""),
        tls_key=_text(table, "tls_key", path, ""),
        reach=read_reach(table, path.name),
        webhooks=_texts(table, "webhooks", path, '["https://…"]'),
        cloud=parse_cloud(cloud, f"{path.name} [cloud]"),
    )
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise Misconfigured(f"{path.name}: tls_cert and tls_key go together", hint="set both")
    return settings


def check_issuer(issuer: str, what: str) -> None:
    """https, unless it is on the loopback: on the way nobody reads or changes what is said."""
    parts = urlsplit(issuer)
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or plain):
        raise Misconfigured(
            f"{what} is not an https address", hint="plain http is for the loopback only"
        )


def _texts(table: Mapping[str, Any], key: str, path: Path, hint: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Misconfigured(f"{path.name}: {key} is no list of addresses", hint=hint)
    return tuple(value)


def _text(table: Mapping[str, Any], key: str, path: Path, default: str | None = None) -> str:
    value = table.get(key, default)
    if value is None:
        raise Misconfigured(f"{path.name}: {key} is missing", hint=f'add {key} = "…"')
    if not isinstance(value, str):
        raise Misconfigured(f"{path.name}: {key} is not text", hint=f'write {key} = "…"')
    return value


def _port(value: object, path: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65_536:
        raise Misconfigured(f"{path.name}: port is no port", hint="a number from 1 to 65535")
    return value


def tls_of(settings: ServerSettings) -> ssl.SSLContext | None:
    if not settings.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as exc:
        raise Misconfigured(
            f"the TLS certificate cannot be used: {exc.strerror or 'not a pair'}",
            hint="check tls_cert and tls_key in server.toml",
        ) from exc
    return context


def assembled(home: ServerHome, settings: ServerSettings) -> Parts:
    from borrow.cli.assembly import assemble, clock
    from borrow.cli.keyholder import base_keys_of

    _, base = base_keys_of(
        home.folder.path,
        os.environ,
        endpoint_url=settings.cloud.endpoint_url,
        region=settings.cloud.region,
        clock=clock,
    )
    return assemble(
        home.folder.path,
        policy=home.policy,
        issuer=settings.issuer,
        cloud=settings.cloud,
        base_keys=base,
        webhooks=settings.webhooks,
        reach=settings.reach,
        public_url=settings.public_url,
        trusted_proxies=settings.trusted_proxies,
    )


async def serve(
    home: ServerHome, settings: ServerSettings, *, ready: Callable[[Parts], None]
) -> None:
    """Until SIGTERM or SIGINT. `ready` is called once it listens; nothing may block there."""
    from borrow.approver.admin import build_admin_app
    from borrow.approver.serve import start
    from borrow.cli.assembly import alone

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    context = tls_of(settings)
    with alone(home.folder.path, look="borrow server status"):
        parts = await asyncio.to_thread(assembled, home, settings)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, parts.minter.close)
            app: web.Application = parts.app
            runner = await start(app, host=settings.host, port=settings.port, ssl=context)
            stack.push_async_callback(runner.cleanup)
            admin = await start(build_admin_app(app), unix=home.admin_socket)
            stack.push_async_callback(admin.cleanup)
            ready(parts)
            await stop.wait()
