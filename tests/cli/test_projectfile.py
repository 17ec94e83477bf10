"""What a `.borrow.toml` may say, and all that is refused in one line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli.projectfile import MAX_FILE, MOST, fits, parse
from borrow.protocol.errors import Misconfigured


def refused(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(Misconfigured) as caught:
        parse(data)
    message = caught.value.message
    assert message.isprintable()
    assert len(message) < 400
    assert caught.value.hint
    return message


def test_the_pattern_with_most_letters_wins_and_options_before_the_word_are_passed_over() -> None:
    project = parse(b'role = "all"\n[commands]\n"tf *" = "read"\n"tf apply*" = "write"\n')
    assert project.programs() == ("tf",)
    assert project.role_for(["tf", "plan"]) == "read"
    assert project.role_for(["tf"]) == "read"
    assert project.role_for(["/usr/bin/tf", "-chdir=x", "apply", "-auto"]) == "write"
    assert project.role_for(["tfx"]) == "all"


@pytest.mark.parametrize(
    "name",
    ["cd", "borrow", "exec", "eval", "sudo", "doas", "if", "bash", "precmd", "preexec", "prompt",
     "TRAPDEBUG", "fish_prompt", "command_not_found_handle", "command_not_found_handler"],
)  # fmt: skip
def test_a_name_that_steers_the_shell_gets_no_role(name: str) -> None:
    assert "belongs to the shell" in refused(f'[commands]\n"{name} *" = "r"\n')


@pytest.mark.parametrize(
    "name",
    ["[", "../x", "/bin/ls", "", " ", ".", ":", "-x", "_x", "a;b", "$(id)", "`id`", "a=b", "*",
     "a\\nb", "a\\tb", "é", "\\u202Etf", "tf\\u001b[2J", "a'b", "x" * 65],
)  # fmt: skip
def test_what_is_no_plain_name_of_a_program_gets_no_role(name: str) -> None:
    assert "plain name" in refused(f'[commands]\n"{name}" = "r"\n')


@pytest.mark.parametrize(
    "rest", ["\\u001b[2Japply", "a\\nb", "\\u202Eapply", "a\\u0000", "x" * 300]
)
def test_a_command_that_would_draw_or_never_ends_is_refused_and_escaped(rest: str) -> None:
    assert "cannot be a command" in refused(f'[commands]\n"tf {rest}" = "r"\n')


@pytest.mark.parametrize(
    "text",
    [
        'role = "a"\nrole = "b"\n',  # two words for one thing
        '[commands]\n"a" = "r"\n"a" = "s"\n',
        "[commands]\n[commands]\n",
        "role = " + "[" * 20_000,
        "role" + ".a" * 20_000 + " = 1\n",
        "[commands]\na" + ".a" * 20_000 + " = 1\n",
        "role = " + "9" * 5_000,
        'role = "\\u001b]0;x\\u0007"',
        'role = "Dev Read"',
        "role = true",
        "role = 1979-05-27",
        "commands = 1",
        '[profiles]\nprod = ["a"]\n',
        "\u202e = 1",
        '"\\u001b[2J" = 1',
        "[borrow]\n",
        b"\xff\xfe",
        b"\0",
        b"\xef\xbb\xbfrole = 1",
        b"#" * (MAX_FILE + 1),
        "[commands]\n" + "".join(f'"a{number}" = "r"\n' for number in range(MOST + 1)),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant_is_refused_in_one_printable_line(text: str | bytes) -> None:
    refused(text)


@given(st.text("ab *?", min_size=1, max_size=8), st.text("ab *?", max_size=12))
def test_a_pattern_fits_what_the_same_regular_expression_matches(pattern: str, line: str) -> None:
    head = pattern.removesuffix(" *")
    parts = [{"*": ".*", "?": "."}.get(each, re.escape(each)) for each in head]
    whole = "".join(parts) + ("( .*)?" if head != pattern else "")
    assert fits(pattern, line) == bool(re.fullmatch(whole, line, re.DOTALL))


def test_a_pattern_of_many_stars_takes_no_long_time() -> None:
    assert not fits("a*" * 60 + "b", "a" * 4_000)
