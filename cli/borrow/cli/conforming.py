"""What an endpoint must do so that every SDK waits at it, as checks over a raw socket.

Each check says what it saw. A *must* is something that makes an ordinary client fail or lets
somebody in who has no business there; the rest is advice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from borrow.cli.wire import Exchange, Target, exchange, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Outcome = Literal["ok", "failed", "advice", "not shown"]

FIRST_BYTE: Final = 0.5  # seconds; the shortest read time-out of an SDK is 1 s
SILENCE: Final = 0.9
QUICK: Final = 5.0  # seconds that a refusal may take
VISIBLE: Final = 300.0  # seconds; below it SDKs come back at each call
LARGEST_REFUSAL: Final = 1024  # bytes
MARK: Final = "echo7f3a"  # looked for in refusals

CREDENTIAL: Final = ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
SUPERSET: Final = ("Code", "LastUpdated", "Type", "AccountId", "RoleArn")
DENIAL: Final = ("Code", "Message", "code", "message", "error", "error_description", "statusCode")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    outcome: Outcome
    saw: str
    must: bool = True


def check(target: Target, *, wait: float, now: float) -> Iterator[Finding]:
    """All checks, one after the other. `wait`: how long a held call is waited for, in seconds.

    The refusals come first: none of them may cost a person a question.
    """
    refusals: list[Exchange] = []
    for name, must, wanted, sent in _refused(target):
        answer = exchange(target, sent, seconds=QUICK)
        refusals.append(answer)
        yield _refusal(name, answer, wanted, must=must)
    yield _no_echo(refusals)
    answer = exchange(target, request(target, headers={"Accept-Encoding": "gzip"}), seconds=wait)
    yield from _timing(answer, wait)
    yield from _answer(target, answer, now)
    yield _no_cross_origin([*refusals, answer])


# -- who is refused ------------------------------------------------------------------------------

_ANY_REFUSAL: Final = frozenset(range(400, 500))


def _refused(target: Target) -> Iterator[tuple[str, bool, frozenset[int], bytes]]:
    def one(**more: Any) -> bytes:
        return request(target, **more)

    unknown = frozenset({401})
    wrong = MARK if not target.token else target.token[:-1] + MARK
    yield "a call without a token is 401", True, unknown, one(token="")
    yield "a wrong token is 401", True, unknown, one(token=wrong)
    for name, hosts in {
        "another Host is refused": [f"{MARK}.example:{target.port}"],
        "two Hosts are refused": [target.authority, target.authority],
        "no Host is refused": [],
    }.items():
        yield name, True, _ANY_REFUSAL, one(hosts=hosts)
    for name, headers in {
        "a page's Origin is refused": {"Origin": f"https://{MARK}.example"},
        "a browser's Sec-Fetch-Site is refused": {"Sec-Fetch-Site": "cross-site"},
        "a forwarded call is refused": {"X-Forwarded-For": "192.0.2.1"},
    }.items():
        yield name, True, _ANY_REFUSAL, one(headers=headers)
    absolute = f"http://{target.authority}{target.path}"
    yield "an absolute target is refused", False, _ANY_REFUSAL, one(path=absolute)
    yield (
        "POST is refused",
        False,
        _ANY_REFUSAL,
        one(method="POST", headers={"Content-Length": "0"}),
    )


def _refusal(name: str, answer: Exchange, wanted: frozenset[int], *, must: bool) -> Finding:
    good = answer.status in wanted or (answer.status == 0 and wanted is _ANY_REFUSAL)
    saw = f"status {answer.status}" if answer.status else "no answer"
    return _finding(name, good, saw, must=must)


def _no_echo(refusals: list[Exchange]) -> Finding:
    for answer in refusals:
        if len(answer.body) > LARGEST_REFUSAL:
            return _finding("refusals are small and repeat nothing", False, "a long body")
        if MARK in answer.body.decode("latin-1") or MARK in str(answer.headers):
            return _finding(
                "refusals are small and repeat nothing", False, "our own text came back"
            )
    return _finding("refusals are small and repeat nothing", True, f"{len(refusals)} looked at")


def _no_cross_origin(answers: list[Exchange]) -> Finding:
    found = {key for one in answers for key, _ in one.headers if key.startswith("access-control-")}
    saw = ", ".join(sorted(found)) or "none"
    return _finding("no Access-Control header on any answer", not found, saw)


# -- how a call is held --------------------------------------------------------------------------


def _timing(answer: Exchange, wait: float) -> Iterator[Finding]:
    first, gap = answer.first, answer.longest_silence
    saw = f"{first:.2f} s" if answer.moments else f"nothing within {wait:g} s"
    yield _finding(f"the first byte comes within {FIRST_BYTE} s", first <= FIRST_BYTE, saw)
    saw = f"longest {gap:.2f} s" if answer.moments else f"silent for {wait:g} s"
    yield _finding(f"no silence of {SILENCE} s while it waits", gap < SILENCE, saw)


def _answer(target: Target, answer: Exchange, now: float) -> Iterator[Finding]:
    kind = answer.one("content-type").partition(";")[0]
    yield _finding("it is application/json", kind == "application/json", kind or "no type")
    kept = answer.one("cache-control")
    yield _finding("nobody may store it", "no-store" in kept, kept or "no Cache-Control")
    coded = answer.one("content-encoding")
    yield _finding("it is not compressed", not coded, coded or "plain")
    if answer.undecided:
        yield Finding("the credential document", "not shown", "nobody decided meanwhile")
    elif answer.status == 200 and answer.whole:
        yield from _document(_object(answer.body), now)
    elif answer.status == 200:
        # The right way to take back a 200; the client's retry must learn the truth at once.
        yield from _denial(exchange(target, request(target), seconds=QUICK))
    else:
        yield from _denial(answer)


def _document(found: Mapping[str, Any], now: float) -> Iterator[Finding]:
    lacking = [key for key in CREDENTIAL if not isinstance(found.get(key), str) or not found[key]]
    error = "an error after a 200: some clients go on unsigned; " if "error" in found else ""
    saw = f"{error}lacks {', '.join(lacking)}" if lacking else "whole"
    yield _finding("the credential document is whole", not lacking, saw)
    if lacking:
        return
    expiry = found["Expiration"]
    exact = _TIME.fullmatch(expiry) is not None
    yield _finding(
        "Expiration is in whole seconds with Z", exact, expiry if exact else "another form"
    )
    if exact:
        left = _seconds(expiry) - now
        yield _finding("Expiration is ahead", left > 0, f"{left:.0f} s")
        saw = f"{left:.0f} s"
        yield _finding("SDKs come back at each call", left <= VISIBLE, saw, must=False)
    success = found.get("Code") == "Success"
    yield _finding("Code is Success (.NET)", success, "Success" if success else "not", must=True)
    lacking = [key for key in SUPERSET if key not in found]
    saw = f"lacks {', '.join(lacking)}" if lacking else "all"
    yield _finding("every SDK's own keys are there", not lacking, saw, must=False)


def _denial(answer: Exchange) -> Iterator[Finding]:
    good = answer.status in (403, 503) and answer.whole
    yield _finding(
        "a no is a true status", good, f"status {answer.status}" if answer.status else "none"
    )
    found = _object(answer.body)
    lacking = [key for key in DENIAL if key not in found]
    saw = f"lacks {', '.join(lacking)}" if lacking else "all"
    yield _finding("a no has every SDK's own keys", not lacking, saw)


def _finding(name: str, good: bool, saw: str, *, must: bool = True) -> Finding:
    return Finding(name, "ok" if good else ("failed" if must else "advice"), saw, must)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:  # the 31st of February
        return 0.0
