"""The short-lived child that asks the desktop keyring: `python -I -m …`, one question, one answer.

A process of its own, because keyring backends block (an unlock prompt, a dead service) and pull in
D-Bus, and because the parent can end it. One JSON object comes in by stdin, one goes out by stdout;
no secret is ever in argv or the environment. Backends are built directly from the list here, so
PYTHON_KEYRING_BACKEND, keyringrc and installed plug-ins (plaintext, null, chainer) have no say.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, Final

BACKENDS: Final = {
    "secret-service": ("keyring.backends.SecretService", "Keyring"),
    "kwallet": ("keyring.backends.kwallet", "DBusKeyring"),
    "macos": ("keyring.backends.macOS", "Keyring"),
    "windows": ("keyring.backends.Windows", "WinVaultKeyring"),
}


def main() -> int:
    # What a backend or a library prints to stdout must not look like the answer.
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _no_core_dump()
    with answer_to:
        try:
            answer = act(json.loads(sys.stdin.buffer.read()))
        except Exception as exc:  # noqa: BLE001  backends raise what they like; the class is told
            answer = {"state": "failed", "why": type(exc).__name__}
        json.dump(answer, answer_to)
    return 0


def act(asked: dict[str, Any]) -> dict[str, Any]:
    """Do `get`, `set`, `delete` or `probe` on the first backend of `backends` that works here.

    The answer's `state` is `ok`, `absent`, `none` (no backend) or `failed`.
    """
    name, keyring = _first_viable(asked["backends"])
    if keyring is None:
        return {"state": "none", "why": name}
    service, account = asked["service"], asked["account"]
    found: dict[str, Any] = {"state": "ok", "backend": name}
    match asked["do"]:
        case "get":
            secret = keyring.get_password(service, account)
            return found | ({"state": "absent"} if secret is None else {"secret": secret})
        case "set":
            keyring.set_password(service, account, asked["secret"])
        case "delete":
            if keyring.get_password(service, account) is None:
                return found | {"state": "absent"}
            keyring.delete_password(service, account)
        case "probe":
            pass
        case _:
            return {"state": "failed", "why": "unknown question"}
    return found


def _first_viable(names: list[str]) -> tuple[str, Any]:
    """The first backend that says it can work, or why each cannot."""
    reasons = []
    for name in names:
        module, kind = BACKENDS[name]
        try:
            backend = getattr(importlib.import_module(module), kind)
            _ = backend.priority  # raises where the platform or the service is missing
            return name, backend()
        except Exception as exc:  # noqa: BLE001  each backend has its own way to be unavailable
            reasons.append(f"{name}: {type(exc).__name__}")
    return "; ".join(reasons), None


def _no_core_dump() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    raise SystemExit(main())
