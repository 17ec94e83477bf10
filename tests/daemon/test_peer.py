"""The kernel's answer about a connection."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from borrow.daemon.peer import Address, SockDiag, UnixPeer, Unknown, system_peers, unix_peer
from borrow_fakes.tools import need


@pytest.fixture
def kernel() -> Iterator[SockDiag]:
    try:
        source = SockDiag()
    except (OSError, AttributeError):
        need("sock_diag is not there", "a Linux kernel with CONFIG_INET_DIAG")
        raise
    yield source
    source.close()


@contextmanager
def connected(
    client_family: socket.AddressFamily = socket.AF_INET, to: str = "127.0.0.1"
) -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket() as listener, socket.socket(client_family) as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        # Past the suite's guard, which does not know that ::ffff:127.0.0.1 is the loopback.
        super(socket.socket, client).connect((to, listener.getsockname()[1]))
        accepted, _ = listener.accept()
        with accepted:
            yield client, accepted


def ends(accepted: socket.socket) -> tuple[Address, Address]:
    return accepted.getpeername()[:2], accepted.getsockname()[:2]


def test_the_maker_of_a_socket_is_named_with_its_inode(kernel: SockDiag) -> None:
    with connected() as (client, accepted):
        peer = kernel.lookup(*ends(accepted))
        assert peer is not None
        assert (peer.uid, peer.inode) == (os.getuid(), os.fstat(client.fileno()).st_ino)


def test_it_is_the_clients_end_that_is_asked_for(kernel: SockDiag) -> None:
    with connected() as (_, accepted):
        ours = os.fstat(accepted.fileno()).st_ino
        peer = kernel.lookup(*ends(accepted))
        assert peer is not None
        assert peer.inode != ours


def test_a_client_on_an_ipv6_socket_is_found_too(kernel: SockDiag) -> None:
    """Java opens dual-stack sockets and reaches 127.0.0.1 as ::ffff:127.0.0.1."""
    with connected(socket.AF_INET6, "::ffff:127.0.0.1") as (client, accepted):
        peer = kernel.lookup(*ends(accepted))
        assert peer is not None
        assert peer.inode == os.fstat(client.fileno()).st_ino


def test_a_client_that_has_gone_is_unknown_not_root(kernel: SockDiag) -> None:
    with connected() as (client, accepted):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.close()
        assert kernel.lookup(*ends(accepted)) is None


def test_an_address_nobody_uses_is_unknown(kernel: SockDiag) -> None:
    assert kernel.lookup(("127.0.0.1", 1), ("127.0.0.1", 2)) is None


@pytest.mark.parametrize("client", [("nonsense", 1), ("127.0.0.1", 70_000), ("127.0.0.1", -1)])
def test_a_nonsensical_address_is_unknown(kernel: SockDiag, client: Address) -> None:
    assert kernel.lookup(client, ("127.0.0.1", 2)) is None


@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_maker_of_a_datagram_is_named_with_its_inode(
    kernel: SockDiag, is_connected: bool, family: socket.AddressFamily
) -> None:
    with receiver() as ours, socket.socket(family, socket.SOCK_DGRAM) as sender:
        port = ours.getsockname()[1]
        to = ("127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1", port)
        if is_connected:
            super(socket.socket, sender).connect(to)
            sender.send(b"x")
        else:
            super(socket.socket, sender).sendto(b"x", to)
        _, origin = ours.recvfrom(10)
        peer = kernel.sender(origin, ours.getsockname())
        assert peer is not None
        assert (peer.uid, peer.inode) == (os.getuid(), os.fstat(sender.fileno()).st_ino)


def test_a_sender_that_has_gone_is_unknown(kernel: SockDiag) -> None:
    with receiver() as ours:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ours.getsockname())
        _, origin = ours.recvfrom(10)
        assert kernel.sender(origin, ours.getsockname()) is None


@contextmanager
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        yield ours


def test_a_port_somebody_listens_on_is_not_the_maker_of_a_connection(kernel: SockDiag) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert kernel.lookup(listener.getsockname(), ("127.0.0.1", 2)) is None


def test_a_closed_source_knows_nothing(kernel: SockDiag) -> None:
    kernel.close()
    with connected() as (_, accepted):
        assert kernel.lookup(*ends(accepted)) is None


def test_many_questions_in_a_row_get_their_own_answers(kernel: SockDiag) -> None:
    with connected() as (one, first), connected() as (two, second):
        for _ in range(50):
            for client, accepted in ((one, first), (two, second)):
                peer = kernel.lookup(*ends(accepted))
                assert peer is not None
                assert peer.inode == os.fstat(client.fileno()).st_ino


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_on_linux_the_daemon_does_ask_the_kernel() -> None:
    """A mistake in the adapter must not pass for a system that has none: all would be let in."""
    source = system_peers()
    assert source.gives_uid
    source.close()


def test_where_linux_does_not_tell_who_connects_the_daemon_does_not_start() -> None:
    code = """
import resource, sys
from borrow.daemon.peer import system_peers
from borrow.protocol.errors import Misconfigured
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # no socket can be opened
try:
    system_peers()
except Misconfigured as exc:
    print(exc.message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("the kernel does not say who connects (sock_diag: ")


def test_a_system_without_an_adapter_says_that_it_cannot_tell() -> None:
    source = Unknown()
    assert not source.gives_uid
    assert source.lookup(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    source.close()


def test_a_unix_socket_names_its_process() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert unix_peer(ours) == UnixPeer(os.getpid(), os.getuid(), os.getgid())


def test_a_tcp_socket_has_no_unix_peer() -> None:
    with connected() as (_, accepted):
        assert unix_peer(accepted) is None
