"""Which project files are trusted: this content in this place, and nothing that was not shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from borrow.cli import truststore
from borrow.cli.projectfile import FILE, MAX_FILE
from borrow.cli.truststore import Trust
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from pathlib import Path

    from borrow_fakes.lab import Home

GOOD = b'[commands]\n"tf *" = "read"\n'
EVIL = b'[commands]\n"tf *" = "prod-admin"\n'


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / FILE).write_bytes(GOOD)
    return folder / FILE


def test_a_new_file_chooses_nothing_and_a_trusted_one_what_it_said(state: Path, path: Path) -> None:
    found = truststore.look(state, path)
    assert (found.trust, found.project, found.before) == (Trust.NEW, None, None)
    project = truststore.remember(state, path, found.data)
    again = truststore.look(state, path)
    assert (again.trust, again.project) == (Trust.TRUSTED, project)
    assert truststore.trusted_paths(state) == [str(path)]
    assert truststore.forget(state, path)
    assert not truststore.forget(state, path)
    assert truststore.look(state, path).trust is Trust.NEW


def test_what_is_put_there_between_showing_and_trusting_is_not_trusted(
    state: Path, path: Path
) -> None:
    shown = truststore.look(state, path)
    other = path.with_name("other")
    other.write_bytes(EVIL)
    other.rename(path)
    truststore.remember(state, path, shown.data)
    found = truststore.look(state, path)
    assert (found.trust, found.project) == (Trust.CHANGED, None)
    assert found.before is not None
    assert found.before.role_for(["tf"]) == "read"


def test_a_file_that_is_gone_when_trusted_is_no_fault_and_trusts_what_was_shown(
    state: Path, path: Path
) -> None:
    shown = truststore.look(state, path)
    path.unlink()
    truststore.remember(state, path, shown.data)
    path.write_bytes(EVIL)
    assert truststore.look(state, path).trust is Trust.CHANGED


def test_trust_does_not_move_to_another_place_with_the_same_words(
    state: Path, path: Path, tmp_path: Path
) -> None:
    truststore.remember(state, path, GOOD)
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / FILE).write_bytes(GOOD)
    assert truststore.look(state, tmp_path / "clone" / FILE).trust is Trust.NEW


def test_a_project_behind_another_link_is_asked_about_by_that_name(
    state: Path, path: Path, tmp_path: Path
) -> None:
    truststore.remember(state, path, GOOD)
    (tmp_path / "link").symlink_to(path.parent)
    assert truststore.look(state, tmp_path / "link" / FILE).trust is Trust.NEW


def test_the_nearest_file_counts_also_where_it_is_a_dangling_link(path: Path) -> None:
    inner = path.parent / "a/b"
    inner.mkdir(parents=True)
    assert truststore.find(inner) == path
    (path.parent / "a" / FILE).symlink_to("nowhere")  # hides the trusted one; never read through
    assert truststore.find(inner) == path.parent / "a" / FILE
    assert truststore.find(path.parent / ("x" * 5000)) == path


def test_what_is_no_plain_file_of_bounded_size_is_refused_at_once(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(GOOD)
    makers = (
        lambda: path.symlink_to(target),
        lambda: os.mkfifo(path),
        path.mkdir,
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.write_bytes(b"#" * (MAX_FILE + 1)),
    )
    for make in makers:
        path.rmdir() if path.is_dir() else path.unlink()
        make()
        with pytest.raises(Misconfigured) as caught:
            truststore.read(path)
        assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "kept", [b"", b"[]", b"{}", b'{"v": 1}', b'{"v": 2}', b"\xff", b"[" * 9999]
)
def test_a_damaged_record_of_trust_trusts_nothing(state: Path, path: Path, kept: bytes) -> None:
    truststore.remember(state, path, GOOD)
    stamp = truststore.look(state, path).stamp
    stamp.write_bytes(kept)
    assert truststore.look(state, path).project is None
    truststore.trusted_paths(state)


def test_an_agent_cannot_trust_a_file_for_its_person(path: Path, solo: Home) -> None:
    done = solo.borrow("trust", str(path.parent), "--yes", env={"CLAUDECODE": "1"}, ok=False)
    assert done.returncode != 0
    assert "a coding agent (claude-code) cannot trust a project" in done.stderr
    assert "a person runs `borrow trust`" in done.stderr
    assert solo.borrow("trust", "--list").stdout == ""
    solo.borrow("trust", str(path.parent), "--yes")
    assert solo.borrow("trust", "--list").stdout == f"{path}\n"
    solo.borrow("untrust", str(path.parent))


def test_what_is_shown_before_trust_cannot_draw_on_the_terminal(path: Path, solo: Home) -> None:
    path.write_text("role = 'read' # \u202e\x9b2J\r\n[profiles]\n'\u202e' = 'r'\n")
    done = solo.borrow("trust", str(path.parent), ok=False)  # nobody can be asked
    assert done.returncode != 0
    assert "\\u{202e}" in done.stderr
    assert not {"\u202e", "\x9b", "\x1b", "\r"} & set(done.stderr)
    assert solo.borrow("trust", "--list").stdout == ""
