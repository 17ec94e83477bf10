"""`borrow conformance URL`: would every SDK wait at this endpoint, and who else gets in?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from borrow.cli import errors, say
from borrow.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from borrow.cli.conforming import Finding
    from borrow.cli.wire import Target

TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105  a variable's name
SOURCE: Final = b"container-role"  # what both call this endpoint
_BOTO3: Final = (
    "import boto3\n"
    "found = boto3.Session().get_credentials()\n"
    "assert found is not None and found.get_frozen_credentials().secret_key\n"
    "print(found.method)\n"
)


@click.command(short_help="Check any credential endpoint against every SDK's needs.")
@click.argument("url")
@click.option("--token", help=f"The bearer; better in {TOKEN}, where `ps` does not show it.")
@click.option(
    "--wait", type=click.FloatRange(1, 900), default=60.0, help="Seconds to wait for a yes."
)
@json_option
def conformance(url: str, token: str | None, wait: float, *, as_json: bool) -> int:
    """Check the container endpoint at URL: timing, bodies, refusals, and the clients found here.

    It asks for credentials as an SDK does (a person may be asked) and shows none of them. Exit 1
    if something failed that an SDK or the edge needs.
    """
    import time

    from borrow.cli.conforming import check
    from borrow.protocol.errors import Unavailable

    target = _target(url, token if token is not None else os.environ.get(TOKEN, ""))
    now = time.time()  # noqa: TID251  the edge: what Expiration is compared with
    found: list[Finding] = []
    try:
        found += check(target, wait=wait, now=now)
    except OSError as exc:
        raise Unavailable(
            f"{target.host} port {target.port} does not answer: {exc.strerror or 'no connection'}",
            hint="is the endpoint running? for Borrow's own: `borrow daemon start`",
        ) from exc
    if any(one.name.endswith("is whole") and one.outcome == "ok" for one in found):
        found += clients(target, wait)
    return _tell(found, as_json=as_json)


def _tell(found: list[Finding], *, as_json: bool) -> int:
    failed = [one for one in found if one.outcome == "failed"]
    if as_json:
        rows = [
            {"check": f.name, "must": f.must, "outcome": f.outcome, "saw": f.saw} for f in found
        ]
        say.document({"conforms": not failed, "checks": rows})
    else:
        say.table(("check", "outcome", "saw"), [(f.name, f.outcome, f.saw) for f in found])
        say.note(f"{len(failed)} of {len(found)} checks failed" if failed else "all musts hold")
    return errors.ERROR if failed else errors.OK


def _target(url: str, token: str) -> Target:
    from urllib.parse import urlsplit

    from borrow.cli.wire import Target

    hint = "give what AWS_CONTAINER_CREDENTIALS_FULL_URI holds: http://127.0.0.1:PORT/PATH"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise errors.WrongUse("that is no URL", hint=hint) from exc
    if parts.scheme != "http" or not host:
        raise errors.WrongUse("only http is checked: SDKs take it on loopback", hint=hint)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not all("!" <= char <= "~" for char in path + token + host):
        raise errors.WrongUse("the URL or the token holds a space or control character", hint=hint)
    return Target(host, port or 80, path, token)


def clients(target: Target, wait: float) -> Iterator[Finding]:
    """The SDKs that are on this machine, each in a process without any other cloud setting."""
    import shutil
    import sys

    yield _client("boto3 takes the credentials", (sys.executable, "-c", _BOTO3), target, wait)
    if (cli := shutil.which("aws")) is not None:
        words = (cli, "configure", "list")  # names the source, and masks what it found
        yield _client("the AWS CLI on PATH takes them", words, target, wait)


def _client(name: str, command: tuple[str, ...], target: Target, wait: float) -> Finding:
    import subprocess
    import tempfile

    from borrow.cli.conforming import Finding

    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(  # noqa: S603  what it prints are credentials: read by nobody
                command,
                env=_clean(os.environ, target, empty),
                capture_output=True,
                timeout=wait,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Finding(name, "failed", f"not within {wait:g} s")
    good = done.returncode == 0 and SOURCE in done.stdout
    return Finding(name, "ok" if good else "failed", f"exit {done.returncode}")


def _clean(environment: Mapping[str, str], target: Target, home: str) -> dict[str, str]:
    kept = {name: environment[name] for name in ("PATH", "LANG") if name in environment}
    return kept | {
        "HOME": home,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{target.authority}{target.path}",
        TOKEN: target.token,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": target.host,
    }
