"""The front desk as a process of its own, to be killed: `python -m` this module, FOLDER PORT NOW.

Loading the libraries costs a second, so this process does that once and forks one approver for
each `start` on stdin (`ready PID` on stdout when it serves); `reap` collects a killed one. Keys lie
in the folder, so the next process on it is the same approver.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from borrow.minter.secret_files import load_or_create, load_or_create_key
from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import FrontDesk


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def serve(folder: Path, port: int, now: float) -> None:
    desk = FrontDesk(
        folder,
        Clock(now),
        port=port,
        a=load_or_create_key(folder / "approver-sig.json"),
        secrets_of_m=load_or_create(folder),
        long_poll=2.0,
    )
    await desk.open()
    say(f"ready {os.getpid()}")
    await asyncio.Event().wait()


def main(folder: str, port: str, now: str) -> None:
    for line in sys.stdin:
        if line.strip() == "reap":
            os.wait()
            say("reaped")
        elif os.fork() == 0:
            asyncio.run(serve(Path(folder), int(port), float(now)))


if __name__ == "__main__":
    main(*sys.argv[1:])
