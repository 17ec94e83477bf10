"""What every test lives under: no socket leaves loopback, nothing asks link-local metadata."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import socket_allow_hosts

# A busy machine is no finding: neither one slow example nor slowly made ones.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

LOOPBACK = ["127.0.0.1", "::1", "localhost"]
# A stray AWS or Borrow variable of the person who runs the tests would change what they prove.
FOREIGN = ("AWS_", "BORROW_", "XDG_", "BOTO_")
KEPT = ("BORROW_REQUIRE_ALL", "BORROW_TEST_LANE", "BORROW_TEST_ARTEFACTS")


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN) and name not in KEPT:
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
