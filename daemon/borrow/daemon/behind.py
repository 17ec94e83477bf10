"""The process behind a connection, as it is told to people who decide."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from borrow.daemon.caller import as_context, describe_inode

if TYPE_CHECKING:
    from borrow.daemon.peer import Peer


async def describe_peer(peer: Peer | None) -> dict[str, Any]:
    """`request_context.process` plus `agent`; {} if nobody knows."""
    if peer is None:
        return {}
    facts = await asyncio.to_thread(describe_inode, peer.inode, peer.uid)
    agent = {"agent": facts.agent} if facts is not None and facts.agent else {}
    return as_context(facts) | agent
