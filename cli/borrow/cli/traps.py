"""Traps of the environment and the AWS files that `borrow doctor` names, each with the way out.

Pure, as `checks` is: from facts to findings. What wins over Borrow as a whole is `checks`'; here is
what surprises although each part of it looks right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from borrow.cli.chains import is_at, is_ours, winner
from borrow.cli.checks import Finding
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from borrow.cli.chains import Facts
    from borrow.cli.toolbox import Tool

# Seconds after which a client kills a credential_process (docs/sdks.md).
KILLED: Final = {"go": 60, "kotlin": 60, "rust": 5}
_TRUE: Final = ("true", "1", "yes")


def traps(facts: Facts, tools: tuple[Tool, ...]) -> Iterator[Finding]:
    yield from _container(facts)
    yield from _keys(facts)
    yield from _region(facts, tools)
    yield from _profile(facts)
    yield from _endpoints(facts)
    yield from _metadata(facts)
    yield from _killed(facts, tools)


def _container(facts: Facts) -> Iterator[Finding]:
    variables = facts.variables
    full = variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if variables.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") and full:
        yield Finding(
            "warning",
            "relative_uri",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI beats AWS_CONTAINER_CREDENTIALS_FULL_URI: SDKs "
            "ask 169.254.170.2 and never Borrow",
            "unset AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        )
    names = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if all(variables.get(name) for name in names):
        yield Finding(
            "warning",
            "token_file",
            f"{names[1]} is set beside {names[0]}: newer SDKs send the file's token, older ones "
            "the other",
            f"unset {names[1]}",
        )
    if full and facts.port and is_at(full, facts.port) and not any(map(variables.get, names)):
        yield Finding(
            "warning",
            "no_token",
            f"the address is Borrow's and {names[0]} is missing: every call gets a 401",
            'eval "$(borrow env ROLE)" sets both',
        )
    if full and facts.port and not is_at(full, facts.port):
        yield Finding(
            "warning",
            "foreign_uri",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is not this Borrow's address (port "
            f"{facts.port}): a shell from before, or another endpoint",
            "unset AWS_CONTAINER_CREDENTIALS_FULL_URI, or open a new shell",
        )


def _keys(facts: Facts) -> Iterator[Finding]:
    variables = facts.variables
    if variables.get("AWS_ACCESS_KEY_ID") and not variables.get("AWS_SECRET_ACCESS_KEY"):
        yield Finding(
            "warning",
            "half_keys",
            "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY: boto3 and the AWS CLI stop",
            "unset AWS_ACCESS_KEY_ID",
        )
    tokens = sorted(name for name in variables if name.startswith("AWS_BEARER_TOKEN_"))
    if tokens:
        told = shown(tokens[0], 80)
        yield Finding(
            "warning",
            "bearer_token",
            f"{told} wins over every credential for its service",
            f"unset {told} (borrow run leaves it out)",
        )


def _region(facts: Facts, tools: tuple[Tool, ...]) -> Iterator[Finding]:
    variables = facts.variables
    if not variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION"):
        return
    if facts.settings.get("region"):
        return
    blind = [tool.told for tool in tools if tool.family == "boto" and not tool.reads_aws_region]
    if blind:
        yield Finding(
            "warning",
            "region_v1",
            f"AWS_REGION alone is not read by {' and '.join(blind)}, which look at "
            "AWS_DEFAULT_REGION",
            "export AWS_DEFAULT_REGION=$AWS_REGION",
        )


def _profile(facts: Facts) -> Iterator[Finding]:
    name = facts.named_profile
    if name and name not in facts.profiles:
        told = shown(name, 60)
        yield Finding(
            "warning",
            "profile_missing",
            f"AWS_PROFILE names {told!r}, and no such profile is in ~/.aws: SDKs stop there",
            "unset AWS_PROFILE, or write the profile",
        )


def _endpoints(facts: Facts) -> Iterator[Finding]:
    """`AWS_ENDPOINT_URL` sends calls to a stand-in; the other variable sends them to AWS again."""
    variables = facts.variables
    ignored = variables.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() in _TRUE or (
        facts.settings.get("ignore_configured_endpoint_urls", "").lower() in _TRUE
    )
    set_here = [name for name in variables if name.startswith("AWS_ENDPOINT_URL")]
    in_file = any(key.startswith("endpoint_url") for key in facts.settings)
    if ignored and (set_here or in_file):
        where = shown(sorted(set_here)[0], 60) if set_here else "endpoint_url in ~/.aws/config"
        yield Finding(
            "warning",
            "ignored_endpoints",
            f"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS makes SDKs ignore {where}: calls go to AWS "
            "itself",
            "unset AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        )


def _metadata(facts: Facts) -> Iterator[Finding]:
    disabled = facts.variables.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    if facts.imds_role and disabled:
        yield Finding(
            "warning",
            "metadata_disabled",
            f"{shown(facts.imds_role, 60)} is offered as instance credentials, and "
            "AWS_EC2_METADATA_DISABLED keeps SDKs from asking for it",
            "unset AWS_EC2_METADATA_DISABLED",
        )
    elif (
        facts.imds_role and winner("boto", facts).step == "imds" and not winner("boto", facts).ours
    ):
        yield Finding(
            "warning",
            "metadata_elsewhere",
            f"{shown(facts.imds_role, 60)} is offered as instance credentials, and SDKs ask "
            "another place",
            f"export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:{facts.port}/",
        )


def _killed(facts: Facts, tools: tuple[Tool, ...]) -> Iterator[Finding]:
    """Profiles with `borrow credential` that a tool here would kill before a person answers."""
    ours = sorted(name for name, keys in facts.profiles.items() if is_ours(keys))
    hasty = [tool for tool in tools if tool.family in KILLED]
    if not ours or not hasty:
        return
    limits = ", ".join(f"{tool.told} after {KILLED[tool.family]} s" for tool in hasty)
    yield Finding(
        "warning",
        "process_killed",
        f"{_listed(ours)} by credential_process, whose wait is ended by {limits}",
        "ask first: borrow ask ROLE --wait; or start it with borrow run ROLE -- COMMAND",
    )


def _listed(names: Iterable[str]) -> str:
    """`profiles a, b go` with the verb that fits."""
    told = [shown(name, 40) for name in names]
    rest = f" and {len(told) - 3} more" if len(told) > 3 else ""
    several = len(told) > 1
    return (
        f"profile{'s' if several else ''} {', '.join(told[:3])}{rest} ask{'' if several else 's'}"
    )


def who_wins(facts: Facts, tools: tuple[Tool, ...]) -> Iterator[Finding]:
    """One line for each tool: what it takes, started in this shell as it is."""
    for tool in tools:
        found = winner(tool.family, facts)
        if not found.step:
            told, hint = "finds no credentials here", "borrow run ROLE -- COMMAND"
        elif found.ours:
            told, hint = f"takes {found.told}", ""
        elif found.step == "imds":
            told, hint = f"is left with {found.told}", "borrow run ROLE -- COMMAND"
        else:
            told = f"takes {found.told}, and not Borrow"
            hint = "borrow run ROLE -- COMMAND leaves it out"
        yield Finding("ok", f"takes:{tool.name}", f"{tool.told} {told}", hint)
