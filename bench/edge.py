"""A cached credential: the daemon against a Go server and against the floor in Python.

All servers run at once and take turns, each alone on core 0 while it is asked, the load client
(`peers/load.c`) on core 1; Go runs with GOMAXPROCS=1, its best setting on one core. The ratios are
medians of the per-round ones, the spread is their lowest and highest.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from machine import cpu_seconds, pin, request
from measure import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from borrow_fakes.lab import Home

PEERS = Path(__file__).parent / "peers"
SERVER_CORE, CLIENT_CORE = 0, 1
ROUNDS = 7
FRESH, KEPT, CONNS = 1_500, 20_000, 50


class Target(NamedTuple):
    """A server that answers `sent` with the same credential as all the others."""

    pid: int
    port: int
    sent: bytes


class Round(NamedTuple):
    """`p50` in microseconds, `rate` per second, `cpu` in microseconds per request."""

    p50: float
    rate: float
    cpu: float


def build_client(folder: Path) -> Path | None:
    """The load client, or None where no C compiler is."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    made = folder / "load"
    subprocess.run([compiler, "-O2", "-o", str(made), str(PEERS / "load.c")], check=True)
    return made


def build_peer(folder: Path) -> Path | None:
    """The Go server, or None where Go is not."""
    go = shutil.which("go")
    if go is None:
        return None
    made = folder / "peer"
    env = os.environ | {"GO111MODULE": "off", "GOFLAGS": ""}
    command = [go, "build", "-o", str(made), "server.go"]
    subprocess.run(command, check=True, env=env, cwd=PEERS)
    return made


def run_client(client: Path, mode: str, target: Target, *numbers: int) -> dict[str, float]:
    """One run of the load client on its own core; what it printed."""
    done = subprocess.run(
        [str(client), mode, str(target.port), *map(str, numbers)],
        input=target.sent,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CORE}),
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def one_round(client: Path, mode: str, target: Target, *numbers: int) -> Round:
    pin(target.pid, SERVER_CORE)
    begun = cpu_seconds(target.pid)
    told = run_client(client, mode, target, *numbers)
    cpu = (cpu_seconds(target.pid) - begun) / numbers[0] * 1e6
    return Round(told["p50"], told["rate"], cpu)


def first_answer(target: Target) -> bytes:
    """Everything a fetch is told, which also makes the credential a cached one."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as call:
        call.sendall(target.sent)
        data = b""
        while not data.endswith((b"}", b"}\n", b"0\r\n\r\n")):
            piece = call.recv(65_536)
            if not piece:
                break
            data += piece
    return data


@contextlib.contextmanager
def started(command: list[str], given: bytes, sent: bytes, **env: str) -> Iterator[Target]:
    """A peer that reads `given` and prints its port."""
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | env
    )
    try:
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("no pipes")
        child.stdin.write(given)
        child.stdin.close()
        yield Target(child.pid, int(child.stdout.readline()), sent)
    finally:
        child.terminate()
        child.wait()


@contextlib.contextmanager
def targets(one: Home, peer: Path | None) -> Iterator[dict[str, Target]]:
    place, sent = request(bearer := one.bearer("reader"))
    ours = Target(one.daemon_pid(), place[1], sent)
    first_answer(ours)
    answer = first_answer(ours)
    body = answer.partition(b"\r\n\r\n")[2]
    constant = [sys.executable, str(PEERS / "constant.py")]
    with contextlib.ExitStack() as stack:
        found = {"daemon": ours}
        for name, more in (("constant", []), ("constant, uvloop", ["uvloop"])):
            found[name] = stack.enter_context(started(constant + more, answer, sent))
        if peer is not None:
            token, path = bearer["AWS_CONTAINER_AUTHORIZATION_TOKEN"], sent.split(b" ")[1].decode()
            command = [str(peer), token, path]
            found["go"] = stack.enter_context(started(command, body, sent, GOMAXPROCS="1"))
        yield found


def compare(
    rounds: dict[str, list[Round]], other: str, figure: Callable[[Round], float]
) -> tuple[float, str]:
    """The median ratio of the daemon to `other`, and how it is printed."""
    pairs = [(figure(a), figure(b)) for a, b in zip(rounds["daemon"], rounds[other], strict=True)]
    ratios = sorted(a / b for a, b in pairs)
    ratio = statistics.median(ratios)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    spread = f"{ratios[0]:.2f}..{ratios[-1]:.2f}"
    return ratio, f"{ratio:.2f}x [{spread}] ({ours:.0f} to {theirs:.0f})"


def rounds_of(
    client: Path, found: dict[str, Target], mode: str, *numbers: int
) -> dict[str, list[Round]]:
    """Each target in turn, after one round that does not count."""
    taken: dict[str, list[Round]] = {name: [] for name in found}
    for n in range(ROUNDS + 1):
        for name, target in found.items():
            measured = one_round(client, mode, target, *numbers)
            if n:
                taken[name].append(measured)
    return taken


def cached(one: Home, folder: Path) -> None:
    """The lines about a cached credential."""
    client, peer = build_client(folder), build_peer(folder)
    if client is None:
        print("      the load client needs a C compiler: apt-get install gcc libc6-dev")
        return
    if peer is None:
        print("      no Go here, so nothing is compared with Go: apt-get install golang-go")
    with targets(one, peer) as found:
        fresh = rounds_of(client, found, "new", FRESH)
        kept = rounds_of(client, found, "keep", KEPT, CONNS)
        pin_all(one.daemon_pid())
    if peer is not None:
        ratio, told = compare(fresh, "go", lambda each: each.p50)
        line("cached fetch, new connection each: p50, us / Go", told, "<= 0.75x", met=ratio <= 0.75)
        ratio, told = compare(kept, "go", lambda each: each.rate)
        line(f"cached fetch, {CONNS} kept: requests/s / Go", told, ">= 1.8x", met=ratio >= 1.8)
    for name, rounds in (("new connection each", fresh), (f"{CONNS} kept", kept)):
        ratio, told = compare(rounds, "constant", lambda each: each.cpu)
        label = f"CPU us per fetch, {name} / constant bytes"
        line(label, told, "<= 1.25x", met=ratio <= 1.25)
        ratio, told = compare(rounds, "constant, uvloop", lambda each: each.cpu)
        line(f"{label} on uvloop", told, "printed", met=True)


def pin_all(pid: int) -> None:
    """Back on every core."""
    for core in range(os.cpu_count() or 1):
        pin(pid, core)
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(task.name), range(os.cpu_count() or 1))
