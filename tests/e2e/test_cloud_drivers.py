"""The minter's drivers against two clouds that judge for themselves: the stand-in, and Ceph."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from borrow.cli.demo.standin_seed import Role, Seed, Trust, WebTrust
from borrow.minter.basekeys import BaseKeys
from borrow.minter.drivers.assume_role import AssumeRoleDriver
from borrow.minter.drivers.base import GrantFacts, Target
from borrow.minter.drivers.web_identity import AUDIENCE, WebIdentityDriver, issuer_documents
from borrow.protocol.errors import Refused, Unavailable
from borrow.protocol.keys import new_key
from borrow_fakes import radosgw
from borrow_fakes.moto_cloud import stand_in
from borrow_fakes.oidc_issuer import OidcIssuer, new_ec_key
from borrow_fakes.radosgw import Radosgw
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from joserfc.jwk import ECKey

    from borrow.cli.demo.standin_process import StandInProcess
    from borrow.protocol.credentials import AwsCredentials

REGION = "us-east-1"
GRANT = "g-01jv0000000000000000000000"
BASE = Trust(("user/borrow-base",))
SUBJECT = "role:123456789012/Web:user:*"


def clock() -> float:
    return time.time()  # noqa: TID251 - both clouds judge by this clock


class Keys:
    def __init__(self, access_key_id: str, secret: str) -> None:
        self._keys = BaseKeys(access_key_id, secret)

    def load(self) -> BaseKeys:
        return self._keys


class Documents:
    """A static web server with the issuer's two files, as anybody could run it."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        documents = self

        def answer(handler: BaseHTTPRequestHandler) -> None:
            page = documents.pages.get(handler.path.removeprefix("/"))
            body = json.dumps(page).encode()
            handler.send_response(200 if page else 404)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        def quiet(*_: object) -> None:
            """Nothing to say."""

        return type("Handler", (BaseHTTPRequestHandler,), {"do_GET": answer, "log_message": quiet})


def target(arn: str, **changes: Any) -> Target:
    return replace(Target("prod-admin", arn, "prod", "", "identity", "sensitive", 0), **changes)


def grant(seconds: float = 1800, **changes: Any) -> GrantFacts:
    facts = GrantFacts(
        grant_id=GRANT,
        request_id="r-01jv0000000000000000000001",
        person="ann@example.com",
        mode="peer",
        rule="admins",
        approvers=("bob@example.com",),
        expires_at=clock() + seconds,
    )
    return replace(facts, **changes)


def client(service: str, endpoint: str, minted: AwsCredentials) -> Any:
    make: Callable[..., Any] = boto3.client
    return make(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=minted.access_key_id,
        aws_secret_access_key=minted.secret_access_key,
        aws_session_token=minted.session_token,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


# --- the stand-in


@pytest.fixture(scope="module")
def issuer() -> Iterator[tuple[str, ECKey]]:
    """B, with its two files on the web."""
    key = new_key()
    with Documents() as documents:
        documents.pages = issuer_documents(documents.url, key)
        yield documents.url, key


@pytest.fixture(scope="module")
def cloud(issuer: tuple[str, ECKey]) -> Iterator[StandInProcess]:
    url, _ = issuer
    web = WebTrust(issuer=url, aud=AUDIENCE, sub=SUBJECT, jwks_url=f"{url}/jwks.json")
    plain = Trust(("role/Admin",), ("sts:AssumeRole",))
    seed = Seed(
        roles={
            "Admin": Role(("*",), trust=BASE),
            "Next": Role(("s3:*",), trust=plain),
            "Foreign": Role(("s3:*",), trust=plain),
            "Web": Role(("s3:*",), web_identity=web),
        },
        buckets={"lab": {"k": "hello"}},
    )
    with stand_in(seed) as running:
        yield running


@pytest.fixture
def moved(cloud: StandInProcess) -> Iterator[StandInProcess]:
    """The same cloud, whose knobs a test may turn."""
    yield cloud
    cloud.knobs(clock_offset=0.0, sts_fail=("Throttling", 0))


def with_keys(cloud: StandInProcess) -> AssumeRoleDriver:
    key = cloud.base_key
    base = Keys(key["AccessKeyId"], key["SecretAccessKey"])
    return AssumeRoleDriver(base, cloud.endpoint, REGION, clock)


def with_token(cloud: StandInProcess, issuer: tuple[str, ECKey]) -> WebIdentityDriver:
    url, key = issuer
    return WebIdentityDriver(
        url,
        key,
        endpoint_url=cloud.endpoint,
        region=REGION,
        clock=clock,
        entropy=secrets.token_bytes,
    )


def reads(cloud: StandInProcess, minted: AwsCredentials) -> bytes:
    s3 = client("s3", cloud.endpoint, minted)
    return bytes(s3.get_object(Bucket="lab", Key="k")["Body"].read())


def test_a_session_from_base_keys_works_and_names_its_approval(cloud: StandInProcess) -> None:
    minted = with_keys(cloud).mint(target(cloud.roles["Admin"]), grant())
    assert reads(cloud, minted) == b"hello"
    line = cloud.trail("AssumeRole")[-1]["requestParameters"]
    assert line["sourceIdentity"] == GRANT
    assert line["roleSessionName"] == "ann@example.com"
    assert GRANT in json.dumps(cloud.trail("GetObject")[-1])


def test_a_session_from_a_token_works_and_names_its_approval(
    cloud: StandInProcess, issuer: tuple[str, ECKey]
) -> None:
    minted = with_token(cloud, issuer).mint(target(cloud.roles["Web"]), grant())
    assert reads(cloud, minted) == b"hello"
    assert GRANT in json.dumps(cloud.trail("GetObject")[-1])


def test_a_token_by_a_forged_key_is_refused(
    cloud: StandInProcess, issuer: tuple[str, ECKey]
) -> None:
    forged = with_token(cloud, (issuer[0], new_key()))
    with pytest.raises(Refused, match="InvalidIdentityToken") as no:
        forged.mint(target(cloud.roles["Web"]), grant())
    assert no.value.state == "cloud_refused"


def test_a_token_is_no_way_into_a_role_that_does_not_trust_the_issuer(
    cloud: StandInProcess, issuer: tuple[str, ECKey]
) -> None:
    with pytest.raises(Refused):
        with_token(cloud, issuer).mint(target(cloud.roles["Admin"]), grant())


@pytest.mark.parametrize("role", ["Admin", "Web"])
def test_nothing_works_after_the_grants_end_though_the_session_lives(
    moved: StandInProcess, issuer: tuple[str, ECKey], role: str
) -> None:
    driver = with_keys(moved) if role == "Admin" else with_token(moved, issuer)
    minted = driver.mint(target(moved.roles[role]), grant(120))
    assert minted.expires_at <= clock() + 120
    assert reads(moved, minted) == b"hello"
    moved.knobs(clock_offset=121.0)
    assert refusal(lambda: reads(moved, minted)) == "AccessDenied"


def test_the_clients_policy_narrows_the_session(cloud: StandInProcess) -> None:
    only = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [only]})
    driver = with_keys(cloud)
    minted = driver.mint(target(cloud.roles["Admin"]), grant(session_policy=policy))
    assert reads(cloud, minted) == b"hello"
    s3 = client("s3", cloud.endpoint, minted)
    assert refusal(lambda: s3.delete_object(Bucket="lab", Key="k")) == "AccessDenied"


def chain(cloud: StandInProcess, minted: AwsCredentials) -> Any:
    sts = client("sts", cloud.endpoint, minted)
    return sts.assume_role(RoleArn=cloud.roles["Next"], RoleSessionName="next")


def test_chain_identity_stops_where_a_role_takes_no_identity_and_chain_name_goes_on(
    cloud: StandInProcess,
) -> None:
    driver, arn = with_keys(cloud), cloud.roles["Admin"]
    strict = driver.mint(target(arn), grant())
    assert refusal(lambda: chain(cloud, strict)) == "AccessDenied"
    for word in ("name", "none"):
        assert chain(cloud, driver.mint(target(arn, chain=word), grant()))["Credentials"]


def test_deny_iam_stops_chaining(cloud: StandInProcess) -> None:
    facts = grant(deny_iam=True)
    minted = with_keys(cloud).mint(target(cloud.roles["Admin"], chain="none"), facts)
    assert reads(cloud, minted) == b"hello"
    assert refusal(lambda: chain(cloud, minted)) == "AccessDenied"


def test_a_role_that_does_not_trust_the_base_keys_is_refused_with_a_hint(
    cloud: StandInProcess,
) -> None:
    with pytest.raises(Refused, match=r"AccessDenied.*not authorized") as no:
        with_keys(cloud).mint(target(cloud.roles["Foreign"]), grant())
    assert "trust policy" in no.value.hint


def test_a_grant_longer_than_the_roles_own_limit_says_so(cloud: StandInProcess) -> None:
    with pytest.raises(Refused, match="MaxSessionDuration"):
        with_keys(cloud).mint(target(cloud.roles["Admin"]), grant(7200))


def test_one_throttle_is_not_noticed_and_more_are_unavailable(moved: StandInProcess) -> None:
    driver, admin = with_keys(moved), target(moved.roles["Admin"])
    moved.knobs(sts_fail=("Throttling", 1))
    assert driver.mint(admin, grant()).is_whole()
    moved.knobs(sts_fail=("Throttling", 2))
    with pytest.raises(Unavailable, match="Throttling"):
        driver.mint(admin, grant())


# --- Ceph


class Ceph:
    """A gateway, B's key with its certificate, and a role for each driver."""

    def __init__(self, gateway: Radosgw, documents: Documents) -> None:
        self.gateway = gateway
        ec_key = new_ec_key()
        with OidcIssuer(ec_key) as other:  # for the certificate alone
            certificate = other.certificate
        self.key = _as_joserfc(ec_key)
        self.url = documents.url
        documents.pages = issuer_documents(self.url, self.key, certificate=certificate)
        thumbprint = hashlib.sha1(certificate, usedforsecurity=False).hexdigest()
        gateway.register_oidc(self.url, [AUDIENCE], [thumbprint])
        trust = gateway.web_trust(self.url, AUDIENCE)
        self.web = target(gateway.create_role("web", ["s3:*"], trust))
        self.admin = target(gateway.create_role("admin", ["s3:*"]))
        self.reader = target(gateway.create_role("reader", ["s3:GetObject"]))

    def with_keys(self) -> AssumeRoleDriver:
        admin = self.gateway.admin
        base = Keys(admin.access_key, admin.secret_key)
        return AssumeRoleDriver(base, self.gateway.endpoint, REGION, clock)

    def with_token(self, key: ECKey) -> WebIdentityDriver:
        return WebIdentityDriver(
            self.url,
            key,
            endpoint_url=self.gateway.endpoint,
            region=REGION,
            clock=clock,
            entropy=secrets.token_bytes,
        )

    def s3(self, minted: AwsCredentials) -> Any:
        return client("s3", self.gateway.endpoint, minted)


def _as_joserfc(key: Any) -> ECKey:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from joserfc.jwk import ECKey

    return ECKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture(scope="module")
def ceph() -> Iterator[Ceph]:
    need(radosgw.missing(), radosgw.INSTALL)
    with Radosgw() as gateway, Documents() as documents:
        s3 = gateway.client("s3", gateway.admin)
        s3.create_bucket(Bucket="lab")
        s3.put_object(Bucket="lab", Key="k", Body=b"hello")
        yield Ceph(gateway, documents)


def test_ceph_takes_base_keys_and_holds_the_role(ceph: Ceph) -> None:
    s3 = ceph.s3(ceph.with_keys().mint(ceph.reader, grant()))
    assert s3.get_object(Bucket="lab", Key="k")["Body"].read() == b"hello"
    assert refusal(lambda: s3.delete_object(Bucket="lab", Key="k")) == "AccessDenied"


def test_ceph_verifies_the_cloud_token_by_the_published_documents(ceph: Ceph) -> None:
    s3 = ceph.s3(ceph.with_token(ceph.key).mint(ceph.web, grant()))
    assert s3.get_object(Bucket="lab", Key="k")["Body"].read() == b"hello"


def test_ceph_refuses_a_token_by_another_key(ceph: Ceph) -> None:
    with pytest.raises(Refused, match="HTTP 403") as no:
        ceph.with_token(new_key()).mint(ceph.web, grant())
    assert no.value.state == "cloud_refused"


def test_ceph_ends_both_kinds_of_session_at_the_grants_end(ceph: Ceph) -> None:
    end = float(int(clock()) + 8)  # both sessions are used before, however slow the machine
    facts = grant(expires_at=end)
    by_keys = ceph.s3(ceph.with_keys().mint(ceph.admin, facts))
    by_token = ceph.s3(ceph.with_token(ceph.key).mint(ceph.web, facts))
    for s3 in (by_keys, by_token):
        s3.put_object(Bucket="lab", Key="late", Body=b"in time")
    assert clock() < end
    time.sleep(end - clock() + 0.05)
    for s3 in (by_keys, by_token):
        late = s3.put_object
        assert refusal(lambda put=late: put(Bucket="lab", Key="late", Body=b"x")) == "AccessDenied"  # type: ignore[misc]  # bound now
