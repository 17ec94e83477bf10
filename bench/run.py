"""The figures, as ratios measured side by side in one run: `make bench`.

Nothing here is a test: a busy machine makes a figure worse, never a build red. Every process is the
real one; only STS is the `fake` driver where its time would be subtracted anyway.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from borrow_fakes.lab import BORROW, Home, home

sys.path.insert(0, str(Path(__file__).parent))
from calling import pushes
from desktop import tray
from edge import build_client, cached
from holding import held
from machine import request, rss_kib, solo, wakeups
from measure import line, paired, percentile, seconds_of
from paging import pages
from prompting import prompt_visible

if TYPE_CHECKING:
    from borrow_fakes.lab import Home

PYTHON = sys.executable
IDLE = 10  # seconds
BARE = [PYTHON, "-I", "-S", "-E", "-c", "pass"]


def fetch_all(call: socket.socket) -> bytes:
    """Everything up to the end of the chunked or sized answer."""
    data = b""
    while not (data.endswith(b"0\r\n\r\n") or (b"Content-Length" in data and data[-1:] == b"}")):
        piece = call.recv(65_536)
        if not piece:
            break
        data += piece
    return data


def from_yes_to_last_byte(one: Home, rounds: int = 60) -> None:
    place, sent = request(one.bearer("click"))
    took = []
    for _ in range(rounds):
        with socket.create_connection(place) as call:
            call.sendall(sent)
            asked = one.pending("click")
            time.sleep(0.6)  # the answer is committed and dribbles
            shown = one.control("GET", f"/v1/decisions/{asked['request']}").body
            said = {"decision": "approve", "request_hash": shown["request_hash"]}
            begun = time.perf_counter()
            one.control("POST", f"/v1/decisions/{asked['request']}", said)
            data = fetch_all(call)
            took.append(time.perf_counter() - begun)
            if b"AccessKeyId" not in data:
                raise RuntimeError("the held call was not answered")
        one.control("POST", "/v1/return", {"role": "click"})
    worst = percentile(took, 0.99) * 1000
    figure = f"p50 {statistics.median(took) * 1000:.0f} ms, p99 {worst:.0f} ms ({rounds} rounds)"
    line(
        "from the yes to the last byte at the SDK, without STS",
        figure,
        "p99 <= 100 ms",
        met=worst <= 100,
    )


def helper_start(one: Home, rounds: int = 21) -> None:
    import borrow.daemon.credential

    with socket.create_connection(request(bearer := one.bearer("reader"))[0]) as call:
        call.sendall(request(bearer)[1])
        fetch_all(call)
    script = str(Path(borrow.daemon.credential.__file__ or ""))
    ours = [PYTHON, "-I", "-S", "-E", script, str(one.socket), "reader"]
    env = one.env
    mine, bare, ratio = paired(
        lambda: seconds_of(ours, env), lambda: seconds_of(BARE, env), rounds=rounds
    )
    figure = f"{ratio:.2f}x  ({mine * 1000:.1f} to {bare * 1000:.1f} ms)"
    line(
        "credential_process on a cached role / bare interpreter",
        figure,
        "<= 1.25x",
        met=ratio <= 1.25,
    )


def run_start(one: Home, rounds: int = 21) -> None:
    """`borrow run` on a live grant, whole, against an interpreter that does nothing."""
    ours = [BORROW, "run", "reader", "--", "true"]
    mine, bare, ratio = paired(
        lambda: seconds_of(ours, one.env), lambda: seconds_of(BARE, one.env), rounds=rounds
    )
    figure = f"{ratio:.2f}x  ({mine * 1000:.1f} to {bare * 1000:.1f} ms)"
    line("borrow run ROLE -- true / bare interpreter", figure, "<= 6x", met=ratio <= 6)


def hook_at_prompt(one: Home, times: int = 200) -> None:
    """What the hook does at one prompt, with a grant to show, in a shell that runs already."""
    one.borrow("credential", "reader")
    shown = next(iter(one.root.glob("run/borrow-*/prompts/*")), None)
    for shell in ("bash", "zsh"):
        if shutil.which(shell) is None:
            continue
        script = one.root / f"hook.{shell}"
        script.write_text(one.borrow("hook", shell).stdout)
        code = (
            f"source {script}; _borrow_sid={shown.name if shown else 0}; "
            f"for i in {{1..{times}}}; do _borrow_at_prompt; done"
        )
        took = seconds_of([shell, "-c", code], one.env) / times * 1000
        line(f"the hook at one prompt, {shell}", f"{took:.2f} ms", "<= 15 ms", met=took <= 15)


def first_answer(command: list[str], env: dict[str, str], port: int) -> float:
    """Seconds from exec to the first complete HTTP answer."""
    sent = f"GET /v1/credentials/reader HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    begun = time.perf_counter()
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port)) as call,
            ):
                call.settimeout(5)
                call.sendall(sent)
                if call.recv(65_536):
                    return time.perf_counter() - begun
            if time.perf_counter() - begun > 20:
                raise RuntimeError("the daemon does not answer")
            time.sleep(0.001)
    finally:
        child.terminate()
        child.wait()


def team_daemon(rounds: int = 9) -> None:
    from borrow_fakes.team import Server, join

    with Server.make() as server, home() as one:
        join(server, one, "ann@example.com")
        one.start()
        port = int(one.status()["port"])
        pid = one.daemon_pid()
        time.sleep(2)
        rss, woken = rss_kib(pid) / 1024, wakeups(pid)
        time.sleep(IDLE)
        woken = wakeups(pid) - woken
        with socket.create_connection(request(bearer := one.bearer("click"))[0]) as call:
            call.sendall(request(bearer)[1])
            one.decide(one.pending("click")["request"])
            fetch_all(call)
        lifted = rss_kib(pid) / 1024
        one.borrow("daemon", "stop")
        daemon = [PYTHON, "-m", "borrow.daemon"]
        mine, bare, ratio = paired(
            lambda: first_answer(daemon, one.env, port),
            lambda: seconds_of([PYTHON, "-c", "pass"], one.env),
            rounds=rounds,
        )
        figure = f"{ratio:.1f}x  ({mine * 1000:.0f} to {bare * 1000:.0f} ms)"
        line(
            "team daemon, exec to first answer / bare interpreter", figure, "<= 6x", met=ratio <= 6
        )
        line("team daemon, RSS while idle", f"{rss:.1f} MB", "<= 40 MB", met=rss <= 40)
        figure = f"{lifted:.1f} MB"
        line("team daemon, RSS after an elevation", figure, "<= 55 MB", met=lifted <= 55)
        figure = f"{woken} in {IDLE} s"
        line("team daemon, wakeups while idle", figure, "0", met=woken == 0)


def has_desk() -> bool:
    return all(map(shutil.which, ("Xvfb", "xdotool", "openbox", "xfce4-panel")))


def main() -> None:
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        os.environ.pop("PYTHONDONTWRITEBYTECODE")
    print(f"python {sys.version.split()[0]}, {os.cpu_count()} cores, medians; ratios of pairs")
    with tempfile.TemporaryDirectory() as folder, solo() as one:
        helper_start(one)
        run_start(one)
        hook_at_prompt(one)
        from_yes_to_last_byte(one)
        cached(one, Path(folder))
        if client := build_client(Path(folder)):
            held(one, client)
    team_daemon()
    pages()
    pushes()
    if has_desk():
        tray()
        prompt_visible()
    else:
        print("no X, panel or notifications here: the tray was not measured")


if __name__ == "__main__":
    main()
