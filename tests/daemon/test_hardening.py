"""The daemon's request to the kernel; that it holds is in tests/abuse (A40, A41)."""

import subprocess
from pathlib import Path

from borrow.daemon import hardening
from borrow_fakes.edge import SYSTEM_PYTHON
from borrow_fakes.tools import lacking, need

ASK = """
import resource, sys
source = {}
exec(sys.argv[1], source)
before = source["is_dumpable"]()
print(before, source["protect_process"](), source["is_dumpable"]())
print(resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_a_protected_process_says_so() -> None:
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    source = Path(hardening.__file__).read_text("utf-8")
    done = subprocess.run(
        [SYSTEM_PYTHON, "-I", "-c", ASK, source], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["True True False", "(0, 0)"]


def test_it_needs_the_standard_library_only() -> None:
    assert "import borrow" not in Path(hardening.__file__).read_text("utf-8")
