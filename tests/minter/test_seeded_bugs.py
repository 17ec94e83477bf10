"""Proof that the suite sees: each bug is put into a copy of the minter, and tests must fail on it.

Those of the first table must be found by the stateful test alone (`test_lives.py`), whose ghost
knows no code; those of the second by the named files. The copies come first on the path of a
process of their own; nothing here is patched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import borrow.minter.authority

HERE = Path(__file__).parent
SOURCE = Path(borrow.minter.authority.__file__).parent
LIVES = "test_lives.py"


@dataclass(frozen=True, slots=True)
class Bug:
    """`old` stands once in `module` and becomes `new`."""

    name: str
    module: str
    old: str
    new: str
    tests: str = LIVES


BUGS = (
    Bug(
        "the number is not compared", "decisions.py", "if request.number_match:", "if False:"
    ),
    Bug(
        "wrong numbers are not counted",
        "decisions.py",
        "wrong = request.wrong_numbers + 1",
        "wrong = 1",
        "test_decisions.py",
    ),
    Bug("a statement counts again", "decisions.py",
        "if row.used:", "if False:", "test_decisions.py"),
    Bug(
        "a statement counts after its end",
        "decisions.py",
        "if step.now >= row.not_after:",
        "if step.now > row.not_after:",
    ),
    Bug(
        "a statement counts for any request",
        "decisions.py",
        "if (row.request_id, row.approver) != (request.request_id, said.approver):",
        "if row.approver != said.approver:",
    ),
    Bug(
        "statements are not compared byte for byte",
        "decisions.py",
        "if row is None or not hmac.compare_digest(row.data, data):",
        "if row is None:",
        "test_decisions.py",
    ),
    Bug("one voice may be heard twice", "decisions.py",
        "if any(voice.approver == said.approver for voice in voices):", "if False:",
        "test_decisions.py"),
    Bug("one yes is enough for two", "decisions.py",
        "if len(voices) + 1 < request.k:", "if len(voices) + 2 < request.k:"),
    Bug("any kind of evidence counts", "decisions.py",
        "if said.evidence.kind not in request.factors:", "if False:",
        "test_decisions.py"),  # the policy of the moment refuses it too, one step later
    Bug("the requester may be the peer", "decisions.py",
        'if decision == "approve" and request.mode == "peer":', "if False:",
        "test_decisions.py"),
    Bug("anybody may answer", "decisions.py",
        "if approver not in request.deciders:", "if False:",
        "test_decisions.py"),
    Bug("a decision is taken after the deadline", "records.py",
        "if self.state is RequestState.PENDING and now >= self.pending_until:",
        "if self.state is RequestState.PENDING and now > self.pending_until + 1:"),
    Bug("a yes waits for ever", "records.py",
        "if self.state is RequestState.APPROVED and now >= self.claim_until:", "if False:"),
    Bug("a grant lives a second longer", "records.py",
        "if self.state is GrantState.ACTIVE and now >= self.expires_at:",
        "if self.state is GrantState.ACTIVE and now > self.expires_at:"),
    Bug("approvals do not shorten", "grants.py",
        "seconds = min(request.seconds, *(d.seconds for d in yes))", "seconds = request.seconds"),
    Bug("a resume starts the time anew", "grants.py",
        "        return _resumed(step, request), True\n",
        "        step.run(update(schema.grants).where(schema.grants.c.request_id == request_id)"
        ".values(expires_at=step.now + request.seconds))\n"
        "        return _resumed(step, request), True\n"),
    Bug("another device may collect", "grants.py",
        "    if request.client_id != device.client_id:\n", "    if False:\n"),
    Bug("an extension leaves the old grant alive", "grants.py",
        "if old is not None and old.state is GrantState.ACTIVE:", "if False:"),
    Bug("a revocation spares the extension", "grants.py",
        "if state is not GrantState.EXPIRED:", "if False:", "test_acceptance.py"),
    Bug("a revoked grant is minted", "mints.py",
        "    if grant.state is not GrantState.ACTIVE or int(grant.expires_at) <= step.now:\n"
        "        raise Keep", "    if False:\n        raise Keep", "test_mints.py"),
    Bug("a revocation during the call is not seen", "mints.py",
        "    if grant.state is not GrantState.ACTIVE or int(grant.expires_at) <= step.now:\n"
        "        refusal", "    if False:\n        refusal"),
    Bug("another device may mint", "mints.py",
        "    if grant.client_id != client_id:\n", "    if False:\n"),
    Bug("a credential outlives its grant", "mints.py",
        "expires_at = min(made.expires_at, int(grant.expires_at))",
        "expires_at = made.expires_at"),
    Bug("a mint begins without a leaf", "mints.py",
        '    _leaf(step, "mint.begin", grant, arn=request.arn)\n', ""),
    Bug("a mint ends without a leaf", "mints.py",
        '        "mint.end",\n        grant,\n        outcome=outcome,',
        '        "mint.note",\n        grant,\n        outcome=outcome,'),
    Bug("open mints are forgotten at the start", "authority.py",
        "            mints.write_off(step)\n", "            pass\n", "test_crash.py"),
    Bug("the policy of the moment is not asked at the mint", "mints.py",
        "if refusal := still_allowed(policy, request, yes_methods(step, request)):",
        "if refusal := (still_allowed(policy, request, ()) and None):"),
    Bug("a frozen device may act", "records.py",
        'if device.state != "active":', "if False:"),
    Bug("freezing spares the grants", "suspension.py",
        "        requests.move(step, request, RequestEvent.REVOKE, by=by, why=why)\n"
        "    _revoke_grants(step, device, by=by, why=why)\n",
        "        requests.move(step, request, RequestEvent.REVOKE, by=by, why=why)\n"),
    Bug("owners unfreeze their own devices", "suspension.py",
        "if not alone and (not by or by == device.owner):", "if not by:"),
    Bug("a request object is accepted again", "acceptance.py",
        "    if step.all(select(table).where(where)):\n        raise",
        "    if step.all(select(table).where(where)):\n        return\n        raise"),
    Bug("an equal request is not joined", "acceptance.py",
        "    if equal is not None:\n", "    if False:\n", "test_acceptance.py"),
    Bug("a join looks at no group", "acceptance.py",
        "| mine if shared else mine)", "| (table.c.group == table.c.group))",
        "test_acceptance.py"),
    Bug("an agent joins its person's", "acceptance.py",
        "& (table.c.agent == asked.agent)", "", "test_tightening.py"),
    Bug("containers join their device's", "acceptance.py",
        'return "@" in group', "return False", "test_tightening.py"),
    Bug("agents ask without end", "fatigue.py",
        "    if not asked.agent:", "    if True:", "test_tightening.py"),
    Bug("a join is not judged", "acceptance.py",
        "if may_join(policy, asked, found, given):", "if True:", "test_tightening.py"),
    Bug("sharing is judged by the policy of then", "acceptance.py",
        '| mine if shared else mine)',
        '| mine)', "test_tightening.py"),
    Bug("a rule that became stricter is not seen", "verdicts.py",
        "    if not _is_enough(said, request, given):\n", "    if False:\n", "test_tightening.py"),
    Bug("who left the pool still decides", "decisions.py",
        "if not still_decides(policy, request, said.approver):", "if False:", "test_tightening.py"),
    Bug("a prompt that waits does not tire", "fatigue.py",
        "(in_vain | waits)", "in_vain", "test_acceptance.py"),
    Bug("guessing numbers does not tire", "fatigue.py",
        "(in_vain | waits)) | guessed)", "(in_vain | waits)))", "test_acceptance.py"),
    Bug("taking back does not tire", "fatigue.py",
        ">= MOST_ASKED", ">= 10 * MOST_ASKED", "test_acceptance.py"),
    Bug("a step is judged by the time at which it came", "authority.py",
        "return self._store.step(self._clock)",
        "now = self._clock()\n        return self._store.step(lambda: now)",
        "test_decisions.py"),
    Bug("extensions are not counted", "acceptance.py",
        "if grant.extension >= extensions:", "if False:"),
    Bug("anybody's grant is extended", "acceptance.py",
        "if grant is None or grant.client_id != device.client_id:", "if grant is None:",
        "test_acceptance.py"),
    Bug("budgets are not counted", "verdicts.py",
        "    return spent\n", "    return {}\n", "test_acceptance.py"),
    Bug("a role is found by its name alone", "verdicts.py",
        "if role.arn != asked.arn:", "if False:", "test_acceptance.py"),
    Bug("a code counts twice", "totp.py",
        "if matched <= row.last_step:", "if False:", "test_totp.py"),
    Bug("a code counts twice after an older one", "totp.py",
        "if matched <= row.last_step:", "if matched == row.last_step:", "test_totp.py"),
    Bug("wrong codes are forgotten", "totp.py",
        "raise Keep(_wrong(step, device))", "raise _wrong(step, device)", "test_totp.py"),
    Bug("a lock is not looked at", "totp.py",
        "if step.now < locked_until:", "if False:", "test_totp.py"),
    Bug("each device has guesses of its own", "totp.py",
        "wrong = 1 + sum(counted.values())", "wrong = 1 + counted.get(device.client_id, 0)",
        "test_totp.py"),
    Bug("a right code forgives every device", "totp.py",
        "step.run(delete(schema.totp_tries).where(_here(device)))",
        "step.run(delete(schema.totp_tries))", "test_totp.py"),
    Bug("an invitation may be used twice", "enrolment.py",
        "    if row.used_by:\n", "    if False:\n", "test_enrolment.py"),
    Bug("an invitation lives for ever", "invitations.py",
        "if reader.now >= invitation.expires_at:", "if False:", "test_enrolment.py"),
    Bug("an invitation is for anybody", "enrolment.py",
        "if canonical(statement.person) != row.person:", "if False:", "test_enrolment.py"),
    Bug("deferred transactions", "store.py",
        'conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")',
        'conn.exec_driver_sql("BEGIN")', "test_store.py"),
    Bug("fast and loose with the disk", "store.py",
        '"synchronous=FULL"', '"synchronous=OFF"', "test_store.py"),
    Bug("the head is not checked", "log.py",
        "    if so_far.size < head.size:\n", "    if False:\n", "test_log.py"),
    Bug("a passkey of somebody who left counts", "people.py",
        "return person is not None and devices.is_named(policy, person)",
        "return person is not None", "test_passkeys.py"),
    Bug("a passkey's answer may be of any size", "assertions.py",
        "if len(kept) > MAX_KEPT:", "if False:", "test_passkeys.py"),
    Bug("a passkey's use on another site counts", "assertions.py",
        "    if said.origin != party.origin:\n", "    if False:\n", "test_passkeys.py"),
    Bug("a passkey inside another site counts", "assertions.py",
        "    if said.crossed:\n", "    if False:\n", "test_passkeys.py"),
    Bug("a passkey's counter may go back", "assertions.py",
        "    if (count or sign_count) and count <= sign_count:\n", "    if False:\n",
        "test_passkeys.py"),
    Bug("anybody's passkey says one's yes", "evidence.py",
        "            if said.passkey.person != self.person:\n", "            if False:\n",
        "test_passkeys.py"),
    Bug("a removed passkey proves", "passkeys.py",
        'if row is None or row.state != "active":', "if row is None:", "test_passkeys.py"),
    Bug("a recovered passkey counts at once", "passkeys.py",
        "    if step.now < row.counts_from:\n", "    if False:\n", "test_passkeys.py"),
    Bug("a challenge is good twice", "ceremonies.py",
        "    if row.used:\n", "    if False:\n", "test_passkeys.py"),
    Bug("a challenge is good for anything", "ceremonies.py",
        "if ceremony.purpose != purpose or ceremony.issuer != issuer:", "if False:",
        "test_passkeys.py"),
    Bug("a registration answers any invitation", "registration.py",
        "    if (ceremony.person, ceremony.invitation) != (row.person, row.pin):\n",
        "    if False:\n", "test_passkeys.py"),
    Bug("anybody invites others", "people.py",
        "if by != wanted.person and by not in policy.admins:", "if False:", "test_passkeys.py"),
    Bug("one's own passkey is a peer's", "verdicts.py",
        "return by_others and all(whole)", "return all(whole)", "test_passkeys.py"),
    Bug("half a yes is enough", "decisions.py",
        "lacks = () if counts(request, given) else missing(request.factors, given, every=True)",
        "lacks = ()", "test_halves.py"),
    Bug("half a yes is whole, for the request and for the policy", "voices.py",
        "return is_whole(request.factors, given, every=request.every)",
        "return is_whole(request.factors, given, every=False)", "test_halves.py"),
    Bug("halves of two people make one yes", "decisions.py",
        "for each in voices_of(before) if each.approver == approver)",
        "for each in voices_of(before))", "test_halves.py"),
    Bug("a half outlives the key it was given with", "voices.py",
        "    for row in step.all(select(said).where(where).order_by(said.c.id)):\n",
        "    for row in ():\n", "test_halves.py"),
    Bug("a key brought in by somebody else counts at once", "decisions.py",
        "    if request.every:\n        refuse_unripe", "    if False:\n        refuse_unripe",
        "test_halves.py"),
    Bug("removing a key clears the way for another", "ripe.py",
        "select(table.c.credential_id, table.c.added_at).where(table.c.person == person)",
        "select(table.c.credential_id, table.c.added_at).where("
        "(table.c.person == person) & (table.c.state == 'active'))", "test_halves.py"),
    Bug("the longer half decides", "voices.py",
        "min(before.seconds, said.seconds)", "max(before.seconds, said.seconds)",
        "test_halves.py"),
    Bug("a role that became critical keeps what one half gave", "verdicts.py",
        "is_whole(said.factors, one, every=said.every)",
        "is_whole(said.factors, one, every=False)", "test_halves.py"),
    Bug("a leaf after its effect", "requests.py",
        "    state = advance_request(request.state, event)\n",
        "    state = advance_request(request.state, event)\n"
        "    step.run(update(schema.requests).where("
        "schema.requests.c.request_id == request.request_id).values(ended_at=0.0))\n",
        "test_store.py"),
)  # fmt: skip


def copy_with(bug: Bug, folder: Path) -> None:
    """The package of the minter in `folder`, with `bug` in it."""
    package = folder / "borrow" / "minter"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    module = package / bug.module
    text = module.read_text(encoding="utf-8")
    assert bug.old in text, "the code moved on: find the place of this bug again"
    module.write_text(text.replace(bug.old, bug.new), encoding="utf-8")


def test_every_bug_has_a_place_in_the_code_of_today(tmp_path: Path) -> None:
    for number, bug in enumerate(BUGS):
        copy_with(bug, tmp_path / str(number))


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_suite_kills(bug: Bug, tmp_path: Path) -> None:
    copy_with(bug, tmp_path)
    tests = [str(HERE / name) for name in bug.tests.split()]
    options = ["-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header"]
    seed = ["--hypothesis-profile=found-is-enough", "--hypothesis-seed=1"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *seed, *tests],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert run.returncode == 1, f"this bug lives: {bug.name}\n{run.stdout[-2_000:]}{run.stderr}"
