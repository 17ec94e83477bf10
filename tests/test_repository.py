"""Rules about the repository itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMPONENTS = ("protocol", "policy", "minter", "approver", "daemon", "tray", "cli")


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", pattern], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        return list(ROOT.glob(f"**/{pattern}"))
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_imports_point_one_way() -> None:
    """In a process of its own: import-linter reconfigures logging."""
    code = (
        "from importlinter.cli import lint_imports\n"
        "raise SystemExit(lint_imports(config_filename='pyproject.toml', no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_borrow_stays_a_namespace() -> None:
    assert [p for c in COMPONENTS for p in (ROOT / c / "borrow").glob("*.py")] == []


def test_every_room_is_in_the_wheel_and_under_the_type_checker() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["sources"] == list(COMPONENTS)
    assert wheel["only-include"] == [f"{c}/borrow" for c in COMPONENTS]
    assert set(COMPONENTS) <= set(project["tool"]["mypy"]["files"])


def test_the_lock_names_hashes_and_no_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pins = re.findall(r"^[a-z0-9].*==", lock, re.MULTILINE | re.IGNORECASE)
    assert len(pins) > 50
    assert lock.count("--hash=sha256:") >= len(pins)


def test_no_module_outgrows_its_noun() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in tracked("*.py")
        if path.exists()
        and path.relative_to(ROOT).parts[0] in COMPONENTS
        and (lines := len(path.read_text().splitlines())) > 450
    }
    assert long == {}
