"""What is in the stand-in cloud when it starts: one account, its buckets, roles and base user.

Owns the shape of the seed and its JSON form, which crosses from the parent to the child process.
It knows nothing of moto; `standin` puts a seed into effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from borrow.protocol.errors import Misconfigured

ACCOUNT = "123456789012"
MIN_SESSION = 900  # seconds; AWS's floor for AssumeRole, kept so that a test cannot cheat
DEFAULT_MAX_SESSION = 3600  # seconds; AWS's MaxSessionDuration of a new role
LARGEST_MAX_SESSION = 43_200  # seconds; AWS's upper bound of that setting

#: What a trust statement grants when the seed does not say less.
TRUST_ACTIONS = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
WEB_TRUST_ACTIONS = ("sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity")

_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Trust:
    """Who may call AssumeRole: ARNs, `user/NAME` or `role/NAME` of this account, or `*`."""

    principals: tuple[str, ...]
    actions: tuple[str, ...] = TRUST_ACTIONS


@dataclass(frozen=True)
class WebTrust:
    """Whose tokens AssumeRoleWithWebIdentity takes. `sub` is a glob as in StringLike."""

    issuer: str
    aud: str
    sub: str
    jwks_url: str = ""
    jwks: Mapping[str, Any] | None = None
    actions: tuple[str, ...] = WEB_TRUST_ACTIONS


@dataclass(frozen=True)
class Role:
    """One role: what it may do (`actions` on `resources`), and who may become it."""

    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    trust: Trust | None = None
    web_identity: WebTrust | None = None
    max_session: int = DEFAULT_MAX_SESSION


@dataclass(frozen=True)
class Seed:
    """A whole account. `base_user` may call AssumeRole and nothing else; it gets an access key."""

    roles: Mapping[str, Role]
    buckets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    account: str = ACCOUNT
    base_user: str = "borrow-base"

    def role_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account}:role/{name}"

    @property
    def base_arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user/{self.base_user}"

    def to_json(self) -> dict[str, Any]:
        """The form that `parse_seed` reads back."""
        roles: dict[str, Any] = {}
        for name, role in self.roles.items():
            web = role.web_identity
            roles[name] = {
                "actions": list(role.actions),
                "resources": list(role.resources),
                "max_session": role.max_session,
                "trust": role.trust
                and {
                    "principals": list(role.trust.principals),
                    "actions": list(role.trust.actions),
                },
                "web_identity": web and web_trust_json(web),
            }
        return {
            "account": self.account,
            "base_user": self.base_user,
            "buckets": {name: dict(objects) for name, objects in self.buckets.items()},
            "roles": roles,
        }


def web_trust_json(web: WebTrust) -> dict[str, Any]:
    """The form that `parse_web_trust` reads back."""
    out: dict[str, Any] = {"issuer": web.issuer, "aud": web.aud, "sub": web.sub}
    if web.jwks_url:
        out["jwks_url"] = web.jwks_url
    if web.jwks is not None:
        out["jwks"] = dict(web.jwks)
    return {**out, "actions": list(web.actions)}


def parse_seed(raw: object) -> Seed:
    """Read a seed; unknown keys and wrong shapes are Misconfigured, and the message names them."""
    top = _mapping(raw, "seed", {"account", "base_user", "buckets", "roles"}, {"roles"})
    account = _text(top.get("account", ACCOUNT), "seed.account")
    if not re.fullmatch(r"[0-9]{12}", account):
        raise Misconfigured("seed.account must be twelve digits", hint=f"for example {ACCOUNT}")
    roles = {
        _name(name, "seed.roles"): parse_role(value, f"seed.roles.{name}")
        for name, value in _any_mapping(top["roles"], "seed.roles").items()
    }
    if not roles:
        raise Misconfigured("seed.roles is empty", hint="name at least one role")
    buckets = {
        _text(bucket, "seed.buckets"): {
            _text(key, f"seed.buckets.{bucket}"): _text(body, f"seed.buckets.{bucket}.{key}")
            for key, body in _any_mapping(objects, f"seed.buckets.{bucket}").items()
        }
        for bucket, objects in _any_mapping(top.get("buckets", {}), "seed.buckets").items()
    }
    base_user = _name(top.get("base_user", "borrow-base"), "seed.base_user")
    return Seed(roles=roles, buckets=buckets, account=account, base_user=base_user)


def parse_role(raw: object, at: str) -> Role:
    allowed = {"actions", "resources", "trust", "web_identity", "max_session"}
    got = _mapping(raw, at, allowed, {"actions"})
    longest = got.get("max_session", DEFAULT_MAX_SESSION)
    if not isinstance(longest, int) or not DEFAULT_MAX_SESSION <= longest <= LARGEST_MAX_SESSION:
        raise Misconfigured(
            f"{at}.max_session must be {DEFAULT_MAX_SESSION} to {LARGEST_MAX_SESSION} seconds",
            hint="these are AWS's bounds",
        )
    trust = got.get("trust")
    web = got.get("web_identity")
    return Role(
        actions=_texts(got["actions"], f"{at}.actions"),
        resources=_texts(got.get("resources", ["*"]), f"{at}.resources"),
        trust=None if trust is None else _trust(trust, f"{at}.trust"),
        web_identity=None if web is None else parse_web_trust(web, f"{at}.web_identity"),
        max_session=longest,
    )


def parse_web_trust(raw: object, at: str) -> WebTrust:
    needed = {"issuer", "aud", "sub"}
    got = _mapping(raw, at, needed | {"jwks_url", "jwks", "actions"}, needed)
    if ("jwks" in got) == ("jwks_url" in got):
        raise Misconfigured(f"{at} needs jwks or jwks_url", hint="give exactly one of the two")
    return WebTrust(
        issuer=_text(got["issuer"], f"{at}.issuer"),
        aud=_text(got["aud"], f"{at}.aud"),
        sub=_text(got["sub"], f"{at}.sub"),
        jwks_url=_text(got["jwks_url"], f"{at}.jwks_url") if "jwks_url" in got else "",
        jwks=_any_mapping(got["jwks"], f"{at}.jwks") if "jwks" in got else None,
        actions=_texts(got.get("actions", list(WEB_TRUST_ACTIONS)), f"{at}.actions"),
    )


def _trust(raw: object, at: str) -> Trust:
    got = _mapping(raw, at, {"principals", "actions"}, {"principals"})
    return Trust(
        principals=_texts(got["principals"], f"{at}.principals"),
        actions=_texts(got.get("actions", list(TRUST_ACTIONS)), f"{at}.actions"),
    )


def _any_mapping(raw: object, at: str) -> dict[str, Any]:
    if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
        raise Misconfigured(f"{at} must be an object", hint="see the docstring of standin_seed")
    return dict(raw)


def _mapping(raw: object, at: str, allowed: set[str], needed: set[str]) -> dict[str, Any]:
    got = _any_mapping(raw, at)
    unknown = sorted(got.keys() - allowed)
    missing = sorted(needed - got.keys())
    if unknown or missing:
        wrong = f"unknown key {unknown[0]!r}" if unknown else f"no key {missing[0]!r}"
        raise Misconfigured(f"{at} has {wrong}", hint=f"allowed: {', '.join(sorted(allowed))}")
    return got


def _text(raw: object, at: str) -> str:
    if not isinstance(raw, str) or not raw:
        raise Misconfigured(f"{at} must be a non-empty string", hint="quote it")
    return raw


def _name(raw: object, at: str) -> str:
    name = _text(raw, at)
    if not _NAME.fullmatch(name):
        raise Misconfigured(f"{at} has a name that IAM refuses", hint="letters, digits, +=,.@-_")
    return name


def _texts(raw: object, at: str) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple) or not raw:
        raise Misconfigured(f"{at} must be a non-empty list", hint="a list of strings")
    return tuple(_text(item, at) for item in raw)
