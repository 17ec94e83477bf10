"""The wheel as people install it: what is no Python is in it too."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "approver/borrow/approver/pages"


def test_the_pages_templates_and_files_are_in_the_wheel(tmp_path: Path) -> None:
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    line = [sys.executable, "-c", build, str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        held = set(wheel.namelist())
    wanted = [
        f"borrow/approver/pages/{path.relative_to(PAGES)}"
        for folder in ("templates", "static")
        for path in (PAGES / folder).iterdir()
    ]
    assert len(wanted) > 12
    assert set(wanted) <= held
