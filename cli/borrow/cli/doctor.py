"""`borrow doctor`: collect the facts, let `checks` judge them, tell the findings."""

from __future__ import annotations

import os
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import checks, errors, say
from borrow.cli.checks import Finding
from borrow.cli.options import json_option
from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.home import Home

_PRIVATE = ("*.json", "*.sealed", "*.db", "*.lock", "daemon.log", "daemon.err")
WITHIN = 10.0  # seconds for the approver's answer


@click.command()
@click.option("--report", is_flag=True, help="Add versions and crash places; holds no secret.")
@json_option
def doctor(*, report: bool, as_json: bool) -> int:
    """Look for what is wrong here; exit code 1 if something is.

    Looks only: nothing is started, repaired or sent anywhere.
    """
    findings = list(_findings())
    wrong = any(finding.level == "error" for finding in findings)
    extra = _report() if report else {}
    if as_json:
        listed = [finding.as_dict() for finding in findings]
        say.document({"ok": not wrong, "findings": listed} | ({"report": extra} if report else {}))
        return errors.ERROR if wrong else errors.OK
    for finding in findings:
        say.line(f"{finding.level:<8} {say.text_of(finding.told)}")
        if finding.hint:
            say.line(f"{'':<8} {say.text_of(finding.hint)}")
    for name, value in extra.items():
        for text in value if isinstance(value, list) else [value]:
            say.line(f"{name:<8} {say.text_of(str(text))}")
    return errors.ERROR if wrong else errors.OK


def _findings() -> Iterator[Finding]:
    from borrow.cli.home import open_home

    home: Home | None = None
    config: dict[str, object] = {}
    try:
        home = open_home()
        config = home.config()
        yield Finding("ok", "state", f"{home.state.path} is yours alone")
        yield from _files(home)
    except BorrowError as exc:
        yield Finding("error", exc.state, exc.message, exc.hint)
    yield from checks.environment(os.environ)
    yield from _aws()
    if home is not None and config:
        status, why = _status(home)
        yield from checks.daemon(status, why)
        yield from _port(status, config)
        if status is not None or not config.get("approver_socket"):  # solo: the same process
            yield from _approver(config)


def _files(home: Home) -> Iterator[Finding]:
    """Private files that others can read, and a policy that is not in use."""
    from borrow.cli.cloud import parse_cloud, read_toml
    from borrow.cli.home import is_there

    for path in sorted(home.state.path.iterdir()):
        if not any(path.match(pattern) for pattern in _PRIVATE):
            continue
        yield from checks.private(path, path.lstat(), os.getuid())
    try:
        parse_cloud(read_toml(home.cloud), home.cloud.name)
    except Misconfigured as exc:
        yield Finding("error", "cloud", exc.message, exc.hint)
    if is_there(home.policy):
        from borrow.cli.policyfile import passing, read_policy

        try:
            passing(read_policy(home.policy), home.policy.name)
        except Misconfigured as exc:
            yield Finding("error", "policy", exc.message, exc.hint)


def _aws() -> Iterator[Finding]:
    from borrow.cli import awsconfig

    files = awsconfig.user_files(os.environ, Path.home())
    keys = awsconfig.default_keys(awsconfig.read(files.config), awsconfig.read(files.credentials))
    yield from checks.aws_files(keys, region="region" in keys, variables=os.environ)


def _status(home: Home) -> tuple[dict[str, Any] | None, BorrowError | None]:
    from borrow.cli.launch import control

    try:
        return control(home).get("/v1/status"), None
    except BorrowError as exc:
        return None, exc


def _port(status: dict[str, Any] | None, config: dict[str, object]) -> Iterator[Finding]:
    """Whose the port is that programs were given; also while the daemon does not run."""
    from borrow.daemon.ports import holder_of

    known = status or {}
    port = int(say.number_of(known.get("port") or config.get("port")))
    holder = holder_of(port) if port else None
    if holder is not None and holder.uid != os.getuid():
        yield checks.squatted(port, f"user {holder.uid}")
    elif status is not None:
        ours = int(say.number_of(status.get("pid")))
        yield from checks.endpoint(holder.pid if holder else None, ours, port)
    elif holder is not None:
        yield checks.squatted(port, f"pid {holder.pid}" if holder.pid else "another program")


def _approver(config: dict[str, object]) -> Iterator[Finding]:
    """Ask it for its discovery document, and its clock for the time."""
    issuer, path = str(config.get("issuer") or ""), str(config.get("approver_socket") or "")
    if not issuer:
        return
    skew, why = None, ""
    try:
        before = _now()
        stamp = _date_over_socket(Path(path)) if path else _date_over_net(issuer)
        skew = stamp - (before + _now()) / 2
        skew = 0.0 if abs(skew) < 1.5 else skew  # the header has whole seconds
    except Unavailable as exc:
        why = f"the approver does not answer: {exc.message}"
    yield from checks.approver(skew, why)


def _date_over_socket(path: Path) -> float:
    from borrow.cli.client import Connection

    try:
        with Connection(path, os.getuid()) as connection:
            connection.send("GET", "/.well-known/openid-configuration", None)
            return _date(connection.answer(WITHIN).headers.get("date", ""))
    except TimeoutError as exc:
        raise Unavailable("no answer in time") from exc


def _date_over_net(issuer: str) -> float:
    import urllib.request

    url = f"{issuer}/.well-known/openid-configuration"
    if not url.startswith(("https://", "http://")):
        raise Unavailable("its address is no web address")
    try:
        with urllib.request.urlopen(url, timeout=WITHIN) as answer:  # noqa: S310  checked above
            return _date(answer.headers.get("Date", ""))
    except OSError as exc:
        cause = getattr(exc, "reason", exc)
        raise Unavailable(str(getattr(cause, "strerror", "") or "no answer").lower()) from exc


def _date(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        raise Unavailable("its answer has no date") from None


def _report() -> dict[str, Any]:
    """Versions, and where crashes happened: types and places only."""
    import platform
    from importlib.metadata import version

    from borrow.cli.home import default_path

    told: dict[str, Any] = {
        name: version(name) for name in ("borrow", "aiohttp", "cryptography", "click")
    }
    told |= {"python": platform.python_version(), "system": platform.platform()}
    crashes: list[str] = []
    for path in sorted(default_path(os.environ).glob("crash-*.txt"))[-3:]:
        crashes += [path.name, *path.read_text("utf-8", "replace").splitlines()[-12:]]
    return told | {"crash": crashes}


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: compared with the approver's clock
