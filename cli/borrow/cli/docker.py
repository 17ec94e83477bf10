"""`borrow docker`: roles for containers, each by a socket and an identity of its own.

`compose` and `devcontainer` print what the setup needs; `run` serves the sockets while a command
runs. No container gets the host's network, and no file that is written holds a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from borrow.cli import compose, say
from borrow.cli.errors import NOT_FOUND, NotRunnable, WrongUse
from borrow.cli.group import override
from borrow.cli.wrapping import Wrapping
from borrow.protocol.errors import Misconfigured, Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.client import Control
    from borrow.cli.home import Home

_LONGEST_SOCKET: Final = 107  # bytes of a Unix socket's path


@click.group(name="docker", short_help="Roles for containers, each with an identity of its own.")
def docker() -> None:
    """Roles for containers, each with a socket and an identity of its own.

    First `compose` or `devcontainer` for the files, then `run` around the command that starts the
    containers. The host's network is not needed.
    """


@docker.command("compose")
@click.argument("services", nargs=-1, metavar="SERVICE=ROLE...")
@click.option("--write", is_flag=True, help=f"Write {compose.FILE} here, instead of printing it.")
def compose_command(services: tuple[str, ...], *, write: bool) -> None:
    """Print a compose override: environment and a sidecar for each service."""
    content = compose.override(compose.services_in(services))
    if not write:
        say.line(content.rstrip("\n"))
        return
    path = Path(compose.FILE)
    _put(path, content)
    say.line(f"wrote {path}")
    words = " ".join(services)
    say.note(f"use it: borrow docker run {words} -- docker compose -f compose.yaml -f {path} up")


def _put(path: Path, content: str) -> None:
    """A new file, or one that we made before; anything else there is left alone."""
    try:
        if path.is_symlink() or (path.exists() and not path.read_text().startswith(compose.MARK)):
            raise Misconfigured(f"{path} is there and not ours", hint="print it: leave --write out")
        path.write_text(content, encoding="utf-8")
    except OSError as exc:
        raise Unavailable(f"cannot write {path}: {(exc.strerror or 'failed').lower()}") from exc


@docker.command("devcontainer")
@click.argument("service", metavar="SERVICE=ROLE")
def devcontainer_command(service: str) -> None:
    """Print members to merge into devcontainer.json."""
    ((name, role),) = compose.services_in([service]).items()
    say.line(compose.devcontainer(name, role).rstrip("\n"))
    say.note(f"start it: borrow docker run {name}={role} -- devcontainer up, or -- code .")


class RunCommand(Wrapping):
    @override
    def without_dashes(self, args: list[str]) -> WrongUse:
        hint = f"borrow docker run {' '.join(args)} -- docker compose up"
        return WrongUse("borrow docker run wants `--` before the command", hint=hint)


@docker.command("run", cls=RunCommand, epilog="Ends with its command; the sockets go with it.")
@click.argument("services", nargs=-1, metavar="SERVICE=ROLE...")
@click.option("--project", default="", help="Default: what docker compose says, or this folder.")
@click.option("--image", "images", multiple=True, metavar="SERVICE=IMAGE", help="For people.")
@click.option("-m", "--reason", default="", help="Why, for those who decide and for the log.")
@click.pass_context
def run(
    ctx: click.Context,
    services: tuple[str, ...],
    *,
    project: str,
    images: tuple[str, ...],
    reason: str,
) -> int:
    """Serve each service its socket while a command runs: … -- docker compose up."""
    from borrow.cli.composed import composed
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    roles = compose.services_in(services)
    command: tuple[str, ...] = ctx.obj or ()
    if not command:
        raise WrongUse("borrow docker run lacks a command", hint="… -- docker compose up")
    if shutil.which(command[0]) is None:
        raise NotRunnable(
            f"cannot run {command[0]!r}: command not found",
            hint="check the spelling and PATH",
            exit_code=NOT_FOUND,
        )
    home = open_home()
    client = running(home)
    pairs = dict(_pairs(images))
    with _folder(home) as folder:
        scratch = folder / ".asked"  # no service is called so
        known = composed(command, roles, scratch)
        shutil.rmtree(scratch, ignore_errors=True)
        named = project or known.project or os.environ.get("COMPOSE_PROJECT_NAME")
        named = named or Path.cwd().name
        told = known.images | pairs
        port = 0
        for service, role in roles.items():
            claim = {"project": _plain(named), "service": service, "image": told.get(service, "")}
            port = _lend(client, folder / service, role, claim, reason)
        return asyncio.run(_serve(folder, list(roles), port, command))


def _pairs(images: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for each in images:
        service, equals, image = each.partition("=")
        if not equals:
            raise WrongUse(f"{each[:60]!r} is not SERVICE=IMAGE", hint="--image app=example/app:1")
        yield service, image


def _plain(project: str) -> str:
    """As Compose makes a project's name of a folder's."""
    return re.sub(r"[^a-z0-9_-]", "", project.lower()).lstrip("_-")[:63] or "project"


@contextlib.contextmanager
def _folder(home: Home) -> Iterator[Path]:
    """A private folder for this command's sockets; gone afterwards."""
    folder = home.runtime / "docker" / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)  # of a process that had our number before
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lend(client: Control, place: Path, role: str, claim: dict[str, str], reason: str) -> int:
    """Lay out one service's folder, with a bearer of its own; the daemon's port."""
    from borrow.cli import forward
    from borrow.cli.chains import is_at

    body: dict[str, Any] = {"role": role, "container": claim}
    answer = client.post("/v1/bearers", body | ({"reason": reason} if reason else {}))
    url, bearer = answer.get("url"), answer.get("bearer")
    if not isinstance(url, str) or not isinstance(bearer, str) or not bearer.isprintable():
        raise Untrusted("the daemon gave no address to fetch from")
    found = re.fullmatch(r"http://127\.0\.0\.1:([0-9]{1,5})/v1/credentials/.*", url)
    if found is None or not is_at(url, int(found[1])):
        raise Untrusted("the daemon gave no address to fetch from")
    inside = place / "socket"
    inside.mkdir(mode=0o700, parents=True)
    if len(os.fsencode(inside / "sock")) > _LONGEST_SOCKET:
        raise Misconfigured(f"{inside} is too long a path for a socket", hint="set XDG_RUNTIME_DIR")
    (inside / "forward").write_text(Path(forward.__file__ or "").read_text("utf-8"), "utf-8")
    with os.fdopen(os.open(place / "env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as env:
        env.write(f"AWS_CONTAINER_AUTHORIZATION_TOKEN={bearer}\n")
    return int(found[1])


async def _serve(folder: Path, services: list[str], port: int, command: tuple[str, ...]) -> int:
    """The sockets, and the command as a child in our terminal; its exit code."""
    from borrow.cli.engine import user
    from borrow.cli.forward import Pipe

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # it goes to the child as well
    early: list[signal.Signals] = []  # what comes before there is a child would leave it behind
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, early.append, number)
    added = {"BORROW_DIR": str(folder), "BORROW_PORT": str(port)}
    ids = os.getuid(), os.getgid()
    added["BORROW_USER"] = await asyncio.to_thread(user, command, os.environ, *ids)
    async with contextlib.AsyncExitStack() as held:
        for service in services:
            pipe = Pipe(f"unix:{folder / service / 'socket' / 'sock'}", f"tcp:{port}")
            held.push_async_callback(pipe.close)
            await pipe.start()
        child = await asyncio.create_subprocess_exec(*command, env=os.environ | added)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, child.send_signal, number)
        for number in early:
            child.send_signal(number)
        code = await child.wait()
    return code if code >= 0 else 128 - code
