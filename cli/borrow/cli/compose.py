"""What a container setup is given: a compose override, or a fragment of devcontainer.json. Pure.

Neither holds a secret or a path of one machine: `borrow docker run` sets BORROW_DIR, BORROW_PORT
and BORROW_USER, so that the files can be committed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from borrow.cli.environment import PHP_TIMEOUT
from borrow.cli.errors import WrongUse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE: Final = "compose.borrow.yaml"
MARK: Final = "# made by borrow docker compose"
SIDECAR: Final = "python:3.13-alpine"
_SERVICE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ROLE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_START: Final = "start it with borrow docker run"


def services_in(words: Sequence[str]) -> dict[str, str]:
    """`SERVICE=ROLE` for each; raises WrongUse with the corrected line."""
    found: dict[str, str] = {}
    for word in words:
        service, equals, role = word.partition("=")
        if not equals or not _SERVICE.fullmatch(service) or not _ROLE.fullmatch(role):
            raise WrongUse(f"{word[:60]!r} is not SERVICE=ROLE", hint="such as app=dev-read")
        if service in found:
            raise WrongUse(f"{service} is named twice", hint="one role for each service")
        found[service] = role
    if not found:
        raise WrongUse("no service is named", hint="borrow docker compose app=ROLE")
    return found


def variables(role: str) -> dict[str, str]:
    """What is no secret of a container's environment."""
    port = f"${{BORROW_PORT:?{_START}}}"
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/v1/credentials/{role}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_METADATA_SERVICE_TIMEOUT": PHP_TIMEOUT,
    }


def override(services: Mapping[str, str]) -> str:
    """The compose file. JSON strings are YAML strings, whatever is in them."""
    lines = [MARK + ": use it by `borrow docker run`", "services:"]
    for service, role in services.items():
        lines += [f"  {service}:", "    environment:"]
        lines += [f"      {name}: {json.dumps(text)}" for name, text in variables(role).items()]
        lines += ["    env_file:", f'      - "${{BORROW_DIR:?{_START}}}/{service}/env"']
        lines += _sidecar(service)
    return "\n".join(lines) + "\n"


def _sidecar(service: str) -> list[str]:
    """It shares the service's network and nothing else, and has no right of its own."""
    command = [
        "python3",
        "-I",
        "/run/borrow/forward",
        "tcp:${BORROW_PORT}",
        "unix:/run/borrow/sock",
        "sidecar",
    ]
    return [
        f"  {service}-borrow:",
        f"    image: {json.dumps(SIDECAR)}",
        f"    network_mode: {json.dumps('service:' + service)}",
        # Where the engine maps users to others, the socket's owner is nobody inside.
        '    user: "${BORROW_USER}"',
        '    userns_mode: "host"',
        '    cap_drop: ["ALL"]',
        '    security_opt: ["no-new-privileges:true"]',
        "    read_only: true",
        '    restart: "on-failure"',
        f"    command: {json.dumps(command)}",
        "    volumes:",
        "      - type: bind",
        f'        source: "${{BORROW_DIR}}/{service}/socket"',
        "        target: /run/borrow",
        "        read_only: true",
    ]


def devcontainer(service: str, role: str) -> str:
    """Members to merge into devcontainer.json; the forwarder runs inside, there is no sidecar."""
    here = {name: "${localEnv:" + name + "}" for name in ("BORROW_DIR", "BORROW_PORT")}
    url = f"http://127.0.0.1:{here['BORROW_PORT']}/v1/credentials/{role}"
    forward = "python3 -I /run/borrow/forward"
    fragment = {
        "mounts": [
            f"source={here['BORROW_DIR']}/{service}/socket,target=/run/borrow,type=bind,readonly"
        ],
        "runArgs": ["--env-file", f"{here['BORROW_DIR']}/{service}/env"],
        "containerEnv": variables(role) | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url},
        "postStartCommand": f"nohup {forward} tcp:{here['BORROW_PORT']} unix:/run/borrow/sock "
        ">/dev/null 2>&1 &",
    }
    return json.dumps(fragment, indent=2) + "\n"
