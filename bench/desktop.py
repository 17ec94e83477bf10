"""What the tray costs: at rest beside a real panel, and while it counts down."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from machine import cpu_seconds, rss_kib, solo, wakeups
from measure import line

from borrow_fakes import countdown
from borrow_fakes.desk import Desk
from borrow_fakes.lab import wait_for
from borrow_fakes.seat import FETCH, REVIEW, Seat

IDLE = 60  # seconds: one turn of the minute that is drawn is within
UPDATES = 600


def tray() -> None:
    with Desk() as desk, solo() as one:
        seat = Seat.at(desk, one)
        process = seat.start_tray()
        one.borrow("ask", "reader", "--wait")
        wait_for(lambda: "reader" in seat.title(), why="the countdown")
        time.sleep(3)
        _at_rest(process.pid)
        _from_ask_to_window(seat)
        seat.end_tray()
        _counting(desk)


def _at_rest(pid: int) -> None:
    cpu, woken, begun = cpu_seconds(pid), wakeups(pid), time.monotonic()
    time.sleep(IDLE)
    took = time.monotonic() - begun
    share = (cpu_seconds(pid) - cpu) / took * 100
    rate = (wakeups(pid) - woken) / took
    figure = f"{share:.3f} % of a core, {rate:.1f} wakeups/s, {rss_kib(pid) / 1024:.0f} MiB"
    line("the tray with a countdown, otherwise at rest", figure, "<= 0.1 %", met=share <= 0.1)


def _from_ask_to_window(seat: Seat) -> None:
    """From the request to the notification, from the press to the window, and a bare Tk window."""
    child = seat.home.spawn("borrow", "run", "click", "--", *FETCH)
    asked = seat.home.pending("click")["request"]
    begun = time.perf_counter()
    wait_for(seat.questions, why="the notification")
    told = time.perf_counter() - begun
    _, _, right, bottom = seat.questions()[-1]
    seat.desk.tool("xdotool", "mousemove", str(right - REVIEW), str(bottom - 30), "sleep", "0.3")
    begun = time.perf_counter()
    seat.desk.tool("xdotool", "click", "1")
    wait_for(lambda: seat.desk.has_window("Borrow:"), why="the window")
    opened = time.perf_counter() - begun
    seat.home.borrow("deny", asked, "-y")
    child.communicate(timeout=30)
    code = "import tkinter; root = tkinter.Tk(); root.title('bare'); root.mainloop()"
    begun = time.perf_counter()
    bare = subprocess.Popen([sys.executable, "-c", code], env=seat.desk.env)
    wait_for(lambda: seat.desk.has_window("bare"), why="the bare window")
    alone = time.perf_counter() - begun
    bare.terminate()
    bare.wait()
    figure = f"{told * 1000:.0f} ms to the notification, {opened * 1000:.0f} ms to the window"
    figure += f" ({opened / alone:.1f} times a bare Tk window)"
    line("from the request to the eye", figure, "window <= 700 ms", met=opened <= 0.7)


def _counting(desk: Desk) -> None:
    command = [sys.executable, countdown.__file__, str(UPDATES)]
    done = subprocess.run(command, env=desk.env, capture_output=True, check=True, timeout=300)
    told = json.loads(done.stdout)
    grown = told["late"] - told["early"]
    each = told["cpu"] / UPDATES * 1000
    figure = f"{grown} KiB more after {UPDATES} updates, {each:.1f} ms each"
    line("the tray's countdown", figure, "<= 1024 KiB", met=grown <= 1024)


if __name__ == "__main__":
    tray()
