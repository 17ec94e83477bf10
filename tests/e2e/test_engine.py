"""Containers of a real Docker engine, started by a real docker-compose: an SDK in one of them asks.

The engine is the tests' own (borrow_fakes.engine) and has the network that Compose makes by
default. What stands in: the image, for no registry is asked, and the cloud, which a service of the
same project carries to the lab's.
"""

from __future__ import annotations

import sys
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
  environment: &env
    AWS_ENDPOINT_URL: http://127.0.0.1:$CLOUD
    AWS_DEFAULT_REGION: us-east-1
    PYTHONPATH: /site
  volumes: ["./app:/app:ro", "{SITE}:/site:ro"]
x-cloud: &cloud
  image: {engines.APP}
  command: ["python3", "/app/forward.py", "tcp:$CLOUD", "unix:/app/cloud"]
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
import sys, boto3
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

    def start(self, roles: str, *words: str) -> subprocess.Popen[str]:
        """`borrow docker run ROLES -- docker-compose … WORDS`, with the override for them."""
        return self.start_any(roles, "docker-compose", *FILES, *words)

    def start_any(self, roles: str, *words: str) -> subprocess.Popen[str]:
        self.home.borrow("docker", "compose", *roles.split(), "--write")
        return self.home.spawn(
            BORROW, "docker", "run", *roles.split(), "--", *words, env=self.env, session=True
        )

    def up(self, role: str) -> subprocess.Popen[str]:
        """One service, until it ends; its exit code."""
        words = ("--no-color", "--abort-on-container-exit", "--exit-code-from", "app")
        return self.start(f"app={role}", "up", *words, "app", "app-borrow", "app-cloud")

    def folders(self) -> list[Path]:
        return list(self.home.root.glob("run/borrow-*/docker/*"))

    def close(self) -> None:
        names = self.engine.docker("ps", "-aq").split()
        if names:
            self.engine.docker("rm", "-f", *names)
        self.engine.docker("network", "prune", "-f")
        self._cloud.kill()
        self._cloud.communicate()
        self.home.borrow("return", "--all", ok=False)


def context(home: Home, request: str) -> dict[str, Any]:
    found: dict[str, Any] = home.control("GET", f"/v1/decisions/{request}").body["context"]
    return found


def test_a_call_from_a_container_waits_for_a_yes_and_goes_through(shop: Shop) -> None:
    child = shop.up("click")
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
    child = shop.up("click")
    request = shop.home.pending("click", seconds=60)["request"]
    assert shop.home.decide(request, "deny", reason="not during the freeze").status == 200
    code, out, err = finish(child, seconds=60)
    assert code == 3, out + err
    assert "not during the freeze" in out
    assert shop.folders() == []
