"""Which process is calling, and in which terminal session: read from /proc, for people to judge.

What is returned here is a *claim*: any process of the same user can name itself anything, and only
the uid (`peer`) is the kernel's word. The facts go to the approver, the prompt and the audit,
where they are escaped by whoever shows them.

Everything blocks (a scan of all descriptors of a user takes about 9 ms), so it is called through
`asyncio.to_thread`, and never on the path of a cached answer. A process may vanish at any moment:
that gives None or an empty field, never an exception. A pid may be reused: whoever was found by a
socket is asked again, by socket and start time, before its facts are believed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from borrow.daemon import procfs
from borrow.daemon.masking import mask_argv

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_PARENTS: Final = 8  # PROTOCOL.md, request_context
MAX_ARGV: Final = 300  # characters, after masking
MAX_CONTEXT: Final = 3072  # bytes of JSON, of the 4 KiB that all of request_context may take
_MAX_CLIMB: Final = 32  # folders upwards in search of a .git, and ancestors in search of an agent

# Variables that coding agents set for what they start, and whose they are. The value of AI_AGENT
# is the agent's own name. A flag only ever makes the rules tighter, so a wrong yes is harmless.
AGENT_FLAGS: Final[tuple[tuple[str, str], ...]] = (
    ("AI_AGENT", ""),
    ("CLAUDECODE", "claude-code"),
    ("CURSOR_AGENT", "cursor"),
    ("CURSOR_TRACE_ID", "cursor"),
    ("GEMINI_CLI", "gemini-cli"),
    ("CODEX_SANDBOX", "codex"),
    ("CODEX_SANDBOX_NETWORK_DISABLED", "codex"),
    ("OPENCODE", "opencode"),
    ("AUGMENT_AGENT", "augment"),
)

# Agents that say it by their own name instead: the agent itself, which does not set its flag for
# itself, and what it starts without one (an MCP server). Names of other tools too are not here.
AGENT_PROGRAMS: Final[dict[str, str]] = {
    "claude": "claude-code",
    "codex": "codex",
    "cursor-agent": "cursor",
    "opencode": "opencode",
    "aider": "aider",
}

# What adopts orphans and starts services: no agent, and no family of what it adopted.
_INITS: Final = frozenset({"systemd", "init", "tini", "dumb-init", "docker-init", "catatonit"})

MAX_AGENT: Final = 40  # characters of its name
UNNAMED_AGENT: Final = "agent"  # `--agent` says that it is one, and not which
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_BARE = re.compile(r"[\w@%+=:,./*-]+")  # readable without quotes; `***` stays as it is
_CONTAINER = re.compile(r"(?:^|[/\-:])([0-9a-f]{64})(?=$|[./])")


@dataclass(frozen=True, slots=True)
class Session:
    """A POSIX session. `leader_start` is in clock ticks since boot; 0 if the leader is gone.

    The pid of a gone leader is not given to another process while the session lasts, so a session
    is named by (sid, leader_start). `tty` is "" without a controlling terminal.

    The kernel says 0 for a session whose leader is outside of our pid namespace (`docker exec`, a
    CI job), and for what an init without a session of its own starts. Such a session is named by
    its *anchor*: the topmost ancestor in it. It ends with the anchor, and has no terminal for us:
    its number may mean another one here.
    """

    sid: int
    leader_start: int
    tty: str = ""


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What one process says it is. `argv` is masked and cut; `start` is in unix seconds."""

    pid: int
    exe: str = ""
    argv: tuple[str, ...] = field(default=(), repr=False)
    cwd: str = ""
    start: int = 0
    parents: tuple[str, ...] = ()
    git_branch: str = ""
    container: str = ""
    agent: str = ""


# -- sessions ------------------------------------------------------------------------------------


def session_of(pid: int) -> Session | None:
    """The session `pid` is in now; a process cannot enter another one, only open its own."""
    if sys.platform == "darwin":
        from borrow.daemon import caller_macos  # late: only there

        return caller_macos.session_of(pid)
    own = procfs.stat_of(pid)
    if own is None:
        return None
    if own.session <= 0:
        return _anchored(pid, own)
    leader = own if own.session == pid else procfs.stat_of(own.session)
    start = leader.start if leader and procfs.is_alive(leader) else 0
    return Session(own.session, start, tty_path(own.tty_number))


def _anchored(pid: int, own: procfs.Stat) -> Session:
    anchor = (pid, own)
    for parent in _ancestors(own):
        if parent[1].session > 0:
            break
        anchor = parent
    return Session(anchor[0], anchor[1].start)


def session_alive(sid: int, leader_start: int) -> bool:
    """True while the session's leader, or any process it left behind, lives.

    Cheap while the leader lives; else one look at every process, so the caller remembers a yes
    for a few seconds.
    """
    if sys.platform == "darwin":
        from borrow.daemon import caller_macos

        return caller_macos.session_alive(sid, leader_start)
    leader = procfs.stat_of(sid)
    if leader is not None and leader.session in {0, sid} and leader.start == leader_start:
        if procfs.is_alive(leader):
            return True
    elif leader is not None and procfs.is_alive(leader):
        return False  # the number belongs to somebody else, so the session has ended
    return any(member.session == sid and procfs.is_alive(member) for member in procfs.all_stats())


def controlling_tty(session: Session) -> int | None:
    """The device number of the terminal `session` has *now*, or None if it has none or ended."""
    leader = procfs.stat_of(session.sid)
    if leader is None or not procfs.is_alive(leader) or leader.start != session.leader_start:
        return None  # without its leader a session has no controlling terminal
    return (leader.session == session.sid and leader.tty_number) or None


def tty_path(number: int) -> str:
    """The path of a terminal by its kernel device number (proc(5), tty_nr); "" if none we know."""
    major, minor = (number >> 8) & 0xFFF, (number & 0xFF) | ((number >> 12) & 0xFFF00)
    if 136 <= major <= 143:
        return f"/dev/pts/{minor + (major - 136) * 256}"
    return f"/dev/tty{minor}" if major == 4 and minor < 64 else ""


# -- from a socket to a process ------------------------------------------------------------------


def pid_of_inode(inode: int, uid: int) -> int | None:
    """A process of `uid` that holds the socket `inode`; the newest pid wins, being most likely.

    Raced by exit and pid reuse: the holder is asked again after it was found.
    """
    if inode <= 0:
        return None
    link = f"socket:[{inode}]"
    for pid in procfs.pids(uid):
        if not procfs.holds(pid, link):
            continue
        before, held, after = procfs.stat_of(pid), procfs.holds(pid, link), procfs.stat_of(pid)
        if held and before is not None and after is not None and before.start == after.start:
            return pid
    return None


def describe_inode(inode: int, uid: int) -> ProcessFacts | None:
    """The facts of the process behind a socket, if it still holds the socket afterwards."""
    pid = pid_of_inode(inode, uid)
    if pid is None:
        return None
    facts = describe(pid)
    return facts if facts is not None and procfs.holds(pid, f"socket:[{inode}]") else None


def pids_of_inodes(inodes: Collection[int], uid: int) -> dict[int, int]:
    """For many sockets at once, in one pass over the descriptors of `uid`: inode to pid.

    A socket held by several processes counts for the newest. Missing ones were not found.
    """
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in procfs.pids(uid):
        if len(found) == len(wanted):
            break
        for link in procfs.links(pid):
            if (inode := wanted.get(link)) is not None:
                found.setdefault(inode, pid)
    return found


def holders_of_inodes(inodes: Collection[int], uid: int) -> dict[int, list[int]]:
    """As `pids_of_inodes`, with every process that holds a socket; the newest first."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, list[int]] = {}
    for pid in procfs.pids(uid):
        for inode in {wanted[link] for link in procfs.links(pid) if link in wanted}:
            found.setdefault(inode, []).append(pid)
    return found


# -- a process, described ------------------------------------------------------------------------


def describe(pid: int) -> ProcessFacts | None:
    """What is known of `pid`; None if it is gone, or was replaced while it was being read."""
    if sys.platform == "darwin":
        from borrow.daemon import caller_macos

        return caller_macos.describe(pid)
    before = procfs.stat_of(pid)
    if before is None or not procfs.is_alive(before):
        return None
    chain = list(_ancestors(before))
    cwd = procfs.link(pid, "cwd")
    facts = ProcessFacts(
        pid=pid,
        exe=procfs.clean(procfs.link(pid, "exe") or before.comm),
        argv=_argv(pid),
        cwd=procfs.clean(cwd),
        start=procfs.unix_start(before.start),
        parents=tuple(_name(parent, seen) for parent, seen in chain[:MAX_PARENTS]),
        git_branch=_git_branch(cwd) if _same_files(pid) else "",
        container=_container(pid),
        agent=_agent([(pid, before), *chain]).name,
    )
    after = procfs.stat_of(pid)
    return facts if after is not None and after.start == before.start else None


def agent_of(pid: int) -> str:
    """The coding agent that `pid` runs under, or "": of `describe`, what every call needs."""
    own = procfs.stat_of(pid)
    return "" if own is None else _agent([(pid, own), *_ancestors(own)]).name


def who_of(pid: int) -> tuple[Session | None, str]:
    """The session and the agent that `pid` speaks for.

    All that one agent starts is one caller, though it may open a session for each command: their
    session is that of the agent itself, found as their common ancestor.
    """
    own = procfs.stat_of(pid)
    if own is None:
        return None, ""
    found = _agent([(pid, own), *_ancestors(own)])
    session = session_of(pid)
    if not found.name or session is None or (common := session_of(found.root)) is None:
        return session, found.name
    return replace(common, tty=common.tty if session.tty else ""), found.name


def as_context(facts: ProcessFacts | None) -> dict[str, object]:
    """`request_context.process` of PROTOCOL.md, of at most MAX_CONTEXT; {} if unknown."""
    if facts is None:
        return {}
    limit = MAX_ARGV
    # Text that JSON has to escape can grow twelvefold; then all fields are cut alike.
    while len(json.dumps(context := _context(facts, limit))) > MAX_CONTEXT:
        limit //= 2
    return context


def _context(facts: ProcessFacts, limit: int) -> dict[str, object]:
    texts = {
        "exe": facts.exe,
        "argv": " ".join(arg if _BARE.fullmatch(arg) else shlex.quote(arg) for arg in facts.argv),
        "cwd": facts.cwd,
        "git_branch": facts.git_branch,
        "container": facts.container,
    }
    always = ("exe", "argv", "cwd")
    context: dict[str, object] = {
        key: text[:limit] for key, text in texts.items() if text or key in always
    }
    parents = [parent[:limit] for parent in facts.parents]
    return context | {"pid": facts.pid, "start": facts.start, "parents": parents}


def _argv(pid: int) -> tuple[str, ...]:
    raw = procfs.read(f"{procfs.PROC}/{pid}/cmdline").rstrip(b"\0")
    if not raw:
        return ()
    # Masked whole, then cut: a cut in the middle of a secret would hide its name from the rules.
    room, kept = MAX_ARGV, []
    for arg in mask_argv([procfs.decode(part) for part in raw.split(b"\0")]):
        if room <= 0:
            break
        kept.append(arg[:room])
        room -= len(arg) + 1
    return tuple(procfs.clean(arg, MAX_ARGV) for arg in kept)


def _ancestors(child: procfs.Stat) -> Iterator[tuple[int, procfs.Stat]]:
    """The parents of a process, nearest first. A parent younger than its child is a reused pid."""
    for _ in range(_MAX_CLIMB):
        if child.ppid <= 0:
            return
        parent = procfs.stat_of(child.ppid)
        if parent is None or parent.start > child.start:
            return
        yield child.ppid, parent
        child = parent


def _name(pid: int, seen: procfs.Stat) -> str:
    """The file that runs, if we may know it; the name a process gives itself only if not."""
    return procfs.clean(procfs.link(pid, "exe").rpartition("/")[2] or seen.comm, 64)


class _Agent(NamedTuple):
    """`root` is the process that all of the agent's come from."""

    name: str = ""
    root: int = 0


def _agent(line: list[tuple[int, procfs.Stat]]) -> _Agent:
    """The agent nearest to the first process of `line`, which goes from child to parent."""
    found = _Agent()
    for place, (pid, seen) in enumerate(line):
        by_name = AGENT_PROGRAMS.get(seen.comm, "")
        name = by_name or _flagged(pid)
        if not name or name != (found.name or name):
            continue
        # A flag is set by the parent for its children, unless it died and an init took them in.
        above = line[place + 1] if place + 1 < len(line) else (pid, seen)
        is_set_above = not by_name and above[1].comm not in _INITS
        found = _Agent(name, above[0] if is_set_above else pid)
    return found


def _flagged(pid: int) -> str:
    """The agent that an environment names. What AI_AGENT says is the agent's own word."""
    entries = procfs.read(f"{procfs.PROC}/{pid}/environ").split(b"\0")
    set_here = dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)
    for variable, agent in AGENT_FLAGS:
        if value := set_here.get(variable.encode()):
            return agent or agent_name(procfs.decode(value))
    return ""


def agent_name(claimed: str) -> str:
    """`claimed` as a name that may stand in a caller group's; never "", so that a claim counts."""
    plain = _NOT_A_NAME.sub("-", claimed)[:MAX_AGENT].strip("-")
    return plain or UNNAMED_AGENT


def _container(pid: int) -> str:
    groups = procfs.decode(procfs.read(f"{procfs.PROC}/{pid}/cgroup", limit=8192))
    match = _CONTAINER.search(groups.replace("\n", "/"))
    return match[1][:12] if match else ""


def _same_files(pid: int) -> bool:
    """A process in another mount namespace has another meaning for the same path."""
    return procfs.link(pid, "ns/mnt") == procfs.link(os.getpid(), "ns/mnt") != ""


def _git_branch(cwd: str) -> str:
    """The branch checked out around `cwd`, read from files; git itself would run hooks' config."""
    folder = Path(cwd) if cwd.startswith("/") else None
    for _ in range(_MAX_CLIMB):
        if folder is None:
            return ""
        head = _git_head(folder / ".git")
        if head.startswith("ref: "):
            return procfs.clean(head.removeprefix("ref: ").removeprefix("refs/heads/"))
        if re.fullmatch(r"[0-9a-f]{40,64}", head):
            return head[:12]
        folder = folder.parent if folder.parent != folder else None
    return ""


def _git_head(marker: Path) -> str:
    """HEAD of a repository (`.git` is a folder) or of a worktree (`.git` is a file naming it)."""
    pointer = procfs.decode(procfs.read_plain(marker)).strip()
    if pointer.startswith("gitdir: "):
        marker = marker.parent / pointer.removeprefix("gitdir: ")
    head = procfs.decode(procfs.read_plain(marker / "HEAD"))
    return head.partition("\n")[0].strip()
