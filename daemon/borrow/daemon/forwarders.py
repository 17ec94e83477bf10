"""Whether a connection was made by a program that passes on what others ask of it.

IMDS has no bearer: whoever may open a connection as our user is served. Behind the user-mode
network of a rootless container, a VM or a tunnel stands such a program of our own user, and behind
it somebody else. So a known forwarder, a process in another network namespace, and one that cannot
be seen are refused there. A claim like all that is read from /proc: it keeps neighbours out who
cannot choose what the forwarder is called, not our own user's code.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from borrow.daemon import procfs
from borrow.daemon.caller import pid_of_inode

if TYPE_CHECKING:
    from borrow.daemon.peer import Peer

FORWARDERS: Final = frozenset(
    {
        *("slirp4netns", "pasta", "pasta.avx2", "passt", "passt.avx2", "rootlesskit"),
        *("rootlesskit-docker-proxy", "docker-proxy", "rootlessport", "gvproxy", "vpnkit"),
        *("lima-guestagent", "limactl", "qemu", "ssh", "sshd", "sshd-session", "autossh"),
        *("socat", "ncat", "kubectl", "chisel", "frpc", "ngrok", "cloudflared", "haproxy", "envoy"),
        *("nginx", "tinyproxy", "squid", "mitmproxy", "tailscaled", "wstunnel"),
    }
)
_FAMILIES: Final = re.compile(r"(?:qemu-system-|podman-|containerd-)[\w-]+")


def is_forwarder(exe: str) -> bool:
    """By the file's name, as the kernel gives the path of what runs."""
    name = exe.removesuffix(" (deleted)").rpartition("/")[2]
    return name in FORWARDERS or _FAMILIES.fullmatch(name) is not None


def passes_on(peer: Peer) -> bool:
    """Whether `peer`'s holder is, or may be, such a program. Blocks on /proc."""
    pid = pid_of_inode(peer.inode, peer.uid)
    if pid is None:
        return True
    space, ours = procfs.link(pid, "ns/net"), procfs.link(os.getpid(), "ns/net")
    return is_forwarder(procfs.link(pid, "exe")) or space != ours or not ours
