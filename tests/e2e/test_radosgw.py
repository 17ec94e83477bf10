"""A cloud that is not ours: what Ceph's object gateway enforces of a minted session.

Facts for the minter's driver (radosgw 16.2, Debian 12), each held by a test below:
- Tokens: ES256 and RS256 both verify. The issuer may be plain http; its discovery page is fetched
  on every call, and of its JWKS only the *first* key counts, by its `x5c` (base64 DER, no PEM
  frame); `kid`, `x`, `y`, `n` and `e` are not read. `roles` and `source_identity` are ignored.
- Thumbprint: SHA-1 of that certificate in hex. It must have 40 digits and is not compared (a bug
  fixed later), so send the right one.
- Policies must be compact JSON: a space arrives as `+` and the policy does not parse.
- There is no SourceIdentity, no sts:SetSourceIdentity, no GetCallerIdentity, and no `Error` member
  in the answers of a refused STS call: only the status says no.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from borrow_fakes.oidc_issuer import OidcIssuer, PrivateKey, new_ec_key, new_rsa_key
from borrow_fakes.radosgw import INSTALL, Keys, Radosgw, compact, missing, statement
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AUDIENCE = "sts.amazonaws.com"
SUBJECT = "role:000000000000/admin:user:u1"


def now() -> float:
    return time.time()  # noqa: TID251 - the gateway judges by this clock


@pytest.fixture(scope="module")
def ceph() -> Iterator[Radosgw]:
    need(missing(), INSTALL)
    with Radosgw() as running:
        s3 = running.client("s3", running.admin)
        s3.create_bucket(Bucket="demo")
        s3.put_object(Bucket="demo", Key="report", Body=b"figures")
        running.create_role("readonly", ["s3:GetObject", "s3:ListBucket"])
        running.create_role("admin", ["s3:*"])
        yield running


class Federation:
    """An issuer with a role that trusts it, on a running gateway."""

    def __init__(self, ceph: Radosgw, issuer: OidcIssuer, role: str) -> None:
        self.ceph = ceph
        self.issuer = issuer
        self.role = role

    def token(self, *, by: PrivateKey | None = None, **claims: Any) -> str:
        at = int(now())
        told = {"sub": SUBJECT, "aud": AUDIENCE, "iat": at, "nbf": at, "exp": at + 60}
        return self.issuer.token({**told, **claims}, by=by)

    def assume(self, token: str, **more: str) -> Keys:
        sts = self.ceph.client("sts", None)
        asked = {"RoleSessionName": "ann", "DurationSeconds": 900, "WebIdentityToken": token}
        return Keys.of(
            sts.assume_role_with_web_identity(RoleArn=self.role, **asked, **more)["Credentials"]
        )


@pytest.fixture
def federate(ceph: Radosgw) -> Iterator[Callable[..., Federation]]:
    with ExitStack() as opened:

        def start(
            key: PrivateKey | None = None,
            issuer: type[OidcIssuer] = OidcIssuer,
            condition: dict[str, str] | None = None,
        ) -> Federation:
            serving = opened.enter_context(issuer(key))
            ceph.register_oidc(serving.url, [AUDIENCE], [serving.thumbprint])
            trust = ceph.web_trust(serving.url, AUDIENCE)
            if condition is not None:
                place = serving.url.partition("://")[2]
                like = {f"{place}:{claim}": value for claim, value in condition.items()}
                trust["Statement"][0]["Condition"] = {"StringLike": like}
            port = serving.url.rpartition(":")[2]
            role = ceph.create_role(f"web-{port}", ["s3:*"], trust)
            return Federation(ceph, serving, role)

        yield start


def assume(ceph: Radosgw, role: str, **more: str) -> Keys:
    sts = ceph.client("sts", ceph.admin)
    arn = f"arn:aws:iam:::role/{role}"
    asked = {"RoleSessionName": "ann", "DurationSeconds": 900}
    return Keys.of(sts.assume_role(RoleArn=arn, **asked, **more)["Credentials"])


def refused(call: Callable[[], object]) -> int:
    """The HTTP status that `call` is refused with."""
    with pytest.raises(ClientError) as caught:
        call()
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


def until(end: float) -> str:
    date = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    policy = statement(Action="*", Resource="*")
    late = {"DateGreaterThan": {"aws:CurrentTime": date}}
    policy["Statement"].append(
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": late}
    )
    return compact(policy)


def works_exactly_until(end: float, ceph: Radosgw, keys: Keys) -> bool:
    """Use `keys` till they are refused: True if that is at `end` (whole seconds), not before."""
    s3 = ceph.client("s3", keys)
    s3.put_object(Bucket="demo", Key="late", Body=b"x")
    while now() < end + 3:
        try:
            s3.put_object(Bucket="demo", Key="late", Body=b"x")
        except ClientError as exc:
            return now() >= int(end) and exc.response["Error"]["Code"] == "AccessDenied"
        time.sleep(0.1)
    return False


def test_a_readonly_session_cannot_delete(ceph: Radosgw) -> None:
    s3 = ceph.client("s3", assume(ceph, "readonly"))
    assert s3.get_object(Bucket="demo", Key="report")["Body"].read() == b"figures"
    assert refused(lambda: s3.delete_object(Bucket="demo", Key="report")) == 403


def test_a_session_ends_at_its_policys_date(ceph: Radosgw) -> None:
    end = now() + 3
    keys = assume(ceph, "admin", Policy=until(end))
    assert works_exactly_until(end, ceph, keys)


def test_a_token_session_ends_at_its_policys_date(
    ceph: Radosgw, federate: Callable[..., Federation]
) -> None:
    federation = federate()
    end = now() + 3
    keys = federation.assume(federation.token(), Policy=until(end))
    assert works_exactly_until(end, ceph, keys)


def test_a_session_policy_narrows_the_role(ceph: Radosgw) -> None:
    only = statement(Action=["s3:GetObject"], Resource=["arn:aws:s3:::demo/*"])
    s3 = ceph.client("s3", assume(ceph, "admin", Policy=compact(only)))
    s3.get_object(Bucket="demo", Key="report")
    assert refused(lambda: s3.delete_object(Bucket="demo", Key="report")) == 403


@pytest.mark.parametrize("make", [new_ec_key, new_rsa_key], ids=["ES256", "RS256"])
def test_a_token_of_the_issuer_gets_a_working_session(
    ceph: Radosgw, federate: Callable[..., Federation], make: Callable[[], PrivateKey]
) -> None:
    federation = federate(make())
    s3 = ceph.client("s3", federation.assume(federation.token()))
    assert s3.get_object(Bucket="demo", Key="report")["Body"].read() == b"figures"
    assert federation.issuer.asked == ["/.well-known/openid-configuration", "/jwks"]


@pytest.mark.parametrize("make", [new_ec_key, new_rsa_key], ids=["ES256", "RS256"])
def test_a_token_by_another_key_is_refused(
    federate: Callable[..., Federation], make: Callable[[], PrivateKey]
) -> None:
    federation = federate(make())
    assert refused(lambda: federation.assume(federation.token(by=make()))) == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000_000},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"aud": "somebody-else"},
        {"iss": "http://127.0.0.1:1"},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_a_token_that_says_something_else_is_refused(
    federate: Callable[..., Federation], claims: dict[str, Any]
) -> None:
    federation = federate()
    assert refused(lambda: federation.assume(federation.token(**claims))) == 403


def test_the_trust_policy_holds_the_subject(federate: Callable[..., Federation]) -> None:
    federation = federate(condition={"sub": "role:000000000000/admin:*"})
    federation.assume(federation.token())
    other = federation.token(sub="role:000000000000/other:user:u1")
    assert refused(lambda: federation.assume(other)) == 403


class NoCertificate(OidcIssuer):
    """Publishes a bare JWK, as most issuers do."""

    def jwks(self) -> dict[str, Any]:  # type: ignore[explicit-override]  # typing.override is 3.12
        (key,) = super().jwks()["keys"]
        return {"keys": [{name: key[name] for name in key if name != "x5c"}]}


class SecondKey(OidcIssuer):
    """Publishes another key before its own, as after a rotation."""

    def jwks(self) -> dict[str, Any]:  # type: ignore[explicit-override]  # typing.override is 3.12
        with OidcIssuer() as other:
            return {"keys": [*other.jwks()["keys"], *super().jwks()["keys"]]}


@pytest.mark.parametrize("issuer", [NoCertificate, SecondKey])
def test_only_a_first_key_with_a_certificate_is_read(
    federate: Callable[..., Federation], issuer: type[OidcIssuer]
) -> None:
    federation = federate(issuer=issuer)
    assert refused(lambda: federation.assume(federation.token())) == 403


def test_a_refused_sts_call_carries_no_error_code(federate: Callable[..., Federation]) -> None:
    federation = federate()
    with pytest.raises(ClientError) as caught:
        federation.assume("not.a.token")
    assert "Error" not in caught.value.response


def test_a_policy_with_spaces_is_refused(ceph: Radosgw) -> None:
    spaced = until(now() + 60).replace(",", ", ")
    assert refused(lambda: assume(ceph, "admin", Policy=spaced)) == 400


def test_stopping_ends_every_process_and_removes_every_file() -> None:
    need(missing(), INSTALL)
    ceph = Radosgw()
    with ceph:
        pids = [process.pid for process in ceph._running]
        directory = ceph._directory
    assert len(pids) == 3
    assert not directory.exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
