"""A watched policy: changed for the better at once, for the worse never."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from borrow.cli.cloud import CloudSettings, make_driver, parse_cloud
from borrow.cli.policyfile import PolicyFile
from borrow.cli.server import read_settings
from borrow.protocol.errors import Misconfigured
from borrow.protocol.keys import new_key
from borrow_fakes.solo_mode import POLICY

if TYPE_CHECKING:
    from pathlib import Path

    from borrow.minter.basekeys import BaseKeys

WORSE = {
    "not TOML": "=",
    "a failing test": POLICY.replace('mode = "self" }\n', 'mode = "auto" }\n', 1).replace(
        'expect = { rule = "admins", mode = "self" }', 'expect = { mode = "auto" }'
    ),
    "an unknown role": POLICY.replace('roles = ["click"]', 'roles = ["clack"]'),
    "nothing": "",
}


def put(path: Path, text: str) -> None:
    """Replace in one step, as editors do."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_a_better_policy_is_in_use_at_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    put(path, POLICY)
    file = PolicyFile(path)
    first = file.current()
    assert file.current() is first
    put(path, POLICY.replace("dev-read", "dev-look"))
    assert "dev-look" in file.current().roles


@pytest.mark.parametrize("text", ["not TOML", "a failing test", "an unknown role"])
def test_a_worse_policy_is_never_in_use_and_said_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "policy.toml"
    put(path, POLICY)
    file = PolicyFile(path)
    first = file.current()
    put(path, WORSE[text])
    with caplog.at_level(logging.ERROR, logger="borrow.cli.policyfile"):
        assert file.current() is first
    assert "stays in force" in caplog.text
    assert file.trouble() is not None
    caplog.clear()
    assert file.current() is first
    assert caplog.text == ""  # once, not at every request
    put(path, POLICY)
    assert file.trouble() is None


def test_a_policy_that_is_gone_stays_in_force_and_the_first_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    with pytest.raises(Misconfigured, match="no policy file"):
        PolicyFile(path)
    put(path, POLICY)
    file = PolicyFile(path)
    first = file.current()
    path.unlink()
    assert file.current() is first


@pytest.mark.parametrize("text", list(WORSE))
def test_the_first_policy_has_nothing_to_fall_back_on(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.toml"
    put(path, WORSE[text])
    if text == "nothing":
        assert not PolicyFile(path).current().roles
        return
    with pytest.raises(Misconfigured):
        PolicyFile(path)


@pytest.mark.parametrize(
    "table",
    [{"driver": "x"}, {"drivr": "fake"}, {"region": 3}, {"driver": "web-identity"}],
)
def test_a_cloud_table_that_is_wrong_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(Misconfigured) as raised:
        parse_cloud(table, "cloud.toml")
    assert raised.value.message.startswith("cloud.toml: ")
    assert raised.value.hint


@pytest.mark.parametrize("driver", ["fake", "assume-role", "web-identity"])
def test_each_driver_that_is_allowed_can_be_made(driver: str) -> None:
    class NoKeys:
        def load(self) -> BaseKeys:
            raise AssertionError

    settings = parse_cloud({"driver": driver, "issuer_b": "https://b.example.com"}, "x")
    assert settings == CloudSettings(driver, issuer="https://b.example.com")
    made = make_driver(settings, keys=NoKeys(), issuer_key=new_key(), clock=lambda: 0.0)
    assert callable(made.mint)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "issuer = 3",
        'issuer = "http://borrow.example.com"',
        'issuer = "https://x.example.com"\nport = "a"',
        'issuer = "https://x.example.com"\nport = true',
        'issuer = "https://x.example.com"\nwebhooks = "https://y"',
        'issuer = "https://x.example.com"\ntls_cert = "a.pem"',
        'issuer = "https://x.example.com"\ncloud = 1',
        'issuer = "https://x.example.com"\n[cloud]\ndriver = "x"',
        'isuer = "https://x.example.com"',
        'issuer = "https://x.example.com"\npush_contact = "ann"',
        'issuer = "https://x.example.com"\npush_allow_hosts = "ntfy.internal"',
        'issuer = "https://x.example.com"\npush_allow_hosts = ["https://ntfy.internal"]',
        'issuer = "https://x.example.com"\nchannels = 1',
        'issuer = "https://x.example.com"\n[channels]\n"a@example.com" = "https://n.example.com"',
        'issuer = "https://x.example.com"\n[channels."a@example.com"]\nntfy = "https://10.0.0.1/x"',
        "[[[",
    ],
)
def test_server_settings_that_are_wrong_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "server.toml"
    path.write_text(text)
    os.chmod(path, 0o600)  # noqa: PTH101  shorter
    with pytest.raises(Misconfigured) as raised:
        read_settings(path)
    assert raised.value.message.startswith("server.toml")
    assert raised.value.hint


def test_ways_to_people_are_read_with_the_hosts_that_may_be_private(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(
        'issuer = "https://x.example.com"\n'
        'push_contact = "mailto:ops@example.com"\n'
        'push_allow_hosts = ["ntfy.internal:8443", "10.0.0.7"]\n'
        '[channels."Ann@example.com"]\nntfy = "https://ntfy.internal:8443/topic"\n'
    )
    path.chmod(0o600)
    reach = read_settings(path).reach
    assert reach.contact == "mailto:ops@example.com"
    assert reach.ways["ann@example.com"].ntfy == "https://ntfy.internal:8443/topic"
    assert reach.allow_hosts == ("ntfy.internal:8443", "10.0.0.7")
