"""Every hint sets a command apart from its words, so that it can be copied."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import borrow.approver.desk
import borrow.cli.main
import borrow.daemon.app
import borrow.minter.fatigue
import borrow.policy.load

ROOMS = [
    Path(module.__file__ or "").parent
    for module in (
        borrow.daemon.app,
        borrow.minter.fatigue,
        borrow.approver.desk,
        borrow.policy.load,
        borrow.cli.main,
    )
]
FILES = sorted(path for room in ROOMS for path in room.rglob("*.py"))
_COMMAND = re.compile(r"\b(?:(?<!update )borrow [a-z{]|chmod )")
# A hint of the command line that is itself one command, and no sentence with one in it.
_WHOLE = re.compile(r"(echo .* \| )?(borrow [a-z{]|chmod )[^,;.:]*$")


def hints(path: Path) -> list[str]:
    """Every `hint=` of a module, f-strings with their fields left out as {}."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            value = node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found.append(value.value)
            elif isinstance(value, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in value.values)
                found.append("".join(str(part) for part in parts))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(path.parents[3])))
def test_a_command_in_a_hint_stands_in_backticks(path: Path) -> None:
    for hint in hints(path):
        if "cli" in path.parts and _WHOLE.match(hint):
            continue  # nothing but the corrected line
        assert not _COMMAND.search(re.sub(r"`[^`]*`", "", hint)), hint
