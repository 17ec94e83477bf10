"""Which AWS call is this? Reads one request as far as a policy and a trail line need it.

Nothing is verified here: the access key is a claim until moto has checked the signature.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from borrow.protocol.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIEnvironment

MAX_FORM = 256 * 1024  # bytes of a query-API body; the largest real one is a policy document

_SCOPE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[A-Z0-9]{16,128})/[0-9]{8}/(?P<region>[a-z0-9-]+)/"
    r"(?P<service>[a-z0-9-]+)/aws4_request[, ]"
)

#: moto serves these itself, whatever the signature says: a fake IMDS and its own back door.
_BACK_DOORS = ("/moto-api", "/latest/meta-data", "/latest/api", "/favicon.ico")

#: The one call that carries its proof in the body instead of a signature.
WEB_IDENTITY = "AssumeRoleWithWebIdentity"

_S3_SUBRESOURCES = (
    "accelerate", "acl", "cors", "encryption", "legal-hold", "lifecycle", "location", "logging",
    "notification", "object-lock", "ownershipControls", "policy", "policyStatus",
    "publicAccessBlock", "replication", "requestPayment", "retention", "tagging", "versioning",
    "website",
)  # fmt: skip
_S3_VERBS = {"GET": "Get", "HEAD": "Get", "PUT": "Put", "POST": "Put", "DELETE": "Delete"}


@dataclass(frozen=True)
class Call:
    """One request. `event` is CloudTrail's name of it, `action` IAM's (with the service)."""

    access_key: str
    service: str
    region: str
    event: str
    action: str
    resource: str
    form: Mapping[str, str]
    address: str
    agent: str

    @property
    def assumes(self) -> bool:
        return self.service == "sts" and self.event in ("AssumeRole", WEB_IDENTITY)


def read_call(environ: WSGIEnvironment, hosts: frozenset[str]) -> Call:
    """Read one request, or raise Refused whose `state` is the AWS error code.

    The body of a query API is read and put back. `hosts` are the Host headers that are ours: with
    any other one moto would take a bucket name from it that the policy check did not see.
    """
    path = str(environ.get("PATH_INFO", ""))
    if path.startswith(_BACK_DOORS):
        raise Refused("this path is closed", state="AccessDenied")
    if environ.get("HTTP_HOST") not in hosts:
        raise Refused("this host name is not the stand-in's", state="AccessDenied")
    form = _form(environ)
    address, agent = str(environ.get("REMOTE_ADDR", "")), str(environ.get("HTTP_USER_AGENT", ""))
    scope = _SCOPE.match(str(environ.get("HTTP_AUTHORIZATION", "")))
    if scope is None:
        if form.get("Action") != WEB_IDENTITY:
            raise Refused("the request is not signed", state="MissingAuthenticationToken")
        action = f"sts:{WEB_IDENTITY}"
        arn = form.get("RoleArn", "")
        return Call("", "sts", "us-east-1", WEB_IDENTITY, action, arn, form, address, agent)
    service, resource = scope["service"], ""
    if service == "s3":
        event, operation, resource = _s3(environ, path)
    else:
        event = operation = _operation(environ, form)
        resource = form.get("RoleArn", "") if service == "sts" else ""
    return Call(
        access_key=scope["key"],
        service=service,
        region=scope["region"],
        event=event,
        action=f"{service}:{operation}",
        resource=resource,
        form=form,
        address=address,
        agent=agent,
    )


def unread(environ: WSGIEnvironment) -> Call:
    """What a trail line says of a call that `read_call` refused: from where it came, no more."""
    method = str(environ["REQUEST_METHOD"])
    address, agent = str(environ.get("REMOTE_ADDR", "")), str(environ.get("HTTP_USER_AGENT", ""))
    event = f"{method} (not read)"
    return Call("", "unknown", "us-east-1", event, "", "", {}, address, agent)


def _form(environ: WSGIEnvironment) -> dict[str, str]:
    if environ["REQUEST_METHOD"] != "POST":
        return {}
    if not str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded"):
        return {}
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if not length.isdecimal() or int(length) > MAX_FORM:
        raise Refused(f"a form is longer than {MAX_FORM} bytes", state="MalformedQueryString")
    body: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=2000
        )
    except ValueError as exc:
        raise Refused("the form cannot be read", state="MalformedQueryString") from exc
    form = dict(pairs)
    if len(form) != len(pairs):  # which of two values moto would take is not ours to guess
        raise Refused("a parameter is given twice", state="MalformedQueryString")
    return form


def _operation(environ: WSGIEnvironment, form: Mapping[str, str]) -> str:
    """The operation of a query or JSON API; a REST API's is unknown and named by its method."""
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    if target:
        return target.rpartition(".")[2]
    return form.get("Action") or f"{environ['REQUEST_METHOD']} (unknown operation)"


def _s3(environ: WSGIEnvironment, path: str) -> tuple[str, str, str]:
    """CloudTrail event, IAM operation and resource of one path-style S3 request."""
    method = str(environ["REQUEST_METHOD"])
    query = dict(parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True))
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return "ListBuckets", "ListAllMyBuckets", "*"
    resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    verb = _S3_VERBS.get(method, method.title())
    for name in _S3_SUBRESOURCES:
        if name in query:
            noun = "".join(part[0].upper() + part[1:] for part in name.split("-"))
            event = f"{verb}{'Object' if key else 'Bucket'}{noun}"
            return event, event, resource
    if key:
        return *_s3_object(method, verb, query), resource
    return _s3_bucket(method, query, resource)


def _s3_object(method: str, verb: str, query: Mapping[str, str]) -> tuple[str, str]:
    if method == "HEAD":
        return "HeadObject", "GetObject"
    if "uploadId" in query and method in ("GET", "DELETE"):
        name = "ListMultipartUploadParts" if method == "GET" else "AbortMultipartUpload"
        return ("ListParts" if method == "GET" else name), name
    if "uploadId" in query or "uploads" in query:
        whole = "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
        return ("UploadPart" if method == "PUT" else whole), "PutObject"
    version = "Version" if "versionId" in query and verb != "Put" else ""
    return f"{verb}Object", f"{verb}Object{version}"


def _s3_bucket(method: str, query: Mapping[str, str], resource: str) -> tuple[str, str, str]:
    if method == "POST" and "delete" in query:
        return "DeleteObjects", "DeleteObject", f"{resource}/*"
    if method == "HEAD":
        return "HeadBucket", "ListBucket", resource
    if method == "GET":
        if "versions" in query:
            return "ListObjectVersions", "ListBucketVersions", resource
        if "uploads" in query:
            return "ListMultipartUploads", "ListBucketMultipartUploads", resource
        return "ListObjects", "ListBucket", resource
    names = {"PUT": "CreateBucket", "DELETE": "DeleteBucket"}
    name = names.get(method, f"{method} (unknown operation)")
    return name, name, resource
