"""`borrow trust` and `borrow untrust`: a person reads a `.borrow.toml` and lets it choose roles.

The file is hostile until then: it is shown line by line, escaped, and what changed since the last
time is marked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from borrow.cli import say, truststore
from borrow.cli.projectfile import FILE, parse
from borrow.cli.truststore import Trust
from borrow.protocol.errors import Misconfigured, Refused
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from borrow.cli.projectfile import Project
    from borrow.cli.truststore import Found

_MOST_LINES = 200


@click.command()
@click.argument("where", metavar="[FOLDER]", default="")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; it is shown all the same.")
@click.option("--list", "listed", is_flag=True, help="What you trust.")
def trust(where: str, *, yes: bool, listed: bool) -> None:
    """Let this project's .borrow.toml choose roles for its commands.

    It is shown first. What is trusted is this very content in this place: after any change you are
    asked again.
    """
    from borrow.cli.home import open_home

    state = open_home().state.path
    if listed:
        for each in truststore.trusted_paths(state):
            say.line(shown(each))
        return
    found = truststore.look(state, _path(where))
    if found.project is not None:
        say.line(f"trusted already: {shown(str(found.path))}")
        return
    ask(state, found, yes=yes)
    say.line(f"trusted: {shown(str(found.path))}")


@click.command()
@click.argument("where", metavar="[FOLDER]", default="")
def untrust(where: str) -> None:
    """Let this project's .borrow.toml choose nothing any more."""
    from borrow.cli.home import open_home

    path = _path(where, gone=True)
    if not truststore.forget(open_home().state.path, path):
        raise Misconfigured(
            f"{shown(str(path))} is not trusted", hint="`borrow trust --list` says what is"
        )
    say.line(f"no longer trusted: {shown(str(path))}")


def refuse_agents(act: str, line: str) -> None:
    """`act` is a person's to do, also with --yes; `line` is the command."""
    from borrow.daemon.caller import agent_of

    if name := agent_of(os.getpid()):
        raise Refused(
            f"a coding agent ({shown(name, 40)}) cannot {act}",
            hint=f"a person runs `{line}` in a terminal of their own",
            state="agent",
        )


def ask(state: Path, found: Found, *, yes: bool = False) -> Project:
    """Show it, ask, remember. Raises Refused on a no and for agents, Misconfigured if it says what
    cannot be."""
    refuse_agents("trust a project", "borrow trust")
    project = parse(found.data)
    say.note(f"{shown(str(found.path))}{' was changed' if found.trust is Trust.CHANGED else ''}:")
    for line in _shown(found):
        say.note(f"  {line}")
    say.note("it would choose these roles:")
    for name, role in _chosen(project):
        say.note(f"  {name} → {role}")
    if not yes and not say.confirm("trust it?", without="borrow trust --yes"):
        raise Refused(
            f"{shown(str(found.path))} was not trusted", hint="nothing was changed", state="no"
        )
    return truststore.remember(state, found.path, found.data)


def _chosen(project: Project) -> list[tuple[str, str]]:
    pairs = [(shown(pattern, 80), role) for pattern, role in project.commands]
    pairs += [(f"profile {shown(name, 80)}", role) for name, role in project.profiles]
    return pairs + ([("all else", project.role)] if project.role else [])


def _shown(found: Found) -> list[str]:
    """Its lines, escaped, with `-` and `+` for what changed."""
    now = found.data.decode("utf-8", "replace").splitlines()
    if found.trust is Trust.CHANGED:
        from difflib import ndiff

        old = found.trusted_text.splitlines()
        now = [line for line in ndiff(old, now) if not line.startswith("?")]
    out = [shown(line.replace("\t", "    ")) for line in now[:_MOST_LINES]]
    rest = len(now) - _MOST_LINES
    return out + ([f"… and {rest} more lines"] if rest > 0 else [])


def _path(where: str, *, gone: bool = False) -> Path:
    """The file meant: in FOLDER, or the nearest here or above."""
    if where:
        given = Path(os.path.normpath(truststore.folder_of_caller(os.environ) / where))
        path = given if given.name == FILE else given / FILE
        if gone or path.exists() or path.is_symlink():
            return path
        raise Misconfigured(f"there is no {shown(str(path))}", hint="borrow trust FOLDER")
    here = truststore.folder_of_caller(os.environ)
    path_ = truststore.find(here)
    if path_ is not None:
        return path_
    if gone:
        return here / FILE
    raise Misconfigured(f"there is no {FILE} here or above", hint="borrow trust FOLDER")
