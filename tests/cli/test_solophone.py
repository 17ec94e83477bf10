"""Solo mode's phone: what is published, which presses count, and a server that goes away."""

from __future__ import annotations

import json
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest

from borrow.cli.phonefile import read_phone, reply_topic
from borrow.protocol.errors import Misconfigured
from borrow_fakes.lab import Home, home, wait_for
from borrow_fakes.ntfy import Message, Ntfy, press
from borrow_fakes.solo_mode import ME, POLICY, refused_with, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def role(name: str, tier: str, approve: str) -> str:
    return f"""
[roles.{name}]
aws = "arn:aws:iam::111122223333:role/{name}"
tier = "{tier}"
[[rule]]
id = "{name}"
who = ["{ME}"]
roles = ["{name}"]
approve = {{ mode = "self", {approve} }}
"""


LOW = ("one", "two", "three", "four", "five")
CONSENT = 'factor = ["consent", "totp"], match = true'
ROLES = POLICY + "".join(
    (
        *(role(name, "low", CONSENT) for name in LOW),
        role("normal", "normal", CONSENT),
        role("codes", "low", 'factor = ["totp", "passkey"], match = true'),
        role("loose", "low", 'factor = ["consent"]'),
    )
)


@pytest.fixture(scope="module")
def ntfy() -> Iterator[Ntfy]:
    with Ntfy() as running:
        yield running


@pytest.fixture(scope="module")
def solo(ntfy: Ntfy) -> Iterator[Home]:
    with home() as one:
        set_up(one, ROLES)
        one.borrow("daemon", "stop", ok=False)
        file = one.state / "phone.toml"
        file.write_text(
            f'ntfy = "{ntfy.url}/mine"\nntfy_token = "tk_abc"\n'
            f'allow_hosts = ["127.0.0.1:{ntfy.port}"]\n'
        )
        file.chmod(0o600)
        yield one.start()


def ask(one: Home, name: str, **env: str) -> dict[str, Any]:
    one.borrow("ask", name, "-m", "for the test", env=env)
    return one.pending(name)


def question(ntfy: Ntfy, seen: int) -> Message:
    """The one that comes after the `seen` first questions."""

    def one() -> Message | None:
        asked = [each for each in ntfy.messages["mine"] if each.actions]
        return asked[seen] if len(asked) > seen else None

    return wait_for(one, why="a question on the phone")


def asked(ntfy: Ntfy) -> int:
    return sum(1 for each in ntfy.messages["mine"] if each.actions)


def state(one: Home, request: str) -> str:
    return str(one.control("GET", f"/v1/explain/{request}").body["request"]["state"])


def now_shown(ntfy: Ntfy, message: Message) -> str:
    return next(m.title for m in ntfy.shown("mine") if m.sequence == message.sequence)


def reply(message: Message) -> str:
    return str(message.actions[0]["url"]).rpartition("/")[2]


def test_the_message_says_nothing_and_has_the_number_among_three(solo: Home, ntfy: Ntfy) -> None:
    before = asked(ntfy)
    pending = ask(solo, "one")
    message = question(ntfy, before)
    labels = [each["label"] for each in message.actions]
    assert len(set(labels)) == 3
    assert pending["number"] in labels
    assert all(re.fullmatch("[0-9]{3}", each) for each in labels)
    assert all("headers" not in each for each in message.actions)  # our token stays with us
    said = json.dumps([message.title, message.text, message.sequence, message.actions])
    for secret in ("one", ME, pending["request"], "for the test", "tk_abc", "Role"):
        assert not re.search(rf"\b{re.escape(secret)}\b", said), secret
    assert message.headers["Authorization"] == ntfy.listened[0]["Authorization"] == "Bearer tk_abc"
    name = (solo.state / "phone.reply").read_text().strip()
    assert reply(message) == name
    assert stat.S_IMODE((solo.state / "phone.reply").stat().st_mode) == 0o600
    assert solo.decide(pending["request"], "deny").status == 200
    wait_for(lambda: now_shown(ntfy, message) == "Nothing to do any more", why="its withdrawal")
    press(next(a for a in message.actions if a["label"] == pending["number"]))  # too late
    assert state(solo, pending["request"]) == "denied"


def test_nothing_but_a_low_role_of_a_person_with_match_and_consent_is_published(
    solo: Home, ntfy: Ntfy
) -> None:
    before = asked(ntfy)
    others = [ask(solo, name)["request"] for name in ("normal", "codes", "loose")]
    agents = ask(solo, "two", CLAUDECODE="1")["request"]
    pending = ask(solo, "three")  # asked last, published: so the others would have been, too
    message = question(ntfy, before)
    assert pending["number"] in [each["label"] for each in message.actions]
    assert asked(ntfy) == before + 1
    for request in (*others, agents, pending["request"]):
        solo.decide(request, "deny")
    wait_for(lambda: now_shown(ntfy, message) != message.title, why="its withdrawal")
    assert asked(ntfy) == before + 1


def test_only_a_button_counts_and_once(solo: Home, ntfy: Ntfy) -> None:
    before = asked(ntfy)
    pending = ask(solo, "four")
    message = question(ntfy, before)
    topic = reply(message)
    labels = [each["label"] for each in message.actions]
    token = message.actions[0]["body"].split()[0]
    other = next(f"{n:03d}" for n in range(1000) if f"{n:03d}" not in labels)
    event = {"id": "x", "time": 2, "event": "message", "topic": topic}
    for line in (
        b"\n",
        b"not json\n",
        b"[]\n",
        b"\xff\xfe\n",
        b'{"event":"message","event":"message","time":1}\n',
        b'{"event":"message","time":true,"message":1}\n',
        b'{"event":"message","time":-1}\n',
        b'{"event":["message"],"time":1}\n',
        b"[" * 9_000 + b"\n",
        *(
            json.dumps(event | {"message": text}).encode() + b"\n"
            for text in (
                f"{token} {other}",  # no button of ours
                f"{'A' * 24} {pending['number']}",  # a guess without the token
                f"{token}{pending['number']}",
                f"{token} {pending['number']}\n{token} {pending['number']}",
                f"{token} ٣٣٣",
                "\x1b[31m" + token,
                "",
            )
        ),
    ):
        ntfy.inject(topic, line)
    # The stream is read in order: once this one is answered, all before it were read.
    right = next(a for a in message.actions if a["label"] == pending["number"])
    wrong = next(a for a in message.actions if a["label"] != pending["number"])
    assert state(solo, pending["request"]) == "pending"
    press(right)
    press(right)  # a replay
    press(wrong)  # and a second thought
    wait_for(lambda: now_shown(ntfy, message) == "Answered", why="the answer")
    assert state(solo, pending["request"]) in ("approved", "redeemed")
    said = [e for e in solo.log("decision") if e["request"] == pending["request"]]
    assert [each["decision"] for each in said] == ["approve"]
    assert not [e for e in solo.log("number.mismatch") if e["request"] == pending["request"]]


def test_a_press_while_the_stream_was_cut_is_heard_afterwards(solo: Home, ntfy: Ntfy) -> None:
    before, streams = asked(ntfy), len(ntfy.listened)
    pending = ask(solo, "five")
    message = question(ntfy, before)
    ntfy.stop()
    ntfy.start()
    press(next(a for a in message.actions if a["label"] == pending["number"]))
    wait_for(lambda: now_shown(ntfy, message) == "Answered", why="the answer")
    assert len(ntfy.listened) > streams
    assert ntfy.listened[-1]["since"]


def test_what_is_asked_while_the_server_is_away_is_published_when_it_is_back(
    solo: Home, ntfy: Ntfy
) -> None:
    solo.borrow("daemon", "stop")
    before = asked(ntfy)
    ntfy.stop()
    solo.start()  # without it: a phone that cannot be reached keeps nothing from starting
    pending = ask(solo, "two")
    ntfy.start()
    message = question(ntfy, before)
    assert pending["number"] in [each["label"] for each in message.actions]
    old = message.sequence
    solo.kill_daemon()
    solo.start()
    again = question(ntfy, before + 1)
    assert again.sequence == old  # replaced on the phone: the older token is dead
    press(next(a for a in message.actions if a["label"] == pending["number"]))
    assert state(solo, pending["request"]) == "pending"
    press(next(a for a in again.actions if a["label"] == pending["number"]))
    wait_for(lambda: now_shown(ntfy, again) == "Answered", why="the answer")


@pytest.mark.slow
def test_past_six_questions_in_ten_minutes_the_phone_is_left_in_peace(ntfy: Ntfy) -> None:
    names = [f"low{number}" for number in range(7)]
    more = "".join(role(name, "low", CONSENT) for name in names)
    with home() as one:
        set_up(one, POLICY + more)
        one.borrow("daemon", "stop", ok=False)
        file = one.state / "phone.toml"
        file.write_text(f'ntfy = "{ntfy.url}/many"\nallow_hosts = ["127.0.0.1"]\n')
        file.chmod(0o600)
        one.start()
        for name in names:
            ask(one, name)
        wait_for(lambda: len(ntfy.messages["many"]) >= 6, why="six questions")
        one.decide(one.pending("low0")["request"], "deny")  # another look, at which one is left
        wait_for(lambda: len(ntfy.messages["many"]) >= 7, why="a withdrawal")
        assert sum(1 for each in ntfy.messages["many"] if each.actions) == 6


def test_doctor_says_where_questions_go_and_what_that_means(solo: Home) -> None:
    found = json.loads(solo.borrow("doctor", "--json", ok=False).stdout)["findings"]
    (phone,) = [each for each in found if each["what"] == "phone"]
    assert phone["level"] == "ok"
    assert "127.0.0.1" in phone["message"]
    assert "mine" not in json.dumps(phone)


# -- settings --------------------------------------------------------------------------------------


def test_without_the_file_there_is_no_phone(tmp_path: Path) -> None:
    assert read_phone(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        'ntfy = "http://ntfy.sh/secret"',
        'ntfy = "https://10.0.0.1/secret"',
        'ntfy = "https://ntfy.sh/secret/json"',
        'ntfy = "https://ntfy.sh/secret?auth=x"',
        'ntfy = "https://ntfy.sh/"',
        'ntfy = "https://ntfy.sh:8443/secret"',
        "ntfy = 5",
        'ntfy_token = "secret"',
        'ntfy = "https://ntfy.sh/secret"\nntfy_token = "a b"',
        'ntfy = "https://ntfy.sh/secret"\nwebhook = "x"',
        'ntfy = "https://ntfy.sh/secret"\nallow_hosts = "x"',
        "ntfy = ",
    ],
)
def test_settings_that_cannot_work_are_refused_without_the_topic(text: str, tmp_path: Path) -> None:
    (tmp_path / "phone.toml").write_text(text)
    (tmp_path / "phone.toml").chmod(0o600)
    with pytest.raises(Misconfigured) as refused:
        read_phone(tmp_path)
    assert "secret" not in refused.value.message + refused.value.hint


def test_the_topic_of_answers_stays_and_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    assert reply_topic(tmp_path) == reply_topic(tmp_path)
    (tmp_path / "phone.toml").write_text('ntfy = "https://ntfy.sh/secret"\nntfy_token = "tk_1"')
    (tmp_path / "phone.toml").chmod(0o600)
    found = read_phone(tmp_path)
    assert found is not None
    assert (found.server, found.topic) == ("https://ntfy.sh", "https://ntfy.sh/secret")
    assert "secret" not in repr(found)
    assert "tk_1" not in repr(found)
    (tmp_path / "phone.reply").write_text("../../other\n")
    with pytest.raises(Misconfigured):
        reply_topic(tmp_path)


def test_a_bad_file_keeps_the_daemon_from_starting_and_says_why() -> None:
    with home() as one:
        set_up(one, ROLES)
        one.borrow("daemon", "stop", ok=False)
        (one.state / "phone.toml").write_text('ntfy = "http://example.com/x"')
        (one.state / "phone.toml").chmod(0o600)
        error, _ = refused_with(one.borrow("daemon", "start", ok=False), 1)
        assert error.startswith("phone.toml: ntfy is not a public https address")
