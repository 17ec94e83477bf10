"""`borrow demo`: one ordinary script, run twice; the second time its call waits for a yes.

The steps are promises. Each is checked against what really happened (the script's own output, the
cloud's trail, the minter's log), and the demo fails if one was not kept.
"""

from __future__ import annotations

import json as jsons
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from borrow.cli import errors, say
from borrow.cli.demo import stage, telling
from borrow.cli.demo.stage import ADMIN, BUCKET, READER, Place, World
from borrow.protocol.errors import BorrowError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

Answer: TypeAlias = "Callable[[dict[str, Any]], None]"

ANSWER_AFTER: Final = 3.0  # seconds that the unattended demo lets the call wait
PATIENCE: Final = 840.0  # seconds for a person; just below the request's own 15 minutes


@dataclass(slots=True)
class Story:
    """What happened: kept promises, and the papers that show it."""

    begun: float  # monotonic seconds
    steps: list[dict[str, Any]] = field(default_factory=list)
    papers: dict[str, Any] = field(default_factory=dict)

    def step(self, name: str, *, ok: bool, detail: str = "") -> None:
        self.steps.append({"step": name, "ok": ok, "detail": detail})
        say.note(f"{'✓' if ok else '✗'} {name}" + (f": {detail}" if detail else ""))

    @property
    def ok(self) -> bool:
        return bool(self.steps) and all(step["ok"] for step in self.steps)

    def document(self) -> dict[str, Any]:
        return {"ok": self.ok, "steps": self.steps, **self.papers}


def run(*, unattended: bool, json: bool) -> int:
    """The whole demo; 0 if every promise was kept. Progress goes to stderr, the story to stdout."""
    story = Story(time.monotonic())
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal takes the demo down too
        signal.signal(number, _interrupted)
    say.note("a private cloud and a private Borrow are started; nothing of yours is touched")
    with stage.world() as world:
        say.note(telling.WHOSE)
        if unattended:
            act(world.place, story, answer=_answering(world))
        elif shutil.which("tmux"):
            _in_tmux(world, story)
        else:
            _tell_second_terminal(world)
            act(world.place, story, answer=None)
        _read_papers(world, story)
    if json or (unattended and not say.is_terminal(sys.stdout)):
        say.document(story.document())
    else:
        telling.tell(story.document())
    return errors.OK if story.ok else errors.ERROR


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def act(place: Place, story: Story, *, answer: Answer | None) -> None:
    """Both runs. `answer` decides what is asked; None leaves it to the person."""
    _read_only(place, story)
    _elevated(place, story, answer)


def _shown(*words: str) -> None:
    say.note(say.bold(f"$ {' '.join(words)}"))


def _start(place: Place, role: str) -> subprocess.Popen[str]:
    _shown("borrow", "run", role, "--", "python", "report.py", BUCKET)
    return subprocess.Popen(  # noqa: S603  our own command
        stage.command("run", role, "--", *place.script),
        env=place.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _end(child: subprocess.Popen[str], seconds: float) -> str:
    try:
        out, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise Unavailable(
            "nobody answered, so the demo ends", hint="`borrow demo --unattended` answers by itself"
        ) from None
    for text in out.splitlines():
        say.note(f"  {say.text_of(text)}")
    return out


def _read_only(place: Place, story: Story) -> None:
    out = _end(_start(place, READER), 60)
    story.step("an auto role answers at once: the script reads", ok="read    s3" in out)
    story.step("its delete is refused by the cloud itself", ok="AccessDenied: DeleteObject" in out)
    grant = next((g for g in _grants(place) if g["role"] == READER), {})
    story.papers["auto_grant"] = grant.get("grant", "")
    notice = _notice(place, str(grant.get("grant", "")))
    story.papers["notice"] = notice
    story.step("the auto grant gave its notice", ok="not-me" in notice, detail=notice)


def _grants(place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = place.control.get("/v1/status").get("grants", [])
    return found


def _notice(place: Place, grant: str) -> str:
    """The notice that came out of band, over the daemon's event poll."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for notice in place.control.get("/v1/status").get("notices", []):
            text = " · not you? ".join(str(notice.get(part, "")) for part in ("text", "hint"))
            if grant and grant in text + str(notice.get("grant", "")):
                return say.text_of(text)
        time.sleep(0.1)
    return ""


def _elevated(place: Place, story: Story, answer: Answer | None) -> None:
    begun = time.monotonic()
    child = _start(place, ADMIN)
    ask = _question(place, child)
    story.papers["request"] = ask["request"]
    story.papers["first_held_call_after_s"] = round(time.monotonic() - story.begun, 1)
    story.step(
        "the same script's call is held, and one question is open",
        ok=child.poll() is None,
        detail=f"{ask['request']}, number {ask['number']}",
    )
    if answer is not None:
        time.sleep(ANSWER_AFTER)
        story.step("after three seconds it still waits", ok=child.poll() is None)
        answer(ask)
    out = _end(child, PATIENCE)
    story.papers["held_s"] = round(time.monotonic() - begun, 1)
    story.step(
        "the very call that waited went through: read and deleted",
        ok=child.returncode == 0 and f"deleted s3://{BUCKET}/queue/stuck-job" in out,
    )


def _question(place: Place, child: subprocess.Popen[str]) -> dict[str, Any]:
    until = time.monotonic() + 30
    while time.monotonic() < until and child.poll() is None:
        for ask in place.control.get("/v1/status").get("asks", []):
            if ask.get("request") and ask["role"] == ADMIN and ask["state"] == "pending":
                found: dict[str, Any] = ask
                return found
        time.sleep(0.05)
    raise Unavailable("the call was not held", hint="`borrow daemon logs` may say why")


def _answering(world: World) -> Answer:
    """What the other device sends: the number as read, a code of the app, over the same API."""
    return lambda ask: _answer_as_person(world.place, world.totp_secret, ask)


def _answer_as_person(place: Place, secret: str, ask: dict[str, Any]) -> None:
    _shown("borrow", "approve", ask["request"])
    shown = place.control.get(f"/v1/decisions/{ask['request']}")
    place.control.post(
        f"/v1/decisions/{ask['request']}",
        {
            "decision": "approve",
            "request_hash": shown["request_hash"],
            "number": ask["number"],
            "code": stage.code_now(secret)[0],
        },
    )


def _tell_second_terminal(world: World) -> None:
    from borrow.cli.demo import other_device

    say.note("open a second terminal for the other device, and type there:")
    say.note(f"  {other_device.command_line(world)}")


def _in_tmux(world: World, story: Story) -> None:
    from borrow.cli.demo import panes

    panes.play(world)
    told = world.place.root / panes.STORY
    if not told.exists():
        raise Unavailable("the demo was closed before its end", hint="borrow demo")
    kept = jsons.loads(told.read_text())
    story.steps, story.papers = kept["steps"], kept["papers"]


def _read_papers(world: World, story: Story) -> None:
    """The timeline, the STS request and the log's own check."""
    story.papers["timeline"] = telling.timeline(
        stage.borrow(world.place.env, "audit", "export"), story.papers.get("request", "")
    )
    assumed = world.cloud.trail("AssumeRole")
    story.papers["sts_request"] = assumed[-1].get("requestParameters", {}) if assumed else {}
    deletes = [line for line in world.cloud.trail("DeleteObject") if "errorCode" not in line]
    identity = deletes[-1].get("userIdentity", {}) if deletes else {}
    source = identity.get("sessionContext", {}).get("sourceIdentity", "")
    story.papers["cloudtrail_source_identity"] = source
    story.step(
        "the cloud's own record of the delete names the grant",
        ok=source.startswith("g-"),
        detail=source,
    )
    try:
        checked = jsons.loads(stage.borrow(world.place.env, "audit", "verify", "--json"))
    except BorrowError as failed:
        checked = {"error": failed.message}
    story.papers["audit"] = checked
    story.step("the log verifies", ok="error" not in checked, detail=_size(checked))


def _size(checked: dict[str, Any]) -> str:
    return f"{checked.get('size', 0)} entries"
