"""What compose says of itself, in the words of Compose 2 and of docker-compose 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.cli.composed import asked_by, composed, read_json, read_lines

if TYPE_CHECKING:
    from pathlib import Path

# docker-compose 1.29 prints its own YAML, sorted, and no name.
LINES = """\
services:
  '1':
    command:
    - python3
    environment:
      image: no
    image: localhost:5000/x@sha256:abc
  app:
    image: "shop/app:1"
  built:
    build:
      context: /x
version: '3.9'
x-other:
  app:
    image: other
"""


@pytest.mark.parametrize(
    ("command", "asking"),
    [
        ("docker compose -f a.yaml -p x up -d", "docker compose -f a.yaml -p x"),
        (
            "docker --context mine compose --env-file e up",
            "docker --context mine compose --env-file e",
        ),
        ("/usr/bin/docker -H unix:///x compose up", "/usr/bin/docker -H unix:///x compose"),
        ("docker-compose --file=a.yaml --no-ansi up", "docker-compose --file=a.yaml --no-ansi"),
        ("podman compose up", "podman compose"),
        ("podman-compose -f a up", "podman-compose -f a"),
        ("docker run x compose", ""),
        ("docker -H", ""),
        ("docker", ""),
        ("sh -c x", ""),
    ],
)
def test_the_very_compose_that_is_to_be_run_is_asked(command: str, asking: str) -> None:
    assert asked_by(command.split()) == asking.split()


def test_both_kinds_of_compose_are_understood() -> None:
    said = read_json('{"name": "shop", "services": {"app": {"image": "a:1"}, "db": {}, "x": 7}}')
    assert (said.project, said.images) == ("shop", {"app": "a:1"})
    assert read_lines("name: 'x'\n" + LINES).project == "x"
    assert read_lines(LINES).images == {"1": "localhost:5000/x@sha256:abc", "app": "shop/app:1"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "7", "[" * 5000, '{"name": 7, "services": []}', "services:", "  x:\n"]
)
def test_what_is_no_answer_says_nothing(text: str) -> None:
    for said in (read_json(text), read_lines(text)):
        assert (said.project, said.images) == ("", {})


def test_docker_compose_1_is_named_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The env file that the override names is there while it is asked: it is an error without."""
    (tmp_path / "shop").mkdir()
    program = tmp_path / "docker-compose"
    program.write_text(
        "#!/bin/sh\n"
        'test -f "$BORROW_DIR/app/env" || exit 3\n'
        'case "$*" in *--format*) exit 1;; esac\n'
        f"cat <<'E'\n{LINES}E\n"
    )
    program.chmod(0o755)
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    command = [str(program), "-f", str(tmp_path / "shop/compose.yaml"), "up"]
    said = composed(command, ["app"], tmp_path / "scratch")
    assert (said.project, said.images["app"]) == ("shop", "shop/app:1")
    assert composed([*command[:1], "-p", "x", *command[1:]], ["app"], tmp_path / "s").project == "x"
