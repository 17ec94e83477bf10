"""`borrow docker`: a network namespace stands in for each container; a real SDK asks from within.

It has a loopback of its own and nothing of the host's network; it sees the folder that the override
mounts, read-only, and the environment of the env file.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]  # it comes with moto, its types do not

from borrow.cli import compose
from borrow.daemon.groups import Group
from borrow_fakes.lab import BORROW, finish, wait_for
from borrow_fakes.solo_mode import refused_with
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    import subprocess

    from borrow_fakes.lab import Home

BOTO = "import boto3; print(boto3.Session().get_credentials().access_key)"
IMAGE = "ghcr.io/acme/app:1"

# What an engine does for one service: namespaces, the read-only mount, the sidecar, the program.
CONTAINER = """
cd "$BORROW_DIR/$1"
exec unshare {flags} -m sh -c '
  mount --bind socket socket && mount -o remount,ro,bind socket || exit 90
  ip link set lo up || exit 91
  {python} -I socket/forward tcp:$BORROW_PORT unix:socket/sock &
  env -i PATH="$PATH" $(cat env) AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1 \\
    AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:$BORROW_PORT/v1/credentials/$2 \\
    {program}
  code=$?
  kill $!
  exit $code
' sh "$1" "$2"
"""
WAITING = (
    "import os, socket, time\n"
    "for _ in range(200):\n"
    "    try:\n"
    "        socket.create_connection(('127.0.0.1', int(os.environ['P']))).close(); break\n"
    "    except OSError: time.sleep(0.05)\n"
)


def container(solo: Home, program: str, flags: str = "-n") -> str:
    """A script: `script SERVICE ROLE` runs `program` (Python) in a stand-in for a container."""
    need(lacking("unshare", "ip"), "apt-get install --no-install-recommends util-linux iproute2")
    need(None if os.geteuid() == 0 else "namespaces need root", "sudo make test")
    inside = solo.root / "inside.py"
    inside.write_text(WAITING + program)
    path = solo.root / "container.sh"
    words = f'P="$BORROW_PORT" {sys.executable} {inside}'
    path.write_text(CONTAINER.format(flags=flags, python=sys.executable, program=words))
    return str(path)


def start(solo: Home, services: str, *command: str, **env: str) -> subprocess.Popen[str]:
    images = [f"--image={each.partition('=')[0]}={IMAGE}" for each in services.split()]
    words = [*services.split(), "--project", "shop", *images, "--", *command]
    return solo.spawn(BORROW, "docker", "run", *words, env=env)


@pytest.mark.parametrize("flags", ["-n", "-Urn"], ids=["rootful", "rootless"])
def test_a_real_sdk_in_a_container_is_asked_for_by_image_and_project(
    solo: Home, flags: str
) -> None:
    script = container(solo, BOTO, flags)
    child = start(solo, "app=click", "sh", script, "app", "click")
    request = solo.pending("click")["request"]
    context = solo.control("GET", f"/v1/decisions/{request}").body["context"]
    assert context["process"]["container"] == f"app of project shop, image {IMAGE}"
    assert context["group"].endswith(":@shop/app")
    assert context["via"] == "container"
    shown = solo.borrow("approve", request, ok=False).stderr
    assert f"app of project shop, image {IMAGE}" in shown
    solo.decide(request)
    code, out, err = finish(child)
    assert (code, out[:8]) == (0, "ASIAFAKE"), err
    solo.borrow("return", "click")


def test_a_container_has_an_identity_of_its_own_and_no_ride_on_its_persons_grant(
    solo: Home,
) -> None:
    solo.borrow("ask", "click", "-m", "for the person")
    solo.borrow("approve", solo.pending("click")["request"], "-y")
    solo.borrow("ask", "click", "--wait", "-m", "to collect it")
    script = container(solo, BOTO)
    both = f"sh {script} app click & sh {script} worker click; wait"
    child = start(solo, "app=click worker=click", "sh", "-c", both)
    asked = wait_for(lambda: _two(solo), why="two questions")
    for request in asked:
        solo.borrow("approve", request, "-y")
    code, out, err = finish(child)
    assert (code, len(set(out.split()))) == (0, 2), err
    groups = {grant["group"].partition("@")[2] for grant in solo.status()["grants"]}
    assert {"shop/app", "shop/worker", ""} <= groups
    solo.borrow("return", "--all")


def _two(solo: Home) -> set[str]:
    """The two open questions, as soon as both have an id."""
    known = {each["request"] for each in solo.asks() if each["request"]}
    return known if len(known) == 2 else set()


def test_another_containers_token_or_none_opens_nothing(solo: Home) -> None:
    program = (
        "import os, urllib.request, urllib.error\n"
        "for token in ('', 'x' * 43):\n"
        "    r = urllib.request.Request(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'])\n"
        "    r.add_header('Authorization', token)\n"
        "    try: urllib.request.urlopen(r, timeout=10)\n"
        "    except urllib.error.HTTPError as e: print(e.code)\n"
        "import socket\n"
        "try: socket.create_connection(('192.0.2.1', 80), timeout=2); print('out')\n"
        "except OSError: print('no way out')\n"
    )
    code, out, err = finish(
        start(solo, "app=click", "sh", container(solo, program), "app", "click")
    )
    assert (code, out.split("\n")[:3]) == (0, ["401", "401", "no way out"]), err
    assert solo.asks() == []


def test_the_sockets_live_as_long_as_the_command_and_its_exit_code_is_ours(solo: Home) -> None:
    show = "ls -lanR $BORROW_DIR; echo $BORROW_USER; cat $BORROW_DIR/app/env; exit 7"
    code, out, _ = finish(start(solo, "app=click", "sh", "-c", show))
    assert code == 7
    assert f"{os.getuid()}:{os.getgid()}\n" in out
    token = out.rpartition("TOKEN=")[2].strip()
    assert len(token) > 40
    assert "srw-------" in out
    assert "drwx------" in out
    folders = list(solo.root.glob("run/borrow-*/docker/*"))
    assert folders == []
    child = start(solo, "app=click", "sleep", "60")
    wait_for(lambda: list(solo.root.glob("run/borrow-*/docker/*/app/socket/sock")), why="a socket")
    (folder,) = solo.root.glob("run/borrow-*/docker/*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    child.send_signal(signal.SIGTERM)  # handed on to the command, which ends by it
    assert finish(child)[0] == 128 + signal.SIGTERM
    assert not folder.exists()


def test_project_and_images_are_what_compose_itself_says(solo: Home) -> None:
    """A docker that writes down how it was asked; no engine is needed for that."""
    tools = solo.root / "fakedocker"
    tools.mkdir(exist_ok=True)
    said = {"name": "myshop", "services": {"app": {"image": "example/app:2"}, "db": {}}}
    (tools / "docker").write_text(
        f'#!/bin/sh\necho "$@" >> {solo.root}/asked\n'
        f"case \"$*\" in *config*) echo '{json.dumps(said)}';; esac\n"
    )
    (tools / "docker").chmod(0o755)
    words = ("app=click", "--", "docker", "compose", "-f", "a.yaml", "up", "-d")
    env = {"PATH": f"{tools}:{solo.env['PATH']}"}
    solo.borrow("docker", "run", *words, env=env)
    asked = (solo.root / "asked").read_text().splitlines()
    assert asked[0].startswith("compose -f a.yaml config --format json")
    assert asked[1] == "compose -f a.yaml up -d"
    bearers = json.loads((solo.state / "bearers.json").read_text())["bearers"]
    assert bearers[-1]["told"] == "app of project myshop, image example/app:2"


def test_the_override_is_yaml_without_a_secret_or_a_path_of_this_machine(solo: Home) -> None:
    out = solo.borrow("docker", "compose", "app=dev-read", "worker=click").stdout
    made: dict[str, Any] = yaml.safe_load(out)
    app, sidecar = made["services"]["app"], made["services"]["app-borrow"]
    assert app["environment"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"].endswith("/dev-read")
    assert sidecar["network_mode"] == "service:app"
    assert (sidecar["cap_drop"], sidecar["read_only"]) == (["ALL"], True)
    assert {str(each.get("network_mode")) for each in made["services"].values()} == {
        *("None", "service:app", "service:worker")
    }
    assert "worker-borrow" in made["services"]
    assert str(solo.root) not in out
    assert "TOKEN" not in out
    fragment = json.loads(solo.borrow("docker", "devcontainer", "dev=dev-read").stdout)
    assert fragment["containerEnv"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == (
        "http://127.0.0.1:${localEnv:BORROW_PORT}/v1/credentials/dev-read"
    )
    assert "host" not in " ".join(fragment["runArgs"])


def test_an_override_is_written_where_nothing_of_somebody_else_is(solo: Home) -> None:
    path = solo.root / compose.FILE
    for services in ("app=dev-read", "app=click"):  # ours is replaced
        solo.borrow("docker", "compose", services, "--write")
        assert services.partition("=")[2] in path.read_text()
    path.write_text("services: {}\n")
    refused_with(solo.borrow("docker", "compose", "app=click", "--write", ok=False), 1)
    assert path.read_text() == "services: {}\n"
    path.unlink()
    path.symlink_to(solo.root / "victim")
    refused_with(solo.borrow("docker", "compose", "app=click", "--write", ok=False), 1)
    assert not (solo.root / "victim").exists()
    path.unlink()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("compose", 2),
        ("compose app", 2),
        ("compose =x", 2),
        ("compose app=", 2),
        ("compose app=a app=b", 2),
        ("compose ../x=a", 2),
        ("compose app=a/../../x", 2),
        ("devcontainer app", 2),
        ("run app=click docker compose up", 2),
        ("run app=click --", 2),
        ("run -- true", 2),
        ("run app=click -- nowhere-to-be-found", 127),
        ("run app=nobodys -- true", 3),
        ("run app=click --image x -- true", 2),
    ],
)
def test_wrong_use_is_one_line_and_nothing_runs(solo: Home, words: str, code: int) -> None:
    refused_with(solo.borrow("docker", *words.split(), ok=False), code)


def test_odd_containers_are_refused_by_the_daemon(solo: Home) -> None:
    good = {"project": "p", "service": "s", "image": "i"}
    odds: tuple[Any, ...] = (
        [],
        {},
        good | {"project": "a:b"},
        good | {"service": "A"},
        good | {"more": "x"},
        good | {"image": "x" * 300},
        good | {"image": 7},
    )
    for odd in odds:
        made = solo.control("POST", "/v1/bearers", {"role": "click", "container": odd})
        assert made.status in (400, 409), odd


def test_a_containers_group_is_read_back_from_its_name() -> None:
    for group in (Group("r", 5, 6, container="p/s"), Group("r", 5, 6, agent="a", container="p/s")):
        assert Group.named("r", group.id) == group
    assert not Group("r", 5, 6).same_session(Group("r", 5, 6, container="p/s").id)


def test_the_forwarder_is_python_of_3_8() -> None:
    import ast

    source = Path(compose.__file__ or "").with_name("forward.py").read_text()
    ast.parse(source, feature_version=(3, 8))
