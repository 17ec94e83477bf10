"""The people who answer: `borrow inbox`, `approve`, `deny`, `not-me`.

What is shown comes in two blocks. The first is fact: the signed request and what the policy says
of it. The second is what the asking device claims: true if its program is honest. The yes is
bound to the hash of the request that was shown, so nothing can be swapped in between.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import say
from borrow.cli.client import segment
from borrow.cli.errors import WrongUse
from borrow.cli.options import json_option, request_argument
from borrow.protocol.durations import show_duration
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.client import Control

MAX_CODE = 64  # bytes read from --code-fd


def _client() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    return running(open_home())


def decisions(client: Control) -> list[dict[str, Any]]:
    listed = client.get("/v1/inbox").get("decisions")
    if not isinstance(listed, list):
        return []
    found = [one for one in listed if isinstance(one, dict)]
    return [one for one in found if one.get("state", "pending") == "pending"]


def _browse(*, as_json: bool) -> int:
    """Say where the pages are, and open them if there is a browser to be found."""
    import webbrowser

    from borrow.cli.home import open_home
    from borrow.cli.launch import running
    from borrow.cli.pages import pages_of

    home = open_home()
    running(home)
    url = pages_of(home)
    if as_json:
        say.document({"url": url})
        return 0
    say.line(url)
    say.note("no passkey in that browser yet? borrow passkey add")
    if say.is_terminal(sys.stdout) and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
        webbrowser.open(url)
    return 0


@click.command()
@click.option("--watch", is_flag=True, help="A list that stays, with keys to answer.")
@click.option("--browser", is_flag=True, help="Open the approver's page instead.")
@json_option
def inbox(*, watch: bool, browser: bool, as_json: bool) -> int:
    """Requests that wait for your answer, your own among them."""
    if browser:
        return _browse(as_json=as_json)
    if watch:
        return _watch(as_json=as_json)
    waiting = decisions(_client())
    if as_json:
        say.document({"decisions": waiting})
    elif not waiting:
        say.note("nothing waits for your answer")
    else:
        now = _now()
        say.table(
            ("request", "role", "for", "asked by", "reason", "left"),
            [_row(one, now) for one in waiting],
        )
        say.note("look and answer: borrow approve ID, borrow deny ID; or borrow inbox --watch")
    return 0


def _watch(*, as_json: bool) -> int:
    if as_json or not (say.can_ask() and say.can_move()):
        raise WrongUse("--watch needs a terminal", hint="borrow inbox" + " --json" * as_json)
    from borrow.cli.inbox_live import Live

    return Live(_client(), _now).run()


def _row(one: dict[str, Any], now: float) -> tuple[str, ...]:
    by = "you" if one.get("mine") else str(one.get("person") or "")
    seconds = say.number_of(one.get("seconds"))
    return (
        str(one.get("request") or ""),
        str(one.get("role") or ""),
        show_duration(seconds) if seconds else "",
        by,
        str(one.get("justification") or ""),
        say.left(say.number_of(one.get("expires_at")) - now),
    )


def facts(one: dict[str, Any], now: float) -> Iterator[tuple[str, str]]:
    """What is signed or judged by the policy: label and escaped value."""
    text = say.text_of
    role, tier, account = text(one.get("role")), text(one.get("tier")), text(one.get("account"))
    yield "role", role + "".join(f", {part}" for part in (tier and f"tier {tier}", account) if part)
    yield "AWS role", text(one.get("arn"))
    yield "for", show_duration(say.number_of(one.get("seconds"))) if one.get("seconds") else ""
    yield "asked by", text(one.get("person")) + (" (you)" if one.get("mine") else "")
    yield "extends", text(one.get("extends"))
    yield "rule", text(one.get("rule"))
    if denials := int(say.number_of(one.get("earlier_denials"))):
        yield "denied", f"{denials} time{'s' if denials > 1 else ''} before"
    yield "words", text(one.get("words"))
    yield "number", text(one.get("number"))
    yield "left", say.left(say.number_of(one.get("expires_at")) - now)


def claims(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the asking device says: label and escaped value."""
    text = say.text_of
    yield "reason", text(one.get("justification"))
    yield "ticket", text(one.get("ticket"))
    context = one.get("context")
    if not isinstance(context, dict):
        return
    yield "agent", text(context.get("agent"))
    yield "via", text(context.get("via"))
    process = context.get("process")
    if isinstance(process, dict):
        yield "program", text(process.get("exe"))
        argv = process.get("argv")
        joined = " ".join(map(str, argv)) if isinstance(argv, list) else argv
        yield "command", text(joined)
        yield "container", text(process.get("container"))
        yield "in", text(process.get("cwd"))
        yield "branch", text(process.get("git_branch"))
        parents = process.get("parents")
        if isinstance(parents, list):
            yield "started by", " ← ".join(text(_parent(each)) for each in parents[:8])
    where = context.get("where")
    yield "branch", text(where.get("branch") if isinstance(where, dict) else where)
    yield "host", text(context.get("host"))
    yield "os user", text(context.get("os_user"))


def _parent(entry: object) -> str:
    if isinstance(entry, dict):
        return str(entry.get("name") or entry.get("exe") or "")
    return str(entry)


def show(one: dict[str, Any], now: float) -> None:
    """Both blocks, on stderr: the question belongs there, the result to stdout."""
    say.note(say.bold(f"request {say.text_of(one.get('request'))}"))
    for label, value in facts(one, now):
        if value:
            say.note(f"  {label:<10} {value}")
    told = [(label, value) for label, value in claims(one) if value]
    if told:
        say.note(say.bold("what the asking device says (not verified)"))
    for label, value in told:
        say.note(f"  {label:<10} {value}")


@click.command()
@request_argument
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask; only where no number or code is needed."
)
@click.option("--code-fd", type=int, metavar="N", help="Read the authenticator's code from here.")
@json_option
def approve(subject: str, *, yes: bool, code_fd: int | None, as_json: bool) -> None:
    """Say yes to a request, after it was shown.

    The number is typed, never an argument: it proves that you look at the program that waits.
    """
    client = _client()
    one = _decision(client, subject)
    kinds = _kinds(one)
    _refuse_what_only_pages_take(one, kinds)
    wants_number = bool(one.get("match")) and one.get("mode") == "self"
    wants_code = "totp" in kinds and "consent" not in kinds and "device" not in kinds
    line = f"borrow approve {say.text_of(one.get('request'), subject)}"
    if yes and (wants_number or (wants_code and code_fd is None)):
        wanted = "a number" if wants_number else "a code"
        raise WrongUse(f"this request needs {wanted}, so -y cannot answer it", hint=line)
    if not yes:
        show(one, _now())
    body: dict[str, Any] = {"decision": "approve", "request_hash": one.get("request_hash", "")}
    if wants_number:
        body["number"] = say.ask(
            "number shown where it was asked", without=f"{line} (at a terminal)"
        )
    elif one.get("match"):
        body["number"] = one.get("number", "")
    if wants_code:
        body["code"] = _code(code_fd, line)
    if not (yes or wants_number or wants_code) and not say.confirm(
        "approve it?", without=f"{line} -y"
    ):
        say.note("nothing was decided; the request stays open")
        raise KeyboardInterrupt
    _done(client.post(_path(one), body), "approved", one, as_json=as_json)


def _kinds(one: dict[str, Any]) -> tuple[str, ...]:
    factors = one.get("factors")
    return tuple(map(str, factors)) if isinstance(factors, list) else ()


def _refuse_what_only_pages_take(one: dict[str, Any], kinds: tuple[str, ...]) -> None:
    """Before anything is typed: what this command can give would not count."""
    own = one.get("mode") == "self"
    here = ("totp", "consent") if own else ("device",)
    somebody_elses = bool(one.get("mine")) and not own  # which is told as such
    if not kinds or somebody_elses or any(kind in kinds for kind in here):
        return
    from borrow.cli.home import open_home
    from borrow.cli.pages import pages_of

    try:
        hint = f"open {pages_of(open_home())}/r/{one.get('request')}"
    except BorrowError:
        hint = "open the approver's pages: `borrow inbox --browser`"
    raise Refused(
        "this yes takes a passkey, on your phone or in a browser", hint=hint, state="factor"
    )


def _code(code_fd: int | None, line: str) -> str:
    if code_fd is None:
        return say.ask("code of your authenticator app", without=f"{line} --code-fd 0")
    try:
        typed = os.read(code_fd, MAX_CODE)
    except OSError as exc:
        raise WrongUse(f"--code-fd {code_fd} cannot be read", hint=f"{line} --code-fd 0") from exc
    return typed.decode("ascii", "replace").strip()


@click.command()
@request_argument
@click.option("-m", "--reason", default="", help="Why not; the person who asked sees it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def deny(subject: str, *, reason: str, yes: bool, as_json: bool) -> None:
    """Say no to a request."""
    client = _client()
    one = _decision(client, subject)
    if not yes and say.can_ask():
        show(one, _now())
        if not say.confirm("deny it?", without=f"borrow deny {subject} -y"):
            say.note("nothing was decided; the request stays open")
            raise KeyboardInterrupt
    body = {"decision": "deny", "request_hash": one.get("request_hash", ""), "reason": reason}
    _done(client.post(_path(one), body), "denied", one, as_json=as_json)


@click.command("not-me")
@request_argument
@json_option
def not_me(subject: str, *, as_json: bool) -> None:
    """That was not me: deny the pending, end the grants, freeze the device.

    ID is a request (r-…) or a grant (g-…). Another person unfreezes the device, in solo mode a
    fresh code of your authenticator app (`borrow unfreeze`).
    """
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    _kind(subject, "rg")
    home = open_home()
    answer = running(home).post("/v1/report", {"id": subject})
    if as_json:
        say.document(answer)
        return
    say.line(
        f"reported {subject}: what it asked for is denied, its grants end, its device is frozen"
    )
    say.note(
        "work again: borrow unfreeze"
        if home.mode() == "solo"
        else "unfreezing takes another person; your admins were told"
    )


def _decision(client: Control, subject: str) -> dict[str, Any]:
    """The request as it would be answered."""
    return client.get(f"/v1/decisions/{segment(named(client, subject))}")


def named(client: Control, subject: str) -> str:
    """The request's whole id. A unique beginning will do."""
    if subject.startswith("r-") and len(subject) < 28 and len(subject) > 2:
        ids = [str(one.get("request")) for one in decisions(client)]
        near = [one for one in ids if one.startswith(subject)]
        if len(near) == 1:
            subject = near[0]
    _kind(subject, "r")
    return subject


def _kind(subject: str, kinds: str) -> None:
    from borrow.protocol.ids import kind_of

    try:
        kind = kind_of(subject)
    except Untrusted as exc:
        raise Misconfigured("that is no request's id", hint="`borrow inbox` lists them") from exc
    if kind not in kinds:
        raise Misconfigured("that is the id of something else", hint="requests look like r-…")


def _path(one: dict[str, Any]) -> str:
    return f"/v1/decisions/{segment(str(one.get('request', '')))}"


def _done(answer: dict[str, Any], word: str, one: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say.document(answer)
    else:
        say.line(f"{word}: {say.text_of(one.get('role'))} ({say.text_of(one.get('request'))})")


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: a countdown for eyes only
