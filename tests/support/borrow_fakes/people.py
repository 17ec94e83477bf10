"""A device with its keys and what it can sign: the asking side of every protocol test."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from borrow.protocol.assertion import make_assertion
from borrow.protocol.ids import words
from borrow.protocol.keys import PublicKeys, device_jwks, new_key
from borrow.protocol.request import AwsRole, RequestObject, sign_request

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

ADMIN_ARN = "arn:aws:iam::111122223333:role/Admin"


@dataclass(slots=True)
class FakeDevice:
    """One person's workstation. `client_id` is set by whoever registers it."""

    owner: str = "ann@example.com"
    client_id: str = "d-01jv0000000000000000000000"
    issuer: str = "http://127.0.0.1:1"
    sig: ECKey = field(default_factory=new_key)
    enc: ECKey = field(default_factory=new_key)

    @property
    def jwks(self) -> dict[str, Any]:
        return device_jwks(self.sig, self.enc)

    @property
    def keys(self) -> PublicKeys:
        return PublicKeys.from_jwks(self.jwks, "sig")

    def request(self, now: float, **changes: Any) -> RequestObject:
        """A request for `prod-admin`; `changes` are RequestObject fields."""
        members: dict[str, Any] = {
            "client_id": self.client_id,
            "issuer": self.issuer,
            "owner": self.owner,
            "issued_at": int(now),
            "expires_at": int(now) + 300,
            "jti": secrets.token_urlsafe(18),
            "number": f"{secrets.randbelow(1000):03}",
            "words": words(secrets.token_bytes(4)),
            "role": AwsRole("prod-admin", ADMIN_ARN, 3600),
            "context": {"via": "container", "group": "prod-admin:10:100", "host": "lab"},
        }
        return RequestObject(**(members | changes))

    def signed(self, now: float, **changes: Any) -> str:
        return sign_request(self.request(now, **changes), self.sig)

    def assertion(self, now: float) -> str:
        jti = secrets.token_urlsafe(18)
        return make_assertion(self.client_id, self.issuer, self.sig, now=now, jti=jti)
