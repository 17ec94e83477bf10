"""Which cloud tools and SDKs are installed here, as far as that can be told by looking.

Programs by PATH, SDKs of the project around the working directory by its lock files. Only two
programs are started, each with its own fixed arguments, no working directory of the project's and a
bound: `aws --version`, because its two generations differ, and the project's Python, isolated.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from borrow.cli.chains import Family

WITHIN: Final = 5.0  # seconds for a program's version
_MAX_FILE: Final = 4 << 20  # bytes of a lock file
_MAX_CLIMB: Final = 12  # folders upwards

# Programs that speak to AWS themselves, by the SDK inside of them.
PROGRAMS: Final[tuple[tuple[str, str, Family], ...]] = (
    ("terraform", "Terraform", "go"),
    ("tofu", "OpenTofu", "go"),
    ("packer", "Packer", "go"),
    ("pulumi", "Pulumi", "go"),
    ("eksctl", "eksctl", "go"),
    ("copilot", "AWS Copilot", "go"),
    ("rclone", "rclone", "go"),
    ("cdk", "CDK", "js"),
    ("serverless", "Serverless", "js"),
    ("sam", "SAM", "boto"),
    ("chalice", "Chalice", "boto"),
)
# Files of a project, what in them names an SDK, and whose it is.
_LOCKS: Final[tuple[tuple[str, str, str, Family], ...]] = (
    ("go.mod", r"github\.com/aws/aws-sdk-go", "Go SDK", "go"),
    ("Cargo.lock", r'name = "aws-config"', "Rust SDK", "rust"),
    ("Cargo.toml", r"(?m)^aws-config\b", "Rust SDK", "rust"),
    ("Gemfile.lock", r"\baws-sdk-core\b", "Ruby SDK", "ruby"),
    ("composer.lock", r'"aws/aws-sdk-php"', "PHP SDK", "php"),
    ("pom.xml", r"software\.amazon\.awssdk", "Java SDK", "java"),
    ("build.gradle", r"software\.amazon\.awssdk", "Java SDK", "java"),
    ("build.gradle.kts", r"aws\.sdk\.kotlin", "Kotlin SDK", "kotlin"),
    ("build.gradle.kts", r"software\.amazon\.awssdk", "Java SDK", "java"),
    ("package.json", r'"@aws-sdk/', "JavaScript SDK", "js"),
)
_BOTO: Final = (
    "import importlib.metadata as m\n"
    "try: print(m.version('boto3'))\n"
    "except m.PackageNotFoundError: pass\n"
)


@dataclass(frozen=True, slots=True)
class Tool:
    """`name` is for scripts, `told` for people."""

    name: str
    told: str
    family: Family
    reads_aws_region: bool = True


def tools(variables: Mapping[str, str], folder: Path, home: Path) -> tuple[Tool, ...]:
    from concurrent.futures import ThreadPoolExecutor

    path = variables.get("PATH", "")
    with ThreadPoolExecutor(2) as both:  # each waits for a program
        asked = (
            both.submit(lambda: list(_aws_cli(path))),
            both.submit(lambda: list(_boto3(variables, path))),
        )
        found = [*_programs(path), *_sdks(folder, home)]
    found = [*asked[0].result(), *asked[1].result(), *found]
    return tuple({tool.name: tool for tool in found}.values())


def _aws_cli(path: str) -> Iterator[Tool]:
    program = _found("aws", path)
    if not program:
        return
    said = _said([program, "--version"], path)
    version = re.match(r"aws-cli/(([0-9]+)[0-9.]*)", said)
    if version is None:
        yield Tool("aws", "AWS CLI", "boto", reads_aws_region=False)
    else:
        second = version[2] != "1"
        yield Tool("aws", f"AWS CLI {version[1]}", "boto", reads_aws_region=second)


def _boto3(variables: Mapping[str, str], path: str) -> Iterator[Tool]:
    """Of the active virtual environment, else of the Python on PATH."""
    own = variables.get("VIRTUAL_ENV", "")
    inside = Path(own, "bin/python") if own.startswith("/") else None
    python = str(inside) if inside and inside.exists() else _found("python3", path)
    if not python:
        return
    version = _said([python, "-I", "-c", _BOTO], path)
    if re.fullmatch(r"[0-9][0-9a-z.+-]{0,20}", version):
        yield Tool("boto3", f"boto3 {version}", "boto", reads_aws_region=False)


def _found(name: str, path: str) -> str:
    """The absolute path of a program, or ""; it is started in another folder."""
    program = shutil.which(name, path=path)
    return str(Path(program).absolute()) if program else ""


def _programs(path: str) -> Iterator[Tool]:
    for name, told, family in PROGRAMS:
        if shutil.which(name, path=path):
            yield Tool(name, told, family)


def _sdks(folder: Path, home: Path) -> Iterator[Tool]:
    """Of the project: the folders from here upwards, to the repository's top or the home."""
    for _ in range(_MAX_CLIMB):
        for name, pattern, told, family in _LOCKS:
            if re.search(pattern, _text(folder / name)):
                yield Tool(f"sdk-{family}", f"{told} ({shown(name)})", family)
        if folder in (home, folder.parent) or (folder / ".git").exists():
            return
        folder = folder.parent


def _text(path: Path) -> str:
    """What a project's file says; a pipe or a link to a device planted there is nothing."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_FILE:
            return ""
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _said(command: list[str], path: str) -> str:
    """The first line that a program prints; "" if it does not, or not in time."""
    try:
        done = subprocess.run(  # noqa: S603  the user's own tools, with fixed arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # old ones print their version there
            env={"PATH": path, "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"},
            cwd="/",
            timeout=WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout[:4096].decode("utf-8", "replace").partition("\n")[0].strip()
