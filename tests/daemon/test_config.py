"""The settings file: strict, private, and kept over a chosen port."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from borrow.daemon.config import DaemonConfig, load_config, save_config, with_port
from borrow.daemon.device import create_device, load_device, require_device
from borrow.daemon.places import StateDir, write_private
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def state() -> Iterator[StateDir]:
    with TemporaryDirectory(prefix="b-") as folder:
        yield StateDir.open(Path(folder, "s"))


def test_what_is_saved_is_loaded_and_private(state: StateDir) -> None:
    config = DaemonConfig(
        "team", "https://approver.example.com", client_id="d-1", person="a", port=1
    )
    save_config(state, config)
    assert load_config(state) == config
    assert (state / "config.json").stat().st_mode & 0o077 == 0


def test_no_file_is_not_enrolled_and_says_what_to_do(state: StateDir) -> None:
    config = load_config(state)
    with pytest.raises(Misconfigured) as caught:
        config.require_enrolled()
    assert "borrow setup" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"mode": "x"}', '{"isuer": ""}', '{"port": "1"}', '{"port": 70000}']
)
def test_anything_else_is_refused_and_names_the_file(state: StateDir, text: str) -> None:
    write_private(state / "config.json", text.encode())
    with pytest.raises(Misconfigured, match=r"config\.json"):
        load_config(state)


def test_the_port_is_chosen_once(state: StateDir) -> None:
    config = with_port(state, DaemonConfig(), 20_001)
    assert load_config(state) == config


def test_keys_are_written_private_and_come_back(state: StateDir) -> None:
    assert load_device(state) is None
    with pytest.raises(Misconfigured):
        require_device(state)
    made = create_device(state)
    found = require_device(state)
    assert found.jwks() == made.jwks()
    assert (state / "device.json").stat().st_mode & 0o077 == 0
    assert repr(found) == "DeviceKeys()"
    write_private(state / "device.json", b'{"sig": {}, "enc": {}}')
    with pytest.raises(Misconfigured, match=r"device\.json"):
        load_device(state)
