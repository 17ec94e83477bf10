"""Neighbours, containers and squatters: real network and user namespaces, a real second user."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.edge import need_two_users
from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.solo_mode import ME, set_up
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "dev-read"
FETCH = (
    "import os, urllib.request, urllib.error\n"
    "r = urllib.request.Request(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'])\n"
    "if t := os.environ.get('AWS_CONTAINER_AUTHORIZATION_TOKEN'):\n"
    "    r.add_header('Authorization', t)\n"
    "try:\n"
    "    print(urllib.request.urlopen(r, timeout=20).status)\n"
    "except urllib.error.HTTPError as e:\n"
    "    print(e.code)\n"
)


@pytest.fixture
def solo() -> Iterator[Home]:
    with home() as one:
        yield set_up(one)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Lan:
    """Two hosts on one wire: `inside` (where the daemon runs) and a neighbour. Nothing else."""

    HERE, THERE = "10.91.7.1", "10.91.7.2"

    def __init__(self) -> None:
        tag = secrets.token_hex(3)
        self.inside, self.neighbour = f"b{tag}i", f"b{tag}n"
        self._wires = f"v{tag}i", f"v{tag}n"

    def __enter__(self) -> Lan:
        for name in (self.inside, self.neighbour):
            ip("netns", "add", name)
        ip("link", "add", self._wires[0], "type", "veth", "peer", "name", self._wires[1])
        sides = zip(
            (self.inside, self.neighbour), self._wires, (self.HERE, self.THERE), strict=True
        )
        for name, wire, address in sides:
            ip("link", "set", wire, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", wire)
            ip("-n", name, "link", "set", wire, "up")
            ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.inside, self.neighbour):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)

    def run(self, where: str, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ip", "netns", "exec", where, *command],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def publish(self, port: int) -> None:
        """The careless set-up of A27: route_localnet, and a rule that sends `port` to loopback."""
        wire = self._wires[0]
        done = self.run(self.inside, "sysctl", "-qw", f"net.ipv4.conf.{wire}.route_localnet=1")
        need(done.stderr if done.returncode else None, "a kernel with route_localnet")
        hook = "{ type nat hook prerouting priority -100 ; }"
        for rule in (
            "add table ip nat",
            f"add chain ip nat pre {hook}",
            f"add rule ip nat pre tcp dport {port} dnat to 127.0.0.1:{port}",
        ):
            done = self.run(self.inside, "nft", rule)
            need(done.stderr if done.returncode else None, "a kernel with nftables NAT")


@pytest.fixture
def lan() -> Iterator[Lan]:
    need(lacking("ip"), "apt-get install --no-install-recommends iproute2")
    need(None if os.geteuid() == 0 else "network namespaces need root", "sudo make test")
    with Lan() as made:
        yield made


def daemon_in(one: Home, lan: Lan) -> int:
    """The solo process moves into the namespace; its port."""
    port = int(one.status()["port"])
    one.borrow("daemon", "stop")
    one.spawn("ip", "netns", "exec", lan.inside, sys.executable, "-m", "borrow.cli.solo")
    wait_for(lambda: _answers(one), why="the daemon to start in its namespace")
    return port


def _answers(one: Home) -> bool:
    try:
        return bool(one.status())
    except OSError:
        return False


KNOCK = (
    "import socket, sys\n"
    "s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)\n"
    "s.sendall(b'GET /v1/credentials/dev-read HTTP/1.1\\r\\nHost: 127.0.0.1:%d\\r\\n\\r\\n'"
    " % int(sys.argv[2]))\n"
    "s.settimeout(3)\n"
    "print('answered' if s.recv(100) else 'closed')\n"
)


def knock(lan: Lan, where: str, address: str, port: int) -> str:
    done = lan.run(where, "/usr/bin/python3", "-I", "-c", KNOCK, address, str(port))
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1].partition(":")[0]


def test_a26_a_neighbour_of_an_aliased_metadata_address_reaches_nobody(
    solo: Home, lan: Lan
) -> None:
    port = daemon_in(solo, lan)
    before = lan.run(lan.inside, "ip", "-br", "addr").stdout
    ip("-n", lan.inside, "addr", "add", "169.254.169.254/32", "dev", "lo")
    ip("-n", lan.neighbour, "route", "add", "169.254.169.254", "via", lan.HERE)
    assert knock(lan, lan.inside, "127.0.0.1", port) == "answered"  # it does run there
    for address in ("169.254.169.254", lan.HERE):
        assert knock(lan, lan.neighbour, address, port) != "answered"
    assert "169.254" not in before  # the daemon added no address of its own


OPEN_HOUSE = (
    "import socket\n"
    "s = socket.create_server(('127.0.0.1', 0))\n"
    "print(s.getsockname()[1], flush=True)\n"
    "while True:\n"
    "    c, _ = s.accept()\n"
    "    c.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\n')\n"
    "    c.close()\n"
)


@contextlib.contextmanager
def open_house(lan: Lan) -> Iterator[int]:
    """A server without our guard beside the daemon: shows that the way is open; its port."""
    child = subprocess.Popen(
        ["ip", "netns", "exec", lan.inside, "/usr/bin/python3", "-I", "-c", OPEN_HOUSE],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()


def test_a27_where_loopback_is_routed_a_neighbour_is_cut_off(solo: Home, lan: Lan) -> None:
    port = daemon_in(solo, lan)
    need(lacking("nft"), "apt-get install --no-install-recommends nftables")
    with open_house(lan) as unguarded:
        lan.publish(unguarded)
        assert knock(lan, lan.neighbour, lan.HERE, unguarded) == "answered"
    lan.publish(port)
    assert knock(lan, lan.neighbour, lan.HERE, port) != "answered"
    assert solo.status()["refused"]["remote"] >= 1
    assert solo.asks() == []


def test_a28_a_container_without_the_token_is_401(solo: Home) -> None:
    need(lacking("unshare"), "apt-get install --no-install-recommends util-linux")
    env = solo.bearer(ROLE) | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": ""}
    child = solo.spawn("unshare", "-Ur", "/usr/bin/python3", "-I", "-c", FETCH, env=env)
    code, out, err = finish(child)
    assert (code, out.strip()) == (0, "401"), err
    assert solo.status()["refused"]["bearer"] >= 1
    assert solo.asks() == []


def test_a29_a_container_with_the_token_is_served_and_named(solo: Home) -> None:
    """Sharing our network and user, and given the bearer: served by policy, shown by its id."""
    ident = secrets.token_hex(32)
    group = Path("/sys/fs/cgroup/pids/docker") / ident
    try:
        group.mkdir(parents=True)
    except OSError as error:
        need(f"no cgroup of one's own: {error.strerror}", "run as root")
    try:
        enter = f"echo $$ > {group}/cgroup.procs; exec unshare -Ur /usr/bin/python3 -I -c '{{}}'"
        code = FETCH.replace("'", '"')
        child = solo.spawn("sh", "-c", enter.format(code), env=solo.bearer("click"))
        request = solo.pending("click")["request"]
        shown = solo.control("GET", f"/v1/decisions/{request}").body
        assert ident[:12] in str(shown["context"]["process"]["container"])
        solo.decide(request)
        status, out, err = finish(child)
        assert (status, out.strip()) == (0, "200"), err
    finally:
        group.rmdir()


SQUAT = (
    "import socket, sys, time\n"
    "s = socket.socket()\n"
    "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    "s.bind(('127.0.0.1', int(sys.argv[1])))\n"
    "s.listen(16)\n"
    "print('holding', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def squatted(solo: Home) -> Iterator[tuple[Home, int]]:
    """The daemon is down, and another user has taken its port."""
    need_two_users()
    port = int(solo.status()["port"])
    solo.borrow("daemon", "stop")
    command = ["setpriv", "--reuid=1001", "--regid=1001", "--clear-groups"]
    squatter = subprocess.Popen(
        [*command, "/usr/bin/python3", "-I", "-c", SQUAT, str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    assert squatter.stdout is not None
    assert squatter.stdout.readline() == "holding\n"
    try:
        yield solo, port
    finally:
        squatter.kill()
        squatter.communicate()


def test_a31_a_port_held_by_another_user_is_named_and_not_evaded(
    squatted: tuple[Home, int],
) -> None:
    one, port = squatted
    done = one.borrow("daemon", "start", ok=False)
    assert done.returncode != 0
    assert str(port) in done.stderr
    assert "1001" in done.stderr
    assert "borrow: hint: " in done.stderr


def test_a35_no_program_is_started_towards_a_squatter(squatted: tuple[Home, int]) -> None:
    one, port = squatted
    code, out, err = finish(one.spawn(BORROW, "run", ROLE, "--", "echo", "started"))
    assert code != 0
    assert "started" not in out
    assert str(port) in err
    told = one.borrow("doctor", ok=False)
    assert told.returncode != 0
    assert str(port) in told.stdout + told.stderr


def test_a45_a_borrowed_name_does_not_hide_the_program(solo: Home) -> None:
    code = FETCH.replace("'", '"')
    child = solo.spawn(
        "bash", "-c", f"exec -a aws /usr/bin/python3 -I -c '{code}'", env=solo.bearer("click")
    )
    request = solo.pending("click")["request"]
    process = solo.control("GET", f"/v1/decisions/{request}").body["context"]["process"]
    assert process["argv"].startswith("aws ")
    assert "python3" in process["exe"]
    assert any("pytest" in str(one) or "python" in str(one) for one in process["parents"])
    shown = solo.borrow("approve", request, ok=False).stderr
    assert "not verified" in shown
    solo.decide(request, "deny")
    finish(child)


def test_the_port_is_refused_to_a_second_listener_of_our_own(solo: Home) -> None:
    """A34 from outside: SO_REUSEPORT helps nobody, because the daemon never sets it."""
    port = int(solo.status()["port"])
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                second.bind((address, port))
    assert ME.startswith("local:")
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(line):
        line.request("GET", f"/v1/credentials/{ROLE}")
        assert line.getresponse().status == 401
