"""Which credential each SDK takes, and why: their chains as data, and one way down them. Pure.

An SDK goes down its chain and takes the first step that gives anything (docs/sdks.md). The chains
here are what the SDKs do with their default settings; boto3's is held against the real botocore in
the tests, the others are by their source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Step = Literal["env", "profile", "web", "boto2", "container", "imds"]
Family = Literal["boto", "js", "go", "rust", "java", "kotlin", "ruby", "cpp", "dotnet", "php"]

_USUAL: Final[tuple[Step, ...]] = ("env", "web", "profile", "container", "imds")
CHAINS: Final[dict[Family, tuple[Step, ...]]] = {
    "boto": ("env", "web", "profile", "boto2", "container", "imds"),
    "js": ("env", "profile", "web", "container", "imds"),
    "go": _USUAL,
    "rust": ("env", "profile", "web", "container", "imds"),
    "java": _USUAL,
    "kotlin": _USUAL,
    "ruby": _USUAL,
    "cpp": ("env", "profile", "web", "container", "imds"),
    "dotnet": ("web", "profile", "env", "container", "imds"),
    "php": _USUAL,
}
# Keys of a profile that give credentials, in the order in which they are looked at.
WAYS: Final = (
    "role_arn",
    "sso_session",
    "sso_start_url",
    "aws_access_key_id",
    "login_session",
    "credential_process",
)
HALF: Final = "half a key, from AWS_ACCESS_KEY_ID, which is an error"
IMDS_FIXED: Final = "169.254.169.254"


@dataclass(frozen=True, slots=True)
class Facts:
    """`profiles` are those of both files by name; `port` is Borrow's, 0 if there is none."""

    variables: Mapping[str, str] = field(repr=False)
    profiles: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    boto2: bool = False  # ~/.boto or what BOTO_CONFIG names has credentials
    port: int = 0
    imds_role: str = ""

    @property
    def profile(self) -> str:
        """The profile that is in use."""
        return self.named_profile or "default"

    @property
    def named_profile(self) -> str:
        variables = self.variables
        return variables.get("AWS_PROFILE") or variables.get("AWS_DEFAULT_PROFILE") or ""

    @property
    def settings(self) -> Mapping[str, str]:
        return self.profiles.get(self.profile, {})


@dataclass(frozen=True, slots=True)
class Winner:
    """`step` is where the chain ends, "" where it finds nothing; `told` says what that is."""

    step: Step | Literal[""]
    told: str
    ours: bool = False


def winner(family: Family, facts: Facts) -> Winner:
    """What an SDK of `family` would take, started with these variables and files."""
    for step in CHAINS[family]:
        if found := _STEPS[step](family, facts):
            return found
    return Winner("", "nothing at all")


def _env(family: Family, facts: Facts) -> Winner | None:
    variables = facts.variables
    if not variables.get("AWS_ACCESS_KEY_ID"):
        return None
    if family == "js" and facts.variables.get("AWS_PROFILE"):
        return None  # it says so on stderr, and goes on to the profile
    if not variables.get("AWS_SECRET_ACCESS_KEY"):
        # boto stops there with an error; the others go on as if nothing was set.
        return Winner("env", HALF) if family == "boto" else None
    return Winner("env", "the keys in AWS_ACCESS_KEY_ID")


def _web(family: Family, facts: Facts) -> Winner | None:
    wanted = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
    if not all(facts.variables.get(name) for name in wanted):
        return None
    return Winner("web", "the token in AWS_WEB_IDENTITY_TOKEN_FILE")


def _profile(family: Family, facts: Facts) -> Winner | None:
    settings = facts.settings
    way = next((key for key in WAYS if settings.get(key)), "")
    if not way:
        return None
    name = f"profile {shown(facts.profile, 60)!r}" if facts.named_profile else "[default]"
    if is_ours(settings) and way == "credential_process":
        return Winner("profile", f"Borrow, by credential_process of {name}", ours=True)
    return Winner("profile", f"{name} in ~/.aws ({way})")


def _boto2(family: Family, facts: Facts) -> Winner | None:
    return Winner("boto2", "the keys in ~/.boto") if facts.boto2 else None


def _container(family: Family, facts: Facts) -> Winner | None:
    variables = facts.variables
    if variables.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return Winner(
            "container", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI (169.254.170.2, not Borrow)"
        )
    url = variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if not url:
        return None
    if facts.port and is_at(url, facts.port):
        return Winner("container", f"Borrow, on port {facts.port}", ours=True)
    return Winner("container", "AWS_CONTAINER_CREDENTIALS_FULL_URI, which is not this Borrow's")


def _imds(family: Family, facts: Facts) -> Winner | None:
    variables = facts.variables
    if variables.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    where = variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or facts.settings.get(
        "ec2_metadata_service_endpoint", ""
    )
    if where and facts.port and is_at(where, facts.port):
        role = f" ({shown(facts.imds_role, 60)})" if facts.imds_role else ", where it is off"
        return Winner("imds", f"Borrow's instance metadata{role}", ours=bool(facts.imds_role))
    return Winner("imds", f"instance metadata at {IMDS_FIXED}, if this is a cloud machine")


_STEPS: Final = {
    "env": _env,
    "web": _web,
    "profile": _profile,
    "boto2": _boto2,
    "container": _container,
    "imds": _imds,
}


def is_at(url: str, port: int) -> bool:
    """Whether `url` is our port on loopback."""
    try:
        parts = urlsplit(url)
        return parts.hostname in ("127.0.0.1", "localhost", "::1") and parts.port == port
    except ValueError:
        return False


def is_ours(settings: Mapping[str, str]) -> bool:
    """Whether a profile's credentials come by `borrow credential`."""
    words = settings.get("credential_process", "").split()
    return "credential" in words[1:2] and words[0].strip("\"'").rpartition("/")[2] == "borrow"
