"""Tier critical: a yes takes a passkey and a device of one person, and half of it gives nothing."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from borrow.minter.migrations import run
from borrow.minter.store import Store
from borrow.protocol.ceremony import challenge_of
from borrow.protocol.decision import Evidence, sign_statement, verify_record
from borrow.protocol.enrolment import Invitation, sign_software_statement
from borrow.protocol.errors import BorrowError, Unavailable
from borrow.protocol.keys import PublicKeys
from borrow_fakes.minting import ANN, BO, CY, ISSUER, POLICY
from borrow_fakes.people import FakeDevice

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.minter.port import Outcome
    from borrow_fakes.authenticator import Authenticator
    from borrow_fakes.minting import MinterHouse

DAY = 86_400
SENSITIVE = 'Prod"\ntier = "sensitive"'
CRITICAL = POLICY.replace(SENSITIVE, 'Prod"\ntier = "critical"')
assert CRITICAL != POLICY


@pytest.fixture
def cy(house: MinterHouse) -> FakeDevice:
    return house.join(CY)


@pytest.fixture
def bos(house: MinterHouse, bo: FakeDevice) -> Authenticator:
    """Bo's passkey; his device is `bo`."""
    assert bo.owner == BO
    house.use_policy(CRITICAL)
    return house.passkey(BO)


def refusal(call: Any, *words: Any, **more: Any) -> str:
    with pytest.raises(BorrowError) as raised:
        call(*words, **more)
    return raised.value.state


def by_tray(house: MinterHouse, request: str, device: FakeDevice, seconds: int = 0) -> Outcome:
    return house.approve(request, device, "device", seconds=seconds)[0]


def asked(house: MinterHouse, ann: FakeDevice) -> str:
    view = house.ask(ann, "prod").view
    assert (view.tier, view.factors, view.every) == ("critical", ("device", "passkey"), True)
    return view.request_id


@pytest.mark.parametrize("first", ["passkey", "device"])
def test_both_halves_in_either_order_are_a_yes_and_one_is_none(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator, first: str
) -> None:
    request = asked(house, ann)
    second = "device" if first == "passkey" else "passkey"
    ways = {
        "passkey": lambda: house.approve_on_page(request, BO, bos),
        "device": lambda: by_tray(house, request, bo),
    }
    outcome = ways[first]()
    keys = PublicKeys.from_jwks({"keys": [house.minter.keys().sig]}, "sig")
    assert verify_record(outcome.record, keys).method == first
    view = house.minter.request(request)
    assert (view.state, view.decided_by) == ("pending", ())
    assert [(h.approver, h.given, h.missing) for h in view.halves] == [(BO, (first,), (second,))]
    with pytest.raises(Unavailable):
        house.minter.open_grant(request, ann.client_id)
    assert "grant.open" not in house.kinds()

    assert ways[second]().view.state == "approved"
    view = house.minter.request(request)
    assert (view.decided_by, view.halves) == ((BO,), ())
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert (grant.approvers, set(grant.methods)) == ((BO,), {"passkey", "device"})
    assert house.minter.mint(grant.grant_id, ann.client_id).sealed


def test_whoever_said_half_is_told_and_the_log_says_what_is_missing(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    _, changes = house.approve(request, bo, "device")
    assert [(c.kind, c.person, c.subject) for c in changes] == [
        ("request_half", BO, f"request:{request}")
    ]
    assert changes[0].details["missing"] == ["passkey"]
    entry = house.log()[-1]
    assert (entry["kind"], entry["facts"]["missing"]) == ("decision", ["passkey"])
    house.approve_on_page(request, BO, bos)
    whole = [e["facts"] for e in house.log() if e["kind"] == "decision"][-1]
    assert "missing" not in whole


def test_the_same_half_twice_is_no_yes(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    assert refusal(house.approve_on_page, request, BO, bos) == "half_given"
    another = house.join(BO)
    house.clock.advance(DAY)
    request = house.ask(ann, "prod", group="g1b").view.request_id
    house.approve_on_page(request, BO, bos)
    by_tray(house, request, another)
    assert house.minter.request(request).state == "approved"
    request = house.ask(ann, "prod", group="g2").view.request_id
    by_tray(house, request, another)
    assert refusal(by_tray, house, request, bo) == "half_given"
    assert house.minter.request(request).state == "pending"


def test_halves_of_two_people_are_no_yes(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, cy: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    assert by_tray(house, request, cy).view.state == "pending"
    assert {half.approver for half in house.minter.request(request).halves} == {BO, CY}
    assert by_tray(house, request, bo).view.state == "approved"
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert grant.approvers == (BO,)


def test_one_statement_serves_one_half(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    statement = house.minter.new_statement(request, BO, "approve")
    device = Evidence("device", sign_statement(statement, bo.sig))
    passkey = Evidence("passkey", bos.get(challenge_of(statement)))
    say = house.minter.accept_decision
    say(request, BO, bo.client_id, "approve", statement=statement, evidence=device)
    assert (
        refusal(say, request, BO, None, "approve", statement=statement, evidence=passkey)
        == "replayed"
    )
    assert house.minter.request(request).state == "pending"


def test_the_shorter_half_decides_and_a_half_of_another_nothing(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, cy: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    by_tray(house, request, cy, seconds=60)
    by_tray(house, request, bo, seconds=900)
    house.approve_on_page(request, BO, bos)
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert grant.role.seconds == 900


@pytest.mark.parametrize("who", ["the same", "another", "the requester"])
def test_a_no_ends_it_whatever_half_is_there(
    house: MinterHouse,
    ann: FakeDevice,
    bo: FakeDevice,
    cy: FakeDevice,
    bos: Authenticator,
    who: str,
) -> None:
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    says = {"the same": bo, "another": cy, "the requester": ann}[who]
    assert house.say(request, says)[0].view.state == "denied"
    assert refusal(by_tray, house, request, bo) == "wrong_state"
    assert refusal(house.minter.open_grant, request, ann.client_id) == "denied"
    assert house.minter.request(request).decided_by == ((BO,) if says is bo else (says.owner,))


def test_codes_and_clicks_are_no_half(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    house.enrol_totp(bo)
    request = asked(house, ann)
    for kind in ("totp", "consent"):
        assert refusal(house.approve, request, bo, kind) == "factor"
    anns = house.passkey(ANN)
    assert refusal(house.approve_on_page, request, ANN, anns) == "self_approval"
    assert house.minter.request(request).halves == ()


def test_a_consent_passed_for_a_devices_yes_is_no_half(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    """What a lying approver gets from a workstation that was told the request is its person's."""
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    statement = house.minter.new_statement(request, BO, "approve")
    consent = house.evidence("consent", bo, statement).token
    passed = Evidence("device", consent)
    say = house.minter.accept_decision
    assert (
        refusal(say, request, BO, bo.client_id, "approve", statement=statement, evidence=passed)
        == "untrusted"
    )
    assert house.minter.request(request).state == "pending"


def test_half_a_yes_lapses_with_the_request(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    house.clock.advance(900)
    assert refusal(by_tray, house, request, bo) == "wrong_state"
    assert house.minter.request(request).state == "expired"


def test_a_half_survives_a_restart(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    house.restart()
    assert by_tray(house, request, bo).view.state == "approved"


# What changes between the halves


def test_a_half_goes_with_the_passkey_that_gave_it(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    house.minter.people.passkey_remove(bos.credential_id, BO)
    assert house.minter.request(request).halves == ()
    assert "decision.withdrawn" in house.kinds()
    assert by_tray(house, request, bo).view.state == "pending"
    assert house.minter.request(request).halves[0].missing == ("passkey",)
    assert house.minter.check_log().bad_seq is None


@pytest.mark.parametrize("how", ["freeze", "not me"])
def test_a_half_goes_with_the_device_that_gave_it(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator, how: str
) -> None:
    request = asked(house, ann)
    by_tray(house, request, bo)
    if how == "freeze":
        house.minter.freeze(bo.client_id, BO)
    else:
        theirs = house.ask(bo, "click").view.request_id
        house.minter.report(theirs, BO, bo.client_id)
    assert house.approve_on_page(request, BO, bos).view.state == "pending"
    assert house.minter.request(request).halves[0].missing == ("device",)
    house.minter.unfreeze(bo.client_id, "di@example.com")
    assert by_tray(house, request, bo).view.state == "approved"  # said anew


def test_a_yes_that_is_whole_stays_when_its_key_goes(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    by_tray(house, request, bo)
    house.minter.people.passkey_remove(bos.credential_id, BO)
    assert house.minter.open_grant(request, ann.client_id)[0].approvers == (BO,)


def test_who_leaves_the_pool_between_the_halves_says_no_yes(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, cy: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    house.use_policy(CRITICAL.replace('from = ["group:team"]', f'from = ["{ANN}", "{CY}"]'))
    assert refusal(by_tray, house, request, bo) == "not_a_decider"
    assert house.minter.request(request).state == "pending"


def test_a_role_that_became_critical_keeps_nothing_that_one_kind_gave(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    house.use_policy(POLICY)
    request = house.ask(ann, "prod").view.request_id
    by_tray(house, request, bo)
    grant, _ = house.minter.open_grant(request, ann.client_id)
    waits = house.ask(ann, "prod", group="g2").view.request_id
    house.use_policy(CRITICAL)
    assert refusal(house.minter.mint, grant.grant_id, ann.client_id) == "policy"
    assert refusal(by_tray, house, waits, bo) == "policy"  # it is asked anew, under the new rule
    assert house.minter.request(waits).state == "revoked"
    assert house.ask(ann, "prod").view.every


def test_a_role_that_is_critical_no_more_still_takes_what_was_asked(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    request = asked(house, ann)
    house.use_policy(POLICY)
    assert by_tray(house, request, bo).view.state == "pending"
    assert house.approve_on_page(request, BO, bos).view.state == "approved"
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert house.minter.mint(grant.grant_id, ann.client_id).sealed


def test_no_row_of_the_database_makes_a_grant_of_a_half(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    """The check at the grant stands by itself: a request that says it is approved opens nothing."""
    request = asked(house, ann)
    by_tray(house, request, bo)
    with sqlite3.connect(house.db) as db:
        until = house.clock() + 600
        db.execute("UPDATE requests SET state = 'approved', claim_until = ?", (until,))
    with pytest.raises(RuntimeError, match="lacks its approvals"):
        house.minter.open_grant(request, ann.client_id)


def test_every_order_of_halves_and_noes_ends_as_it_must(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, cy: FakeDevice, bos: Authenticator
) -> None:
    says: dict[str, Callable[[str], object]] = {
        "bo by passkey": lambda request: house.approve_on_page(request, BO, bos),
        "bo by device": lambda request: by_tray(house, request, bo),
        "cy by device": lambda request: by_tray(house, request, cy),
        "cy denies": lambda request: house.say(request, cy),
    }
    for number, order in enumerate(itertools.permutations(says)):
        request = house.ask(ann, "prod", group=f"g{number}").view.request_id
        heard: set[str] = set()
        for step in order:
            says[step](request)
            heard.add(step)
            state = house.minter.request(request).state
            if "cy denies" in heard:
                assert state == "denied", order
            elif {"bo by passkey", "bo by device"} <= heard:
                assert state == "approved", order
            else:
                assert state == "pending", order
            if state != "pending":
                break
        house.clock.advance(90_000)  # nobody tires of it


# Keys that somebody else has just brought in


def test_a_device_that_the_approver_invites_in_ones_name_says_no_half_for_a_day(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    house.clock.advance(1)
    planted = house.join(BO)
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    assert refusal(by_tray, house, request, planted) == "key_waits"
    house.minter.freeze(bo.client_id, "di@example.com")  # that the older one goes changes nothing
    assert refusal(by_tray, house, request, planted) == "key_waits"
    assert house.minter.request(request).state == "pending"
    house.clock.advance(DAY)
    request = house.ask(ann, "prod", group="g2").view.request_id
    house.approve_on_page(request, BO, bos)
    assert by_tray(house, request, planted).view.state == "approved"


def test_a_passkey_put_in_the_place_of_a_removed_one_waits_too(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    house.clock.advance(1)
    house.minter.people.passkey_remove(bos.credential_id, BO)
    planted = house.passkey(BO)  # for other roles it counts, as the person's only one
    request = asked(house, ann)
    by_tray(house, request, bo)
    assert refusal(house.approve_on_page, request, BO, planted) == "key_waits"
    assert house.minter.request(request).state == "pending"


def test_a_device_that_ones_own_passkey_invites_counts_at_once(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, bos: Authenticator
) -> None:
    house.clock.advance(1)
    people = house.minter.people
    ceremony = people.new_ceremony("invite", BO)
    invited = people.invite_with(ceremony, Evidence("passkey", bos.get(challenge_of(ceremony))))
    device = FakeDevice(owner=BO, issuer=ISSUER)
    invitation = Invitation(ISSUER, BO, "a", house.minter.keys().pin, invited.key)
    token = sign_software_statement(
        invitation, device.jwks, device_name="laptop", now=house.clock(), jti="k" * 22
    )
    device.client_id = house.minter.register(token)[0].client_id
    request = asked(house, ann)
    house.approve_on_page(request, BO, bos)
    assert by_tray(house, request, device).view.state == "approved"


def test_a_new_device_counts_for_other_roles_at_once(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    house.clock.advance(1)
    request = house.ask(ann, "prod").view.request_id
    assert by_tray(house, request, house.join(BO)).view.state == "approved"


# Databases of before


def test_a_database_of_before_takes_halves_after_its_migration(tmp_path: Path) -> None:
    """Its requests took any one kind, and its decisions stay what they were."""
    path = tmp_path / "minter.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as conn:
        config = Config()
        config.set_main_option("script_location", str(Path(run.__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = conn
        command.upgrade(config, "0002")
    engine.dispose()
    with sqlite3.connect(path) as db:
        for table in ("requests", "decisions"):
            columns = db.execute(f"PRAGMA table_info({table})").fetchall()
            values = {"method": "device", "factors": "[]", "state": "approved"}
            row = [values.get(name, 1 if "INT" in kind else "") for _, name, kind, *_ in columns]
            db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    Store(path, sign=lambda head, now: "", entropy=lambda n: b"e" * n).close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT every, state FROM requests").fetchall() == [(0, "approved")]
        said = db.execute("SELECT method, credential_id, approver FROM decisions").fetchall()
        assert said == [("device", "", "")]
        row = db.execute("SELECT * FROM decisions").fetchone()
        with pytest.raises(sqlite3.IntegrityError):  # still one voice each
            db.execute(f"INSERT INTO decisions VALUES ({','.join('?' * len(row))})", (2, *row[1:]))
