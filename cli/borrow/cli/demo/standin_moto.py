"""moto behind the stand-in: its WSGI app, the seeded account, and one way to call it in-process.

The only module that imports moto, and only when `MotoCloud` is made: that happens in the stand-in's
own process. Uses moto's public server interface and boto3; boto3's requests go straight to the
app through botocore's `before-send` event, so nothing listens while the account is being built.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from borrow.protocol.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from wsgiref.types import WSGIApplication

    from borrow.cli.demo.standin_seed import Seed

REGION = "us-east-1"
_INNER_USER = "borrow-standin"
_INNER_URL = "http://127.0.0.1"  # names the app in signatures; no socket is opened


@dataclass(frozen=True)
class Issued:
    """Credentials that moto knows, so that it can check signatures made with them."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    role_id: str = ""
    arn: str = ""


class MotoCloud:
    """One seeded account. `app` is moto's WSGI app with IAM enforcement on; `base` its one user."""

    def __init__(self, seed: Seed) -> None:
        self.seed = seed
        self.app = _load_app(seed.account)
        iam = self._client("iam", _anyone())
        for name, role in seed.roles.items():
            # Who may assume a role is decided before moto is asked (standin.py), and the answer
            # for a web identity is fetched by an inner user: moto's own copy lets all of them in.
            iam.create_role(
                RoleName=name,
                AssumeRolePolicyDocument=_document(("sts:AssumeRole",), principal="*"),
                MaxSessionDuration=role.max_session,
            )
            iam.put_role_policy(
                RoleName=name,
                PolicyName="seed",
                PolicyDocument=_document(role.actions, resources=role.resources),
            )
        self.base = self._user(iam, seed.base_user)
        inner = self._user(iam, _INNER_USER)
        s3 = self._client("s3", _anyone())
        for bucket, objects in seed.buckets.items():
            s3.create_bucket(Bucket=bucket)
            for key, body in objects.items():
                s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
        self._enforce_iam()
        self._sts = self._client("sts", inner)

    def new_session(self, role_arn: str, name: str, duration: int) -> Issued:
        """Credentials of `role_arn` for a caller whose right to it was proven already."""
        answer = self._sts.assume_role(
            RoleArn=role_arn, RoleSessionName=name, DurationSeconds=duration
        )
        got, user = answer["Credentials"], answer["AssumedRoleUser"]
        return Issued(
            got["AccessKeyId"],
            got["SecretAccessKey"],
            got["SessionToken"],
            user["AssumedRoleId"].partition(":")[0],
            user["Arn"],
        )

    def _user(self, iam: Any, name: str) -> Issued:
        iam.create_user(UserName=name)
        iam.put_user_policy(
            UserName=name, PolicyName="seed", PolicyDocument=_document(("sts:AssumeRole",))
        )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Issued(key["AccessKeyId"], key["SecretAccessKey"])

    def _enforce_iam(self) -> None:
        from werkzeug.test import Client

        answer = Client(self.app).post("/moto-api/reset-auth", data=b"0", content_type="text/plain")
        if answer.status_code != 200:
            raise Unavailable("moto does not turn IAM enforcement on")

    def _client(self, service: str, issued: Issued) -> Any:
        import boto3
        from botocore.config import Config

        session = boto3.Session(
            aws_access_key_id=issued.access_key,
            aws_secret_access_key=issued.secret_key,
            region_name=REGION,
        )
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        make: Callable[..., Any] = session.client  # typed for the services with stubs only
        client = make(service, endpoint_url=_INNER_URL, config=config)
        client.meta.events.register("before-send", _Courier(self.app))
        return client


class _Courier:
    """Carries a prepared botocore request to a WSGI app and its answer back."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, request: Any, **_: object) -> Any:
        from botocore.awsrequest import AWSResponse, HeadersDict
        from werkzeug.test import Client

        url = urlsplit(request.url)
        body = request.body
        answer = Client(self._app).open(
            path=url.path or "/",
            query_string=url.query,
            base_url=_INNER_URL,
            method=request.method,
            headers=[(key, _text(value)) for key, value in request.headers.items()],
            data=body.read() if hasattr(body, "read") else body,
        )
        make: Callable[..., Any] = AWSResponse  # its stubs want the headers of http.client
        return make(
            request.url, answer.status_code, HeadersDict(answer.headers), _Raw(answer.get_data())
        )


class _Raw(io.BytesIO):
    """What AWSResponse reads a body from."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.getvalue()


def _load_app(account: str) -> WSGIApplication:
    # Read by moto when it is imported. Without the first, every page of a browser may read answers.
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "1"
    os.environ["MOTO_ACCOUNT_ID"] = account
    os.environ.pop("INITIAL_NO_AUTH_ACTION_COUNT", None)
    try:
        server = importlib.import_module("moto.server")  # its types do not export what it does
    except ImportError as exc:
        raise Misconfigured(
            f"the stand-in cloud needs moto ({exc.name or 'a part of it'} is missing)",
            hint="pip install 'borrow[demo]'",
        ) from exc
    app: WSGIApplication = server.DomainDispatcherApplication(server.create_backend_app)
    return app


def _anyone() -> Issued:
    """Before IAM is enforced moto takes every key."""
    return Issued("AKIASEEDSEEDSEEDSEED", "seed")


def _document(
    actions: tuple[str, ...], *, resources: tuple[str, ...] = ("*",), principal: str = ""
) -> str:
    statement: Mapping[str, object] = {"Effect": "Allow", "Action": list(actions)} | (
        {"Principal": {"AWS": principal}} if principal else {"Resource": list(resources)}
    )
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
