"""The audit log as pure rules: what an entry is, how entries hang together, how to check them.

An entry is JSON text `{seq, at, kind, facts, prev}`; `prev` is the hex leaf hash of the one before.
Leaf and node hashes and the root are those of RFC 9162 §2.1. The head (size and root) is signed
by M after every step, so a log that lost its end is found out too. Reading and writing rows is
`store.py`'s.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from borrow.minter.port import LogCheck
from borrow.protocol.errors import Untrusted
from borrow.protocol.jose import sign, verify
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from joserfc.jwk import ECKey

    from borrow.protocol.keys import PublicKeys

HEAD_TYP = "borrow-tree-head+jwt"
NOTHING = hashlib.sha256(b"").hexdigest()  # root of the empty log, `prev` of the first entry
_FOLLOWS_ANOTHER = "it does not follow the one before"
MAX_ENTRY = 65_536  # bytes; a decision record of 16 KiB in JSON fits several times


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log stands: enough to append and to know the root without reading it again."""

    size: int = 0
    last_leaf: str = NOTHING
    peaks: tuple[str, ...] = ()  # roots of the perfect subtrees, largest first


@dataclass(frozen=True, slots=True)
class Leaf:
    seq: int
    entry: str
    leaf_hash: str


def make_leaf(head: Head, at: float, kind: str, facts: Mapping[str, Any]) -> Leaf:
    """The next entry after `head`."""
    content = {"seq": head.size, "at": at, "kind": kind, "facts": facts, "prev": head.last_leaf}
    entry = json.dumps(content, separators=(",", ":"))
    return Leaf(head.size, entry, leaf_hash(entry))


def advance(head: Head, leaf: Leaf) -> Head:
    """`head` with `leaf` appended: equal subtrees merge, as carries do in a binary counter."""
    peaks, tail, count = list(head.peaks), leaf.leaf_hash, head.size
    while count & 1:
        tail = _node(peaks.pop(), tail)
        count >>= 1
    return Head(head.size + 1, leaf.leaf_hash, (*peaks, tail))


def leaf_hash(entry: str) -> str:
    return hashlib.sha256(b"\x00" + entry.encode()).hexdigest()


def _node(left: str, right: str) -> str:
    return hashlib.sha256(b"\x01" + bytes.fromhex(left) + bytes.fromhex(right)).hexdigest()


def root_of(head: Head) -> str:
    """RFC 9162 §2.1.1 root, hex."""
    if not head.peaks:
        return NOTHING
    root = head.peaks[-1]
    for peak in reversed(head.peaks[:-1]):
        root = _node(peak, root)
    return root


def sign_head(head: Head, key: ECKey, *, issuer: str, now: float) -> str:
    claims = {"iss": issuer, "size": head.size, "root": root_of(head), "iat": int(now)}
    return sign(claims, key, HEAD_TYP)


def verify_head(token: str, keys: PublicKeys, *, issuer: str) -> tuple[int, str]:
    """(size, root) that M signed; raises Untrusted."""
    claims = Members(verify(token, keys, HEAD_TYP).claims, "tree head")
    claims.exactly("iss", issuer)
    size, root = claims.whole("size"), claims.text("root", limit=64)
    claims.whole("iat")
    claims.end()
    return size, root


def check(leaves: Iterable[Leaf], head: Head, signed: tuple[int, str] | None) -> LogCheck:
    """Verify every entry and the head; `bad_seq` is the first entry that is not as it was written.

    `leaves` are the stored rows by `seq`; `signed` is what M's signature covers, None if it does
    not verify.
    """
    so_far = before = Head()
    for leaf, following in _with_next(leaves):
        index = so_far.size
        why = _odd(leaf, index, so_far)
        if why == _FOLLOWS_ANOTHER and index and _is_confirmed(leaf, following, head):
            return _bad(so_far, index - 1, "its follower was written after another entry")
        if why:
            return _bad(so_far, index, why)
        before, so_far = so_far, advance(so_far, leaf)
    if so_far.size < head.size:
        return _bad(so_far, so_far.size, "it is missing")
    if so_far.size > head.size:
        return _bad(so_far, head.size, "it was added outside of the minter")
    if so_far != head:
        if advance(before, Leaf(before.size, "", head.last_leaf)) == head:
            return _bad(before, before.size, "it was edited")
        return _bad(so_far, _first_changed(so_far, head), "it or a later one was rewritten")
    if so_far.size and signed != (head.size, root_of(head)):
        return _bad(so_far, so_far.size - 1, "the signed head does not cover the log")
    return LogCheck(so_far.size, root_of(so_far), None, "")


def _with_next(leaves: Iterable[Leaf]) -> Iterator[tuple[Leaf, Leaf | None]]:
    """Each leaf with the one after it: a log need not fit in memory to be checked."""
    last: Leaf | None = None
    for leaf in leaves:
        if last is not None:
            yield last, leaf
        last = leaf
    if last is not None:
        yield last, None


def _odd(leaf: Leaf, index: int, before: Head) -> str:
    """What is wrong with `leaf` in place `index`, or nothing."""
    if leaf.seq != index:
        return "it is missing"
    try:
        content = parse_object(leaf.entry, "log entry", limit=MAX_ENTRY)
    except Untrusted:
        return "it is not an entry"
    if content.get("seq") != index:
        return "another entry stands in its place"
    if leaf_hash(leaf.entry) != leaf.leaf_hash:
        return "it was edited"
    if content.get("prev") != before.last_leaf:
        return _FOLLOWS_ANOTHER
    return ""


def _is_confirmed(leaf: Leaf, following: Leaf | None, head: Head) -> bool:
    """Whether the entry after `leaf` (or the head) says that `leaf` is as it was written."""
    if following is None:
        return head.last_leaf == leaf.leaf_hash
    return following.entry.endswith(f'"prev":"{leaf.leaf_hash}"}}')


def _first_changed(found: Head, head: Head) -> int:
    """The first entry under the first perfect subtree that differs."""
    start, left = 0, head.size
    for mine, theirs in zip(found.peaks, head.peaks, strict=False):
        width = 1 << (left.bit_length() - 1)
        if mine != theirs:
            return start
        start, left = start + width, left - width
    return max(head.size - 1, 0)


def _bad(so_far: Head, seq: int, why: str) -> LogCheck:
    return LogCheck(so_far.size, root_of(so_far), seq, why)
