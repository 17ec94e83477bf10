"""The command line as scripts: the command, its output, its exit status, through real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from borrow.cli import group
from borrow_fakes.at_terminal import ended, terminal
from borrow_fakes.lab import BORROW, finish, wait_for
from borrow_fakes.solo_mode import ME, refused_with, set_up

if TYPE_CHECKING:
    from borrow_fakes.lab import Home

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def inside(solo: Home, *words: str, **env: str) -> dict[str, str]:
    """The environment of a command run with a role."""
    done = solo.borrow("run", *words, "--", sys.executable, "-c", SHOW, env=env)
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def settle(solo: Home, role: str) -> None:
    """End an open request without a no: three of these in ten minutes silence a terminal."""
    solo.borrow("approve", solo.pending(role)["request"], "-y")
    solo.borrow("ask", role, "--wait", "-m", "to collect it", "--ticket", "INC-1")
    solo.borrow("return", role)


def test_setup_is_done_once_and_doing_it_again_changes_nothing(solo: Home) -> None:
    def content() -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in solo.state.iterdir()
            if path.suffix in (".toml", ".json")
        }

    before = content()
    assert len(before) >= 6
    solo.borrow("setup", "--yes")
    assert content() == before
    assert solo.borrow("setup", "--dry-run").stderr.endswith("nothing to do\n")


def test_all_that_solo_mode_writes_is_private(solo: Home) -> None:
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in solo.state.rglob("*")}
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_borrow_alone_shows_what_is_held_asked_and_waiting(solo: Home) -> None:
    solo.borrow("ask", "click", "-m", "to see it listed")
    shown = solo.borrow().stdout
    assert "you asked for\n" in shown
    assert "\n  click  waits for a yes of local:" in shown, shown
    assert "\n  click  for you" in shown
    settle(solo, "click")
    assert "click  waits" not in solo.borrow().stdout


def test_roles_are_found_by_a_few_letters(solo: Home) -> None:
    def names(pattern: str) -> list[str]:
        return [role["name"] for role in told(solo.borrow("roles", pattern, "--json"))["roles"]]

    assert names("") == ["dev-read", "click", "prod-admin", "ticketed"]
    assert names("pradm") == ["prod-admin"]
    assert names("rea") == ["dev-read"]
    assert names("zz") == []
    assert solo.borrow("roles", "click").stdout.startswith("click\t111122223333\tnormal\tyou")


def test_run_gives_a_clean_environment_with_the_roles_region(solo: Home) -> None:
    env = inside(
        solo,
        "dev-read",
        AWS_ACCESS_KEY_ID="AKIACANARY",
        AWS_SECRET_ACCESS_KEY="canary",
        AWS_PROFILE="old",
        EDITOR="vi",
    )
    assert "AKIACANARY" not in env.values()
    assert "AWS_PROFILE" not in env
    assert (env["AWS_REGION"], env["EDITOR"], env["BORROW_ROLE"]) == (
        "eu-central-1",
        "vi",
        "dev-read",
    )
    assert env["AWS_CONTAINER_CREDENTIALS_FULL_URI"].endswith("/v1/credentials/dev-read")


def test_run_keeps_profiles_and_settings_of_the_users_configuration(solo: Home) -> None:
    aws = solo.root / "home/.aws"
    aws.mkdir(exist_ok=True)
    (aws / "config").write_text("[profile prod]\nregion = eu-north-1\nrole_arn = x\n")
    try:
        env = inside(solo, "dev-read", AWS_PROFILE="prod")
    finally:
        (aws / "config").unlink()
    with open(env["AWS_CONFIG_FILE"], encoding="utf-8") as file:  # noqa: PTH123  a path in a variable
        assert "region = eu-north-1\n" in (text := file.read()).partition("[profile prod]\n")[2]
    assert "role_arn" not in text
    assert env["AWS_REGION"] == "eu-north-1"  # before the role's own


def test_a_borrowed_sdk_gets_its_credentials(solo: Home) -> None:
    code = "import boto3; c = boto3.Session().get_credentials(); print(c.access_key, c.method)"
    done = solo.borrow("run", "dev-read", "--", sys.executable, "-c", code)
    assert done.stdout.startswith("ASIAFAKE")
    assert "container-role" in done.stdout


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_commands_exit_status_is_its_own(solo: Home, code: int) -> None:
    done = solo.borrow("run", "dev-read", "--", "sh", "-c", f"exit {code}", ok=False)
    assert (done.returncode, done.stderr) == (code, "")


def test_run_becomes_the_command_so_signals_are_its_own(solo: Home) -> None:
    wait = "import sys, time; print('up', flush=True); time.sleep(30)"
    child = solo.spawn(BORROW, "run", "dev-read", "--", sys.executable, "-c", wait)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    with open(f"/proc/{child.pid}/cmdline", "rb") as file:  # noqa: PTH123  /proc
        assert file.read().split(b"\0")[:2] == [os.fsencode(sys.executable), b"-c"]
    child.send_signal(signal.SIGTERM)
    assert finish(child)[0] == -signal.SIGTERM


def test_arguments_after_the_dashes_are_the_commands_own(solo: Home) -> None:
    show = "import sys; print(sys.argv[1:])"
    words = ("--json", "--", "-m", "--help", "")
    done = solo.borrow("run", "dev-read", "--", sys.executable, "-c", show, *words)
    assert done.stdout.strip() == str(list(words))


def test_a_command_that_is_not_there_says_so_as_shells_do(solo: Home) -> None:
    refused_with(solo.borrow("run", "dev-read", "--", "no-such-program", ok=False), 127)
    plain = solo.root / "plain.txt"
    plain.write_text("not a program")
    error, _ = refused_with(solo.borrow("run", "dev-read", "--", str(plain), ok=False), 126)
    assert "permission denied" in error


def test_an_unknown_role_is_refused_with_the_one_that_was_meant(solo: Home) -> None:
    before = solo.status()
    error, hint = refused_with(solo.borrow("run", "dev-raed", "--", "true", ok=False), 3)
    assert "dev-raed" in error
    assert hint == "borrow run dev-read -- COMMAND"
    _, hint = refused_with(solo.borrow("ask", "prod-admn", ok=False), 3)
    assert hint == "borrow ask prod-admin"
    assert solo.status()["asks"] == before["asks"]


def test_env_is_evaluated_by_a_shell(solo: Home) -> None:
    line = f'eval "$({BORROW} env dev-read)"; {sys.executable} -c "{SHOW}"'
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env=solo.env | {"AWS_ACCESS_KEY_ID": "AKIACANARY", "SHELL": "/bin/bash"},
        capture_output=True,
        text=True,
        check=True,
    )
    env = json.loads(done.stdout)
    assert "AWS_ACCESS_KEY_ID" not in env
    assert env["AWS_CONTAINER_AUTHORIZATION_TOKEN"]


def test_asking_waits_for_the_yes_and_says_how_long_it_lasts(solo: Home) -> None:
    child = solo.spawn(BORROW, "ask", "click", "--wait", "-m", "to see it work")
    request = solo.pending("click")["request"]
    assert solo.borrow("approve", request, "-y").stdout == f"approved: click ({request})\n"
    code, out, err = finish(child)
    assert code == 0
    assert out.startswith("granted: click for ")
    assert f"borrow approve {request}" in err
    assert solo.borrow("return", "click").stdout.startswith("returned: click")


def test_a_second_question_joins_the_first_and_says_whose_reason_is_shown(fresh: Home) -> None:
    """Also the one of a daemon that has forgotten the first: number and words stay the first's."""
    solo = set_up(fresh)
    solo.borrow("ask", "click", "-m", "the first reason")
    first = solo.pending("click")
    again = solo.borrow("ask", "click", "-m", "the second reason").stderr
    assert f"joined {first['request']}, which was asked before" in again
    assert "joined" not in solo.borrow("ask", "click", "-m", "the first reason").stderr
    assert "joined" not in solo.borrow("ask", "click").stderr
    solo.borrow("daemon", "stop")
    solo.start()
    later = solo.borrow("ask", "click", "-m", "the third reason").stderr
    assert f"joined {first['request']}" in later
    second = solo.pending("click")
    assert [second[name] for name in ("request", "number", "words")] == [
        first[name] for name in ("request", "number", "words")
    ]


def test_extending_asks_again_and_replaces_the_grant(solo: Home) -> None:
    asked = solo.spawn(BORROW, "ask", "click", "--wait", "--for", "10m", "-m", "a short one")
    solo.borrow("approve", solo.pending("click")["request"], "-y")
    assert finish(asked)[0] == 0
    (before,) = [each for each in solo.status()["grants"] if each["role"] == "click"]
    longer = solo.spawn(BORROW, "extend", "click", "30m")
    solo.borrow("approve", solo.pending("click")["request"], "-y")
    code, out, err = finish(longer)
    assert code == 0, err
    assert out.startswith("granted: click for ")
    (after,) = [each for each in solo.status()["grants"] if each["role"] == "click"]
    assert after["grant"] != before["grant"]
    assert after["expires_at"] > before["expires_at"]
    by_id = solo.spawn(BORROW, "extend", after["grant"], "45m")
    solo.borrow("approve", solo.pending("click")["request"], "-y")
    code, out, err = finish(by_id)
    assert (code, out.startswith("granted: click for ")) == (0, True), err
    refused_with(solo.borrow("extend", before["grant"], "45m", ok=False), 1)  # it is over
    solo.borrow("return", "click")


def test_a_no_is_exit_code_3_with_its_reason(solo: Home) -> None:
    child = solo.spawn(BORROW, "ask", "click", "--wait", "-m", "another reason for it")
    request = solo.pending("click")["request"]
    solo.borrow("deny", request, "-y", "-m", "not today")
    code, out, err = finish(child)
    assert (code, out) == (3, "")
    assert "not today" in err
    assert err.splitlines()[-1].startswith("borrow: hint: ")


def test_ctrl_c_leaves_the_request_standing_and_says_so(solo: Home) -> None:
    child = solo.spawn(BORROW, "ask", "click", "--wait", "-m", "interrupted on purpose")
    request = solo.pending("click")["request"]
    child.send_signal(signal.SIGINT)
    code, _, err = finish(child)
    assert code == 130
    assert "stays open" in err
    assert solo.pending("click")["request"] == request
    assert solo.borrow("return", request).stdout == f"withdrawn: {request}\n"
    assert solo.log("request.cancelled")[-1]["request"] == request


def test_what_a_rule_needs_is_named_where_nobody_can_be_asked(solo: Home) -> None:
    error, hint = refused_with(solo.borrow("ask", "ticketed", ok=False), 2)
    assert "ticketed needs a reason" in error
    assert hint == "borrow ask ticketed -m REASON --ticket TICKET"


def test_reason_and_ticket_reach_the_inbox(solo: Home) -> None:
    solo.borrow("ask", "ticketed", "-m", "the pager went off", "--ticket", "INC-42", "--for", "10m")
    (waiting,) = [
        one
        for one in told(solo.borrow("inbox", "--json"))["decisions"]
        if one["role"] == "ticketed" and one["ticket"] == "INC-42"
    ]
    assert waiting["justification"] == "the pager went off"
    assert waiting["seconds"] == 600
    assert "the pager went off" in solo.borrow("inbox").stdout
    settle(solo, "ticketed")


def test_hostile_text_is_shown_and_acts_on_nothing(solo: Home) -> None:
    solo.borrow("ask", "ticketed", "-m", "\x1b]0;owned\x07 \x9b2J long enough", "--ticket", "INC-7")
    shown = solo.borrow("inbox").stdout + solo.borrow().stdout
    assert "\\u{1b}]0;owned" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    settle(solo, "ticketed")


def test_yes_cannot_stand_for_a_number_or_a_code(solo: Home) -> None:
    solo.borrow("ask", "prod-admin")
    request = solo.pending("prod-admin")["request"]
    error, hint = refused_with(solo.borrow("approve", request, "-y", ok=False), 2)
    assert "number" in error
    assert hint == f"borrow approve {request}"
    error, _ = refused_with(solo.borrow("approve", request, ok=False), 2)
    assert "nobody can be asked here" in error
    assert solo.pending("prod-admin")["request"] == request
    solo.borrow("deny", request)


def test_without_an_id_the_only_question_is_offered_to_a_person_and_named_to_a_script(
    fresh: Home,
) -> None:
    set_up(fresh)
    for word in ("approve", "deny"):
        error, _ = refused_with(fresh.borrow(word, ok=False), 1)
        assert error == "nothing waits for your answer"
    fresh.borrow("ask", "click", "-m", "to be found")
    request = fresh.pending("click")["request"]
    for words in (["approve"], ["deny"], ["approve", "-y"], ["deny", "-y"]):
        error, hint = refused_with(fresh.borrow(*words, ok=False), 2)
        assert error == "name the request that is meant; one waits, for click"
        assert hint == " ".join(["borrow", words[0], request, *words[1:]])
    assert fresh.pending("click")["request"] == request
    with terminal(fresh, "deny") as child:
        child.expect("one request waits for your answer")
        child.expect(f"request {request}")
        child.expect("reason +to be found")
        child.expect("deny it?")
        child.sendline("n")
        code, shown = ended(child)
        assert (code, "nothing was decided; the request stays open" in shown) == (130, True)
    with terminal(fresh, "approve") as child:
        child.expect("approve it?")
        child.sendintr()
        code, shown = ended(child)
        assert (code, "nothing was decided; the request stays open" in shown) == (130, True)
    with terminal(fresh, "approve") as child:
        child.expect(f"request {request}")
        child.expect("approve it?")
        child.sendline("y")
        assert ended(child)[0] == 0
    fresh.borrow("ask", "prod-admin")
    fresh.borrow("ask", "ticketed", "-m", "a long enough reason", "--ticket", "INC-1")
    fresh.pending("ticketed")
    error, hint = refused_with(fresh.borrow("approve", ok=False), 2)
    assert error == "2 requests wait for your answer: which one?"
    assert re.fullmatch(r"`borrow approve r-\S+`, or another of `borrow inbox`", hint)


def test_what_policy_grants_is_granted_also_to_who_does_not_wait(fresh: Home) -> None:
    set_up(fresh)
    done = fresh.borrow("ask", "dev-read")
    assert done.stdout.startswith("granted: dev-read for ")
    assert done.stderr == "use it: borrow run dev-read -- COMMAND\n"


def test_a_role_that_is_only_asked_for_is_given_back_by_its_name(fresh: Home) -> None:
    set_up(fresh)
    fresh.borrow("ask", "click")
    request = fresh.pending("click")["request"]
    assert f"borrow return {request}" in fresh.borrow("return", "--all").stderr
    _, hint = refused_with(fresh.borrow("return", ok=False), 2)
    assert hint == f"`borrow return {request}` drops the question"
    assert fresh.borrow("return", "click").stdout == f"withdrawn: {request}\n"
    for words in (["return"], ["return", "click"]):
        _, hint = refused_with(fresh.borrow(*words, ok=False), 1)
        assert hint == "`borrow` shows what you hold"


@pytest.mark.parametrize("width", [20, 40, 80])
def test_what_a_row_is_named_by_is_never_broken(solo: Home, width: int) -> None:
    with pexpect.spawn(
        BORROW, ["roles"], env=solo.env, encoding="utf-8", dimensions=(60, width), timeout=20
    ) as child:
        child.expect(pexpect.EOF)
        assert "prod-admin" in str(child.before)


def test_explain_knows_requests_grants_and_roles(solo: Home) -> None:
    solo.borrow("ask", "dev-read", "--wait")
    assert "yes by       nobody" in solo.borrow("explain", "dev-read").stdout
    _, hint = refused_with(solo.borrow("explain", "prod-admn", ok=False), 3)
    assert hint == "borrow explain prod-admin"
    refused_with(solo.borrow("explain", "r-nonsense", ok=False), 3)
    (grant,) = [each for each in solo.status()["grants"] if each["role"] == "dev-read"]
    lines = dict(
        line.split(None, 1) for line in solo.borrow("explain", grant["request"]).stdout.splitlines()
        if len(line.split(None, 1)) == 2
    )  # fmt: skip
    assert (lines["role"], lines["state"], lines["mode"]) == ("dev-read", "redeemed", "auto")
    assert lines["rule"]


def test_the_log_verifies_and_exports_as_one_object_a_line(solo: Home) -> None:
    assert solo.borrow("audit", "verify").stdout.startswith("the log holds: ")
    checked = told(solo.borrow("audit", "verify", "--json"))
    assert checked["ok"]
    assert checked["seen"] == checked["size"]
    entries = [json.loads(line) for line in solo.borrow("audit", "export").stdout.splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(len(entries)))
    assert {"seq", "at", "kind"} <= entries[0].keys()


def test_policy_commands_read_the_file_and_ask_nobody(solo: Home) -> None:
    assert "4 roles, 4 rules, fine" in solo.borrow("policy", "check").stdout
    assert solo.borrow("policy", "test").stdout == "1 of 1 tests pass\n"
    told_ = solo.borrow("policy", "explain", "x@example.com", "click", ok=False)
    assert told_.returncode == 3
    assert "no rule lets" in told_.stdout


def test_imds_is_for_roles_whose_policy_says_so(solo: Home) -> None:
    error, _ = refused_with(solo.borrow("imds", "use", "click", ok=False), 3)
    assert "IMDS" in error
    assert solo.borrow("imds", "off").returncode == 0


def test_a_credential_process_profile_gets_a_document(solo: Home) -> None:
    document = told(solo.borrow("credential", "dev-read"))
    assert document["Version"] == 1
    assert document["AccessKeyId"].startswith("ASIAFAKE")


def test_doctor_finds_nothing_wrong_and_sees_what_would_win(solo: Home) -> None:
    fine = told(solo.borrow("doctor", "--json", env={"AWS_DEFAULT_REGION": "eu-west-1"}))
    assert fine["ok"], fine
    assert [f for f in fine["findings"] if f["level"] != "ok"] == []
    odd = solo.borrow(
        "doctor", "--json", env={"AWS_PROFILE": "x", "HTTPS_PROXY": "", "HTTP_PROXY": "p"}
    )
    assert {f["what"] for f in told(odd)["findings"] if f["level"] == "warning"} == {
        "env_wins",
        "proxy",
        "no_region",
        "profile_missing",
    }


def test_totp_is_shown_on_a_terminal_only(solo: Home) -> None:
    error, _ = refused_with(solo.borrow("totp", "enrol", ok=False), 2)
    assert "terminal" in error
    assert told(solo.borrow("totp", "status", "--json"))["active"] is False


def test_role_names_complete_from_the_running_daemon(solo: Home) -> None:
    env = {"_BORROW_COMPLETE": "bash_complete", "COMP_WORDS": "borrow run dev", "COMP_CWORD": "2"}
    assert solo.borrow(env=env).stdout == "plain,dev-read\n"


def completed(solo: Home, line: str) -> list[str]:
    """What Tab offers at the end of `line`."""
    place = str(len(line.split(" ")) - 1)
    env = {"_BORROW_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": place}
    offered = solo.borrow(env=env).stdout.split()
    return [one.removeprefix("plain,") for one in offered]


def test_what_is_held_completes_where_something_held_is_meant(solo: Home) -> None:
    solo.borrow("return", "--all")
    assert completed(solo, "borrow return ") == []
    assert completed(solo, "borrow extend d") == []
    solo.borrow("ask", "dev-read")
    [grant] = told(solo.borrow("--json"))["grants"]
    assert completed(solo, "borrow return ") == ["dev-read"]
    assert completed(solo, "borrow extend d") == ["dev-read"]
    assert completed(solo, "borrow extend g-") == [grant["grant"]]
    assert completed(solo, "borrow return g-") == [grant["grant"]]
    assert grant["grant"] in completed(solo, "borrow explain g-")
    solo.borrow("return", "--all")


def test_completion_waits_for_no_daemon_that_does_not_answer(solo: Home) -> None:
    solo.borrow("roles")
    pid = int(told(solo.borrow("daemon", "status", "--json"))["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        assert completed(solo, "borrow run dev") == []
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_daemon_is_started_by_whoever_needs_it(solo: Home) -> None:
    assert solo.borrow("daemon", "stop").stdout == "the daemon has stopped\n"
    assert solo.borrow("daemon", "stop").stdout == "the daemon does not run\n"
    assert solo.borrow("daemon", "status", ok=False).returncode == 4
    children = [solo.spawn(BORROW, "roles") for _ in range(3)]  # at once: still one daemon
    assert [finish(child)[0] for child in children] == [0, 0, 0]
    assert solo.borrow("daemon", "status").returncode == 0
    assert "listening" in solo.borrow("daemon", "logs").stdout


def test_a_changed_policy_is_used_and_a_broken_one_is_not(solo: Home) -> None:
    path = solo.state / "policy.toml"
    before = path.read_text()
    try:
        path.write_text(before.replace("click", "clack"))
        assert "clack" in solo.borrow("roles").stdout
        path.write_text(before.replace("click", "clock") + "\n[[rule]]\nid = 3\n")
        assert "clack" in solo.borrow("roles").stdout  # the one before stays in force
        refused_with(solo.borrow("policy", "check", ok=False), 1)
        report = solo.borrow("doctor", "--json", ok=False)
        assert "policy" in {f["what"] for f in told(report)["findings"] if f["level"] == "error"}
        assert report.returncode == 1
    finally:
        path.write_text(before)
    assert "click" in solo.borrow("roles").stdout


def test_run_imports_nothing_heavy(solo: Home) -> None:
    """What makes `borrow run` start in 60 ms instead of 400."""
    code = (
        "import sys, os\n"
        "from borrow.cli import main\n"
        "os.execve = lambda *a: sys.exit(0)\n"
        "try:\n    main.run(['run', 'dev-read', '--', 'true'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'aiohttp', 'boto3', 'rich', 'cryptography', 'joserfc', 'http.client', 'ssl'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=solo.env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_a_policy_that_is_named_and_missing_is_not_cured_by_setup(solo: Home) -> None:
    _, hint = refused_with(solo.borrow("policy", "check", "--file", "nope.toml", ok=False), 1)
    assert "check the name" in hint


def test_swapped_words_come_back_in_their_order(solo: Home) -> None:
    _, hint = refused_with(solo.borrow("policy", "explain", "click", ME, ok=False), 2)
    assert hint == f"borrow policy explain {ME} click"


def test_what_a_waiting_program_needs_first_is_told_with_every_option(solo: Home) -> None:
    child = solo.spawn(BORROW, "credential", "ticketed", session=True)
    line = wait_for(lambda: next(iter(re.findall(".*ticketed.*needs.*", solo.borrow().stdout)), ""))
    assert "needs a reason and a ticket first: " in line
    assert line.endswith("borrow ask ticketed -m REASON --ticket TICKET")
    child.kill()


@pytest.mark.parametrize("words", [("roles",), ("--json",), ("--help",), ("audit", "export")])
def test_a_reader_who_left_is_no_error(solo: Home, words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [BORROW, *words], env=solo.env, stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_behind_stdout_is_said_and_is_no_crash(solo: Home) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123  a device, not a file
        done = subprocess.run(
            [BORROW, "roles"], env=solo.env, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 4
    assert b"cannot write: no space left on device" in done.stderr
    assert not list(solo.state.glob("crash-*"))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_the_null_device(solo: Home, closed: str) -> None:
    """Else a file of ours gets the number, and what is meant for eyes is written into it."""
    for words, code in (("roles", 0), ("frobnicate", 2), ("run dev-read -- true", 0)):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{BORROW} {words} {closed}"],
            env=solo.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (words, closed, done)
        assert "internal" not in done.stderr
        if "2>" in closed:
            assert "error" not in done.stdout + done.stderr


def test_completion_offers_no_name_that_a_shell_would_act_on() -> None:
    hostile = ["dev;id", "dev$(id)", "dev x", "dev\x1b[2J", "dev`id`", "dév", "dev\nx", "dev-1_.x"]
    assert [item.value for item in group.completions(hostile, "d")] == ["dev-1_.x"]


def test_an_authenticator_is_replaced_with_a_code_of_the_old_one(fresh: Home) -> None:
    import pyotp

    solo = set_up(fresh)
    begun = solo.control("POST", "/v1/totp").body
    old = pyotp.TOTP(begun["secret"])
    path = f"/v1/totp/{begun['enrolment']}"
    assert solo.control("POST", path, {"code": old.now()}).status == 200
    assert solo.control("POST", "/v1/totp").status == 403
    following = old.at(int(_seconds()) + old.interval)  # each code counts once
    replaced = solo.control("POST", "/v1/totp", {"code": following})
    assert replaced.status == 200
    assert replaced.body["secret"] != begun["secret"]


def _seconds() -> float:
    import time

    return time.time()  # noqa: TID251  as an app reads it


def test_what_outlived_the_daemon_is_still_held_and_can_be_given_back(solo: Home) -> None:
    solo.borrow("ask", "dev-read", "--wait")
    solo.borrow("daemon", "stop")
    mine = solo.borrow()  # starts it again
    assert "dev-read" in mine.stdout
    assert "from before the daemon's start" in mine.stdout
    assert solo.borrow("return").stdout.startswith("returned: dev-read")
    assert "you hold nothing" in solo.borrow().stdout
