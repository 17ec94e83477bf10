"""The line of a key, in every notation TOML has for it."""

from __future__ import annotations

import pytest

from borrow.policy.lines import Lines, Path

TEXT = '''\
# a = 1
top = 1
"quo.ted" = 2
dotted.in.line = 3
many = [
  "]", # "not the end
  'x = 1',
]
long = """
fake = 1
[fake]
\\""" still ""inside"" """
raw = \'\'\'
[[fake]]
it's\'\'\'\'
[table]
inline = { one = 1, two = [1,
  2] }
[table."sub table"]
  key = 1
[[list]]
name = "first"
[[list]]
name = "second"
[list.child]
key = 1
[[list.inner]]
key = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("quo.ted",), 3),
        (("dotted", "in", "line"), 4),
        (("dotted",), 4),
        (("many",), 5),
        (("many", 1), 5),
        (("long",), 9),
        (("raw",), 13),
        (("table",), 16),
        (("table", "inline"), 17),
        (("table", "inline", "two"), 17),
        (("table", "sub table"), 19),
        (("table", "sub table", "key"), 20),
        (("list",), 21),
        (("list", 0, "name"), 22),
        (("list", 1), 23),
        (("list", 1, "name"), 24),
        (("list", 1, "child", "key"), 26),
        (("list", 1, "inner", 0, "key"), 28),
        (("fake",), 0),
        ((), 0),
    ],
)
def test_a_key_is_found_where_it_stands(path: Path, line: int) -> None:
    assert Lines(TEXT).find(path) == line


def test_windows_line_ends_count_once() -> None:
    assert Lines("a = 1\r\n\r\n[t]\r\nb = 2\r\n").find(("t", "b")) == 4


def test_what_is_no_toml_ends_the_scan_and_nothing_else() -> None:
    lines = Lines("a = 1\n!!!\nb = 2\n")
    assert (lines.find(("a",)), lines.find(("b",))) == (1, 0)
