"""What compose says of itself, for the question that a person reads: its project and its images.

A claim, as all of a caller's description. The very compose that is to be run is asked, with its own
options; where it cannot be asked, nothing is known, and nothing fails for it.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from borrow.cli.engine import printed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ASK_WITHIN: Final = 10.0  # seconds for one `config`
_MAX_NAME: Final = 200
_ENGINES: Final = ("docker", "podman")
# Options that stand before a subcommand and take the next word.
_ENGINE_OPTIONS: Final = frozenset(
    {"-H", "--host", "-c", "--context", "--config", "-l", "--log-level"}
)
_COMPOSE_OPTIONS: Final = _ENGINE_OPTIONS | {
    *("-f", "--file", "-p", "--project-name", "--project-directory", "--profile"),
    *("--env-file", "--ansi", "--parallel", "--progress"),
}
_SERVICE_LINE: Final = re.compile(r"  (\S+):")
_IMAGE_LINE: Final = re.compile(r"    image: (\S+)")


@dataclass(frozen=True, slots=True)
class Composed:
    """`project` is "" and `images` (by service) is empty for what is not known."""

    project: str = ""
    images: dict[str, str] = field(default_factory=dict)


def composed(command: Sequence[str], services: Iterable[str], scratch: Path) -> Composed:
    """Ask; `scratch` is a new private folder, which stands in for the sockets' that is to come."""
    asking = asked_by(command)
    if not asking:
        return Composed()
    for service in services:  # an env file that is not there would end it
        (scratch / service).mkdir(parents=True, mode=0o700, exist_ok=True)
        (scratch / service / "env").touch(mode=0o600)
    filled = {"BORROW_DIR": str(scratch), "BORROW_PORT": "1", "BORROW_USER": "0:0"}
    if Path(asking[0]).name in _ENGINES:
        return read_json(_config(asking, filled, "--format", "json"))
    said = read_lines(_config(asking, filled))  # docker-compose 1 knows no JSON
    return Composed(said.project or _first_project(asking), said.images)


def asked_by(command: Sequence[str]) -> list[str]:
    """The words of `command` up to compose's subcommand; empty if it is no compose."""
    program = Path(command[0]).name
    if program in ("docker-compose", "podman-compose"):
        return [command[0], *_options(command[1:], _COMPOSE_OPTIONS)]
    if program not in _ENGINES:
        return []
    own = _options(command[1:], _ENGINE_OPTIONS)
    rest = command[1 + len(own) :]
    if list(rest[:1]) != ["compose"]:
        return []
    return [command[0], *own, "compose", *_options(rest[1:], _COMPOSE_OPTIONS)]


def _options(words: Sequence[str], valued: Iterable[str]) -> list[str]:
    """Those that stand in front of the first plain word."""
    taken: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            break
        taken.append(word)
        if word in valued:
            taken += [value for value in (next(rest, None),) if value is not None]
    return taken


def _config(asking: Sequence[str], filled: Mapping[str, str], *more: str) -> str:
    return printed([*asking, "config", *more], os.environ | dict(filled), within=ASK_WITHIN)


def read_json(text: str) -> Composed:
    """Of Compose 2: a name, and services by name."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return Composed()
    table: dict[str, Any] = said if isinstance(said, dict) else {}
    name, services = table.get("name"), table.get("services")
    listed: dict[str, Any] = services if isinstance(services, dict) else {}
    images = {
        service: one["image"][:_MAX_NAME]
        for service, one in listed.items()
        if isinstance(one, dict) and isinstance(one.get("image"), str)
    }
    return Composed(name if isinstance(name, str) else "", images)


def read_lines(text: str) -> Composed:
    """Of docker-compose, which prints plain YAML of its own making; 1 does not say its name."""
    images: dict[str, str] = {}
    project = ""
    inside, service = False, ""
    for line in text.splitlines():
        if line[:1] not in ("", " "):
            inside = line == "services:"
            project = line.removeprefix("name: ") if line.startswith("name: ") else project
        elif inside and (named := _SERVICE_LINE.fullmatch(line)):
            service = named[1].strip("'\"")
        elif inside and service and (image := _IMAGE_LINE.fullmatch(line)):
            images[service] = image[1].strip("'\"")[:_MAX_NAME]
    return Composed(project.strip("'\""), images)


def _first_project(asking: Sequence[str]) -> str:
    """As docker-compose 1 names a project without a name: by -p, or its first file's folder."""
    given = dict(pairwise(asking))
    for option in ("-p", "--project-name"):
        if option in given:
            return given[option]
    if name := os.environ.get("COMPOSE_PROJECT_NAME"):
        return name
    if directory := given.get("--project-directory"):
        return Path(directory).resolve().name
    files = [each for option, each in pairwise(asking) if option in ("-f", "--file")]
    return Path(files[0]).resolve().parent.name if files else Path.cwd().name
