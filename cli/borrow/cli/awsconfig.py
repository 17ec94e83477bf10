"""The user's AWS configuration without its credentials: names, regions and settings stay.

A borrowed command gets private copies in the runtime directory that keep every profile's name and
every key that is no way to credentials, so that a tool which says `profile = "prod"` finds the
profile, and behind it a borrowed role or a refusal (`borrow.cli.served` says which).

`parse` and `carry_over` are pure; `write` puts the copies down, named by their content.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from borrow.cli.served import BORROW_ROLE
from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MAX_FILE = 4 << 20  # bytes read of one file; a config of 10,000 profiles fits
CREDENTIAL_KEYS: Final = frozenset(
    {
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_security_token",
        "credential_process",
        "credential_source",
        "duration_seconds",
        "external_id",
        "login_session",
        "mfa_serial",
        "mfa_process",
        "role_arn",
        "role_session_name",
        "source_profile",
        "sso_account_id",
        "sso_account_name",
        "sso_auto_populated",
        "sso_region",
        "sso_registration_scopes",
        "sso_role_name",
        "sso_session",
        "sso_start_url",
        "web_identity_token_file",
    }
)
# Nowhere a setting, whatever they stand below.
_SECRETS: Final = frozenset(
    {"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token"}
)
_HEADER = re.compile(r"\s*\[([^\]\n]*)\]")
_KEY = re.compile(r"([A-Za-z0-9_.-]+)\s*[=:]")
_TOP = "made by borrow run: the profiles of your AWS configuration, without credentials"


class Section:
    """One section; each key with its lines as written (continuations are indented).

    `ways` are the keys that were left out because they lead to credentials, with their values.
    """

    __slots__ = ("keys", "name", "ways")

    def __init__(self, name: str, keys: dict[str, list[str]] | None = None) -> None:
        self.name = name
        self.keys = keys or {}
        self.ways: dict[str, str] = {}

    def value(self, key: str) -> str:
        lines = self.keys.get(key, [])
        return _value(lines[0]) if lines else ""


class UserConfig(NamedTuple):
    """Both files as one. `default` is always there, and holds what the profile in use says.

    `odd` has the numbers of the config file's lines that are no configuration, from 1: SDKs stop at
    such a file, so a person has to hear of them.
    """

    default: Section
    profiles: dict[str, Section]
    others: list[Section]
    odd: tuple[int, ...] = ()

    def regions(self, active: str) -> list[str]:
        """The regions of all profiles but `active`."""
        found = (each.value("region") for name, each in self.profiles.items() if name != active)
        return [region for region in found if region]

    def text(self, *, region: str = "", processes: Mapping[str, str] | None = None) -> str:
        """A config file without a way to credentials but `processes`, by profile.

        `region` becomes the default profile's, if that has none.
        """
        processes = processes or {}
        default = Section("default", dict(self.default.keys))
        if region:
            default.keys.setdefault("region", [f"region = {region}"])
        lines = [f"# {_TOP}", *_written("default", default)]
        for name, section in self.profiles.items():
            own = processes.get(name)
            more = [f"credential_process = {own}"] if own else []
            lines += _written(f"profile {_quoted(name)}", section, more)
        for section in self.others:
            lines += _written(section.name, section)
        return "\n".join(lines) + "\n"


def parse(config: str, credentials: str, active: str = "") -> UserConfig:
    """Both files, as SDKs read them together.

    `active` is what AWS_PROFILE named: that variable is dropped for the command, so its settings
    become those of `[default]`.
    """
    profiles: dict[str, Section] = {}
    others: list[Section] = []
    odd: list[int] = []
    for section in _sections(config, odd):
        name = _profile_of(section.name)
        if name is not None:
            _merge(profiles.setdefault(name, Section(name)), section)
        elif section.name.split(" ")[0] != "sso-session":
            others.append(Section(section.name))
            _merge(others[-1], section)  # some tools read `[x]` as a profile here too
    for section in _sections(credentials):
        _merge(profiles.setdefault(section.name, Section(section.name)), section)
    default = profiles.pop("default", Section("default"))
    if active in profiles:
        default.keys.pop("region", None)  # of another profile: better none than a wrong one
        default.keys |= profiles[active].keys
    return UserConfig(default, profiles, others, tuple(odd))


def carry_over(config: str, credentials: str, active: str = "") -> str:
    """The text of a config file with all profiles of both and no way to credentials."""
    return parse(config, credentials, active).text()


def default_keys(config: str, credentials: str) -> frozenset[str]:
    """The keys that `[default]` has in either file."""
    sections = (*_sections(config), *_sections(credentials))
    return frozenset(key for each in sections if each.name == "default" for key in each.keys)


def _profile_of(header: str) -> str | None:
    """The profile a config section is, or None: `default`, `profile x`, `profile "x y"`."""
    if header == "default":
        return header
    kind, _, name = header.partition(" ")
    return name.strip().strip("\"'") if kind == "profile" and name.strip() else None


def _merge(into: Section, section: Section) -> None:
    for key, lines in section.keys.items():
        if key in CREDENTIAL_KEYS:
            into.ways.setdefault(key, _value(lines[0]))
        else:
            into.keys.setdefault(key, lines)
            if key == BORROW_ROLE:
                into.ways.setdefault(key, _value(lines[0]))


def _value(line: str) -> str:
    """What stands behind the key; `= x ; why` is `x`, as SDKs have it."""
    return re.split(r"\s[#;]", _KEY.sub("", line, count=1), maxsplit=1)[0].strip()


def _quoted(name: str) -> str:
    """As SDKs read it: a name with anything but plain letters stands in quotes."""
    mark = "'" if '"' in name else '"'
    return name if re.fullmatch(r"[\w./@:+-]+", name) else f"{mark}{name}{mark}"


def _written(header: str, section: Section, more: Sequence[str] = ()) -> Iterator[str]:
    yield f"[{header}]"
    yield from more
    for lines in section.keys.values():
        yield from lines
    yield ""


def _sections(text: str, odd: list[int] | None = None) -> Iterator[Section]:
    """Each section as it ends; numbers of lines that mean nothing are added to `odd`."""
    section: Section | None = None
    lines: list[str] | None = None
    odd = [] if odd is None else odd
    depth = 0  # of the key whose lines these are: what stands deeper belongs to it
    lost = False  # that key is none, and what belongs to it is left out with it
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole.lstrip()
        indent = len(whole) - len(line)
        goes_on = (lines is not None or lost) and indent > depth
        header = None if goes_on else _HEADER.match(line)
        if header:
            if section is not None:
                yield section
            section, lines, lost = Section(" ".join(header[1].split())), None, False
        elif not line or line[0] in "#;":
            continue
        elif section is None:
            odd.append(number)
        elif goes_on:
            nested = _KEY.match(line)
            if lines is not None and not (nested and nested[1].lower() in _SECRETS):
                lines.append(f"  {line}")  # a nested key, such as those below `s3 =`
        elif key := _KEY.match(line):
            lines, depth, lost = section.keys.setdefault(key[1].lower(), []), indent, False
            lines[:] = [line]
        else:
            lines, depth, lost = None, indent, True
            odd.append(number)
    if section is not None:
        yield section


class AwsFiles(NamedTuple):
    config: Path
    credentials: Path


def user_files(environment: Mapping[str, str], home: Path) -> AwsFiles:
    """Where this user's files are, by the rules of the SDKs."""
    folder = home / ".aws"
    return AwsFiles(
        config=_given(environment.get("AWS_CONFIG_FILE"), home) or folder / "config",
        credentials=_given(environment.get("AWS_SHARED_CREDENTIALS_FILE"), home)
        or folder / "credentials",
    )


def _given(value: str | None, home: Path) -> Path | None:
    if not value:
        return None
    return home / value[2:] if value.startswith("~/") else type(home)(value)


def read(path: Path) -> str:
    """The text of `path`, or '' if there is none to be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode("utf-8-sig", "replace")
    except OSError:
        return ""
    return text.replace("\0", "\ufffd")  # no variable can hold the first


def active_profile(environment: Mapping[str, str]) -> str:
    return environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or ""


def of_user(environment: Mapping[str, str], home: Path) -> UserConfig:
    """This user's configuration; what cannot be read is taken as empty."""
    files = user_files(environment, home)
    return parse(read(files.config), read(files.credentials), active_profile(environment))


def write(folder: Path, text: str) -> AwsFiles:
    """`text` as a config file, and an empty credentials file, 0600 in `folder`."""
    try:
        return AwsFiles(
            config=_put(folder, "aws-config", text),
            credentials=_put(folder, "aws-credentials", "# made by borrow run: empty\n"),
        )
    except OSError as exc:
        raise Unavailable(
            f"cannot write the command's AWS configuration: {exc.strerror}",
            hint=f"is there room and a right to write in {folder}?",
        ) from exc


def _put(folder: Path, name: str, text: str) -> Path:
    import hashlib

    data = text.encode()
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
    try:
        if path.read_bytes() == data:
            return path
    except OSError:
        pass  # not there yet, or not readable: written anew
    fresh = folder / f".{name}-{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)
    return path
