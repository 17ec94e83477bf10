"""The tray's real icon, counting a grant down as fast as it can be drawn; for figures and leaks.

Run as a program on a desk, with the number of updates. It prints one JSON document: its memory in
KiB after a sixth of the updates and at the end, and the seconds of processor time they took.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
from pathlib import Path
from typing import Any

from borrow.tray.drawing import draw
from borrow.tray.menu import menu
from borrow.tray.picture import picture
from borrow.tray.run import backend, load_pystray, menu_of
from borrow_fakes.tray_states import NOW, decision, grant, snapshot


def rss_kib() -> int:
    gc.collect()
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def main(count: int) -> None:
    pystray = load_pystray()
    known = snapshot(grants=[grant(left=count * 60.0)], decisions=[decision(expires_at=0)])
    first = picture(known, NOW)

    async def beside(bus: Any, spawn: Any) -> None:
        begun = used()
        early = 0
        for number in range(count):
            show(NOW + number * 60.0)
            await asyncio.sleep(0.002)  # what was sent is read by the panel meanwhile
            if number == count // 6:
                early = rss_kib()
        told = {"early": early, "late": rss_kib(), "cpu": used() - begun}
        print(json.dumps(told), flush=True)

    def show(now: float) -> None:
        seen = picture(snapshot(grants=[grant(left=count * 60.0)]), now)
        icon.icon, icon.title = draw(seen), seen.title
        icon.menu = menu_of(menu(known, ["dev"], now), lambda _: None, lambda: None, pystray)

    icon = backend(pystray)("borrow", draw(first), "", pystray.Menu(), sni_beside=beside)
    icon.run()


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]))
