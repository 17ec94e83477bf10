"""A role for one command or one shell: what the daemon is asked, and what the command gets.

Both ways into `borrow run` end here: the quick one, which imports next to nothing, and click's.
Nothing here prompts before it is clear that the command can use what it would be given.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from borrow.cli import awsconfig, launcher, regions
from borrow.cli.environment import MONITORING, Lease, borrowed
from borrow.cli.served import behind
from borrow.protocol.errors import BorrowError, Misconfigured, Untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from borrow.cli.awsconfig import UserConfig
    from borrow.cli.client import Control
    from borrow.cli.environment import Change
    from borrow.cli.home import Home


class Wish(NamedTuple):
    """What is to be borrowed, as it was said."""

    role: str
    reason: str = ""
    ticket: str = ""
    seconds: int = 0  # 0 = as the role has it
    elevate: bool = False
    agent: str = ""
    profiles: tuple[tuple[str, str], ...] = ()  # (profile, role) of the project or the caller

    def given(self) -> dict[str, str]:
        reason = self.reason or os.environ.get("BORROW_REASON", "")
        ticket = self.ticket or os.environ.get("BORROW_TICKET", "")
        return {"reason": reason, "ticket": ticket}


def become_with(home: Home, client: Control, wish: Wish, command: Sequence[str]) -> NoReturn:
    """Replace this process by `command` with what `wish` gives. Raises what keeps it from that."""
    path = found(command[0])
    theirs = aws_config()
    lease = take(client, wish, run=True, roles=_wants_roles(theirs))
    chosen = chosen_regions(theirs, lease.region)
    if not chosen.known:
        without_region(command)
    if lease.needs:
        lease = _after_questions(client, wish, lease)
    change = change_for(home, lease, wish, theirs, chosen)
    become(path, command, change.apply(os.environ))


def become_plainly(command: Sequence[str]) -> NoReturn:
    """Replace this process by `command` as if `borrow` had not been there."""
    become(found(command[0]), command, os.environ)


def for_shell(home: Home, client: Control, wish: Wish) -> Change:
    """As `become_with`, for the shell that `borrow env` is evaluated by."""
    theirs = aws_config()
    lease = take(client, wish, run=False, roles=_wants_roles(theirs))
    chosen = chosen_regions(theirs, lease.region)
    if not chosen.known:
        _note("no region is set: AWS commands will ask for this role and fail after that")
    if lease.needs:
        lease = _after_questions(client, wish, lease)
    return change_for(home, lease, wish, theirs, chosen)


def found(name: str) -> str:
    """The program's path, by the caller's PATH; raises what a shell would say."""
    for path in _places(name):
        if os.access(path, os.X_OK) and os.path.isfile(path):  # noqa: PTH113  pathlib costs 3 ms
            return path
    from borrow.cli.errors import NOT_EXECUTABLE, NOT_FOUND, NotRunnable

    if "/" in name and os.path.exists(name):  # noqa: PTH110
        raise NotRunnable(
            f"cannot run {name!r}: permission denied",
            hint=f"is it executable? ls -l {name}",
            exit_code=NOT_EXECUTABLE,
        )
    raise NotRunnable(
        f"cannot run {name!r}: command not found", hint="check the spelling and PATH",
        exit_code=NOT_FOUND,
    )  # fmt: skip


def _places(name: str) -> list[str]:
    if "/" in name:
        return [name]
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [os.path.join(folder or ".", name) for folder in folders if name]  # noqa: PTH118


def become(path: str, command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """By exec: process id, signals, terminal and exit code are the command's own from here."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(path, list(command), dict(environment))  # noqa: S606  running it is the purpose
    except OSError as exc:
        from borrow.cli.errors import NOT_EXECUTABLE, NotRunnable

        raise NotRunnable(
            f"cannot run {command[0]!r}: {(exc.strerror or 'failed').lower()}",
            hint="is it a program for this system?",
            exit_code=NOT_EXECUTABLE,
        ) from exc


def take(client: Control, wish: Wish, *, run: bool, roles: bool) -> Lease:
    """A bearer of this terminal session for the role. Nobody is asked for anything by it."""
    flags = (("run", run), ("elevate", wish.elevate), ("roles", roles))
    body: dict[str, Any] = {"role": wish.role, **{n: v for n, v in wish.given().items() if v}}
    body |= {"seconds": wish.seconds} if wish.seconds else {}
    body |= {"agent": wish.agent} if wish.agent else {}
    body |= {name: 1 for name, wanted in flags if wanted}
    return _lease(_posted(client, wish.role, body), wish.role)


def _posted(client: Control, role: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return client.post("/v1/bearers", body)
    except BorrowError as exc:
        from borrow.cli.catalogue import with_suggestions

        raise with_suggestions(exc, role, client, "borrow run {} -- COMMAND") from exc


def _lease(answer: dict[str, Any], role: str) -> Lease:
    parts = [answer.get(name, "") for name in ("url", "bearer", "role", "region")]
    if not all(isinstance(part, str) for part in parts) or not all(parts[:2]):
        raise Untrusted("the daemon gave no address to fetch from")
    url, bearer, named, region = (cast("str", part) for part in parts)
    needs = answer.get("needs")
    wants = {str(k): str(v) for k, v in needs.items()} if isinstance(needs, dict) else {}
    listed = answer.get("roles")
    roles = tuple(
        (str(each.get("name")), str(each.get("arn")))
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict)
    )
    return Lease(named or role, url, bearer, region, roles, wants, _monitor(answer.get("csm")))


def _monitor(told: object) -> dict[str, str]:
    """The daemon's variables for client-side monitoring: of that family and nothing else."""
    if not isinstance(told, dict):
        return {}
    return {
        name: value
        for name, value in told.items()
        if name in MONITORING and isinstance(value, str) and value.isprintable()
    }


def _after_questions(client: Control, wish: Wish, lease: Lease) -> Lease:
    """What the role's rule wants and was not given, if a person is there to type it.

    Where nobody is, the command's first call waits until `borrow ask ROLE -m …` has said it.
    """
    from borrow.cli import say

    given, role = wish.given(), wish.role
    fields = {name: rule for name, rule in lease.needs.items() if not given.get(name)}
    if not fields or not say.can_ask():
        return lease
    held = client.get("/v1/status").get("grants")
    if isinstance(held, list) and any(isinstance(g, dict) and g.get("role") == role for g in held):
        return lease
    from borrow.cli.options import ask_for, needed_options
    from borrow.protocol.errors import Needs

    wanted = Needs(f"{role} needs {' and '.join(fields)}", fields=fields)
    without = f"borrow run {role} {needed_options(fields)} -- COMMAND"
    said = ask_for(wanted, without=without)
    told = given | said
    again = wish._replace(reason=told["reason"], ticket=told["ticket"])
    return take(client, again, run=bool(lease.monitor), roles=bool(lease.roles))


# -- what the command gets -------------------------------------------------------------------------


def chosen_regions(theirs: UserConfig, role_region: str) -> regions.Regions:
    active = awsconfig.active_profile(os.environ)
    return regions.choose(
        os.environ, theirs.default.value("region"), theirs.regions(active), role_region
    )


def change_for(
    home: Home, lease: Lease, wish: Wish, theirs: UserConfig, chosen: regions.Regions
) -> Change:
    processes = {
        name: launcher.serving(home.socket, role) if role else launcher.refusing(name, lease.role)
        for name, role, _ in profiles_of(theirs, lease, wish)
        if role != lease.role
    }
    text = theirs.text(region=chosen.default, processes=processes)
    files = awsconfig.write(home.runtime, text)
    return borrowed(
        os.environ,
        lease,
        config_file=str(files.config),
        credentials_file=str(files.credentials),
        regions=chosen.put,
        agent=wish.agent,
    )


def profiles_of(theirs: UserConfig, lease: Lease, wish: Wish) -> list[tuple[str, str, str]]:
    """Each profile, the role behind it ("": refused), and why it is refused."""
    active = awsconfig.active_profile(os.environ)
    told = dict(wish.profiles)
    same = {active, *(name for name, role in told.items() if role == lease.role)}
    out = []
    for name, section in theirs.profiles.items():
        ways = section.ways | ({"borrow_role": told[name]} if name in told else {})
        one = behind(name, ways, role=lease.role, same=same, roles=lease.roles)
        out.append((name, one.role, one.why))
    return out


def aws_config() -> UserConfig:
    """The user's configuration; what of it is none is told, since the command never sees it."""
    home = _home_folder()
    theirs = awsconfig.of_user(os.environ, home)
    if theirs.odd:
        path, line = awsconfig.user_files(os.environ, home).config, theirs.odd[0]
        more = f" (and {len(theirs.odd) - 1} more)" if theirs.odd[1:] else ""
        _note(f"{str(path)!r} line {line}{more} is no AWS configuration and was left out")
    return theirs


def _home_folder() -> Path:
    from pathlib import Path

    return Path.home()


def _wants_roles(theirs: UserConfig) -> bool:
    return any(section.ways for section in theirs.profiles.values())


def without_region(command: Sequence[str]) -> None:
    """Before anybody is asked: refuse what is sure to fail, warn of the rest."""
    if regions.is_refused_without(command):
        raise Misconfigured(
            f"no region is set, and {command[0]} would ask for the role and then fail",
            hint=f"`AWS_REGION=REGION borrow run …`, or `region` in your AWS config, "
            f"or {command[0]} --region REGION",
            state="no_region",
        )
    if regions.is_warned_without(command):
        _note("no region is set; set AWS_REGION if the command wants one")


def _note(text: str) -> None:
    print(f"borrow: {text}", file=sys.stderr, flush=True)
