"""The people who answer: `borrow inbox`, `approve`, `deny`, `not-me`.

What is shown comes in two blocks. The first is fact: the signed request and what the policy says
of it. The second is what the asking device claims: true if its program is honest. The yes is
bound to the hash of the request that was shown, so nothing can be swapped in between.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import say
from borrow.cli.client import segment
from borrow.cli.errors import WrongUse
from borrow.cli.options import json_option, maybe_request_argument, request_argument
from borrow.protocol.durations import show_duration
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Untrusted
from borrow.protocol.halves import given_by_me, read_halves, sentence, so_far, still_missing

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
        for one in waiting:
            if told := so_far(one):
                say.note(f"{say.text_of(one.get('request'))}: {told}")
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
    if one.get("every") is True:
        yield "takes", "your passkey and this workstation, both"
        yield "so far", so_far(one)
        for half in read_halves(one.get("halves")):
            yield "so far", sentence(half)
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
@maybe_request_argument
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask; only where no number or code is needed."
)
@click.option("--code-fd", type=int, metavar="N", help="Read the authenticator's code from here.")
@json_option
def approve(subject: str, *, yes: bool, code_fd: int | None, as_json: bool) -> None:
    """Say yes to a request, after it was shown. At a terminal the only one needs no ID.

    The number is typed, never an argument: it proves that you look at the program that waits.
    """
    client = _client()
    subject = subject or _the_only_one(client, "approve", yes=yes)
    one = _decision(client, subject)
    kinds = _kinds(one)
    _refuse_what_only_pages_take(one, kinds)
    _refuse_second_half(one)
    wants_number = bool(one.get("match")) and one.get("mode") == "self"
    wants_code = "totp" in kinds and "consent" not in kinds and "device" not in kinds
    line = f"borrow approve {say.text_of(one.get('request'), subject)}"
    if yes and (wants_number or (wants_code and code_fd is None)):
        wanted = "a number" if wants_number else "a code"
        raise WrongUse(f"this request needs {wanted}, so -y cannot answer it", hint=line)
    if not yes:
        show(one, _now())
    body: dict[str, Any] = {"decision": "approve", "request_hash": one.get("request_hash", "")}
    with _or_undecided():
        if wants_number:
            body["number"] = say.ask(
                "number shown where it was asked", without=f"{line} (at a terminal)"
            )
        elif one.get("match"):
            body["number"] = one.get("number", "")
        if wants_code:
            body["code"] = _code(code_fd, line)
        if not (yes or wants_number or wants_code):
            _confirm("approve it?", f"{line} -y")
    _done(client.post(_path(one), body), "approved", one, as_json=as_json)


@contextmanager
def _or_undecided() -> Iterator[None]:
    """Ctrl-C, the end of input and a bare Enter decide nothing; say so."""
    try:
        yield
    except KeyboardInterrupt:
        say.note("\nnothing was decided; the request stays open")
        raise


def _confirm(question: str, without: str) -> None:
    if not say.confirm(question, without=without):
        raise KeyboardInterrupt


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
    raise Refused(
        "this yes takes a passkey, on your phone or in a browser", hint=_page(one), state="factor"
    )


def _refuse_second_half(one: dict[str, Any]) -> None:
    """What this command can give is there already."""
    if "device" in given_by_me(one):
        raise Refused(so_far(one), hint=_page(one), state="half_given")


def _page(one: dict[str, Any]) -> str:
    from borrow.cli.home import open_home
    from borrow.cli.pages import pages_of

    try:
        return f"open {pages_of(open_home())}/r/{one.get('request')}"
    except BorrowError:
        return "open the approver's pages: `borrow inbox --browser`"


def _code(code_fd: int | None, line: str) -> str:
    if code_fd is None:
        return say.ask("code of your authenticator app", without=f"{line} --code-fd 0")
    try:
        typed = os.read(code_fd, MAX_CODE)
    except OSError as exc:
        raise WrongUse(f"--code-fd {code_fd} cannot be read", hint=f"{line} --code-fd 0") from exc
    return typed.decode("ascii", "replace").strip()


@click.command()
@maybe_request_argument
@click.option("-m", "--reason", default="", help="Why not; the person who asked sees it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def deny(subject: str, *, reason: str, yes: bool, as_json: bool) -> None:
    """Say no to a request. At a terminal the only one needs no ID."""
    client = _client()
    subject = subject or _the_only_one(client, "deny", yes=yes)
    one = _decision(client, subject)
    if not yes and say.can_ask():
        show(one, _now())
        with _or_undecided():
            _confirm("deny it?", f"borrow deny {subject} -y")
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


def _the_only_one(client: Control, word: str, *, yes: bool) -> str:
    """The request that somebody means who names none: at a terminal, where it is shown to them.

    A script names what it answers: what waits may be another's question by then.
    """
    waiting = decisions(client)
    if not waiting:
        raise Misconfigured(
            "nothing waits for your answer", hint="`borrow` shows what you asked for and hold"
        )
    first = say.text_of(waiting[0].get("request"))
    line = f"borrow {word} {first}" + (" -y" if yes else "")
    if len(waiting) > 1:
        raise WrongUse(
            f"{len(waiting)} requests wait for your answer: which one?",
            hint=f"`{line}`, or another of `borrow inbox`",
        )
    if yes or not say.can_ask():
        role = say.text_of(waiting[0].get("role"))
        raise WrongUse(f"name the request that is meant; one waits, for {role}", hint=line)
    say.note("one request waits for your answer")
    return first


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
        return
    named = f"{say.text_of(one.get('role'))} ({say.text_of(one.get('request'))})"
    lacks = still_missing(answer)
    say.line(f"half a yes: {named}" if lacks else f"{word}: {named}")
    if lacks:
        say.note(f"{lacks}: {_page(one)}")


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: a countdown for eyes only
