"""Start the stand-in cloud in a child process, talk to it, and be sure that it ends.

What the demo and the tests use. Imports neither moto nor boto3.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from borrow.cli.demo.standin_control import CONTROL_HEADER, CONTROL_PATH
from borrow.cli.demo.standin_seed import Seed, WebTrust, web_trust_json
from borrow.protocol.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from types import TracebackType

START_WITHIN = 30.0  # seconds; it takes one to two, but a busy machine compiles moto first
STOP_WITHIN = 5.0  # seconds from asking to killing
_ANSWER_WITHIN = 10.0  # seconds for one control call


class StandInProcess:
    """One stand-in cloud. `with StandInProcess(seed) as cloud:` or `start()` and `stop()`.

    `directory` keeps the trail and the error log; without it a temporary one is used and removed.
    """

    def __init__(self, seed: Seed, *, directory: Path | None = None) -> None:
        self._seed = seed
        self._given = directory
        self._own: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, Any] = {}

    def start(self) -> Self:
        """Return when it serves. Misconfigured if moto is missing, Unavailable if it fails."""
        if self._process is not None:
            raise RuntimeError("the stand-in was started already")
        if self._given is None:
            self._own = Path(tempfile.mkdtemp(prefix="b-"))
        seed = self._directory / "seed.json"
        seed.write_text(json.dumps(self._seed.to_json()), encoding="utf-8")
        read, write = os.pipe()
        try:
            try:
                self._process = self._spawn(seed, write)
            finally:
                os.close(write)
            self._ready = _ready_line(read)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(read)
        if "error" in self._ready:
            failed = self._ready
            self.stop()
            raise Misconfigured(failed["error"], hint=failed["hint"])
        return self

    def _spawn(self, seed: Path, ready: int) -> subprocess.Popen[bytes]:
        with (self._directory / "standin.err").open("ab") as errors:
            return subprocess.Popen(  # noqa: S603 - our own module, our own paths
                [
                    *(sys.executable, "-m", "borrow.cli.demo.standin"),
                    *("--seed", str(seed), "--trail", str(self.trail_file)),
                    *("--ready-fd", str(ready), "--with-parent"),
                ],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                pass_fds=[ready],
                start_new_session=True,  # a Ctrl-C is for the demo, which then ends this
            )

    def stop(self) -> None:
        """End the process and, if it was ours, remove the directory. Calling it twice is fine."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            process.terminate()
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        own, self._own = self._own, None
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """For `endpoint_url` of any SDK (S3 by path)."""
        return str(self._said("endpoint"))

    @property
    def base_key(self) -> dict[str, str]:
        """AccessKeyId and SecretAccessKey of the seed's base user."""
        return dict(self._said("base_key"))

    @property
    def roles(self) -> dict[str, str]:
        """Role name to ARN."""
        return dict(self._said("roles"))

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the stand-in is not running")
        return self._process.pid

    @property
    def trail_file(self) -> Path:
        return self._directory / "trail.jsonl"

    def trail(self, event: str = "") -> list[dict[str, Any]]:
        """The trail so far, oldest first; a call's line is there before its answer.

        `event` keeps only lines of that eventName.
        """
        lines = self.trail_file.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        return [line for line in found if not event or line["eventName"] == event]

    def sts_calls(self) -> int:
        """How many AssumeRole* calls came in, refused ones too."""
        return int(self._control("GET")["sts_calls"])

    def sessions(self) -> int:
        """How many sessions were handed out."""
        return int(self._control("GET")["sessions"])

    def knobs(
        self,
        *,
        sts_delay: float | None = None,
        sts_fail: tuple[str, int] | None = None,
        clock_offset: float | None = None,
        web_identity: dict[str, WebTrust] | None = None,
    ) -> None:
        """Turn the given knobs (standin_control.Control explains them); the others stay."""
        turned: dict[str, Any] = {}
        if sts_delay is not None:
            turned["sts_delay"] = sts_delay
        if sts_fail is not None:
            turned["sts_fail"] = {"code": sts_fail[0], "times": sts_fail[1]}
        if clock_offset is not None:
            turned["clock_offset"] = clock_offset
        if web_identity is not None:
            turned["web_identity"] = {k: web_trust_json(v) for k, v in web_identity.items()}
        self._control("POST", turned)

    @property
    def _directory(self) -> Path:
        found = self._given or self._own
        if found is None:
            raise RuntimeError("the stand-in is not running")
        return found

    def _said(self, name: str) -> Any:
        if name not in self._ready:
            raise RuntimeError("the stand-in is not running")
        return self._ready[name]

    def _control(self, method: str, knobs: dict[str, Any] | None = None) -> dict[str, Any]:
        place = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(
            place.hostname or "", place.port, timeout=_ANSWER_WITHIN
        )
        with contextlib.closing(connection):
            try:
                body = None if knobs is None else json.dumps(knobs)
                headers = {CONTROL_HEADER: str(self._said("control"))}
                connection.request(method, CONTROL_PATH, body, headers)
                answer = connection.getresponse()
                said: dict[str, Any] = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as exc:
                raise Unavailable("the stand-in cloud does not answer") from exc
        if answer.status != http.HTTPStatus.OK:
            raise Misconfigured(str(said.get("error")), hint="see standin_control.Control")
        return said


def _ready_line(read: int) -> dict[str, Any]:
    """The one line the child writes, or Unavailable when it ends or stays silent."""
    deadline = time.monotonic() + START_WITHIN
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(read, selectors.EVENT_READ)
        while not text.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise Unavailable(f"the stand-in cloud was not ready in {START_WITHIN:g} s")
            part = os.read(read, 65536)
            if not part:
                raise Unavailable("the stand-in cloud ended while it started")
            text += part
    line: dict[str, Any] = json.loads(text)
    return line
