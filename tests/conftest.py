"""What every test lives under: no socket leaves loopback, nothing asks link-local metadata."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import socket_allow_hosts

from borrow.daemon.caller import AGENT_FLAGS, agent_of

# A busy machine is no finding: neither one slow example nor slowly made ones.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

LOOPBACK = ["127.0.0.1", "::1", "localhost"]
# A stray AWS or Borrow variable of the person who runs the tests would change what they prove.
FOREIGN = ("AWS_", "BORROW_", "XDG_", "BOTO_")
AGENTS = tuple(name for name, _ in AGENT_FLAGS)  # Borrow tells agents and people apart
KEPT = ("BORROW_REQUIRE_ALL", "BORROW_TEST_LANE", "BORROW_TEST_ARTEFACTS")


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    for name in list(os.environ):
        if (name.startswith(FOREIGN) and name not in KEPT) or name in AGENTS:
            del os.environ[name]
    # Where the tests are started in the background of a shell, Ctrl-C is ignored, by children too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(autouse=True)
def _only_loopback() -> None:
    socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


def pytest_report_header() -> list[str]:
    """What a variable taken away here does not help: agents are seen in our ancestors too."""
    agent = agent_of(os.getpid())
    return [_UNDER.format(agent)] if agent else []


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if (agent := agent_of(os.getpid())) and terminalreporter.stats.get("failed"):
        terminalreporter.write_line(_UNDER.format(agent), yellow=True)


_UNDER = (
    "borrow: these tests run under the coding agent {}, and Borrow treats them so: tests about"
    " people fail. `make test` takes them out of it; if it cannot: setsid unshare --pid --fork"
    " --mount-proc make test"
)
