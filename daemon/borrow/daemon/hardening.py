"""What the daemon asks of the kernel before it holds a secret.

Same-user code may still imitate a caller (SECURITY.md says so), but it does not get to read the
daemon's memory or environment, attach a debugger, or find its secrets in a core file. Standard
library only, so that the daemon can call it as its very first act.
"""

from __future__ import annotations

import ctypes
import os
import sys

OPEN_FILES = 4_096
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4


def protect_process() -> bool:
    """Forbid ptrace, /proc reads by equals, and core files. False where the system has no way.

    Raises OSError if the kernel refuses: a daemon that believes it is protected must be.
    """
    if sys.platform != "linux":
        return False
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    raise_open_files()
    libc = ctypes.CDLL(None, use_errno=True)
    # Also covers a core_pattern that pipes to a collector, which ignores RLIMIT_CORE.
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return not is_dumpable()


def raise_open_files(wanted: int = OPEN_FILES) -> int:
    """Lift the soft limit of open files towards `wanted`, as far as the hard one lets; the result.

    Systems give 1,024 by default, and each held call is one.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    reached = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (reached, hard))
    return reached


def is_dumpable() -> bool:
    """What the kernel says now; the status page shows it rather than what was asked for."""
    if sys.platform != "linux":
        return True
    return bool(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
