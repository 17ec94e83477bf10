"""`borrow console`: a real browser is signed in by a link that holds no secret and works once."""

from __future__ import annotations

import http.client
import json
import os
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow.cli import signin
from borrow.cli.console import apart_command
from borrow.daemon.console import LIVES, Links, checked
from borrow.protocol.errors import Misconfigured, Unavailable
from borrow_fakes.chromium import INSTALL, Chromium, missing
from borrow_fakes.lab import BORROW, Home, finish, wait_for
from borrow_fakes.solo_mode import refused_with
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from borrow.cli.demo.standin_process import StandInProcess

LINK = re.compile(r"http://127\.0\.0\.1:([0-9]+)(/console/[A-Za-z0-9_-]{43})")


@pytest.fixture(scope="module")
def person(lasting_solo: Home, cloud: StandInProcess) -> Home:
    """Whose sign-in service and console are the stand-in's."""
    path = lasting_solo.state / "cloud.toml"
    signed = (
        f'signin_url = "{cloud.endpoint}/federation"\nconsole_url = "{cloud.endpoint}/console"\n'
    )
    path.write_text(path.read_text() + signed)
    return lasting_solo


def link(person: Home, *more: str) -> tuple[int, str]:
    done = person.borrow("console", "reader", "--print", *more)
    found = LINK.fullmatch(done.stdout.strip())
    assert found, done.stdout
    return int(found[1]), found[2]


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with closing(line):
        line.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = line.getresponse()
        return answer.status, answer.headers.get("Location", "")


async def test_a_real_browser_is_signed_in_and_the_link_works_once(person: Home) -> None:
    need(missing(), INSTALL)
    port, path = link(person, "--service", "s3", "--region", "eu-central-1")
    async with Chromium({}) as browser:
        shown = await browser.go(f"http://127.0.0.1:{port}{path}")
        where = await browser.run("location.href")
        again = await browser.go(f"http://127.0.0.1:{port}{path}")
        others = await browser.go(f"http://127.0.0.1:{port}/v1/credentials/reader")
        referrer = await browser.run("document.referrer")
    assert "signed in as arn:aws:sts::123456789012:assumed-role/Reader/" in shown
    assert where.endswith("/console/s3/home?region=eu-central-1")
    assert "This link was used, or is too old" in again
    assert "browser" in others  # the rest of the port stays closed to browsers
    assert referrer == ""


def test_pages_peeks_and_other_hosts_do_not_use_a_link_up(person: Home) -> None:
    port, path = link(person)
    for headers in (
        {"Origin": "http://evil.test"},
        {"Referer": "http://evil.test/"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none", "Sec_Fetch_Dest": "iframe"},
        {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "none", "Sec_Purpose": "prefetch"},
        {"Purpose": "prefetch"},
        {"Host": f"evil.test:{port}"},
        {"Host": f"localhost:{port}"},
        {"X_Forwarded_For": "10.0.0.1"},
    ):
        assert get(port, path, **headers) == (403, ""), headers
    for wrong in (path + "x", path[:-1], path + "?a", path.upper(), "/console/", path + "/.."):
        assert get(port, wrong)[0] in (403, 404, 410)
    status, location = get(port, path, Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate")
    assert status == 303
    assert "SigninToken=" in location
    assert get(port, path) == (410, "")


def test_no_argument_and_no_log_holds_more_than_the_link(person: Home) -> None:
    """The browser that the person has, by $BROWSER: it writes down what it was given."""
    recorder = person.root / "recorder"
    seen = person.root / "seen"
    recorder.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}.part; mv {seen}.part {seen}\n')
    recorder.chmod(0o755)
    before = {path: path.stat().st_size for path in person.state.glob("*.log")}
    code, out, err = finish(
        person.spawn(BORROW, "console", "reader", env={"BROWSER": f"{recorder} %s"})
    )
    assert code == 0, err
    wait_for(seen.exists, why="the browser to be started")
    assert LINK.fullmatch(seen.read_text().strip())
    port, path = LINK.fullmatch(seen.read_text().strip()).groups()  # type: ignore[union-attr]  # asserted above
    _, location = get(int(port), path)
    token = location.partition("SigninToken=")[2]
    assert len(token) > 100
    assert before
    told = out + err + "".join(path.read_text() for path in person.state.glob("*.log"))
    for secret in (token, path.rpartition("/")[2]):
        assert secret not in told
    listed = json.dumps(person.status())
    assert path.rpartition("/")[2] not in listed


def test_several_accounts_have_a_browser_profile_each(person: Home) -> None:
    tools = person.root / "browsers"
    tools.mkdir(exist_ok=True)
    seen = person.root / "apart"
    (tools / "chromium").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}.p; mv {seen}.p {seen}\n'
    )
    (tools / "chromium").chmod(0o755)
    path = f"{tools}:{person.env['PATH']}"
    person.borrow("console", "reader", "--apart", env={"PATH": path})
    wait_for(seen.exists, why="the browser to be started")
    folder, _, address = seen.read_text().splitlines()
    assert folder == f"--user-data-dir={person.state}/console/123456789012"
    assert LINK.fullmatch(address)
    assert (person.state / "console/123456789012").stat().st_mode & 0o077 == 0
    (tools / "firefox").write_text("")
    (tools / "firefox").chmod(0o755)
    (tools / "chromium").unlink()
    command = apart_command("http://x", Path("/p"), str(tools))
    assert command[1:] == ["--new-instance", "--profile", "/p", "http://x"]
    with pytest.raises(Misconfigured):
        apart_command("http://x", Path("/p"), "/nowhere")


def test_bad_input_is_one_line_and_no_link(person: Home) -> None:
    for words, code in (
        (("nobodys",), 3),
        (("reader", "--service", "../x"), 1),
        (("reader", "--region", "x?y"), 1),
        (("reader", "--print", "extra"), 2),
        (("forbidden",), 3),
    ):
        refused_with(person.borrow("console", *words, "--print", ok=False), code)
    done = person.borrow("console", "reader", "--print", env={"AI_AGENT": "bot"}, ok=False)
    assert done.returncode == 3


def test_a_sign_in_service_that_says_no_or_nothing_is_told_without_what_was_sent(
    person: Home, cloud: StandInProcess
) -> None:
    path = person.state / "cloud.toml"
    before = path.read_text()
    try:
        for url, code in (("/moto-api/", 3), ("/federation?x=1", 1), ("/none", 3)):
            path.write_text(before.replace("/federation", url))
            error, _ = refused_with(person.borrow("console", "reader", "--print", ok=False), code)
            assert "ASIA" not in error
        path.write_text(before.replace(cloud.endpoint + "/federation", "http://evil.test/"))
        error, _ = refused_with(person.borrow("console", "reader", "--print", ok=False), 1)
        assert "no https address" in error
        path.write_text(before.replace(cloud.endpoint + "/federation", "http://127.0.0.1:1/"))
        refused_with(person.borrow("console", "reader", "--print", ok=False), 4)
    finally:
        path.write_text(before)


def test_a_link_dies_of_age_and_only_some_are_kept() -> None:
    clock = [0.0]
    links = Links(lambda: clock[0], os.urandom)
    old = links.make("https://a.test/")
    clock[0] = LIVES
    assert links.take(old) == ""
    made = [links.make(f"https://a.test/{number}") for number in range(20)]
    assert [bool(links.take(path)) for path in made] == [False] * 4 + [True] * 16
    assert links.take("/console/" + "x" * 43) == ""


@pytest.mark.parametrize(
    "location",
    ["", "http://a.test/", "javascript:alert(1)", "https://", "//a.test", "https://u@a.test/",
     "https://a.test/\r\nX: y", "https://a.test/ x", "file:///etc/passwd", "https://[a"],
)  # fmt: skip
def test_a_browser_is_sent_to_https_only(location: str) -> None:
    with pytest.raises(Misconfigured):
        checked(location)
    assert checked("https://signin.aws.amazon.com/federation?Action=login")


def test_each_partition_has_its_own_places() -> None:
    for partition, host in (("aws", "aws.amazon.com"), ("aws-cn", "amazonaws.cn")):
        places = signin.places_for(f"arn:{partition}:iam::1:role/x", "", "")
        assert places.signin.startswith(f"https://signin.{host}/")
    with pytest.raises(Misconfigured):
        signin.places_for("arn:aws-iso:iam::1:role/x", "", "")
    with pytest.raises(Unavailable):
        signin.token(signin.PARTITIONS["aws"], {})
