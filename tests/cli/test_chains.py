"""Which credential wins: our chains against the real botocore's, for whatever is set."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import botocore.exceptions
import botocore.session
import pytest

from borrow.cli.awsconfig import AwsFiles
from borrow.cli.chains import CHAINS, Facts, Family, is_at, is_ours, winner
from borrow.cli.credfiles import has_boto2, profile_of, read_profiles
from borrow.cli.traps import traps

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES: dict[str, dict[str, str]] = {
    "keys": {"AWS_ACCESS_KEY_ID": "AKIAONE", "AWS_SECRET_ACCESS_KEY": "s"},
    "half": {"AWS_ACCESS_KEY_ID": "AKIAONE"},
    "web": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"},
    "profile": {"AWS_PROFILE": "p"},
    "full": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x"},
    "relative": {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"},
}
KEYS = "aws_access_key_id = AKIATWO\naws_secret_access_key = s\n"
FILES = {
    "region": "[default]\nregion = x\n[profile p]\nregion = y\n",
    "static": f"[default]\n{KEYS}[profile p]\nregion = y\n",
    "process": "[default]\ncredential_process = /nowhere\n[profile p]\nregion = y\n",
    "named": f"[profile p]\n{KEYS}[default]\nregion = x\n",
    "other": f"[profile q]\n{KEYS}[profile p]\n",
}
# Asks each provider of the real chain in turn, without letting one reach for the network.
REAL = r"""
import json, os, sys
import botocore.session
from botocore.credentials import create_credential_resolver
from botocore.exceptions import BotoCoreError

class NoNetwork:
    def full_url(self, uri): return uri
    def retrieve_full_uri(self, *a, **k): raise BotoCoreError()

STEPS = {"env": "env", "assume-role-with-web-identity": "web", "container-role": "container",
         "boto-config": "boto2"}
for line in sys.stdin:
    case = json.loads(line)
    for name in [n for n in os.environ if n.startswith(("AWS_", "BOTO_"))]:
        del os.environ[name]
    os.environ.update(case)
    said = ""
    for provider in create_credential_resolver(botocore.session.Session()).providers:
        if hasattr(provider, "_fetcher"):
            provider._fetcher = NoNetwork()
        if provider.METHOD == "iam-role":
            continue
        try:
            found = provider.load()
        except Exception:
            found = True
        if found is not None:
            said = STEPS.get(provider.METHOD, "profile")
            break
    print(said, flush=True)
"""


def cases() -> list[tuple[dict[str, str], str]]:
    chosen = itertools.chain.from_iterable(
        itertools.combinations(VARIABLES, number) for number in range(4)
    )
    sets = [{k: v for name in names for k, v in VARIABLES[name].items()} for names in chosen]
    return list(itertools.product(sets, FILES))


def test_our_chain_ends_where_botocores_does(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".boto").write_text("[Credentials]\naws_access_key_id = A\n")
    all_cases = cases()
    lines = [
        json.dumps(
            variables
            | {"AWS_CONFIG_FILE": str(tmp_path / name), "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
            | {"AWS_EC2_METADATA_DISABLED": "true", "BOTO_CONFIG": "/nowhere"}
        )
        for variables, name in all_cases
    ]
    done = subprocess.run(
        [sys.executable, "-c", REAL],
        input="\n".join(lines),
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    real = done.stdout.splitlines()
    wrong = []
    for (variables, name), said in zip(all_cases, real, strict=True):
        files = AwsFiles(tmp_path / name, tmp_path / "none")
        facts = Facts(
            variables | {"AWS_EC2_METADATA_DISABLED": "true"}, read_profiles(files).by_name
        )
        ours = winner("boto", facts).step
        if ours != said:
            wrong.append((sorted(variables), name, ours, said))
    assert len(real) > 200
    assert not wrong


@pytest.mark.parametrize("family", CHAINS)
def test_every_chain_comes_to_borrow_if_nothing_else_is_there(family: Family) -> None:
    variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:4321/v1/credentials/x"}
    assert winner(family, Facts(variables, port=4321)).ours
    assert not winner(family, Facts(variables, port=4322)).ours
    keys = {"AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": "canary"}
    found = winner(family, Facts(variables | keys, port=4321))
    assert (found.step, found.ours) == ("env", False)
    assert "CANARY" not in found.told
    ours = {"default": {"credential_process": "/opt/bin/borrow credential prod"}}
    assert winner(family, Facts(variables, ours, port=4321)).step == "profile"
    assert winner(family, Facts({}, ours)).ours
    relative = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}
    assert "not Borrow" in winner(family, Facts(variables | relative, port=4321)).told


def test_javascript_passes_keys_over_for_a_named_profile() -> None:
    variables = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "p"}
    profiles = {"p": {"sso_session": "corp"}}
    assert winner("js", Facts(variables, profiles)).step == "profile"
    assert winner("go", Facts(variables, profiles)).step == "env"


@pytest.mark.parametrize("value", ["", "true", "TRUE"])
def test_where_there_is_nothing_the_answer_is_nothing_or_the_machines_own(value: str) -> None:
    found = winner("go", Facts({"AWS_EC2_METADATA_DISABLED": value}))
    assert found.step == ("" if value else "imds")
    ours = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9/"}
    assert winner("go", Facts(ours, port=9, imds_role="work")).ours
    assert not winner("go", Facts(ours, port=9)).ours


def test_the_metadata_switches_matter_while_a_role_is_offered() -> None:
    def told(imds_role: str = "work", **variables: str) -> list[tuple[str, str]]:
        facts = Facts(variables | {"AWS_DEFAULT_REGION": "x"}, port=9, imds_role=imds_role)
        return [(one.what, one.hint) for one in traps(facts, ())]

    off = [("metadata_disabled", "unset AWS_EC2_METADATA_DISABLED")]
    assert told(AWS_EC2_METADATA_DISABLED="true") == off
    assert told("", AWS_EC2_METADATA_DISABLED="true") == []
    hint = "export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9/"
    assert told() == [("metadata_elsewhere", hint)]
    assert told(AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:9/") == []


def test_what_is_at_our_port_is_ours_and_nothing_else() -> None:
    assert is_at("http://127.0.0.1:9/x", 9)
    assert is_at("http://localhost:9/x", 9)
    for url in (
        "http://127.0.0.1:90/x",
        "http://evil.test:9/",
        "http://[::1",
        "",
        "9",
        "http://:x",
    ):
        assert not is_at(url, 9)


def test_a_profile_of_ours_is_known_by_its_program() -> None:
    for command in ("borrow credential x", "/a/b/borrow credential x", '"/a/borrow" credential x'):
        assert is_ours({"credential_process": command})
    for command in ("", "borrow", "borrower credential x", "x borrow credential"):
        assert not is_ours({"credential_process": command})


@pytest.mark.parametrize(
    ("text", "line"),
    [("[x\n", 1), ("nonsense\n", 1), ("[a]\nb\n", 2), ("[p]\n = x\n", 2), ("\0", 1)],
)
def test_a_file_that_is_none_is_said_to_be_broken(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    found = read_profiles(AwsFiles(path, tmp_path / "none"))
    assert found.broken == f"{path}:{line}: not a configuration file"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[profile a]\nregion=x\n[profile a]\n", ":3: [profile a] is there twice"),
        (b"[default]\nregion=x\nREGION=y\n", ":3: [default] has region twice"),
        (b"\xef\xbb\xbf[default]\n", ":1: it begins with a byte order mark"),
        (b"[default]\n# caf\xe9\n", ":2: not UTF-8"),
        (b"[default]\r\nregion = x", ""),
        (b"  [profile a]\n  region = x\n", ""),
    ],
)
def test_what_boto3_gives_up_on_is_said_and_nothing_else(
    tmp_path: Path, data: bytes, why: str
) -> None:
    path = tmp_path / "config"
    path.write_bytes(data)
    assert read_profiles(AwsFiles(path, tmp_path / "none")).broken == (why and f"{path}{why}")
    session = botocore.session.Session()
    session.set_config_variable("config_file", str(path))
    if why:
        with pytest.raises(botocore.exceptions.ConfigParseError):
            session.full_config  # noqa: B018  it reads the file
    else:
        assert session.full_config["profiles"]


def test_the_old_boto_is_looked_at_as_botocore_does(tmp_path: Path) -> None:
    (tmp_path / ".boto").write_text("[Credentials]\naws_access_key_id = A\n")
    assert has_boto2(tmp_path, "")
    assert not has_boto2(tmp_path, str(tmp_path / "none"))
    assert winner("boto", Facts({}, boto2=True)).step == "boto2"
    assert profile_of("profile 'a b'") == "a b"
    assert profile_of("sso-session corp") is None
