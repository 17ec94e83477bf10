"""`borrow policy`: look at a policy before and while it is in use. Reads the file, asks nobody."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from borrow.cli import errors, say
from borrow.cli.errors import WrongUse
from borrow.cli.options import duration, json_option
from borrow.cli.usage import joined

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from borrow.policy.model import Policy


@click.group(name="policy", short_help="Check, test and explain the policy.")
def policy() -> None:
    """Check, test and explain the policy.

    FILE is yours in solo mode, or the server's; --file names another.
    """


def file_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--file", "path", type=Path, help="Which policy file.")(function)


def _read(path: Path | None) -> tuple[Policy, Path]:
    from borrow.cli.policyfile import read_policy

    chosen = path or _default()
    missing = "check the name; without --file your own is read" if path else _without_policy()
    return read_policy(chosen, missing=missing), chosen


def _without_policy() -> str:
    """The next step where there is no policy: a team's is on its server."""
    from borrow.cli.home import open_home
    from borrow.protocol.errors import BorrowError

    try:
        if open_home().mode() == "team":
            return "the team's policy is on its server; --file names a copy"
    except BorrowError:
        pass  # not set up, or not well: setup says which
    return "borrow setup"


def _default() -> Path:
    """The file in use here: a server's if there is one, else the person's own."""
    from borrow.cli.home import POLICY, default_path
    from borrow.cli.server import default_folder

    own, server = default_path(os.environ) / POLICY, default_folder(os.environ) / POLICY
    if "BORROW_SERVER_DIR" in os.environ or (server.exists() and not own.exists()):
        return server
    return own


@policy.command(short_help="Mistakes that can be seen from here.")
@file_option
@json_option
def check(*, path: Path | None, as_json: bool) -> int:
    """Mistakes that can be seen from here; exit code 1 if one keeps it out of use."""
    from borrow.policy.review import check as review

    compiled, chosen = _read(path)
    findings = review(compiled)
    wrong = any(finding.level == "error" for finding in findings)
    if as_json:
        listed = [
            {"level": f.level, "where": f.where, "what": f.what, "hint": f.hint} for f in findings
        ]
        say.document({"file": str(chosen), "findings": listed, "ok": not wrong})
        return errors.ERROR if wrong else errors.OK
    for finding in findings:
        say.line(f"{finding.level}: {say.text_of(finding.where)}: {say.text_of(finding.what)}")
        say.line(f"  {say.text_of(finding.hint)}")
    roles, rules = len(compiled.roles), len(compiled.rules)
    state = "not usable" if wrong else "fine"
    counted = f"{roles} role{'s' * (roles != 1)}, {rules} rule{'s' * (rules != 1)}"
    say.line(f"{say.text_of(str(chosen))}: {counted}, {state}")
    return errors.ERROR if wrong else errors.OK


@policy.command("test", short_help="Run the file's own [[test]]s.")
@file_option
@json_option
def test_(*, path: Path | None, as_json: bool) -> int:
    """Run the file's own [[test]]s; exit code 1 if one fails."""
    from borrow.policy.review import run_tests

    compiled, chosen = _read(path)
    results = run_tests(compiled)
    failed = [result for result in results if not result.passed]
    if as_json:
        listed = [
            {"number": r.number, "line": r.line, "passed": r.passed, "problems": list(r.problems)}
            for r in results
        ]
        say.document({"file": str(chosen), "tests": listed, "ok": not failed})
        return errors.ERROR if failed else errors.OK
    for result in failed:
        for problem in result.problems:
            say.line(f"test {result.number} (line {result.line}): {say.text_of(problem)}")
    say.line(f"{len(results) - len(failed)} of {len(results)} tests pass")
    return errors.ERROR if failed else errors.OK


@policy.command(short_help="Which rule decides, and why.")
@click.argument("user")
@click.argument("role")
@click.option("--for", "seconds", callback=duration, help="How long, such as 30m or 2h.")
@click.option("-m", "--reason", default="", help="As if this reason were given.")
@click.option("--ticket", default="", help="As if this ticket were given.")
@click.option("--agent", is_flag=True, help="As if an agent asked.")
@file_option
@json_option
def explain(
    user: str,
    role: str,
    *,
    seconds: int,
    reason: str,
    ticket: str,
    agent: bool,
    path: Path | None,
    as_json: bool,
) -> int:
    """Which rule decides for USER and ROLE, why, and what would be asked of whom."""
    from borrow.policy.explain import explain as tell
    from borrow.policy.model import Ask

    compiled, _ = _read(path)
    if role not in compiled.roles and user in compiled.roles:
        raise WrongUse(
            f"{user} is a role, and USER comes first",
            hint=f"borrow policy explain {joined([role, user])}",
        )
    asked = Ask(user, role, seconds, reason, ticket, agent="an agent" if agent else "")
    told = tell(compiled, asked)
    if as_json:
        say.document(told.as_dict())
    else:
        for text in told.lines:
            say.line(say.text_of(text.rstrip(), " "))
    return errors.REFUSED if told.outcome == "refused" else errors.OK
