"""M's keys lie in 0600 files, are made once, and are refused when others could read them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from borrow.minter.secret_files import ENC_FILE, SIG_FILE, load_or_create, load_or_create_key
from borrow.protocol.errors import Misconfigured
from borrow.protocol.keys import thumbprint

if TYPE_CHECKING:
    from pathlib import Path


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    first, again = load_or_create(tmp_path), load_or_create(tmp_path)
    assert thumbprint(first.sig) == thumbprint(again.sig)
    assert thumbprint(first.enc) == thumbprint(again.enc)
    assert thumbprint(first.sig) != thumbprint(first.enc)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {SIG_FILE: 0o600, ENC_FILE: 0o600}


@pytest.mark.parametrize("damage", ["mode", "link", "folder", "empty", "garbage"])
def test_a_key_file_that_is_not_as_it_must_be_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "key.json"
    load_or_create_key(path)
    match damage:
        case "mode":
            path.chmod(0o640)
        case "link":
            path.rename(tmp_path / "real")
            path.symlink_to(tmp_path / "real")
        case "folder":
            path.unlink()
            path.mkdir(mode=0o700)
        case "empty":
            path.write_bytes(b"")
        case _:
            path.write_bytes(b'{"kty": "oct", "k": "c2VjcmV0"}')
    with pytest.raises(Misconfigured) as raised:
        load_or_create_key(path)
    assert "key.json" in raised.value.message
    assert "c2VjcmV0" not in raised.value.message


def test_two_first_starts_agree_on_one_key(tmp_path: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(2)

    def run() -> None:
        start.wait()
        found.append(thumbprint(load_or_create_key(tmp_path / "key.json")))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 2
    assert len(set(found)) == 1


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        load_or_create(tmp_path / "nowhere")
