"""What is held: `borrow return`, `extend`, `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from borrow.cli import say
from borrow.cli.client import segment
from borrow.cli.completing import complete_returnable, complete_subject
from borrow.cli.errors import WrongUse
from borrow.cli.group import override
from borrow.cli.options import duration, held_argument, json_option
from borrow.cli.usage import joined
from borrow.protocol.durations import show_duration
from borrow.protocol.errors import Misconfigured, Refused, Unavailable, Untrusted
from borrow.protocol.halves import read_halves, sentence

if TYPE_CHECKING:
    from borrow.cli.client import Control


def _client() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    return running(open_home())


@click.command("return")
@click.argument("what", metavar="[ROLE|ID]", default="", shell_complete=complete_returnable)
@click.option("--all", "all_of_them", is_flag=True, help="Everything that this machine holds.")
@json_option
def give_back(what: str, *, all_of_them: bool, as_json: bool) -> None:
    """Give a role back before its time; what was asked and not answered is withdrawn.

    Without ROLE the only one that is held; an open question is named by its role or id. Keys that
    a program has already live until their own end: a cloud session cannot be recalled.
    """
    if what and all_of_them:
        raise WrongUse("either ROLE or --all", hint=f"borrow return {what}")
    client = _client()
    if what.startswith("r-"):
        _withdraw(client, what, as_json=as_json)
        return
    body: dict[str, Any] = {"all": True} if all_of_them else _which(client, what)
    try:
        answer = client.post("/v1/return", body)
    except Misconfigured as exc:
        if exc.state != "not_held" or not (asked := _asked(client, what)):
            raise
        if len(asked) > 1:
            often = f"{what} is asked for {len(asked)} times and not held"
            raise WrongUse(often, hint=f"`borrow return {asked[0]}`, or another") from exc
        _withdraw(client, asked[0], as_json=as_json)
        return
    if as_json:
        say.document(answer)
        return
    told = _returned(answer)
    if not told:
        say.note("nothing is held")
        for request in _asked(client):
            say.note(f"still asked: {request}; drop it: borrow return {request}")
        return
    named = "everything" if all_of_them else say.text_of(next(iter(body.values())))
    say.line(f"returned: {named}" + (f" ({', '.join(told)})" if told != [named] else ""))


def _withdraw(client: Control, request: str, *, as_json: bool) -> None:
    """Take back an open request of one's own; nobody counts that as a denial."""
    answer = client.post("/v1/return", {"request": request})
    if as_json:
        say.document(answer)
    else:
        say.line(f"withdrawn: {say.text_of(request)}")


def _asked(client: Control, role: str = "") -> list[str]:
    """The ids of the open questions of this machine (for `role`)."""
    asks = client.get("/v1/status").get("asks")
    return [
        say.text_of(one.get("request"))
        for one in (asks if isinstance(asks, list) else [])
        if isinstance(one, dict) and one.get("request") and role in ("", one.get("role"))
    ]


def _which(client: Control, what: str) -> dict[str, str]:
    if what.startswith("g-"):
        return {"grant": what}
    if what:
        return {"role": what}
    held, whole = _held(client)
    if len(held) == 1:
        return {"role": held[0]}
    if not held and not whole:
        raise Unavailable(
            "this daemon holds nothing yet, and the approver does not say what outlived the last",
            hint="try again in a moment; `borrow doctor` looks for the cause",
        )
    if not held:
        if asked := _asked(client):
            raise WrongUse("nothing is held", hint=f"`borrow return {asked[0]}` drops the question")
        raise Misconfigured(
            "nothing is held", hint="`borrow` shows what you hold", state="not_held"
        )
    raise WrongUse(f"you hold {len(held)} roles: {', '.join(held)}", hint="borrow return --all")


def _held(client: Control) -> tuple[list[str], bool]:
    """The roles that are held, and whether that is all of them."""
    answer = client.get("/v1/held")
    grants = answer.get("grants")
    listed = grants if isinstance(grants, list) else []
    roles = [grant.get("role") for grant in listed if isinstance(grant, dict)]
    held = list(dict.fromkeys(role for role in roles if isinstance(role, str)))
    return held, answer.get("whole") is True


def _returned(answer: dict[str, Any]) -> list[str]:
    listed = answer.get("returned")
    if not isinstance(listed, list):
        return []
    return [say.text_of(one.get("role") if isinstance(one, dict) else one) for one in listed]


class ExtendCommand(click.Command):
    """Knows the two arguments apart, so that swapped ones are told."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = [word for word in args if not word.startswith("-")]
        if len(given) == 2 and _is_duration(given[0]) and not _is_duration(given[1]):
            raise WrongUse(
                "the role comes before the duration",
                hint=f"borrow extend {joined([given[1], given[0]])}",
            )
        return super().parse_args(ctx, args)


def _is_duration(text: str) -> bool:
    from borrow.protocol.durations import parse_duration

    try:
        parse_duration(text)
    except Misconfigured:
        return False
    return True


@click.command(cls=ExtendCommand)
@held_argument
@click.argument("length", metavar="DURATION", callback=duration)
@click.option("-m", "--reason", default="", help="Why, for those who decide and for the log.")
@json_option
def extend(role: str, *, length: int, reason: str, as_json: bool) -> int:
    """Keep a role for longer; the same people are asked again. Waits for their answer.

    An id (g-…) says which grant, where a role is held more than once.
    """
    from borrow.cli.asking import converse

    client = _client()
    named = _named_grant(client, role) if role.startswith("g-") else {"role": role}
    body: dict[str, Any] = {**named, "seconds": length, "wait": True}
    body |= {"reason": reason} if reason else {}
    line = f"borrow extend {role} {show_duration(length)}"
    return converse(client, "/v1/extend", body, line=line, as_json=as_json)


def _named_grant(client: Control, what: str) -> dict[str, str]:
    """The grant of that id with its role; a role may be named so too."""
    grants = client.get("/v1/status").get("grants")
    for one in grants if isinstance(grants, list) else []:
        if isinstance(one, dict) and one.get("grant") == what:
            return {"role": say.text_of(one.get("role")), "grant": what}
    return {"role": what}


def _clock(at: float) -> str:
    import time

    return time.strftime("%H:%M", time.localtime(at))


@click.command()
@click.argument("subject", metavar="ID|ROLE", shell_complete=complete_subject)
@json_option
def explain(subject: str, *, as_json: bool) -> None:
    """Why: what happened to a request (r-…) or a grant (g-…), or who decides about a role."""
    client = _client()
    if _is_id(subject):
        told = client.get(f"/v1/explain/{segment(subject)}")
    else:
        told = _role(client, subject)
    if as_json:
        say.document(told)
        return
    for label, value in _lines(told):
        say.line(f"{label:<12} {value}".rstrip())


def _is_id(subject: str) -> bool:
    from borrow.protocol.ids import kind_of

    try:
        return kind_of(subject) in ("r", "g")
    except Untrusted:
        return False


def _role(client: Control, role: str) -> dict[str, Any]:
    from borrow.cli.catalogue import entries, with_suggestions, yes_by

    for entry in entries(client):
        if entry["name"] == role:
            return entry | {"yes by": yes_by(entry)}
    if role.startswith(("r-", "g-")):  # a role may be named so; more often an id was cut
        raise Refused(
            f"there is no role {role[:64]!r}, and it is no request's or grant's id either",
            hint="`borrow` and `borrow inbox` show whole ids",
            state="unknown_role",
        )
    error = Refused(f"you may borrow no role named {role[:64]!r}", state="unknown_role")
    raise with_suggestions(error, role, client, "borrow explain {}")


_DURATIONS = frozenset({"max", "seconds", "usual_wait"})
_MOMENTS = frozenset({"asked_at", "expires_at", "pending_until", "opened_at", "claim_until"})


def _lines(told: dict[str, Any]) -> list[tuple[str, str]]:
    """Members as label and value; empty ones and hashes are left out."""
    out: list[tuple[str, str]] = []
    for name, value in told.items():
        label = say.text_of(name).replace("_", " ")
        if name == "halves":
            out += [("half a yes", sentence(each)) for each in read_halves(value)]
        elif name in _DURATIONS and say.number_of(value):
            out.append((label, show_duration(say.number_of(value))))
        elif name in _MOMENTS and say.number_of(value):
            out.append((label, _clock(say.number_of(value))))
        elif isinstance(value, dict):
            out += [(f"{label}:", "")] if value else []
            out += [(f"  {inner}", text) for inner, text in _lines(value)]
        elif isinstance(value, list):
            out += [(label, ", ".join(say.text_of(str(each)) for each in value))] if value else []
        elif value not in ("", None, 0, False) and not name.endswith("hash") and name != "every":
            out.append((label, say.text_of(str(value))))
    return out
