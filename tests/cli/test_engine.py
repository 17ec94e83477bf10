"""Who the sidecar is inside: a docker that says what a real one said, and no docker at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.cli.engine import user

if TYPE_CHECKING:
    from pathlib import Path

ROOTFUL = '["name=seccomp,profile=default"]'
ROOTLESS = '["name=seccomp,profile=default","name=rootless"]'


@pytest.fixture
def path(tmp_path: Path) -> dict[str, str]:
    """An environment whose docker is rootless where it is led to `mine`, by option or context."""
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\ncase " $DOCKER_CONTEXT $* " in\n'
        f"*mine*' info '*) echo '{ROOTLESS}';;\n*' info '*) echo '{ROOTFUL}';;\nesac\n"
    )
    docker.chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("command", "more", "found"),
    [
        ("docker compose up", {}, "1000:100"),
        ("docker-compose up", {}, "1000:100"),
        ("docker --context mine compose up", {}, "0:0"),
        ("docker --context=mine compose up", {}, "0:0"),
        ("docker compose up", {"DOCKER_CONTEXT": "mine"}, "0:0"),
        ("docker-compose up", {"DOCKER_CONTEXT": "mine"}, "0:0"),
        ("sh -c any", {"DOCKER_CONTEXT": "mine"}, "0:0"),
        ("docker-compose up", {"DOCKER_HOST": "unix:///run/user/1000/docker.sock"}, "0:0"),
        ("docker-compose up", {"DOCKER_HOST": "unix:///run/user/1001/docker.sock"}, "1000:100"),
        ("podman compose up", {}, "0:0"),
        ("podman-compose up", {}, "0:0"),
        ("/opt/podman/bin/podman run x", {}, "0:0"),
    ],
)
def test_the_sidecar_is_root_only_where_the_engine_is_rootless(
    path: dict[str, str], command: str, more: dict[str, str], found: str
) -> None:
    assert user(command.split(), path | more, 1000, 100) == found


def test_root_is_root_whatever_the_engine(path: dict[str, str]) -> None:
    assert user(["docker"], path | {"DOCKER_CONTEXT": "mine"}, 0, 0) == "0:0"


def test_without_a_docker_that_answers_it_is_the_persons_own_number(tmp_path: Path) -> None:
    assert user(["make", "up"], {"PATH": str(tmp_path)}, 1000, 100) == "1000:100"
