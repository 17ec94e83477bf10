"""The knobs of the stand-in that tests turn, and what they read back.

In-process a test holds the `Control`; from outside it is JSON over `CONTROL_PATH`, guarded by a
secret that the stand-in makes at start and tells its parent alone.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from borrow.cli.demo.standin_seed import WebTrust, parse_web_trust
from borrow.protocol.errors import Misconfigured

CONTROL_PATH = "/-/standin"
CONTROL_HEADER = "X-Borrow-Standin"
MAX_CONTROL = 64 * 1024  # bytes of a control message; a JWKS fits many times
MAX_DELAY = 120.0  # seconds that one STS call may be held


class Control:
    """State that tests may change while server threads read it.

    `sts_delay`: seconds each AssumeRole* call waits before it is judged.
    `sts_fail`: `{"code": "Throttling", "times": 2}`, what the next calls of AssumeRole* are told;
    `times: 0` ends it.
    `clock_offset`: seconds the stand-in's clock is ahead (sessions, policies, tokens, trail).
    `web_identity`: `{role: trust}`, replaces what the seed said (an issuer's port is known late).
    """

    def __init__(self, web: Mapping[str, WebTrust]) -> None:
        self._lock = threading.Lock()
        self._delay = 0.0
        self._fail_code = ""
        self._fail_left = 0
        self._offset = 0.0
        self._web = dict(web)
        self._calls = 0

    def apply(self, knobs: Mapping[str, Any]) -> None:
        """Turn the named knobs, all or none; Misconfigured names the first wrong one."""
        known = {"sts_delay", "sts_fail", "clock_offset", "web_identity"}
        for name in knobs:
            if name not in known:
                raise Misconfigured(f"no knob {name!r}", hint=f"knobs: {', '.join(sorted(known))}")
        delay = _seconds(knobs.get("sts_delay", 0.0), "sts_delay", 0.0, MAX_DELAY)
        offset = _seconds(knobs.get("clock_offset", 0.0), "clock_offset", -1e9, 1e9)
        code, times = _failure(knobs.get("sts_fail"))
        raw = knobs.get("web_identity", {})
        if not isinstance(raw, Mapping):
            raise Misconfigured("web_identity must map roles to trusts", hint="{role: {issuer, …}}")
        web = {role: parse_web_trust(each, f"web_identity.{role}") for role, each in raw.items()}
        with self._lock:
            if "sts_delay" in knobs:
                self._delay = delay
            if "clock_offset" in knobs:
                self._offset = offset
            if "sts_fail" in knobs:
                self._fail_code, self._fail_left = code, times
            self._web.update(web)

    @property
    def clock_offset(self) -> float:
        with self._lock:
            return self._offset

    def web_trust(self, role: str) -> WebTrust | None:
        with self._lock:
            return self._web.get(role)

    def sts_call(self) -> tuple[float, str]:
        """Count one AssumeRole* call; returns its delay (s) and the code it must fail with."""
        with self._lock:
            self._calls += 1
            if self._fail_left == 0:
                return self._delay, ""
            self._fail_left -= 1
            return self._delay, self._fail_code

    def state(self) -> dict[str, Any]:
        with self._lock:
            return {"sts_calls": self._calls, "clock_offset": self._offset}


def _seconds(raw: object, name: str, low: float, high: float) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not low <= raw <= high:
        raise Misconfigured(f"{name} must be {low:g} to {high:g} seconds", hint="a number")
    return float(raw)


def _failure(raw: object) -> tuple[str, int]:
    if raw is None:
        return "", 0
    if isinstance(raw, Mapping) and raw.keys() == {"code", "times"}:
        code, times = raw["code"], raw["times"]
        if times == 0:
            return "", 0
        if isinstance(code, str) and code and isinstance(times, int) and times > 0:
            return code, times
    raise Misconfigured(
        "sts_fail needs a code and times", hint='{"code": "Throttling", "times": 1}'
    )
