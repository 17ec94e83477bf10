"""A whole minter in a folder, with people, their devices and a cloud that counts.

`MinterHouse` speaks to the minter as the approver would and signs as the devices would.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyotp

from borrow.minter.authority import Minter
from borrow.minter.secret_files import MinterSecrets
from borrow.minter.store import Store
from borrow.minter.totp import SECRET_TYP
from borrow.policy.load import load_policy
from borrow.protocol.ceremony import challenge_of
from borrow.protocol.decision import Evidence, seal_totp, sign_consent, sign_statement
from borrow.protocol.enrolment import Invitation, sign_software_statement
from borrow.protocol.jose import unseal
from borrow.protocol.keys import load_key, new_key, seed_of
from borrow.protocol.request import AwsRole
from borrow.protocol.strict import from_b64url
from borrow_fakes.authenticator import Authenticator
from borrow_fakes.clock import Clock
from borrow_fakes.cloud import CountingDriver
from borrow_fakes.people import FakeDevice

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.minter.port import Accepted, Change, GrantView, Outcome
    from borrow.policy.model import Policy
    from borrow.protocol.decision import Choice

ISSUER = "https://approver.example.com"
ANN, BO, CY, DI = (f"{name}@example.com" for name in ("ann", "bo", "cy", "di"))
ARN = "arn:aws:iam::111122223333:role/"
POLICY = f"""
version = 1
[groups]
team = ["{ANN}", "{BO}", "{CY}"]
[admins]
people = ["{DI}"]
[roles.dev]
aws = "{ARN}Dev"
tier = "low"
share = "device"
[roles.logs]
aws = "{ARN}Logs"
tier = "normal"
share = "session"
[roles.prod]
aws = "{ARN}Prod"
tier = "sensitive"
share = "session"
[roles.click]
aws = "{ARN}Click"
tier = "low"
share = "session"
[[rule]]
id = "dev"
who = ["group:team"]
roles = ["dev"]
approve = {{ mode = "auto", budget = "2/1h" }}
max = "1h"
[[rule]]
id = "logs"
who = ["group:team"]
roles = ["logs"]
approve = {{ mode = "self", factor = ["totp", "passkey"], match = true }}
max = "2h"
mint = "30m"
extensions = 1
[[rule]]
id = "click"
who = ["group:team"]
roles = ["click"]
approve = {{ mode = "self", factor = ["consent"] }}
max = "1h"
[[rule]]
id = "prod"
who = ["group:team"]
roles = ["prod"]
require = {{ reason = 5 }}
approve = {{ mode = "peer", from = ["group:team"] }}
max = "1h"
mint = "15m"
"""
NUMBER = "042"


@cache
def secrets_of_m() -> MinterSecrets:
    """M's keys, one pair for the whole suite: making keys is slow and nobody tells them apart."""
    return MinterSecrets(new_key(), new_key())


@cache
def empty_database() -> bytes:
    """A `minter.db` as migrated and with nothing in it: migrating once is enough for a suite."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minter.db"
        Store(path, sign=lambda head, now: "", entropy=secrets.token_bytes).close()
        return path.read_bytes()


@dataclass(slots=True)
class MinterHouse:
    """`policy` may be replaced while the minter runs, as a reload would."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    policy: Policy = field(default_factory=lambda: load_policy(POLICY))
    keys: MinterSecrets = field(default_factory=secrets_of_m)
    cloud: CountingDriver = field(init=False)
    minter: Minter = field(init=False)
    codes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cloud = CountingDriver(self.clock)
        if not self.db.exists():
            self.db.write_bytes(empty_database())
            self.db.chmod(0o600)
        self.minter = self.open()

    @property
    def db(self) -> Path:
        return self.folder / "minter.db"

    def open(self) -> Minter:
        """Another minter over the same file, as after a restart."""
        return Minter(
            self.db,
            issuer=ISSUER,
            keys=self.keys,
            policy=lambda: self.policy,
            driver=self.cloud,
            clock=self.clock,
        )

    def restart(self) -> None:
        self.minter.close()
        self.minter = self.open()

    def use_policy(self, text: str) -> None:
        self.policy = load_policy(text)

    # People and devices

    def join(self, owner: str, device: FakeDevice | None = None) -> FakeDevice:
        """A device of `owner`, registered with an invitation of its own."""
        device = device or FakeDevice(owner=owner, issuer=ISSUER)
        token, _ = self.software_statement(owner, device)
        registered, _ = self.minter.register(token)
        device.client_id = registered.client_id
        return device

    def software_statement(self, owner: str, device: FakeDevice) -> tuple[str, ECKey]:
        invited = self.minter.invite(owner)
        invitation = Invitation(ISSUER, invited.person, "a", self.minter.keys().pin, invited.key)
        token = sign_software_statement(
            invitation, device.jwks, device_name="laptop", now=self.clock(), jti="j" * 22
        )
        return token, invited.key

    def enrol_totp(self, device: FakeDevice) -> str:
        """The base32 secret of one-time codes that are active now."""
        begun = self.minter.totp_begin(device.owner, device.client_id)
        secret: str = json.loads(unseal(begun.sealed, device.enc, SECRET_TYP))["secret"]
        sealed = self.sealed_code(device, begun.enrolment_id.encode(), self.code(secret))
        self.minter.totp_confirm(begun.enrolment_id, device.client_id, sealed)
        self.codes[device.owner] = secret
        self.clock.advance(60)  # the code that confirmed is used up
        return secret

    def code(self, secret: str, *, steps: int = 0) -> str:
        """The code of the present time step, or of one `steps` later."""
        return pyotp.HOTP(secret).at(int(self.clock()) // 30 + steps)

    def sealed_code(self, device: FakeDevice, data: bytes, code: str) -> str:
        enc = load_key(self.minter.keys().enc, private=False)
        return seal_totp(data, code, device.sig, enc)

    # Requests and decisions

    def signed(self, device: FakeDevice, role: str, **changes: Any) -> str:
        """A request object for `role`. Fields of AwsRole and RequestObject may be changed."""
        asked: dict[str, Any] = {"seconds": 3_600, "justification": "fix the invoice job"}
        asked |= {name: changes.pop(name) for name in (*asked, "ticket", "session_policy")
                  if name in changes}  # fmt: skip
        arn = changes.pop("arn", ARN + role.capitalize())
        context = {"via": changes.pop("via", "container"), "group": changes.pop("group", "g1")}
        if agent := changes.pop("agent", ""):
            context["agent"] = agent
        members = {"role": AwsRole(role, arn, **asked), "context": context, "number": NUMBER}
        return device.signed(self.clock(), **(members | changes))

    def ask(self, device: FakeDevice, role: str, **changes: Any) -> Accepted:
        return self.minter.accept_request(self.signed(device, role, **changes), device.client_id)

    def evidence(self, kind: str, device: FakeDevice, statement: bytes, code: str = "") -> Evidence:
        if kind == "totp":
            code = code or self.code(self.codes[device.owner])
            return Evidence("totp", self.sealed_code(device, statement, code))
        if kind == "consent":
            return Evidence("consent", sign_consent(statement, device.sig))
        return Evidence("device", sign_statement(statement, device.sig))

    def approve(
        self,
        request_id: str,
        device: FakeDevice,
        kind: str,
        *,
        number: str = NUMBER,
        code: str = "",
        seconds: int = 0,
    ) -> tuple[Outcome, tuple[Change, ...]]:
        statement = self.minter.new_statement(
            request_id, device.owner, "approve", number=number, seconds=seconds
        )
        return self.minter.accept_decision(
            request_id,
            device.owner,
            device.client_id,
            "approve",
            statement=statement,
            evidence=self.evidence(kind, device, statement, code),
        )

    def say(
        self, request_id: str, device: FakeDevice, decision: Choice = "deny", reason: str = "no"
    ) -> tuple[Outcome, tuple[Change, ...]]:
        return self.minter.accept_decision(
            request_id, device.owner, device.client_id, decision, reason=reason
        )

    def granted(self, device: FakeDevice, role: str = "click", **changes: Any) -> GrantView:
        """A live grant for a role that takes a click (or none at all)."""
        accepted = self.ask(device, role, **changes)
        if accepted.view.state == "pending":
            self.approve(accepted.view.request_id, device, "consent")
        return self.minter.open_grant(accepted.view.request_id, device.client_id)[0]

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(entry.entry) for entry in self.minter.log_entries(0, 1_000)]

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.log()]

    def fresh_code_time(self) -> None:
        """Move on by one time step, so that the next code was never used."""
        self.clock.advance(30)

    # Passkeys

    def passkey(self, person: str, *, invitation: str = "", counter: int = 0) -> Authenticator:
        """A passkey of `person`, registered with an invitation of its own or with `invitation`."""
        key = invitation or seed_of(self.minter.invite(person).key)
        options = self.minter.people.passkey_begin(key)
        assert options.person == person
        rp = self.minter.people.rp
        assert rp is not None
        made = Authenticator(rp.rp_id, rp.origin, counter=counter, user_handle=options.user_handle)
        answer = made.create(from_b64url(options.challenge))
        self.minter.people.passkey_add(key, answer, "phone")
        return made

    def approve_on_page(
        self,
        request_id: str,
        person: str,
        passkey: Authenticator,
        *,
        number: str = NUMBER,
        **lies: Any,
    ) -> Outcome:
        statement = self.minter.new_statement(request_id, person, "approve", number=number)
        evidence = Evidence("passkey", passkey.get(challenge_of(statement), **lies))
        return self.minter.accept_decision(
            request_id, person, None, "approve", statement=statement, evidence=evidence
        )[0]
