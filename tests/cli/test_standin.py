"""The stand-in cloud judged from outside: real boto3 against the real child process."""

from __future__ import annotations

import http.client
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from joserfc import jwt
from joserfc.jwk import ECKey

from borrow.cli.demo.standin_moto import MotoCloud
from borrow.cli.demo.standin_process import StandInProcess
from borrow.cli.demo.standin_seed import Role, Seed, Trust, WebTrust, parse_seed
from borrow.protocol.errors import Misconfigured
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ISSUER = "https://issuer.example.com"
AUDIENCE = "sts.amazonaws.com"
REGION = "us-east-1"
# Its own parameter check is off, so that the server's check is what a test meets.
ONCE = Config(
    retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=False
)
BASE = Trust(("user/borrow-base",))

Keys = dict[str, Any]


def now() -> float:
    return time.time()  # noqa: TID251 - boto3 signs with this clock, and the stand-in reads it too


class World:
    """One stand-in, its issuer's key, and short ways to be somebody."""

    def __init__(self, cloud: StandInProcess, key: ECKey) -> None:
        self.cloud = cloud
        self.key = key

    def client(self, service: str, keys: Keys | None) -> Any:
        make: Callable[..., Any] = boto3.client
        config = ONCE if keys else ONCE.merge(Config(signature_version=UNSIGNED))
        keys = keys or {}
        return make(
            service,
            endpoint_url=self.cloud.endpoint,
            region_name=REGION,
            aws_access_key_id=keys.get("AccessKeyId"),
            aws_secret_access_key=keys.get("SecretAccessKey"),
            aws_session_token=keys.get("SessionToken"),
            config=config,
        )

    def s3(self, keys: Keys) -> Any:
        return self.client("s3", keys)

    def assume(self, role: str, by: Keys | None = None, **more: Any) -> Keys:
        asked = {"RoleSessionName": "ann", "DurationSeconds": 900} | more
        sts = self.client("sts", by or self.cloud.base_key)
        answer: Keys = sts.assume_role(RoleArn=self.arn(role), **asked)
        return answer

    def session(self, role: str, by: Keys | None = None, **more: Any) -> Keys:
        found: Keys = self.assume(role, by, **more)["Credentials"]
        return found

    def arn(self, role: str) -> str:
        return f"arn:aws:iam::123456789012:role/{role}"

    def token(self, key: ECKey | None = None, **claims: Any) -> str:
        at = int(now())
        return jwt.encode(
            {"alg": "ES256", "kid": self.key.thumbprint()},
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": "role:123456789012/admin:user:u1",
                "iat": at,
                "nbf": at,
                "exp": at + 60,
                "https://aws.amazon.com/roles": [self.arn("admin")],
                "https://aws.amazon.com/source_identity": "g-1",
                "https://aws.amazon.com/tags": {"principal_tags": {"borrow-grant": ["g-1"]}},
                **claims,
            },
            key or self.key,
        )

    def with_token(self, token: str, role: str = "admin", **more: Any) -> Keys:
        asked = {"RoleSessionName": "ann", "DurationSeconds": 900} | more
        answer: Keys = self.client("sts", None).assume_role_with_web_identity(
            RoleArn=self.arn(role), WebIdentityToken=token, **asked
        )
        return answer


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    need(None if find_spec("moto") else "moto is not installed", "pip install 'borrow[demo]'")
    key = ECKey.generate_key("P-256")
    public = {**key.as_dict(private=False), "kid": key.thumbprint()}
    web = WebTrust(ISSUER, AUDIENCE, "role:123456789012/admin:user:*", jwks={"keys": [public]})
    everything = ("s3:*", "sts:AssumeRole", "iam:*")
    seed = Seed(
        roles={
            "readonly": Role(("s3:GetObject", "s3:ListBucket"), trust=BASE),
            "admin": Role(everything, trust=BASE, web_identity=web),
            "nobody": Role(everything),
            "plain": Role(everything, trust=Trust(("user/borrow-base",), ("sts:AssumeRole",))),
            "next": Role(("s3:*",), trust=Trust(("role/admin",))),
            "long": Role(("s3:*",), trust=BASE, max_session=7200),
        },
        buckets={"demo": {"report.txt": "figures"}},
    )
    with StandInProcess(seed) as cloud:
        yield World(cloud, key)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    yield shared
    shared.cloud.knobs(sts_delay=0, sts_fail=("", 0), clock_offset=0)


def refused(call: Callable[[], object]) -> str:
    """The AWS error code that `call` is answered with."""
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def until(end: float) -> str:
    """The session policy that the minter sends: everything, but nothing after the grant's end."""
    date = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = {"DateGreaterThan": {"aws:CurrentTime": date}}
    return policy(
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": late},
    )


def test_a_call_without_a_signature_is_refused_and_on_the_trail(world: World) -> None:
    before = len(world.cloud.trail())
    assert refused(world.client("sts", None).get_caller_identity) == "MissingAuthenticationToken"
    (line,) = world.cloud.trail()[before:]
    assert line["errorCode"] == "MissingAuthenticationToken"
    assert line["userIdentity"]["accountId"] == "ANONYMOUS_PRINCIPAL"


# --- roles ---------------------------------------------------------------------------------------


def test_a_readonly_session_reads_and_cannot_delete(world: World) -> None:
    s3 = world.s3(world.session("readonly"))
    assert s3.get_object(Bucket="demo", Key="report.txt")["Body"].read() == b"figures"
    assert refused(lambda: s3.delete_object(Bucket="demo", Key="report.txt")) == "AccessDenied"


def test_an_admin_session_writes_and_deletes(world: World) -> None:
    s3 = world.s3(world.session("admin"))
    s3.put_object(Bucket="demo", Key="scratch", Body=b"x")
    s3.delete_object(Bucket="demo", Key="scratch")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="demo")["Contents"]]
    assert "scratch" not in keys


def test_the_base_user_can_do_nothing_but_assume(world: World) -> None:
    s3 = world.s3(world.cloud.base_key)
    assert refused(lambda: s3.get_object(Bucket="demo", Key="report.txt")) == "AccessDenied"


@pytest.mark.parametrize("role", ["no-such-role", "nobody", "next"])
def test_a_role_that_is_missing_or_does_not_trust_the_caller_is_refused(
    world: World, role: str
) -> None:
    assert refused(lambda: world.assume(role)) == "AccessDenied"


def test_a_wrong_secret_key_is_refused(world: World) -> None:
    forged = {**world.cloud.base_key, "SecretAccessKey": "wrong"}
    assert refused(lambda: world.assume("admin", by=forged)) == "SignatureDoesNotMatch"


def test_a_session_key_nobody_was_given_is_refused(world: World) -> None:
    forged = {"AccessKeyId": "ASIA" + "X" * 16, "SecretAccessKey": "x", "SessionToken": "x"}
    sts = world.client("sts", forged)
    assert refused(sts.get_caller_identity) == "InvalidClientTokenId"


def test_get_caller_identity_of_a_session_answers_the_assumed_role(world: World) -> None:
    sts = world.client("sts", world.session("admin"))
    assert sts.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/admin/ann"


@pytest.mark.parametrize("duration", [899, 3601])
def test_a_duration_outside_awss_bounds_is_refused(world: World, duration: int) -> None:
    assert refused(lambda: world.assume("admin", DurationSeconds=duration)) == "ValidationError"


def test_a_role_with_a_longer_maximum_gives_a_longer_session(world: World) -> None:
    end = world.session("long", DurationSeconds=7200)["Expiration"].timestamp()
    assert 7100 < end - now() <= 7200


# --- ends ----------------------------------------------------------------------------------------


def test_the_session_policys_date_ends_a_session_before_its_expiry(world: World) -> None:
    end = now() + 600
    keys = world.session("admin", Policy=until(end))
    s3 = world.s3(keys)
    s3.head_bucket(Bucket="demo")
    world.cloud.knobs(clock_offset=602)
    assert refused(lambda: s3.list_objects_v2(Bucket="demo")) == "AccessDenied"
    line = world.cloud.trail("ListObjects")[-1]
    assert line["errorCode"] == "AccessDenied"
    assert "explicit deny in a session policy" in line["errorMessage"]
    assert refused(world.client("iam", keys).list_users) == "AccessDenied"


def test_get_caller_identity_works_under_an_explicit_deny_as_in_aws(world: World) -> None:
    keys = world.session("admin", Policy=until(now() - 60))
    assert world.client("sts", keys).get_caller_identity()["Account"] == "123456789012"


def test_an_expired_session_is_told_so_on_every_call(world: World) -> None:
    keys = world.session("admin")
    world.cloud.knobs(clock_offset=901)
    s3, sts, iam = world.s3(keys), world.client("sts", keys), world.client("iam", keys)
    calls = (
        lambda: s3.get_object(Bucket="demo", Key="report.txt"),
        sts.get_caller_identity,
        lambda: sts.assume_role(RoleArn=world.arn("next"), RoleSessionName="ann"),
        iam.list_users,
    )
    assert [refused(call) for call in calls] == ["ExpiredToken"] * 4


# --- session policies ----------------------------------------------------------------------------


def test_a_session_policy_narrows_the_role(world: World) -> None:
    only = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::demo/*"}
    s3 = world.s3(world.session("admin", Policy=policy(only)))
    s3.get_object(Bucket="demo", Key="report.txt")
    assert refused(lambda: s3.delete_object(Bucket="demo", Key="report.txt")) == "AccessDenied"
    assert refused(lambda: s3.list_objects_v2(Bucket="demo")) == "AccessDenied"


def test_a_session_policy_never_widens_the_role(world: World) -> None:
    s3 = world.s3(world.session("readonly", Policy=until(now() + 600)))
    assert refused(lambda: s3.delete_object(Bucket="demo", Key="report.txt")) == "AccessDenied"


def test_a_deny_of_the_session_policy_holds_for_query_apis(world: World) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    no_iam = {"Effect": "Deny", "Action": ["iam:*"], "Resource": "*"}
    keys = world.session("admin", Policy=policy(everything, no_iam))
    assert refused(world.client("iam", keys).list_users) == "AccessDenied"
    world.s3(keys).head_bucket(Bucket="demo")


def test_a_bulk_delete_counts_as_deleting(world: World) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    keep = {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}
    s3 = world.s3(world.session("admin", Policy=policy(everything, keep)))
    bulk = {"Objects": [{"Key": "report.txt"}]}
    assert refused(lambda: s3.delete_objects(Bucket="demo", Delete=bulk)) == "AccessDenied"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"Statement": []}',
        policy({"Effect": "Perhaps", "Action": "*", "Resource": "*"}),
        policy(
            {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Odd": {"a": "b"}}}
        ),
        policy({"Effect": "Allow", "Action": "s3:" + "x" * 2048, "Resource": "*"}),
    ],
)
def test_a_session_policy_that_cannot_be_judged_makes_no_session(world: World, text: str) -> None:
    before = world.cloud.sessions()
    assert refused(lambda: world.assume("admin", Policy=text)) == "MalformedPolicyDocument"
    assert world.cloud.sessions() == before


# --- who stands behind a session -----------------------------------------------------------------


def test_source_identity_and_tags_are_echoed_and_kept_in_the_trail(world: World) -> None:
    tags = [{"Key": "borrow-grant", "Value": "g-7"}]
    answer = world.assume("admin", SourceIdentity="g-7", Tags=tags)
    assert answer["SourceIdentity"] == "g-7"
    world.s3(answer["Credentials"]).put_object(Bucket="demo", Key="kept", Body=b"x")
    made = world.cloud.trail("AssumeRole")[-1]
    assert made["requestParameters"]["sourceIdentity"] == "g-7"
    assert made["requestParameters"]["tags"] == [{"key": "borrow-grant", "value": "g-7"}]
    used = world.cloud.trail("PutObject")[-1]
    assert used["userIdentity"]["sessionContext"]["sourceIdentity"] == "g-7"
    assert used["eventSource"] == "s3.amazonaws.com"
    assert used["requestParameters"] == {"bucketName": "demo", "key": "kept"}
    assert "errorCode" not in used


def test_a_trust_that_allows_no_source_identity_refuses_one(world: World) -> None:
    world.assume("plain")
    assert refused(lambda: world.assume("plain", SourceIdentity="g-7")) == "AccessDenied"
    tags = [{"Key": "a", "Value": "b"}]
    assert refused(lambda: world.assume("plain", Tags=tags)) == "AccessDenied"


def test_a_chained_session_keeps_its_source_identity(world: World) -> None:
    first = world.session("admin", SourceIdentity="g-8")
    answer = world.assume("next", by=first)
    assert answer["SourceIdentity"] == "g-8"
    other = lambda: world.assume("next", by=first, SourceIdentity="g-9")  # noqa: E731
    assert refused(other) == "AccessDenied"


def test_the_trail_holds_no_secret(world: World) -> None:
    answer = world.with_token(token := world.token())
    keys = answer["Credentials"]
    world.s3(keys).head_bucket(Bucket="demo")
    text = world.cloud.trail_file.read_text()
    assert keys["AccessKeyId"] in text
    secrets = (keys["SecretAccessKey"], keys["SessionToken"], token)
    assert not [each for each in secrets if each in text]


# --- web identity --------------------------------------------------------------------------------


def test_a_good_token_gets_a_session_named_by_its_grant(world: World) -> None:
    answer = world.with_token(world.token())
    assert answer["SourceIdentity"] == "g-1"
    assert answer["SubjectFromWebIdentityToken"] == "role:123456789012/admin:user:u1"
    world.s3(answer["Credentials"]).put_object(Bucket="demo", Key="web", Body=b"x")
    used = world.cloud.trail("PutObject")[-1]["userIdentity"]["sessionContext"]
    assert used["sourceIdentity"] == "g-1"
    made = world.cloud.trail("AssumeRoleWithWebIdentity")[-1]
    assert made["requestParameters"]["tags"] == [{"key": "borrow-grant", "value": "g-1"}]
    assert made["userIdentity"]["userName"] == "role:123456789012/admin:user:u1"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://other.example.com"}, "InvalidIdentityToken"),
        ({"aud": "somebody-else"}, "InvalidIdentityToken"),
        ({"exp": 1_000_000_000}, "ExpiredTokenException"),
        ({"exp": None}, "InvalidIdentityToken"),
        ({"iat": 4_000_000_000}, "InvalidIdentityToken"),
        ({"nbf": 4_000_000_000}, "InvalidIdentityToken"),
        ({"sub": "role:123456789012/other:user:u1"}, "AccessDenied"),
        ({"https://aws.amazon.com/roles": ["arn:aws:iam::123456789012:role/x"]}, "AccessDenied"),
        ({"https://aws.amazon.com/roles": None}, "AccessDenied"),
        ({"https://aws.amazon.com/tags": {"principal_tags": {"a": "b"}}}, "InvalidIdentityToken"),
    ],
)
def test_a_token_that_says_something_else_gets_nothing(
    world: World, claims: dict[str, Any], code: str
) -> None:
    before = world.cloud.sessions()
    assert refused(lambda: world.with_token(world.token(**claims))) == code
    assert world.cloud.sessions() == before


def test_a_token_by_another_key_gets_nothing(world: World) -> None:
    forged = world.token(key=ECKey.generate_key("P-256"))
    assert refused(lambda: world.with_token(forged)) == "InvalidIdentityToken"


def test_an_unsigned_token_gets_nothing(world: World) -> None:
    head = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    unsigned = f"{head}.{world.token().split('.')[1]}."
    assert refused(lambda: world.with_token(unsigned)) == "InvalidIdentityToken"


@pytest.mark.parametrize("role", ["readonly", "no-such-role"])
def test_a_token_for_a_role_that_trusts_no_issuer_gets_nothing(world: World, role: str) -> None:
    assert refused(lambda: world.with_token(world.token(), role)) == "AccessDenied"


def test_a_token_session_obeys_its_policys_date(world: World) -> None:
    answer = world.with_token(world.token(), Policy=until(now() + 600))
    s3 = world.s3(answer["Credentials"])
    s3.head_bucket(Bucket="demo")
    world.cloud.knobs(clock_offset=602)
    assert refused(lambda: s3.list_objects_v2(Bucket="demo")) == "AccessDenied"


def test_the_trusted_issuer_can_be_named_after_the_start(world: World) -> None:
    key = ECKey.generate_key("P-256")
    public = {**key.as_dict(private=False), "kid": key.thumbprint()}
    late = WebTrust(ISSUER, AUDIENCE, "late:*", jwks={"keys": [public]})
    world.cloud.knobs(web_identity={"long": late})
    roles: dict[str, Any] = {"https://aws.amazon.com/roles": [world.arn("long")]}
    token = World(world.cloud, key).token(sub="late:u1", **roles)
    assert world.with_token(token, "long")["SourceIdentity"] == "g-1"


# --- closed doors --------------------------------------------------------------------------------


def plain(world: World, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    place = urlsplit(world.cloud.endpoint)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


#: Enough of a signature to be read as one; moto's own doors do not check it.
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)


@pytest.mark.parametrize("path", ["/-/standin", "/demo/report.txt", "/demo", "/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_without_a_signature_every_path_is_closed(world: World, method: str, path: str) -> None:
    status, body = plain(world, method, path)
    assert status == 403
    assert b"figures" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/moto-api/data.json",
        "/moto-api/reset-auth",
        "//moto-api/reset",
        "/latest/meta-data/iam/security-credentials/",
        "/latest/api/token",
    ],
)
@pytest.mark.parametrize("signature", [{}, {"Authorization": SIGNED}], ids=["bare", "signed"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_motos_own_doors_are_closed(
    world: World, method: str, signature: dict[str, str], path: str
) -> None:
    status, body = plain(world, method, path, **signature)
    assert status == 403
    assert signature == {} or b"this path is closed" in body


def test_a_foreign_host_name_is_refused(world: World) -> None:
    headers = {"Host": "demo.s3.example.com", "Authorization": SIGNED}
    status, body = plain(world, "GET", "/report.txt", **headers)
    assert (status, b"host name" in body) == (403, True)


def test_no_answer_lets_another_site_read_it(world: World) -> None:
    answer = world.s3(world.session("admin")).head_bucket(Bucket="demo")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert not [name for name in headers if name.startswith("access-control")]


# --- knobs ---------------------------------------------------------------------------------------


def test_sts_fails_as_often_as_asked_and_every_call_is_counted(world: World) -> None:
    before = world.cloud.sts_calls()
    world.cloud.knobs(sts_fail=("Throttling", 2))
    assert [refused(lambda: world.assume("admin")) for _ in range(2)] == ["Throttling"] * 2
    world.assume("admin")
    assert world.cloud.sts_calls() - before == 3


def test_sts_waits_as_long_as_asked(world: World) -> None:
    sts = world.client("sts", world.cloud.base_key)
    world.cloud.knobs(sts_delay=0.3)
    began = time.monotonic()
    sts.assume_role(RoleArn=world.arn("admin"), RoleSessionName="ann", DurationSeconds=900)
    assert time.monotonic() - began >= 0.3


def test_a_knob_that_is_out_of_range_is_refused(world: World) -> None:
    with pytest.raises(Misconfigured, match="sts_delay"):
        world.cloud.knobs(sts_delay=-1)


def test_ten_clients_at_once_are_all_served(world: World) -> None:
    keys = world.session("admin")

    def work(number: int) -> bytes:
        s3 = world.s3(keys)
        for turn in range(3):
            s3.put_object(Bucket="demo", Key=f"parallel-{number}-{turn}", Body=b"%d" % number)
        found: bytes = s3.get_object(Bucket="demo", Key=f"parallel-{number}-2")["Body"].read()
        return found

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(work, range(10))) == [b"%d" % number for number in range(10)]


# --- the process ---------------------------------------------------------------------------------


def test_it_ends_with_its_parent_and_leaves_no_file() -> None:
    need(None if find_spec("moto") else "moto is not installed", "pip install 'borrow[demo]'")
    cloud = StandInProcess(Seed(roles={"r": Role(("s3:*",))}))
    with cloud:
        pid, directory = cloud.pid, cloud.trail_file.parent
        assert cloud.trail() == []
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_end_of_its_stdin_ends_it(tmp_path: Path) -> None:
    need(None if find_spec("moto") else "moto is not installed", "pip install 'borrow[demo]'")
    cloud = StandInProcess(Seed(roles={"r": Role(("s3:*",))}), directory=tmp_path)
    with cloud:
        process = cloud._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(5) == 0


def test_without_moto_the_hint_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "moto.server", None)
    with pytest.raises(Misconfigured) as caught:
        MotoCloud(Seed(roles={"r": Role(("s3:*",))}))
    assert caught.value.hint == "pip install 'borrow[demo]'"


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ([], "seed"),
        ({}, "roles"),
        ({"roles": {}}, "roles"),
        ({"roles": {"r": {"actions": []}}}, "roles.r.actions"),
        ({"roles": {"r": {"actions": ["s3:*"], "colour": 1}}}, "colour"),
        ({"roles": {"r": {"actions": ["s3:*"]}}, "account": "1"}, "account"),
        ({"roles": {"r": {"actions": ["s3:*"], "max_session": 900}}}, "max_session"),
    ],
)
def test_a_wrong_seed_is_refused_by_the_name_of_the_mistake(raw: object, named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        parse_seed(raw)


def test_a_seed_survives_its_json_form() -> None:
    web = WebTrust(ISSUER, AUDIENCE, "*", jwks_url="http://127.0.0.1:1/jwks")
    role = Role(("s3:*",), trust=BASE, web_identity=web, max_session=7200)
    seed = Seed(roles={"r": role, "s": Role(("s3:Get*",))}, buckets={"b": {"k": "v"}})
    assert parse_seed(json.loads(json.dumps(seed.to_json()))) == seed
