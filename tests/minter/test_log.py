"""The log: RFC 9162 hashes, and an edited, deleted or moved entry is named."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.minter.log import Head, Leaf, advance, check, leaf_hash, make_leaf, root_of, verify_head
from borrow.protocol.errors import Untrusted
from borrow.protocol.keys import PublicKeys, new_key
from borrow_fakes.minting import ISSUER

if TYPE_CHECKING:
    from borrow_fakes.minting import MinterHouse
    from borrow_fakes.people import FakeDevice


def rfc_root(leaves: list[str]) -> str:
    """RFC 9162 §2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").hexdigest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    left, right = bytes.fromhex(rfc_root(leaves[:k])), bytes.fromhex(rfc_root(leaves[k:]))
    return hashlib.sha256(b"\x01" + left + right).hexdigest()


def written(count: int) -> tuple[list[Leaf], Head]:
    head, leaves = Head(), []
    for number in range(count):
        leaf = make_leaf(head, 1.0 + number, "test", {"number": number})
        head = advance(head, leaf)
        leaves.append(leaf)
    return leaves, head


def check_all(leaves: list[Leaf], head: Head) -> tuple[int | None, str]:
    result = check(leaves, head, (head.size, root_of(head)))
    return result.bad_seq, result.why


def test_an_entry_is_exactly_these_bytes() -> None:
    leaf = make_leaf(Head(), 1.5, "grant.open", {"grant": "g-1"})
    nothing = hashlib.sha256(b"").hexdigest()
    assert leaf.entry == (
        '{"seq":0,"at":1.5,"kind":"grant.open","facts":{"grant":"g-1"},"prev":"' + nothing + '"}'
    )
    assert leaf.leaf_hash == hashlib.sha256(b"\x00" + leaf.entry.encode()).hexdigest()


@given(st.integers(0, 70))
def test_the_root_is_that_of_rfc_9162(count: int) -> None:
    leaves, head = written(count)
    assert root_of(head) == rfc_root([leaf.leaf_hash for leaf in leaves])
    assert head.size == count


@given(st.integers(0, 40))
def test_an_untouched_log_is_good(count: int) -> None:
    leaves, head = written(count)
    assert check_all(leaves, head) == (None, "")


@given(st.data(), st.integers(2, 30))
def test_the_first_bad_entry_is_named(data: st.DataObject, count: int) -> None:
    leaves, head = written(count)
    at = data.draw(st.integers(0, count - 1))
    other = data.draw(st.integers(0, count - 1).filter(lambda n: n != at))
    damage = data.draw(st.sampled_from(["edit", "edit and hash", "delete", "swap"]))
    first = at
    if damage == "delete":
        del leaves[at]
    elif damage == "swap":
        leaves[at], leaves[other] = (
            Leaf(at, leaves[other].entry, leaves[other].leaf_hash),
            Leaf(other, leaves[at].entry, leaves[at].leaf_hash),
        )
        first = min(at, other)
    else:
        entry = leaves[at].entry.replace('"test"', '"best"')
        leaf = leaf_hash(entry) if damage == "edit and hash" else leaves[at].leaf_hash
        leaves[at] = Leaf(at, entry, leaf)
    assert check_all(leaves, head)[0] == first


def test_a_log_rewritten_from_one_entry_on_does_not_reach_the_signed_head() -> None:
    _, head = written(11)
    leaves, _ = written(9)
    forged = Head()
    for leaf in leaves:
        forged = advance(forged, leaf)
    for number in (9, 10):
        leaves.append(make_leaf(forged, 99.0, "forged", {"number": number}))
        forged = advance(forged, leaves[-1])
    bad, why = check_all(leaves, head)
    assert bad == 8  # the perfect subtree that holds entries 8 and 9
    assert "rewritten" in why


def test_a_head_that_m_did_not_sign_is_not_believed() -> None:
    leaves, head = written(3)
    assert check(leaves, head, None).bad_seq == 2
    assert check(leaves, head, (2, root_of(head))).bad_seq == 2


def test_an_entry_that_is_no_json_is_bad_and_not_an_exception() -> None:
    leaves, head = written(3)
    leaves[1] = Leaf(1, "{" * 99_999, leaf_hash("{" * 99_999))
    assert check_all(leaves, head)[0] == 1


@pytest.mark.parametrize("damage", ["deleted", "last deleted", "edited", "reordered", "added"])
def test_a69_a_changed_log_names_its_first_bad_entry(
    house: MinterHouse, ann: FakeDevice, damage: str
) -> None:
    house.granted(ann)
    size = house.minter.check_log().size
    assert size > 6
    house.minter.close()
    with sqlite3.connect(house.db) as db:
        db.execute("DROP TRIGGER log_is_not_edited")
        db.execute("DROP TRIGGER log_is_not_cut")
        if damage == "deleted":
            db.execute("DELETE FROM log WHERE seq = 3")
        elif damage == "last deleted":
            db.execute("DELETE FROM log WHERE seq = ?", (size - 1,))
        elif damage == "edited":
            (entry,) = db.execute("SELECT entry FROM log WHERE seq = 3").fetchone()
            changed = entry.replace("ann@example.com", "bob@example.com")
            assert changed != entry
            values = (changed, leaf_hash(changed))
            db.execute("UPDATE log SET entry = ?, leaf_hash = ? WHERE seq = 3", values)
        elif damage == "reordered":
            db.execute("UPDATE log SET seq = 999 WHERE seq = 3")
            db.execute("UPDATE log SET seq = 3 WHERE seq = 4")
            db.execute("UPDATE log SET seq = 4 WHERE seq = 999")
        else:
            prev = db.execute("SELECT leaf_hash FROM log WHERE seq = ?", (size - 1,)).fetchone()[0]
            leaf = make_leaf(Head(size, prev), 1.0, "forged", {})
            db.execute("INSERT INTO log VALUES (?, ?, ?)", (leaf.seq, leaf.entry, leaf.leaf_hash))
    db.close()
    house.minter = house.open()
    expected = {"last deleted": size - 1, "added": size}.get(damage, 3)
    assert house.minter.check_log().bad_seq == expected


def test_the_database_itself_refuses_to_edit_or_cut_the_log(
    house: MinterHouse, ann: FakeDevice
) -> None:
    db = sqlite3.connect(house.db)
    for sql in ("UPDATE log SET entry = ''", "DELETE FROM log"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(sql)
    db.close()


def test_the_tree_head_is_signed_by_m_over_size_and_root(
    house: MinterHouse, ann: FakeDevice
) -> None:
    size, root = verify_head(house.minter.tree_head(), PublicKeys([house.keys.sig]), issuer=ISSUER)
    found = house.minter.check_log()
    assert (size, root) == (found.size, found.root)
    with pytest.raises(Untrusted):
        verify_head(house.minter.tree_head(), PublicKeys([new_key()]), issuer=ISSUER)


def test_a_person_sees_the_entries_that_name_them_and_no_others(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    house.granted(ann)
    mine = house.minter.log_entries(0, 100, person="Bo@Example.com")
    assert [json.loads(entry.entry)["kind"] for entry in mine] == ["device.invite", "device.add"]
    assert len(house.minter.log_entries(0, 100)) > len(mine)
    assert len(house.minter.log_entries(1, 2)) == 2
    assert house.minter.log_entries(-5, -5) == ()
