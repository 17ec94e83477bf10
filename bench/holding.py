"""A thousand held calls at once against the real process: what they cost and how they end.

Of the processor time while dribbling nearly all is the kernel's: on the machine of the figures,
`write` of six bytes to a thousand sockets four times a second, and nothing else, took 2.8 % of a
core; every 0.4 s, 1.7 %. The silence starts when the client has sent its request, so it holds the
0.4 s in which a decision still gets its true status, and what accepting a thousand takes.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

from machine import cpu_seconds, request, rss_kib
from measure import line

if TYPE_CHECKING:
    from pathlib import Path

    from borrow_fakes.lab import Home

SHARE = 50  # calls of one process, which may hold 64 connections
WATCHED = 10.0  # seconds of dribbling


def held(one: Home, client: Path, count: int = 1000) -> None:
    """Start with aiohttp loaded: what is counted is the calls, not the first one's imports."""
    before = len(one.log("mint.begin"))
    place, sent = request(one.bearer("click"))
    pid, empty = one.daemon_pid(), rss_kib(one.daemon_pid())
    command = [str(client), "hold", str(place[1]), str(count), str(SHARE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("no pipes")
        child.stdin.write(sent)
        child.stdin.close()
        child.stdout.readline()
        asked = one.pending("click", seconds=60)
        begun, at = cpu_seconds(pid), time.monotonic()
        time.sleep(WATCHED)
        share = (cpu_seconds(pid) - begun) / (time.monotonic() - at) * 100
        each = (rss_kib(pid) - empty) / count
        one.decide(asked["request"])
        told = json.loads(child.stdout.read())
    mints = len(one.log("mint.begin")) - before
    good = told["answered"] == count
    line(f"{count} held: of a core", f"{share:.1f} %", "<= 3 %", met=share <= 3)
    line(f"{count} held: each one's memory", f"{each:.1f} KiB", "<= 12 KiB", met=each <= 12)
    gap = told["gap"] / 1e6
    line(f"{count} held: longest silence", f"{gap * 1000:.0f} ms", "<= 600 ms", met=gap <= 0.6)
    figure = f"p50 {told['p50'] / 1000:.0f} ms, p99 {told['p99'] / 1000:.0f} ms"
    met = good and told["p99"] <= 50_000
    line(f"{count} held: release, from the first", figure, "p99 <= 50 ms", met=met)
    figure = f"{told['answered']} answered, {mints} mint"
    line(f"{count} held: upstream", figure, "exactly one mint", met=good and mints == 1)
