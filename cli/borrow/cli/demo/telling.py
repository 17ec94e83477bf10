"""How the demo's story is told: the timeline of one request, the STS call, the log's check."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from borrow.cli import say
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WHOSE: Final = (
    "moto plays AWS (S3, IAM, STS); ours around it: session policies and ends, SourceIdentity, "
    "tags and the CloudTrail lines"
)
_NAMES: Final = {
    "request.accept": "asked",
    "decision": "answered",
    "request.decide": "answered",
    "request.approve": "approved",
    "grant.open": "granted",
    "mint.begin": "STS is asked",
    "mint.end": "credentials sealed to the device",
    "grant.released": "given back",
}


def timeline(exported: str, request: str) -> list[dict[str, Any]]:
    """The log entries of one request, oldest first: seq, at (unix seconds), kind and who."""
    entries = [json.loads(text) for text in exported.splitlines() if text.strip()]
    grants = {entry.get("grant") for entry in entries if entry.get("request") == request}
    grants.discard(None)
    return [
        {"seq": entry["seq"], "at": entry["at"], "kind": entry["kind"], **_few(entry)}
        for entry in entries
        if entry.get("request") == request or entry.get("grant") in grants
    ]


def _few(entry: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("request", "grant", "role", "mode", "method", "approver", "person", "key")
    return {name: entry[name] for name in kept if isinstance(entry.get(name), str)}


def tell(story: Mapping[str, Any]) -> None:
    """The whole story for a person, on standard output."""
    say.line()
    say.line("timeline")
    for text in _lines(story.get("timeline", [])):
        say.line(f"  {text}")
    say.line("the STS request as Borrow sent it")
    for name, value in story.get("sts_request", {}).items():
        say.line(f"  {name}: {_value(value)}")
    source = story.get("cloudtrail_source_identity", "")
    say.line(f"the cloud's record of the delete says sourceIdentity {shown(str(source))}")
    audit = story.get("audit", {})
    say.line(
        f"audit verify: {'ok' if 'error' not in audit else 'FAILED'}, {audit.get('size')} entries"
    )
    if not story.get("ok"):
        failed = [step["step"] for step in story.get("steps", []) if not step["ok"]]
        say.line(f"not as promised: {'; '.join(failed) or 'it did not get to its end'}")


def _lines(entries: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for entry in entries:
        at = float(entry["at"])
        clock = time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"
        rest = [f"{k} {v}" for k, v in entry.items() if k not in ("seq", "at", "kind")]
        name = _NAMES.get(entry["kind"], entry["kind"])
        yield f"{clock}  {name:<34} {shown(' · '.join(rest))}"


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return shown(text, 600)
