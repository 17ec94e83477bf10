"""`aws-assume-role`: AssumeRole from base keys. Solo mode, or a team that keeps base keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from borrow.minter import session_policy
from borrow.minter.drivers.cloud import Cloud, ask, session_of
from borrow.minter.drivers.lifetime import plan
from borrow.minter.drivers.marks import marks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.minter.basekeys import KeySource
    from borrow.minter.drivers.base import GrantFacts, Target
    from borrow.minter.drivers.lifetime import Span
    from borrow.protocol.credentials import AwsCredentials


class AssumeRoleDriver:
    """The base keys are read for each call and dropped with it."""

    def __init__(
        self,
        base_keys: KeySource,
        endpoint_url: str | None,
        region: str,
        clock: Callable[[], float],
    ) -> None:
        self._base_keys = base_keys
        self._cloud = Cloud(endpoint_url, region)
        self._clock = clock

    def mint(self, target: Target, grant: GrantFacts) -> AwsCredentials:
        span = plan(target, grant, self._clock())
        asked = parameters(target, grant, span)  # before the keys: nothing is read for a refusal
        keys = self._base_keys.load()
        client = self._cloud.signed(keys)
        answer = ask(
            lambda: client.assume_role(**asked), keys.secret_access_key, keys.session_token
        )
        return session_of(answer, span, self._clock())


def parameters(target: Target, grant: GrantFacts, span: Span) -> dict[str, Any]:
    """The AssumeRole call for `grant`. Tags are never transitive (DESIGN "chain")."""
    marks = marks_of(target, grant)
    out: dict[str, Any] = {
        "RoleArn": target.arn,
        "RoleSessionName": marks.session_name,
        "DurationSeconds": span.seconds,
        "Policy": session_policy.build(
            grant.session_policy, ends_at=span.ends_at, deny_iam=grant.deny_iam
        ),
    }
    if marks.source_identity:
        out["SourceIdentity"] = marks.source_identity
    if marks.tags:
        out["Tags"] = [{"Key": key, "Value": value} for key, value in marks.tags.items()]
    return out
