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
from borrow.cli.desktop import presence
from borrow.cli.options import json_option
from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from borrow.cli.home import Home

_PRIVATE = ("*.json", "*.sealed", "*.db", "*.lock", "daemon.log", "*.err", "phone.*")
WITHIN = 10.0  # seconds for the approver's answer


@click.command()
@click.option(
    "--report", is_flag=True, help="Show a redacted report for a bug; kept if you say so."
)
@click.option("--output", type=click.Path(path_type=Path), help="Keep the report in this new file.")
@json_option
def doctor(*, report: bool, output: Path | None, as_json: bool) -> int:
    """Look for what is wrong here; exit code 1 if something is.

    Looks only: nothing is started, repaired or sent anywhere.
    """
    findings = list(_findings())
    wrong = any(finding.level == "error" for finding in findings)
    code = errors.ERROR if wrong else errors.OK
    told = _report(findings) if report or output else ""
    if as_json:
        listed = [finding.as_dict() for finding in findings]
        extra = {"report": told.splitlines()} if told else {}
        say.document({"ok": not wrong, "findings": listed} | extra)
    elif told:
        say.line(told)
    else:
        for line in _lines(findings):
            say.line(line)
    if told:
        _keep(told, output)
    return code


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding.level:<8} {say.text_of(finding.told)}"
        if finding.hint:
            yield f"{'':<8} {say.text_of(finding.hint)}"


def _keep(told: str, output: Path | None) -> None:
    """Only after it was shown: to the named file, or where a person says yes to one."""
    from borrow.cli.report import write

    path = output
    if path is None:
        if not say.can_ask():
            return
        path = Path(f"borrow-report-{time.strftime('%Y%m%d-%H%M%S')}.txt")
        if not say.confirm(f"keep this as {path}?", without="borrow doctor --output FILE"):
            return
    write(path, told)
    say.note(f"kept as {path}; read it before you send it")


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
    status, why = _status(home) if home is not None and config else (None, None)
    yield from _aws(status or {}, config)
    yield from presence(os.environ)
    if home is not None and config:
        yield _icon(home)
        yield from _keyring(home, config)
        yield from checks.daemon(status, why)
        yield from _port(status, config)
        if status is not None or not config.get("approver_socket"):  # solo: the same process
            yield from _approver(config)
    yield from _server()


def _server() -> Iterator[Finding]:
    """Of a team's server that this user runs on this machine: who cannot be told of a request."""
    from borrow.cli.client import Control
    from borrow.cli.server import open_server

    try:
        told = Control(open_server().admin_socket, uid=os.getuid()).get("/admin/status")
    except BorrowError:
        return  # there is none, or it does not run: `borrow server status` says that
    yield from checks.channels(told.get("unreachable"))


def _icon(home: Home) -> Finding:
    from borrow.cli import traying
    from borrow.cli.desktop import icon

    return icon(traying.running(home), traying.why_not(os.environ))


def _files(home: Home) -> Iterator[Finding]:
    """Private files that others can read, and a policy that is not in use."""
    from borrow.cli.cloud import parse_cloud, read_toml
    from borrow.cli.home import is_there

    root = os.geteuid() == 0
    yield from checks.room(home.state.path, os.statvfs(home.state.path), root=root)
    for path in sorted(home.state.path.iterdir()):
        if not any(path.match(pattern) for pattern in _PRIVATE):
            continue
        yield from checks.private(path, path.lstat(), os.getuid())
    try:
        parse_cloud(read_toml(home.cloud), home.cloud.name)
    except Misconfigured as exc:
        yield Finding("error", "cloud", exc.message, exc.hint)
    yield from _phone(home)
    if is_there(home.policy):
        from borrow.cli.policyfile import passing, read_policy

        try:
            passing(read_policy(home.policy), home.policy.name)
        except Misconfigured as exc:
            yield Finding("error", "policy", exc.message, exc.hint)


def _phone(home: Home) -> Iterator[Finding]:
    """The phone of solo mode, if one is set up."""
    from borrow.cli.phonefile import FILE, read_phone

    try:
        phone = read_phone(home.state.path)
    except BorrowError as exc:
        yield Finding("error", "phone", exc.message, exc.hint)
        return
    if phone is not None and home.mode() == "solo":
        told = f"questions of low roles go to your ntfy topic at {phone.server}"
        yield Finding("ok", "phone", told, "who reads that topic can say yes to them")
    elif phone is not None:
        yield Finding("warning", "phone", f"{FILE} is for solo mode; nothing reads it here")


def _aws(status: dict[str, Any], config: dict[str, object]) -> Iterator[Finding]:
    """What SDKs and tools of this machine would take, and what of it surprises."""
    from borrow.cli import awsconfig, credfiles
    from borrow.cli.chains import Facts
    from borrow.cli.toolbox import tools
    from borrow.cli.traps import traps, who_wins

    home = Path.home()
    files = awsconfig.user_files(os.environ, home)
    profiles = credfiles.read_profiles(files)
    if profiles.broken:
        yield Finding(
            "warning", "aws_config", profiles.broken, "boto3, the AWS CLI and most SDKs stop there"
        )
    default = frozenset(profiles.by_name.get("default", {}))
    facts = Facts(
        os.environ,
        profiles.by_name,
        boto2=credfiles.has_boto2(home, os.environ.get("BOTO_CONFIG", "")),
        port=int(say.number_of(status.get("port") or config.get("port"))),
        imds_role=say.text_of(status.get("imds_role")),
    )
    has_region = bool(facts.settings.get("region"))
    yield from checks.aws_files(default, region=has_region, variables=os.environ)
    installed = tools(os.environ, Path.cwd(), home)
    yield from traps(facts, installed)
    yield from who_wins(facts, installed)


def _keyring(home: Home, config: dict[str, object]) -> Iterator[Finding]:
    """Only where base keys may be kept in it: solo mode with a cloud that wants them."""
    from borrow.cli.cloud import parse_cloud, read_toml
    from borrow.minter.basekeys import KeyringSource

    try:
        driver = parse_cloud(read_toml(home.cloud), home.cloud.name).driver
    except Misconfigured:
        return  # told already
    if config.get("mode") != "solo" or driver != "assume-role":
        return
    try:
        yield Finding("ok", "keyring", f"the desktop keyring works ({KeyringSource().probe()})")
    except BorrowError as exc:
        yield Finding("ok", "keyring", exc.message, "borrow keys add --sealed keeps them in a file")


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
    if not path and skew is not None:
        from borrow.cli.pages import look

        yield from look(issuer)


def _date_over_socket(path: Path) -> float:
    from borrow.cli.client import Connection

    try:
        with Connection(path, os.getuid()) as connection:
            connection.send("GET", "/.well-known/openid-configuration", None)
            return _date(connection.answer(WITHIN).headers.get("date", ""))
    except TimeoutError as exc:
        raise Unavailable("no answer in time") from exc


def _date_over_net(issuer: str) -> float:
    from borrow.cli.fetching import fetch

    url = f"{issuer}/.well-known/openid-configuration"
    try:
        answer = fetch(url, within=WITHIN, most=1)
    except Unavailable as exc:  # whose it is, the finding says itself
        raise Unavailable(exc.message.rpartition(": ")[2]) from exc
    return _date(answer.headers.get("date", ""))


def _date(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise Unavailable("its answer has no date") from None


def _report(findings: list[Finding]) -> str:
    """Versions, findings, shapes and where crashes happened, redacted."""
    import getpass
    import platform
    import socket
    from importlib.metadata import version

    from borrow.cli import awsconfig, credfiles, report
    from borrow.cli.home import default_path

    names = ("borrow", "aiohttp", "cryptography", "click")
    versions = [f"{name} {version(name)}" for name in names]
    versions += [f"python {platform.python_version()}", platform.platform()]
    crashes: list[str] = []
    state = default_path(os.environ)
    for path in sorted(state.glob("crash-*.txt"))[-3:]:
        crashes += [path.name, *path.read_text("utf-8", "replace").splitlines()[-12:]]
    profiles = credfiles.read_profiles(awsconfig.user_files(os.environ, Path.home()))
    known = {str(state): "STATE", str(Path.home()): "~", socket.gethostname(): "THIS-HOST"}
    known |= {name: "PROFILE" for name in profiles.by_name if name != "default"}
    user = getpass.getuser()
    return report.text(
        (
            ("versions", versions),
            ("findings", list(_lines(findings))),
            ("environment", report.variables(os.environ)),
            ("aws profiles", report.shapes(profiles.by_name)),
            ("crashes", [say.text_of(line) for line in crashes] or ["none"]),
        ),
        report.Redactor(known | {user: "THIS-USER"}),
    )


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: compared with the approver's clock
