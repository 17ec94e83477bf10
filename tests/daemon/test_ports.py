"""The one port of the daemon."""

import asyncio
import contextlib
import os
import socket
import subprocess

import pytest

from borrow.daemon.ports import BACKLOG, Holder, choose_port, holder_of
from borrow.protocol.errors import Misconfigured
from borrow_fakes.tools import lacking, need
from borrow_fakes.workstation import workstation


def test_the_first_start_finds_a_port_that_client_sockets_do_not_use() -> None:
    with contextlib.closing(choose_port(None)) as held:
        assert 20_000 <= held.number < 32_000
        assert held.listener.getsockname() == ("127.0.0.1", held.number)


def test_a_later_start_takes_the_same_port() -> None:
    with contextlib.closing(choose_port(None)) as first:
        number = first.number
    with contextlib.closing(choose_port(number)) as second:
        assert second.number == number


def test_a_restart_does_not_wait_for_old_connections() -> None:
    """Ours closed first, so the kernel remembers them for a minute (TIME_WAIT)."""
    with (
        contextlib.closing(choose_port(None)) as held,
        socket.create_connection(("127.0.0.1", held.number)) as client,
    ):
        held.listener.setblocking(True)
        accepted, _ = held.listener.accept()
        accepted.close()
        assert client.recv(1) == b""
    choose_port(held.number).close()


def test_a_taken_port_is_an_error_that_names_the_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} on 127.0.0.1 is taken") as caught:
            choose_port(port)
    assert f"by uid {os.getuid()}, pid {os.getpid()}" in str(caught.value)
    assert caught.value.hint


def test_a_port_taken_on_ipv6_only_is_taken_too() -> None:
    with contextlib.closing(choose_port(None)) as held:
        if held.spare is None:
            pytest.skip("no IPv6 loopback on this system")
        port = held.number
    with socket.socket(socket.AF_INET6) as squatter:
        squatter.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        squatter.bind(("::1", port))
        squatter.listen()
        with pytest.raises(Misconfigured, match="taken"):
            choose_port(port)


def test_taken_candidates_are_passed_over_at_the_first_start() -> None:
    with contextlib.closing(choose_port(None)) as first:
        offers = iter([first.number - 20_000, first.number - 20_000, first.number - 20_000 + 1])
        numbers = iter(range(12_000))
        with contextlib.closing(
            choose_port(None, pick=lambda _: next(offers, next(numbers)))
        ) as second:
            assert second.number != first.number


def test_when_everything_is_taken_it_says_so() -> None:
    with (
        contextlib.closing(choose_port(None)) as first,
        pytest.raises(Misconfigured, match="no free port"),
    ):
        choose_port(None, pick=lambda _: first.number - 20_000)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_saved_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(Misconfigured, match="not a port"):
        choose_port(port)


def test_a_free_port_has_no_holder() -> None:
    with contextlib.closing(choose_port(None)) as held:
        assert holder_of(held.number) == Holder(os.getuid(), os.getpid())
    assert holder_of(held.number) is None


async def test_a_crowd_finds_place_in_the_queue_of_the_endpoint() -> None:
    """The loop listens once more, with a queue of its own; what is dropped comes seconds later."""
    need(lacking("ss"), "apt-get install --no-install-recommends iproute2")
    async with workstation() as machine:
        shown = await asyncio.to_thread(_listening, machine.port)
    queues = {int(line.split()[2]) for line in shown.splitlines()}
    assert queues == {min(BACKLOG, socket.SOMAXCONN)}


def _listening(port: int) -> str:
    command = ["ss", "-ltnH", f"sport = :{port}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
