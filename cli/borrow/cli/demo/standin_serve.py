"""The stand-in's own process: binds a free loopback port, says where, ends with its parent."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from borrow.cli.demo.standin import StandIn
from borrow.cli.demo.standin_control import Control
from borrow.cli.demo.standin_moto import MotoCloud
from borrow.cli.demo.standin_seed import Seed, parse_seed
from borrow.cli.demo.standin_trail import Trail
from borrow.protocol.errors import BorrowError, Misconfigured

_BACKLOG = 128  # connections waiting to be accepted; parallel clients open one per call


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or, with `--with-parent`, until stdin ends. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m borrow.cli.demo.standin")
    parser.add_argument("--seed", type=Path, required=True, help="what is in the account (JSON)")
    parser.add_argument("--trail", type=Path, required=True, help="append CloudTrail lines here")
    parser.add_argument("--ready-fd", type=int, help="write the ready line to this descriptor")
    parser.add_argument("--ready-file", type=Path, help="write the ready line to this file")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin ends")
    wanted = parser.parse_args(argv)
    try:
        _run(wanted)
    except BorrowError as exc:
        _announce(wanted, {"error": exc.message, "hint": exc.hint})
        print(f"borrow: error: {exc.message}\nborrow: hint: {exc.hint}", file=sys.stderr)
        return 1
    return 0


def _run(wanted: argparse.Namespace) -> None:
    seed = _read_seed(wanted.seed)
    cloud = MotoCloud(seed)
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the trail is the access log
    web = {name: role.web_identity for name, role in seed.roles.items() if role.web_identity}
    control, secret = Control(web), secrets.token_urlsafe(24)
    with (
        contextlib.closing(Trail(wanted.trail, seed.account)) as trail,
        socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener,
    ):
        port = listener.getsockname()[1]
        app = StandIn(
            cloud,
            trail,
            control,
            hosts=frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}),
            secret=secret,
            clock=time.time,  # noqa: TID251 - the process is the edge where the clock is read
        )
        server = make_server(
            "127.0.0.1",
            port,
            app,
            threaded=True,
            request_handler=importlib.import_module("moto.server").MotoRequestHandler,
            fd=listener.fileno(),
        )
        if wanted.with_parent:
            threading.Thread(target=_until_stdin_ends, args=(server,), daemon=True).start()
        _announce(
            wanted,
            {
                "endpoint": f"http://127.0.0.1:{port}",
                "base_key": {
                    "AccessKeyId": cloud.base.access_key,
                    "SecretAccessKey": cloud.base.secret_key,
                },
                "roles": {name: seed.role_arn(name) for name in seed.roles},
                "control": secret,
            },
        )
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.1)
        server.server_close()


def _read_seed(path: Path) -> Seed:
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise Misconfigured(f"cannot read the seed {path}", hint="it must be JSON") from exc
    return parse_seed(raw)


def _announce(wanted: argparse.Namespace, line: dict[str, Any]) -> None:
    """Tell the parent, on a descriptor, in a private file, or on stdout."""
    text = json.dumps(line) + "\n"
    if wanted.ready_fd is not None:
        with os.fdopen(wanted.ready_fd, "w", encoding="utf-8") as pipe:
            pipe.write(text)
    elif wanted.ready_file is not None:
        part = wanted.ready_file.with_suffix(".part")
        part.touch(0o600, exist_ok=False)
        part.write_text(text, encoding="utf-8")
        part.replace(wanted.ready_file)
    else:
        print(text, end="", flush=True)


def _until_stdin_ends(server: Any) -> None:
    """The parent holds the other end: it goes away with the parent, however that ends."""
    while os.read(0, 1024):
        pass
    server.shutdown()
