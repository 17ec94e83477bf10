"""Containers of a real Docker engine, started by a real docker-compose: an SDK in one of them asks.

The engine is the tests' own (borrow_fakes.engine) and has the network that Compose makes by
default. What stands in: the image, for no registry is asked, and the cloud, which a service of the
same project carries to the lab's.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from borrow.cli import forward
from borrow_fakes import engine as engines
from borrow_fakes.engine import Engine
from borrow_fakes.lab import BORROW, finish, wait_for
from borrow_fakes.tools import need

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess
    from borrow_fakes.lab import Home

SITE = Path(boto3.__file__).parents[1]
COMPOSE = f"""
x-app: &app
  image: {engines.APP}
  command: ["python3", "/app/who.py"]
  stop_signal: SIGINT
  environment: &env
    AWS_ENDPOINT_URL: http://127.0.0.1:$CLOUD
    AWS_DEFAULT_REGION: us-east-1
    IDLE: ${{IDLE:-}}
    PYTHONPATH: /site
  volumes: ["./app:/app:ro", "{SITE}:/site:ro"]
x-cloud: &cloud
  image: {engines.APP}
  command: ["python3", "/app/forward.py", "tcp:$CLOUD", "unix:/app/cloud", "sidecar"]
  volumes: ["./app:/app:ro"]
services:
  app: *app
  worker: *app
  app-cloud:
    <<: *cloud
    network_mode: service:app
  worker-cloud:
    <<: *cloud
    network_mode: service:worker
"""
WHO = """
import os, socket, sys, time
time.sleep(float(os.environ["IDLE"] or 0))
# A sidecar comes a moment after its service; boto3 asks for two seconds, a busy machine is slower.
port = int(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"].split("/")[2].partition(":")[2])
for _ in range(300):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        time.sleep(0.1)
import boto3
from botocore.config import Config
try:
    print("arn", boto3.client("sts").get_caller_identity()["Arn"])
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    print("object", s3.get_object(Bucket="lab", Key="k")["Body"].read().decode())
except Exception as error:
    print(type(error).__name__, error)
    sys.exit(3)
"""
FILES = ("-f", "compose.yaml", "-f", "compose.borrow.yaml")
LINE = f"docker-compose {' '.join(FILES)}"
APP_ONLY = ("app", "app-borrow", "app-cloud")
QUIET = ("app", "app-borrow")
ABORTING = ("--abort-on-container-exit", "--exit-code-from", "app")
KEY = "import boto3; print(boto3.Session().get_credentials().access_key)"
SOMEBODY = 54321  # a user id of nobody here
# Debian has no Compose 2; where its plugin is installed, it is tried as well.
PLUGINS = ("/usr/libexec/docker", "/usr/lib/docker", "/usr/local/lib/docker", "/root/.docker")
COMPOSES = [
    ("docker-compose",),
    *(
        [("docker", "compose")]
        if any(Path(p, "cli-plugins/docker-compose").exists() for p in PLUGINS)
        else []
    ),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    need(engines.missing(), engines.INSTALL)
    before = Path("/proc/mounts").read_text()
    with Engine() as running:
        yield running
    assert Path("/proc/mounts").read_text() == before


@pytest.fixture
def shop(lasting_solo: Home, engine: Engine, cloud: StandInProcess) -> Iterator[Shop]:
    made = Shop(lasting_solo, engine, cloud)
    try:
        yield made
    finally:
        made.close()


class Shop:
    """A project folder of the person at `home`, with the override that Borrow wrote into it."""

    def __init__(self, home: Home, engine: Engine, cloud: StandInProcess) -> None:
        self.home, self.engine = home, engine
        port = cloud.endpoint.rpartition(":")[2]
        self.env = engine.env | {"COMPOSE_PROJECT_NAME": "shop", "CLOUD": port}
        app = home.root / "app"
        app.mkdir(exist_ok=True)
        (home.root / "compose.yaml").write_text(COMPOSE)
        (app / "who.py").write_text(WHO)
        (app / "forward.py").write_text(Path(forward.__file__).read_text())
        (app / "cloud").unlink(missing_ok=True)
        self._cloud = home.spawn(
            sys.executable, "-I", forward.__file__, f"unix:{app}/cloud", f"tcp:{port}"
        )
        wait_for((app / "cloud").exists, why="the way to the cloud")

    def start(
        self,
        roles: str,
        *words: str,
        compose: tuple[str, ...] = ("docker-compose",),
        idle: bool = False,
    ) -> subprocess.Popen[str]:
        """`borrow docker run ROLES -- docker-compose … WORDS`, with the override for them."""
        return self.start_any(roles, *compose, *FILES, *words, idle=idle)

    def start_any(self, roles: str, *words: str, idle: bool = False) -> subprocess.Popen[str]:
        self.home.borrow("docker", "compose", *roles.split(), "--write")
        env = self.env | ({"IDLE": "600"} if idle else {})
        command = (BORROW, "docker", "run", *roles.split(), "--", *words)
        return self.home.spawn(*command, env=env, session=True)

    def running(self, service: str) -> str:
        """The container of `service`, as soon as it runs."""
        label = f"label=com.docker.compose.service={service}"
        listed = ("ps", "-q", "--filter", label, "--filter", "status=running")
        return wait_for(
            lambda: self.engine.docker(*listed).strip(), seconds=60, why=f"{service} to run"
        )

    def python(self, container: str, program: str, *words: str) -> str:
        """What a program prints that runs inside of one, tracebacks included."""
        return self.engine.docker("exec", container, "python3", "-c", program, *words, ok=False)

    def variable(self, container: str, end: str) -> str:
        listed: list[str] = self.engine.inspect(container)["Config"]["Env"]
        (found,) = (one.partition("=")[2] for one in listed if one.partition("=")[0].endswith(end))
        return found

    def folders(self) -> list[Path]:
        return list(self.home.root.glob("run/borrow-*/docker/*"))

    def clear(self) -> None:
        names = self.engine.docker("ps", "-aq").split()
        if names:
            self.engine.docker("rm", "-f", *names)
        self.engine.docker("network", "prune", "-f")

    def close(self) -> None:
        self.clear()
        self._cloud.kill()
        self._cloud.communicate()
        self.home.borrow("return", "--all", ok=False)


def context(home: Home, request: str) -> dict[str, Any]:
    found: dict[str, Any] = home.control("GET", f"/v1/decisions/{request}").body["context"]
    return found


@pytest.mark.parametrize("compose", COMPOSES, ids=" ".join)
def test_a_call_from_a_container_waits_for_a_yes_and_goes_through(
    shop: Shop, compose: tuple[str, ...]
) -> None:
    """And `up` ends with its service: the sidecar does not keep it."""
    child = shop.start("app=click", "up", *APP_ONLY, compose=compose)
    request = shop.home.pending("click", seconds=60)["request"]
    asked = context(shop.home, request)
    assert asked["process"]["container"] == f"app of project shop, image {engines.APP}"
    assert asked["group"].endswith(":@shop/app")
    assert shop.home.decide(request).status == 200
    code, out, err = finish(child, seconds=60)
    assert code == 0, out + err
    assert "assumed-role/Admin/" in out
    assert "object hello" in out
    assert shop.folders() == []


def test_a_no_reaches_the_sdk_with_its_reason_and_its_exit_code_is_ours(shop: Shop) -> None:
    child = shop.start("app=short", "up", *ABORTING, *APP_ONLY)
    request = shop.home.pending("short", seconds=60)["request"]
    assert shop.home.decide(request, "deny", reason="not during the freeze").status == 200
    code, out, err = finish(child, seconds=60)
    assert code == 3, out + err
    assert "not during the freeze" in out
    assert shop.folders() == []


@pytest.mark.slow
def test_two_services_are_two_callers(shop: Shop) -> None:
    every = " ".join(f"{each} {each}-borrow {each}-cloud" for each in ("app", "worker"))
    up = f"{LINE} up -d {every} && docker wait $({LINE} ps -q app) $({LINE} ps -q worker)"
    child = shop.start_any("app=click worker=click", "sh", "-c", up)
    asked = wait_for(lambda: two(shop.home), seconds=60, why="two questions")
    groups = {context(shop.home, request)["group"].rpartition(":")[2] for request in asked}
    assert groups == {"@shop/app", "@shop/worker"}
    tokens = {each.read_text() for each in shop.folders()[0].glob("*/env")}
    assert len(tokens) == 2
    for request in asked:
        assert shop.home.decide(request).status == 200
    code, out, err = finish(child, seconds=60)
    assert (code, out.split()) == (0, ["0", "0"]), err


def two(home: Home) -> set[str]:
    """The two open questions, as soon as both have an id."""
    known = {each["request"] for each in home.asks() if each["request"]}
    return known if len(known) == 2 else set()


def test_a_sidecar_has_no_right_and_stays_with_its_service(shop: Shop) -> None:
    child, engine = shop.start("app=reader", "up", *QUIET, idle=True), shop.engine
    app, sidecar = shop.running("app"), shop.running("app-borrow")

    # What the engine says, and what the processes find.
    found = engine.inspect(sidecar)
    host, (mount,) = found["HostConfig"], found["Mounts"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], mount["RW"]) == (True, ["ALL"], False)
    assert host["NetworkMode"] == f"container:{engine.inspect(app)['Id']}"
    assert "TOKEN" not in str(found["Config"]["Env"])
    status = shop.python(sidecar, "print(open('/proc/1/status').read())")
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    tries = "for path in sys.argv[1:]:\n try: open(path, 'a')\n except OSError as e: print(e.errno)"
    paths = ("/x", "/tmp/x", "/run/borrow/x", "/run/borrow/forward")
    assert shop.python(sidecar, f"import sys\n{tries}", *paths).split() == [str(errno.EROFS)] * 4

    # Only who has the bearer is served; the port is open in that one network alone.
    assert "ASIA" in shop.python(app, KEY)
    bare = f"import urllib.request as u; u.urlopen('{shop.variable(app, 'FULL_URI')}')"
    assert "401" in shop.python(sidecar, bare)
    refused = engine.docker("run", "--rm", engines.APP, "python3", "-c", bare, ok=False)
    assert "Connection refused" in refused

    # A restarted service has a new network; its sidecar comes after it.
    engine.docker("restart", "-t", "0", app)
    wait_for(lambda: "401" in shop.python(app, bare), seconds=30, why="its sidecar to come after")

    # Ctrl-C in the terminal: containers, sockets and command are gone.
    os.killpg(child.pid, signal.SIGINT)
    code, out, err = finish(child, seconds=60)
    assert code in (0, 1, 130), out + err
    assert "Traceback" not in err
    assert engine.docker("ps", "-q") == ""
    assert shop.folders() == []


@pytest.mark.slow
def test_a_sidecar_must_be_the_sockets_owner(shop: Shop) -> None:
    """Why BORROW_USER is who started it: not even root passes without capabilities."""
    place = shop.home.root / "mapped/app"
    inside = place / "socket"
    inside.mkdir(parents=True)
    (place / "env").write_text("")
    (inside / "forward").write_text(Path(forward.__file__).read_text())
    shop.home.borrow("docker", "compose", "app=reader", "--write")
    port = shop.home.bearer("reader")["AWS_CONTAINER_CREDENTIALS_FULL_URI"].split("/")[2]
    owner = shop.home.spawn(
        *(sys.executable, "-I", forward.__file__),
        *(f"unix:{inside}/sock", f"tcp:{port.partition(':')[2]}"),
    )
    wait_for((inside / "sock").exists, why="the socket")
    os.chown(inside / "sock", SOMEBODY, SOMEBODY)
    ask = f"import urllib.request as u; u.urlopen('http://{port}/v1/credentials/reader')"

    def answer(app: str) -> str:
        said = shop.python(app, ask)
        return "" if "refused" in said else said

    for user, told in ((SOMEBODY, "401"), (0, "Connection reset|without response|Remote end")):
        env = {"BORROW_DIR": str(place.parent), "BORROW_PORT": port.partition(":")[2]}
        env["BORROW_USER"] = f"{user}:{user}"
        shop.home.spawn(
            "docker-compose", *FILES, "up", "-d", "--force-recreate", *QUIET,
            env=shop.env | {"IDLE": "600"} | env,
        )  # fmt: skip
        said = wait_for(partial(answer, shop.running("app")), seconds=30, why="an answer")
        assert re.search(told, said), said
        shop.clear()
    owner.kill()
