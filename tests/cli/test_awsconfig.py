"""Profiles without credentials: every name and setting stays, no way to credentials does."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli.awsconfig import (
    CREDENTIAL_KEYS,
    carry_over,
    default_keys,
    of_user,
    parse,
    read,
    user_files,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
# mine
[default]
region = eu-west-1
credential_process = /bin/leak
[profile prod]
role_arn = arn:aws:iam::1:role/x
source_profile = default
region=us-east-1
s3 =
    max_concurrent_requests = 20
    role_arn = not a credential here
output = json
[sso-session corp]
sso_start_url = https://corp.example.com
[services mine]
s3 =
  endpoint_url = http://localhost:9000
"""
CREDENTIALS = """\
[default]
aws_access_key_id = AKIACANARY
aws_secret_access_key = s3cr3t
[ci]
aws_access_key_id = AKIACANARY2
region = eu-north-1
"""


def test_names_and_settings_stay_and_ways_to_credentials_do_not() -> None:
    text = carry_over(CONFIG, CREDENTIALS)
    for kept in (
        "[default]",
        "region = eu-west-1",
        "[profile prod]",
        "region=us-east-1",
        "max_concurrent_requests = 20",
        "output = json",
        "[profile ci]",
        "region = eu-north-1",
        "[services mine]",
        "endpoint_url = http://localhost:9000",
    ):
        assert kept in text
    for gone in ("CANARY", "s3cr3t", "leak", "source_profile", "sso_start_url", "sso-session"):
        assert gone not in text


def test_a_file_that_is_indented_as_a_whole_is_read_as_botocore_does() -> None:
    text = "  [profile a]\n  region = x\n  s3 =\n    use_accelerate = true\n  [profile b]\n"
    parsed = parse(text + "  aws_secret_access_key = s3cr3t\n  output = json\n", "")
    assert (list(parsed.profiles), parsed.odd) == (["a", "b"], ())
    told = parsed.text()
    assert "[profile a]\nregion = x\ns3 =\n  use_accelerate = true\n" in told
    assert "[profile b]\noutput = json\n" in told
    assert "s3cr3t" not in told


def test_a_nul_in_a_file_is_no_part_of_a_variable(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"[default]\nregion = x\0\n")
    assert "\0" not in read(tmp_path / "config")


def test_a_nested_key_belongs_to_the_key_above_it() -> None:
    """`role_arn` under `s3 =` is a setting; a continuation of a dropped key is dropped with it."""
    assert "role_arn = not a credential here" in carry_over(CONFIG, "")
    dropped = "[default]\ncredential_process = /bin/leak\n    --more secrets\nregion = x\n"
    assert "secrets" not in carry_over(dropped, "")


def test_a_credential_is_no_nested_key_of_anything() -> None:
    text = "[profile x]\nregion =\n  aws_secret_access_key = canary\ns3 =\n  max_queue_size = 1\n"
    carried = carry_over(text, "")
    assert "canary" not in carried
    assert "  max_queue_size = 1" in carried


@pytest.mark.parametrize("name", ["a b", "it's", "plain", "a.b@c", "é x"])
def test_a_profile_with_any_name_is_found_again(name: str, tmp_path: Path) -> None:
    """An unquoted name with a space stops botocore from reading the whole file."""
    source = tmp_path / "source"
    source.write_bytes(f'\ufeff[profile "{name}"]\r\nregion = eu-west-1\r\n'.encode())
    written = tmp_path / "config"
    written.write_text(carry_over(read(source), f"[{name}]\naws_access_key_id = canary\n"))
    session = botocore.session.Session(
        profile=name, session_vars={"config_file": (None, None, str(written), None)}
    )
    assert session.get_config_variable("region") == "eu-west-1"


def test_the_active_profiles_settings_become_the_defaults() -> None:
    text = carry_over(CONFIG, CREDENTIALS, active="prod")
    default = text.partition("[profile")[0]
    assert "region=us-east-1" in default
    assert "output = json" in default


def test_botocore_reads_what_was_written(tmp_path: Path) -> None:
    import botocore.configloader

    path = tmp_path / "config"
    path.write_text(carry_over(CONFIG, CREDENTIALS))
    profiles = botocore.configloader.load_config(str(path))["profiles"]
    assert set(profiles) == {"default", "prod", "ci"}
    assert profiles["prod"]["region"] == "us-east-1"
    assert profiles["prod"]["s3"]["max_concurrent_requests"] == "20"


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=10))
def test_any_text_is_carried_over_without_a_credential_key(a: str, b: str, active: str) -> None:
    text = carry_over(a, b, active)
    assert not default_keys(text, "") & CREDENTIAL_KEYS


LINES = [
    *(f"{key} = canary" for key in sorted(CREDENTIAL_KEYS)),
    *("Aws_Access_Key_Id=canary", "region = x", "  more = deeper", "s3 =", "", "# c"),
    *("[default]", "[profile a]", "[b]"),
]


@given(st.lists(st.sampled_from(LINES)))
def test_no_arrangement_of_lines_lets_a_credential_key_through(lines: list[str]) -> None:
    text = carry_over("\n".join(lines), "\n".join(lines))
    assert "canary" not in text
    assert ("more = deeper" in text) <= ("  more = deeper" in lines)


def test_what_follows_a_line_that_is_none_is_dropped_with_it() -> None:
    parsed = parse("[default]\nsession token: x\n  more = canary\nregion = x\n", "")
    assert parsed.odd == (2,)
    assert "canary" not in parsed.text()
    assert parsed.default.value("region") == "x"


def test_copies_are_private_named_by_content_and_written_once(tmp_path: Path) -> None:
    home, run = tmp_path / "home", tmp_path / "run"
    (home / ".aws").mkdir(parents=True)
    run.mkdir()
    (home / ".aws/config").write_text(CONFIG)
    (home / ".aws/credentials").write_text(CREDENTIALS)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    text = of_user({}, home).text()
    first = write(run, text)
    assert write(run, text) == first
    for path in first:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"CANARY" not in path.read_bytes()
    assert len(list(run.iterdir())) == 2
    assert {path: path.read_bytes() for path in before} == before  # ~/.aws is never touched


def test_another_profiles_region_is_not_given_to_the_one_in_use() -> None:
    text = "[default]\nregion = eu-west-1\n[profile bare]\noutput = json\n"
    assert parse(text, "", "bare").default.value("region") == ""
    assert parse(text, "").default.value("region") == "eu-west-1"


def test_what_a_profile_wanted_is_known_and_not_written() -> None:
    config = parse("[profile p]\nrole_arn = arn:x ; prod\nborrow_role = dev-read\n", "")
    assert config.profiles["p"].ways == {"role_arn": "arn:x", "borrow_role": "dev-read"}
    assert "arn:x" not in config.text()
    assert "[profile p]\ncredential_process = /x y\n" in config.text(processes={"p": "/x y"})


def test_the_users_own_choice_of_files_is_followed(tmp_path: Path) -> None:
    files = user_files({"AWS_CONFIG_FILE": "~/other"}, tmp_path)
    assert files.config == tmp_path / "other"
    assert files.credentials == tmp_path / ".aws/credentials"
    assert os.fspath(user_files({}, tmp_path).config).endswith(".aws/config")


def test_lines_that_are_no_configuration_are_counted_and_left_out() -> None:
    config = (
        "stray = 1\n[profile a]\nregion = eu-west-1\nnonsense\n# why\n[broken\nretry_mode = x\n"
    )
    theirs = parse(config, "nonsense here too\n")
    assert theirs.odd == (1, 4, 6)
    assert "nonsense" not in theirs.text()
    assert "stray" not in theirs.text()
    assert parse("[default]\n\n; none\nregion = x\n", "").odd == ()
