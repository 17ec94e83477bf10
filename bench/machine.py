"""The machines that are measured: one person alone whose cloud costs no time, and a team's.

Every process is the real one; `pin` and the counters below are about processes from the outside.
"""

from __future__ import annotations

import contextlib
import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

from borrow_fakes.lab import Home, home

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = """
version = 1
[roles.click]
aws = "arn:aws:iam::123456789012:role/Admin"
share = "session"
[roles.reader]
aws = "arn:aws:iam::123456789012:role/Reader"
tier = "low"
[[rule]]
id = "clicks"
who = ["{me}"]
roles = ["click"]
approve = {{ mode = "self", factor = ["consent"] }}
[[rule]]
id = "reads"
who = ["{me}"]
roles = ["reader"]
approve = {{ mode = "auto" }}
"""


@contextlib.contextmanager
def solo() -> Iterator[Home]:
    """One person alone, whose cloud costs no time."""
    with home() as one:
        one.borrow("setup", "--yes", "--no-totp")
        one.borrow("daemon", "stop")
        (one.state / "policy.toml").write_text(POLICY.format(me=f"local:{getpass.getuser()}"))
        (one.state / "cloud.toml").write_text('driver = "fake"\n')
        yield one.start()


def request(bearer: dict[str, str]) -> tuple[tuple[str, int], bytes]:
    """Where and what a boto-like client sends."""
    where = bearer["AWS_CONTAINER_CREDENTIALS_FULL_URI"].removeprefix("http://")
    host, _, path = where.partition("/")
    name, _, port = host.partition(":")
    head = (
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: python-urllib3/2\r\n"
        f"Authorization: {bearer['AWS_CONTAINER_AUTHORIZATION_TOKEN']}\r\n\r\n"
    )
    return (name, int(port)), head.encode()


# -- processes from the outside --------------------------------------------------------------------


def pin(pid: int, core: int) -> None:
    """All threads of a process to one core."""
    for task in threads(pid):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(task, {core})


def threads(pid: int) -> list[int]:
    return [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]


def cpu_seconds(pid: int) -> float:
    """Time on a processor, of all threads, by the scheduler's count of nanoseconds."""
    texts = [Path(f"/proc/{pid}/task/{each}/schedstat").read_text() for each in threads(pid)]
    return sum(int(text.split()[0]) for text in texts) / 1e9


def wakeups(pid: int) -> int:
    """How often the threads of a process gave up or lost the processor: each is one wakeup."""
    count = 0
    for each in threads(pid):
        count += _number(Path(f"/proc/{pid}/task/{each}/status"), "voluntary_ctxt_switches")
        count += _number(Path(f"/proc/{pid}/task/{each}/status"), "nonvoluntary_ctxt_switches")
    return count


def rss_kib(pid: int) -> int:
    return _number(Path(f"/proc/{pid}/status"), "VmRSS")


def _number(path: Path, name: str) -> int:
    for text in path.read_text().splitlines():
        if text.startswith(f"{name}:"):
            return int(text.split()[1])
    return 0
