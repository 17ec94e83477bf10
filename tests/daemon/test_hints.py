"""Every hint of the daemon sets a command apart from its words, so that it can be copied."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import borrow.daemon.app

ROOM = Path(borrow.daemon.app.__file__).parent
_COMMAND = re.compile(r"\b(?:borrow [a-z{]|chmod )")


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


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_a_command_in_a_hint_stands_in_backticks(path: Path) -> None:
    for hint in hints(path):
        assert not _COMMAND.search(re.sub(r"`[^`]*`", "", hint)), hint
