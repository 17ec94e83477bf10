"""Which region a borrowed command works in, and whether it may start without one. Pure.

Go, Rust and Java read AWS_REGION alone, AWS CLI v1 and boto3 AWS_DEFAULT_REGION first: one that is
set sets both. A variable hides the region of every profile, so a profile's own region becomes one
only where no other profile says otherwise; SDKs read it from the file then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

VARIABLES: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
# They fetch credentials first and fail for the missing region afterwards: a person was asked for
# nothing. CDK is worse: it takes us-east-1 and says so in small print.
_AWS_TOOLS: Final = frozenset({"aws", "aws2", "awslocal", "cdk", "copilot", "eb", "chalice"})
# They name a region in files of their own.
_HAVE_THEIR_OWN: Final = frozenset(
    {"terraform", "tofu", "terragrunt", "pulumi", "packer", "sam", "eksctl", "serverless", "sls"}
)
_WITHOUT: Final = frozenset({"help", "configure", "--version", "--help", "-h", "completion"})


class Regions(NamedTuple):
    """`put` are variables; `default` goes into the default profile of the command's config."""

    put: dict[str, str]
    default: str
    known: bool


def choose(environment: Mapping[str, str], own: str, others: Collection[str], role: str) -> Regions:
    """`own`: the region of the profile in use; `others`: of all others; `role`: of the role."""
    given = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    if given:
        return Regions({n: given for n in VARIABLES if not environment.get(n)}, "", known=True)
    region = own or role
    if not region:
        return Regions({}, "", known=False)
    agreed = all(each == region for each in others)
    return Regions(dict.fromkeys(VARIABLES, region) if agreed else {}, region, known=True)


def is_refused_without(command: Sequence[str]) -> bool:
    """Whether `command` is an AWS tool that would ask for a role, and fail for its region then."""
    name, words = _program(command), command[1:]
    if name not in _AWS_TOOLS or _WITHOUT.intersection(words[:1]):
        return False
    return not any(word == "--region" or word.startswith("--region=") for word in words)


def is_warned_without(command: Sequence[str]) -> bool:
    name = _program(command)
    return name not in _AWS_TOOLS and name not in _HAVE_THEIR_OWN


def _program(command: Sequence[str]) -> str:
    return command[0].rpartition("/")[2] if command else ""
