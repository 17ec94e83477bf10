"""What a container is said to be, by whoever serves it a socket: its name, and a line for people.

A claim, as everything about a caller is: the bearer is what tells two containers apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from borrow.protocol.errors import Misconfigured
from borrow.protocol.strict import Members

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")  # as Compose has projects and services
_MAX_IMAGE: Final = 255  # bytes


@dataclass(frozen=True, slots=True)
class Container:
    """`name` stands in the caller group's id, `told` in the request; both "" for none."""

    name: str = ""
    told: str = ""


def take_container(body: dict[str, Any]) -> tuple[dict[str, Any], Container]:
    """The body without `container`, and the container that it names."""
    rest = dict(body)
    given = rest.pop("container", None)
    if given is None:
        return rest, Container()
    if not isinstance(given, dict):
        raise Misconfigured(
            "container is project, service and image", hint="see `borrow docker --help`"
        )
    members = Members(given, "container")
    project, service = members.text("project", limit=64), members.text("service", limit=64)
    image = members.text_or("image", limit=_MAX_IMAGE)
    members.end()
    if not _NAME.fullmatch(project) or not _NAME.fullmatch(service):
        raise Misconfigured(
            "that is no name of a project or a service",
            hint="small letters, digits, dots, dashes and underscores",
        )
    of = f"image {image}" if image else "an unnamed image"
    return rest, Container(f"{project}/{service}", f"{service} of project {project}, {of}")
