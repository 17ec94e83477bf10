"""`borrow run`: what the command finds of the user's configuration, and what is refused first."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.solo_mode import refused_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from borrow_fakes.lab import Home

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
READ, ADMIN = (f"arn:aws:iam::111122223333:role/{name}" for name in ("Read", "Admin"))
CONFIG = f"""\
[default]
region = eu-west-1
retry_mode = adaptive
max_attempts = 7
[sso-session corp]
sso_start_url = https://corp.example.com/start
sso_region = eu-west-1
[profile one]
role_arn = {READ}
source_profile = default
[profile two]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Read
region = us-west-2
[profile three]
sso_session = corp
sso_account_id = 999999999999
sso_role_name = Read
[profile four]
credential_process = /bin/leak
s3 =
  max_concurrent_requests = 20
[profile five]
output = text
cli_pager =
[profile six]
region = eu-north-1
retry_mode = standard
[profile dev-read]
credential_process = /bin/leak
[profile eight]
role_arn = {ADMIN}
source_profile = one
[profile nine]
use_fips_endpoint = true
borrow_role = dev-read
role_arn = arn:aws:iam::1:role/renamed
"""
CREDENTIALS = "[ten]\naws_access_key_id = AKIACANARY\naws_secret_access_key = canary\n"


@pytest.fixture
def ten(solo: Home) -> Iterator[Home]:
    """A user with ten profiles, an SSO session and retry settings."""
    aws = solo.root / "home/.aws"
    aws.mkdir(exist_ok=True)
    (aws / "config").write_text(CONFIG)
    (aws / "credentials").write_text(CREDENTIALS)
    yield solo
    for path in aws.iterdir():
        path.unlink()


def who(home: Home, profile: str, *, run_as: str = "click") -> str:
    """What boto3 says of a profile inside a run: its credentials' source, or its error."""
    code = (
        "import boto3, sys\n"
        "try:\n"
        f"    found = boto3.Session(profile_name={profile!r}).get_credentials()\n"
        "    print(found.method, found.get_frozen_credentials().access_key)\n"
        "except Exception as exc:\n"
        "    print(exc)\n"
    )
    return home.borrow("run", run_as, "--", sys.executable, "-c", code).stdout


@pytest.mark.parametrize("profile", ["one", "two", "dev-read", "nine"])
def test_a_profile_of_the_catalogue_is_served_as_its_own_role(ten: Home, profile: str) -> None:
    assert who(ten, profile).startswith("custom-process ASIAFAKE")
    assert ten.asks() == []  # `click`, which the run is for, was not asked for


@pytest.mark.parametrize("profile", ["three", "four", "ten"])
def test_a_profile_of_no_role_is_refused_with_the_line_that_helps(ten: Home, profile: str) -> None:
    told = who(ten, profile)
    assert f"the profile '{profile}' has keys of its own" in told
    assert f"borrow run click --profile {profile} -- COMMAND" in told
    assert "CANARY" not in told


def test_settings_and_the_named_profile_take_the_borrowed_role(ten: Home) -> None:
    for profile in ("five", "six", "one"):  # one's role is the run's own
        assert who(ten, profile, run_as="dev-read").startswith("container-role ASIAFAKE")
    done = ten.borrow("run", "dev-read", "--profile", "ten", "--", sys.executable, "-c", SHOW)
    assert "AKIACANARY" not in done.stdout
    code = "import boto3; print(boto3.Session(profile_name='ten').get_credentials().method)"
    done = ten.borrow("run", "dev-read", "--profile", "ten", "--", sys.executable, "-c", code)
    assert done.stdout == "container-role\n"


def test_every_name_and_setting_of_ten_profiles_is_there(ten: Home) -> None:
    code = (
        "import botocore.session as s, json\n"
        "full = s.Session().full_config['profiles']\n"
        "print(json.dumps(full))"
    )
    profiles = json.loads(ten.borrow("run", "dev-read", "--", sys.executable, "-c", code).stdout)
    named = {"default", "one", "two", "three", "four", "five", "six", "dev-read", "eight", "nine"}
    assert set(profiles) == named | {"ten"}
    assert (profiles["default"]["retry_mode"], profiles["default"]["max_attempts"]) == (
        "adaptive",
        "7",
    )
    assert profiles["four"]["s3"]["max_concurrent_requests"] == "20"
    assert profiles["nine"]["use_fips_endpoint"] == "true"
    assert profiles["two"]["region"] == "us-west-2"
    left = {key for each in profiles.values() for key in each}
    assert not left & {"role_arn", "source_profile", "sso_session", "aws_access_key_id"}


def env_of(home: Home, *words: str, **env: str) -> dict[str, str]:
    done = home.borrow("run", *words, "--", sys.executable, "-c", SHOW, env=env)
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def test_regions_of_other_profiles_are_not_hidden_by_a_variable(ten: Home) -> None:
    assert "AWS_REGION" not in env_of(ten, "dev-read")
    code = "import boto3; print(boto3.Session(profile_name='six').region_name)"
    done = ten.borrow("run", "dev-read", "--", sys.executable, "-c", code)
    assert done.stdout == "eu-north-1\n"
    env = env_of(ten, "dev-read", AWS_DEFAULT_REGION="ap-south-1")
    assert (env["AWS_REGION"], env["AWS_DEFAULT_REGION"]) == ("ap-south-1", "ap-south-1")


def test_no_region_is_refused_before_anybody_is_asked(solo: Home) -> None:
    error, hint = refused_with(solo.borrow("run", "click", "--", "aws", "s3", "ls", ok=False), 1)
    assert "no region is set" in error
    assert "AWS_REGION=REGION" in hint
    _, hint = refused_with(solo.borrow("run", "ticketed", "--", "aws", "s3", "ls", ok=False), 1)
    assert "REGION" in hint
    assert solo.asks() == []
    done = solo.borrow("run", "click", "--", "true")
    assert done.stderr == "borrow: no region is set; set AWS_REGION if the command wants one\n"


def test_proxies_never_see_the_endpoint_and_php_waits(solo: Home) -> None:
    env = env_of(solo, "dev-read", HTTP_PROXY="http://proxy.example:3128", NO_PROXY="corp.example")
    assert env["NO_PROXY"] == env["no_proxy"] == "corp.example,127.0.0.1,localhost"
    assert env["AWS_METADATA_SERVICE_TIMEOUT"] == "150"
    assert env["AWS_CSM_ENABLED"] == "true"


def test_an_agents_run_is_a_caller_group_of_its_own(solo: Home) -> None:
    code = "import boto3; boto3.Session().get_credentials().access_key"
    words = ("run", "dev-read", "--agent", "helper", "--", sys.executable, "-c", code)
    done = solo.borrow(*words, ok=False)
    assert "an agent is not granted 'dev-read' without a person's yes" in done.stderr
    assert env_of(solo, "dev-read", "--agent", "helper")["AI_AGENT"] == "helper"


def test_a_dry_run_shows_what_would_be_set_and_makes_no_token(ten: Home) -> None:
    kept = ten.state / "bearers.json"
    before = kept.read_bytes() if kept.exists() else b""
    done = ten.borrow(
        "run", "dev-read", "--dry-run", "--", "aws", "s3", "ls", env={"AWS_PROFILE": "six"}
    )
    assert "set      AWS_CONTAINER_AUTHORIZATION_TOKEN=(a token" in done.stdout
    assert "unset    AWS_PROFILE\n" in done.stdout
    assert "profile  ten: refused, no role of yours is known for it\n" in done.stdout
    assert "profile  one: dev-read\n" in done.stdout
    assert "canary" not in done.stdout
    assert (kept.read_bytes() if kept.exists() else b"") == before


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("aws s3 ls", "borrow run ROLE -- aws s3 ls"),
        ("dev-read aws s3 ls", "borrow run dev-read -- aws s3 ls"),
        ("--agent bot dev-read aws s3 ls", "borrow run --agent bot dev-read -- aws s3 ls"),
        ("-- aws s3 ls", "borrow run ROLE -- aws s3 ls"),
        ("dev-read --", "borrow run dev-read -- COMMAND"),
        ("dev-read dev-read -- true", None),
        ("dev-read --for soon -- true", None),
    ],
)
def test_wrong_order_comes_back_as_what_was_meant(
    solo: Home, typed: str, meant: str | None
) -> None:
    _, hint = refused_with(solo.borrow("run", *typed.split(" "), ok=False), 2)
    if meant is not None:
        assert hint == meant


def test_a_broken_aws_config_does_not_stop_a_run(solo: Home, tmp_path: Path) -> None:
    broken = tmp_path / "config"
    broken.write_bytes(b"\xff\xfe[profile\nregion\n[profile a]\nsource_profile = b\nregion = x\n")
    env = env_of(solo, "dev-read", AWS_CONFIG_FILE=str(broken))
    assert env["AWS_CONFIG_FILE"] != str(broken)


def test_a_line_that_is_no_aws_config_is_told_once_in_one_line(solo: Home, tmp_path: Path) -> None:
    broken = tmp_path / "con\x1bfig"
    broken.write_text("[default]\nregion = eu-west-1\nthis is nothing\n[profile\n")
    done = solo.borrow("run", "dev-read", "--", "true", env={"AWS_CONFIG_FILE": str(broken)})
    [line] = done.stderr.splitlines()
    assert line.endswith("line 3 (and 1 more) is no AWS configuration and was left out")
    assert "\x1b" not in line
