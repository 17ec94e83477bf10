from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.tray.snapshot import program_of, read
from borrow_fakes.tray_states import ask, decision, grant, notice, snapshot, told

ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["grant", "request", "role", "context", "process", "exe", "needs", "at"]
            )
            | st.text(max_size=5),
            below,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def test_what_the_daemon_tells_is_read() -> None:
    known = snapshot(grants=[grant()], asks=[ask()], decisions=[decision()], notices=[notice()])
    assert known.connected
    assert known.enrolled
    assert (known.grants[0].grant, known.grants[0].role) == ("g-1", "dev")
    assert known.asks[0].people == ("bo@example.com",)
    assert (known.waiting[0].program, known.waiting[0].reason) == ("curl", "fix the queue")
    assert (known.notices[0].role, known.notices[0].subject) == ("dev", "g-1")


@given(st.dictionaries(st.sampled_from(sorted(told())), ODD))
def test_whatever_stands_in_the_answer_nothing_breaks(members: dict[str, Any]) -> None:
    read(told(**members))


def test_hostile_text_is_escaped_once_and_cut() -> None:
    hostile = "x\x1b[2J\u202etxt" + "y" * 500
    known = snapshot(decisions=[decision(justification=hostile, person=hostile, role=hostile)])
    for text in (known.waiting[0].reason, known.waiting[0].person, known.waiting[0].role):
        assert not {"\x1b", "\u202e"} & set(text)
        assert "\\u{1b}" in text
        assert len(text) <= 160


@pytest.mark.parametrize("name", ["", "../x", "r 1", "r-1\n", "r" * 65, 7, None])
def test_an_id_that_is_none_makes_no_line_that_could_be_clicked(name: object) -> None:
    known = snapshot(decisions=[decision(request=name)], grants=[grant(grant=name)])
    assert known.waiting == ()
    assert known.grants == ()


def test_a_decided_request_no_longer_waits() -> None:
    assert snapshot(decisions=[decision(state="denied")]).waiting == ()


def test_one_question_from_two_terminals_is_one() -> None:
    assert len(snapshot(asks=[ask(), ask(), ask("r-3")]).asks) == 2


def test_frozen_and_out_of_reach_are_told_apart() -> None:
    assert snapshot(trouble={"state": "frozen", "message": "this device is frozen"}).frozen
    away = snapshot(trouble={"state": "unreachable", "message": "no answer"})
    assert (away.frozen, away.trouble) == (False, "no answer")


@pytest.mark.parametrize(
    ("process", "shown"),
    [
        ({"exe": "/tmp/evil", "argv": ["aws", "s3", "ls"]}, "evil"),
        ({"exe": "/usr/bin/python3.11", "argv": ["python", "deploy/run.py"]}, "python3.11 run.py"),
        ({"exe": "/usr/bin/python3", "argv": "python -c print()"}, "python3"),
        ({"argv": ["aws"]}, ""),
        (None, ""),
        ({"exe": 5}, ""),
    ],
)
def test_a45_the_program_is_what_runs_and_not_what_it_calls_itself(
    process: object, shown: str
) -> None:
    assert program_of(process) == shown
