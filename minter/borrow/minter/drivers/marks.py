"""What a session carries of its grant, so that each CloudTrail line names its approval. Pure.

`chain` of the role decides how much: "identity" sets SourceIdentity and tags, which role chaining
passes on or breaks on; "name" puts the grant's id into the session's name only; "none" neither.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from borrow.protocol.oauth import ACR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from borrow.minter.drivers.base import GrantFacts, Target

MAX_NAME = 64  # characters of a RoleSessionName; at least 2
MAX_TAG = 256  # characters of a session tag's value
MAX_AGENT = 16  # characters of an agent's name beside its person's
_AGENT = ",agent="  # tells an agent's session from its person's: no person's own name has it
_HASH = 10  # hex characters: 40 bits tell a few thousand people apart
_NOT_NAME = re.compile(r"[^\w+=,.@-]", re.ASCII)
_TAG = re.compile(r"[\w .:/=+@-]{1,256}", re.ASCII)  # narrower than AWS's Unicode classes


@dataclass(frozen=True, slots=True)
class Marks:
    session_name: str
    source_identity: str = ""  # "" = not set
    tags: Mapping[str, str] = field(default_factory=dict)


def marks_of(target: Target, grant: GrantFacts) -> Marks:
    """An agent's session has a name of its own: its person's, then the agent's."""
    end = f"{_AGENT}{_agent(grant.agent)}" if grant.agent else ""
    match target.chain:
        case "identity":
            return Marks(_named(grant.person, end), grant.grant_id, _tags(grant))
        case "name":
            # The whole id stays, the person gives way: `borrow explain` takes the id as it stands
            # in the log, and a hash already keeps shortened people apart.
            return Marks(_named(grant.person, f"{end}={grant.grant_id}"))
        case "none":
            return Marks(_named(grant.person, end))


def session_name(person: str, limit: int = MAX_NAME) -> str:
    """`person` as a RoleSessionName of 2 to `limit` characters.

    Whatever had to be replaced or cut is made up for by a hash, so that two people never share a
    name. `local:ann` becomes `local-ann` without one: a mail address always has an @, a name of a
    local system that has one too gets the hash.
    """
    plain = person.removeprefix("local:")
    local = plain != person
    name = f"local-{plain}" if local else person
    is_clean = _AGENT not in name and not _NOT_NAME.search(name) and 2 <= len(name) <= limit
    if is_clean and local != ("@" in name):
        return name
    digest = hashlib.sha256(person.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    plain = _NOT_NAME.sub("-", name).replace(_AGENT, "-agent-")
    return f"{plain[: limit - _HASH - 1]}-{digest}"


def _named(person: str, end: str) -> str:
    return session_name(person, MAX_NAME - len(end)) + end


def _agent(name: str) -> str:
    return _NOT_NAME.sub("-", name).replace("=", "-").replace(",", "-")[:MAX_AGENT]


def _tags(grant: GrantFacts) -> dict[str, str]:
    tags = {
        "borrow-grant": grant.grant_id,
        "borrow-acr": ACR.get(grant.mode, grant.mode),
        "borrow-req": grant.request_id,
    }
    if grant.agent:
        tags["borrow-agent"] = _agent(grant.agent)
    # All approvers or none: a cut list would name the wrong people. Space separates.
    approvers = " ".join(grant.approvers)
    if _TAG.fullmatch(approvers) and not any(" " in each for each in grant.approvers):
        tags["borrow-approvers"] = approvers
    return tags
