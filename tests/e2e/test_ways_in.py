"""Each client by each way in: `borrow run`, the shell hook, an installed profile.

The call is held, a person says yes, the call goes through.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Final

import pytest

from borrow_fakes.lab import BORROW, finish
from borrow_fakes.matrix import REGION
from borrow_fakes.sdks import BOTO3, CLI_V1, CLI_V2, JS_V3, Sdk, here
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow_fakes.lab import Home

CLIENTS: Final = tuple(one for one in (CLI_V1, CLI_V2, BOTO3, JS_V3) if one in here())
# What a person who works with many accounts has; nothing of it is of the lab but the region.
TEN: Final = (
    "[default]\nregion = us-east-1\nretry_mode = standard\nmax_attempts = 4\n"
    + "".join(
        f"[profile p{number}]\nregion = eu-west-1\nsso_session = corp\nsso_account_id = "
        f"11111111111{number}\nsso_role_name = Dev\nretry_mode = adaptive\n"
        "s3 =\n  max_concurrent_requests = 3\n"
        for number in range(9)
    )
    + "[sso-session corp]\nsso_start_url = https://corp.example.com/start\nsso_region = eu-west-1\n"
)


@pytest.fixture(scope="module")
def place(lasting_solo: Home) -> Iterator[Home]:
    home = lasting_solo
    (home.root / "home/.aws").mkdir(exist_ok=True)
    (home.root / "home/.aws/config").write_text(TEN)
    (home.root / "bin").mkdir(exist_ok=True)
    for number, sdk in enumerate(CLIENTS):  # a plain name each, for a project's patterns
        tool = home.root / f"bin/client{number}"
        tool.write_text(f'#!/bin/sh\nexec {shlex.join(sdk.command)} "$@"\n')
        tool.chmod(0o755)
    patterns = "".join(f'"client{number} *" = "click"\n' for number in range(len(CLIENTS)))
    (home.root / ".borrow.toml").write_text(f'[commands]\n{patterns}"cat *" = "click"\n')
    home.borrow("trust", "-y", ".")
    home.borrow("profiles", "install", "click", "--prefix", "by-")
    yield home
    (home.root / "home/.aws/config").unlink()


def words(home: Home, sdk: Sdk, way: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command that starts the client by this way, and the environment it needs."""
    if way == "run":
        return (BORROW, "run", "click", "--", *sdk.command), {}
    if way == "profile":
        return sdk.command, {"AWS_PROFILE": "by-click"}
    tool = f"client{CLIENTS.index(sdk)}"
    return ("bash", "-c", hooked(tool)), {"PATH": f"{home.root / 'bin'}:{home.env['PATH']}"}


def hooked(line: str) -> str:
    """What a bash with the hook does at a prompt, and then with `line`."""
    return f'eval "$({BORROW} hook bash --no-completion)"; _borrow_at_prompt; {line}'


@pytest.mark.parametrize("way", ["run", "hook", "profile"])
@pytest.mark.parametrize("sdk", CLIENTS, ids=lambda sdk: sdk.name.replace(" ", "-"))
def test_a_call_is_held_and_goes_through_after_a_yes(place: Home, sdk: Sdk, way: str) -> None:
    need(sdk.missing(), sdk.install)
    need(lacking("bash"), "apt-get install bash")
    command, env = words(place, sdk, way)
    child = place.spawn(*command, session=True, env=REGION | env)
    asked = place.pending("click", seconds=25)
    assert child.poll() is None
    assert place.decide(asked["request"]).status == 200
    code, out, err = finish(child, seconds=60)
    assert code == 0, err
    assert "assumed-role/Admin/" in out
    place.borrow("return", "--all")


@pytest.mark.parametrize("way", ["run", "hook"])
def test_stdin_and_the_exit_code_are_the_commands_own(place: Home, way: str) -> None:
    command: tuple[str, ...] = (BORROW, "run", "click", "--", "sh", "-c", "cat; exit 7")
    if way == "hook":
        command = ("bash", "-c", hooked("cat; cat /nowhere; exit $((6 + $?))"))
    child = place.spawn(*command, session=True, typed=True, env=REGION)
    out, err = child.communicate("a\0b\nc", timeout=60)
    assert (out, child.returncode) == ("a\0b\nc", 7), err
    assert place.asks() == []  # no call was made


def test_ten_profiles_with_sso_and_retries_are_carried_over_without_a_way_around(
    place: Home,
) -> None:
    code = (
        "import os, botocore.session as b, json; s = b.Session();"
        "print(json.dumps([s.full_config['profiles'], open(os.environ['AWS_CONFIG_FILE']).read()]))"
    )
    child = place.spawn(BORROW, "run", "click", "--", sys.executable, "-c", code, session=True)
    status, out, err = finish(child, seconds=60)
    assert status == 0, err
    import json

    profiles, text = json.loads(out)
    assert {"default", "by-click", *(f"p{number}" for number in range(9))} == set(profiles)
    assert profiles["default"]["retry_mode"] == "standard"
    assert str(profiles["default"]["max_attempts"]) == "4"
    for number in range(9):
        one = profiles[f"p{number}"]
        assert (one["region"], one["retry_mode"]) == ("eu-west-1", "adaptive")
        assert str(one["s3"]["max_concurrent_requests"]) == "3"
        assert "borrow" in one["credential_process"]  # refused in the SDK's own error
        assert not {"sso_session", "sso_account_id", "sso_role_name"} & one.keys()
    assert "sso_start_url" not in text
