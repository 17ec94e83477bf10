"""`borrow profiles`: roles as profiles in the user's AWS config, for programs without our
environment: IDEs, GUIs, `AWS_PROFILE`. The one place where Borrow writes into `~/.aws`.

A marked block, replaced in one step, with the file's mode, owner and symlink kept, a copy of the
file of before beside it, and an exact undo. What somebody edited is never overwritten.
"""

from __future__ import annotations

import contextlib
import os
from difflib import unified_diff
from pathlib import Path

import click

from borrow.cli import awsconfig, launcher, say
from borrow.cli.credfiles import python_stops
from borrow.cli.profileblock import check_config, joined, split, written
from borrow.protocol.errors import Misconfigured, Unavailable
from borrow.protocol.text import shown

BACKUP = ".before-borrow"


@click.group(name="profiles", short_help="Roles as profiles in your AWS config.")
def profiles() -> None:
    """Roles as profiles in your AWS config, in a marked block that can be taken out exactly."""


@profiles.command()
@click.argument("roles", nargs=-1, metavar="[ROLE]...")
@click.option("--prefix", default="", help="Before each profile's name, such as borrow-.")
@click.option("--dry-run", is_flag=True, help="Show the change only.")
def install(roles: tuple[str, ...], *, prefix: str, dry_run: bool) -> None:
    """Write a profile for each ROLE (all that you may borrow, without one)."""
    _install(roles, prefix, dry=dry_run)


@profiles.command()
@click.argument("roles", nargs=-1, metavar="[ROLE]...")
@click.option("--prefix", default="", help="Before each profile's name, such as borrow-.")
def diff(roles: tuple[str, ...], *, prefix: str) -> None:
    """What install would change."""
    _install(roles, prefix, dry=True)


@profiles.command()
@click.option("--dry-run", is_flag=True, help="Show the change only.")
def uninstall(*, dry_run: bool) -> None:
    """Take the block out: the file is what it was, byte by byte."""
    path, old = _file()
    parts = split(old)
    if parts.block is None:
        say.note(f"no block of borrow is in {shown(str(path))}")
        return
    if parts.edited:
        raise _edited(path)
    _show_or_write(path, old, parts.outside, dry=dry_run)
    if not dry_run:
        _tidy(path, parts.outside)
        say.line(f"removed from {shown(str(path))}")


def _install(roles: tuple[str, ...], prefix: str, *, dry: bool) -> None:
    path, old = _file()
    parts = split(old)
    if parts.edited:
        raise _edited(path)
    theirs = set(check_config(parts.outside, str(path)))
    credentials = awsconfig.user_files(os.environ, Path.home()).credentials
    theirs |= set(awsconfig.parse("", awsconfig.read(credentials)).profiles)
    lines, slow = _lines(roles, prefix)
    if clash := sorted(theirs & lines.keys()):
        raise Misconfigured(
            f"you have a profile {shown(clash[0])!r} already; nothing was changed",
            hint="borrow profiles install --prefix borrow-",
        )
    _show_or_write(path, old, joined(parts, written(lines)), dry=dry)
    if why := python_stops(old.encode("utf-8", "surrogateescape")):
        where = shown(f"{path}{why}")
        say.note(f"boto3 and the AWS CLI cannot read {where}; until then they find no profile")
    if not dry:
        say.line(f"{len(lines)} profiles are in {shown(str(path))}")
    if slow:
        say.note(
            f"{', '.join(slow)} may wait for a person: Go programs (Terraform) end the wait after "
            "60 s and Rust after 5 s; `borrow ask ROLE --wait` first, or `borrow run`"
        )


def _lines(
    wanted: tuple[str, ...], prefix: str
) -> tuple[dict[str, tuple[str, str, str]], list[str]]:
    """By profile what is written, and the names of those that may wait for somebody."""
    from borrow.cli.catalogue import entries, with_suggestions
    from borrow.cli.home import open_home
    from borrow.cli.hook import own_command
    from borrow.cli.launch import running
    from borrow.protocol.errors import Refused

    home = open_home()
    client = running(home)
    listed = {entry["name"]: entry for entry in entries(client)}
    for role in wanted:
        if role not in listed:
            error = Refused(f"you may borrow no role named {role[:64]!r}", state="unknown_role")
            raise with_suggestions(error, role, client, "borrow profiles install {}")
    if prefix and not (prefix.isascii() and prefix.replace("-", "").replace("_", "").isalnum()):
        raise Misconfigured("a prefix is letters, digits, - and _", hint="--prefix borrow-")
    more = (own_command(), str(home.state.path))
    chosen = {name: listed[name] for name in wanted or listed}
    lines = {
        prefix + name: (
            name,
            launcher.serving(home.socket, name, *more),
            _plain(str(entry.get("region") or "")),
        )
        for name, entry in chosen.items()
    }
    return lines, [prefix + n for n, entry in chosen.items() if entry.get("mode") != "auto"]


def _plain(region: str) -> str:
    return region if region.isascii() and region.replace("-", "").isalnum() else ""


def _file() -> tuple[Path, str]:
    """The config behind any symlink, and its text, with any byte in it kept."""
    path = Path(os.path.realpath(awsconfig.user_files(os.environ, Path.home()).config))
    try:
        return path, path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return path, ""
    except OSError as exc:
        raise _trouble(exc, path) from exc


def _show_or_write(path: Path, old: str, new: str, *, dry: bool) -> None:
    if dry:
        pairs = unified_diff(old.splitlines(), new.splitlines(), "now", "then", lineterm="", n=1)
        for line in pairs:
            say.line(shown(line, 600))
        return
    if old == new:
        return
    try:
        _replace(path, old, new)
    except OSError as exc:
        raise _trouble(exc, path) from exc


def _replace(path: Path, old: str, new: str) -> None:
    """In one step. The file is looked at once more before it: another program may have written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    seen = path.stat() if path.exists() else None
    fresh = path.with_name(f".{path.name}.borrow-{os.getpid()}")
    mode = seen.st_mode & 0o7777 if seen else 0o600
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(new.encode("utf-8", "surrogateescape"))
            file.flush()
            if seen and (seen.st_uid, seen.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, seen.st_uid, seen.st_gid)
            os.fchmod(handle, mode)
            os.fsync(handle)
        before = path.read_bytes() if seen else b""
        if before != old.encode("utf-8", "surrogateescape"):
            raise Unavailable(f"{shown(str(path))} is being written", hint="try again")
        if seen and split(old).block is None:
            _keep(path, before, mode)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _keep(path: Path, before: bytes, mode: int) -> None:
    kept = path.with_name(path.name + BACKUP)
    kept.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(kept, flags, mode & 0o700), "wb") as file:
        file.write(before)


def _tidy(path: Path, text: str) -> None:
    """After the undo: no backup of what is there again, and no empty file that we made."""
    kept = path.with_name(path.name + BACKUP)
    with contextlib.suppress(OSError):
        if kept.exists():
            if kept.read_bytes() == text.encode("utf-8", "surrogateescape"):
                kept.unlink()
        elif not text:
            path.unlink()


def _edited(path: Path) -> Misconfigured:
    parts = split(_file()[1])
    for line in (parts.block or "").splitlines():
        say.note(f"  {shown(line, 200)}")
    return Misconfigured(
        f"the block of borrow in {shown(str(path))} was edited, so nothing was changed",
        hint="move your lines out of the block, or remove it by hand with both its marks",
    )


def _trouble(exc: OSError, path: Path) -> Unavailable:
    why = (exc.strerror or "failed").lower()
    return Unavailable(f"cannot use {shown(str(path))}: {why}", hint="nothing was changed")
