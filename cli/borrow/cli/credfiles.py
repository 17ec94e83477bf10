"""The user's AWS files as SDKs read them: profiles with their keys, and what cannot be read.

For looking only: values may be secrets and are shown by nobody. `awsconfig` is what copies.
"""

from __future__ import annotations

import configparser
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from borrow.cli.awsconfig import AwsFiles


@dataclass(frozen=True, slots=True)
class Profiles:
    """Of both files together. `broken` says where a file is no configuration, "" if it is one."""

    by_name: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    broken: str = ""


def read_profiles(files: AwsFiles) -> Profiles:
    from borrow.cli.awsconfig import read

    found: dict[str, dict[str, str]] = {}
    broken = ""
    # The credentials file wins for a key that both have, as in the SDKs.
    for path, prefixed in ((files.config, True), (files.credentials, False)):
        broken = broken or _stop(path)
        for header, keys in _sections(read(path)).items():
            name = profile_of(header) if prefixed else header.strip()
            if name is not None:
                found.setdefault(name, {}).update(keys)
    return Profiles(found, broken)


def _sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {name: dict(parser.items(name)) for name in parser.sections()}


def python_stops(data: bytes) -> str:
    """Where boto3 and the AWS CLI give up on a file that others read: `:LINE: WHY`, or ""."""
    if data.startswith(b"\xef\xbb\xbf"):
        return ":1: it begins with a byte order mark"
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        return f":{1 + data[: exc.start].count(10)}: not UTF-8"
    try:
        configparser.RawConfigParser(default_section="").read_string(text)
    except configparser.DuplicateSectionError as exc:
        return f":{exc.lineno}: [{exc.section}] is there twice"
    except configparser.DuplicateOptionError as exc:
        return f":{exc.lineno}: [{exc.section}] has {exc.option} twice"
    except configparser.Error as exc:
        # One kind has the first line as a number, another a list of all of them.
        several = getattr(exc, "errors", None) or [(getattr(exc, "lineno", 1), "")]
        return f":{several[0][0]}: not a configuration file"
    return ""


def _stop(path: Path) -> str:
    try:
        why = python_stops(path.read_bytes())
    except OSError:
        return ""
    return why and f"{path}{why}"


def profile_of(header: str) -> str | None:
    """The profile a config section is, or None: `default`, `profile x`, `profile "x y"`."""
    if header.strip() == "default":
        return "default"
    kind, _, name = header.strip().partition(" ")
    return name.strip().strip("\"'") if kind == "profile" and name.strip() else None


def has_boto2(home: Path, named: str) -> bool:
    """Whether a configuration of the old boto, which botocore still reads, has credentials."""
    from borrow.cli.awsconfig import read

    places = [type(home)(named)] if named else [type(home)("/etc/boto.cfg"), home / ".boto"]
    return any("aws_access_key_id" in _sections(read(p)).get("Credentials", {}) for p in places)
