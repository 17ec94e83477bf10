"""Terraform in the lab: the real program, its AWS provider from a local mirror, a small project.

Nothing is downloaded. The mirror is looked for where people put one; `TF_PLUGIN_MIRROR` names
another place. State and lock live in a bucket of the stand-in cloud, each test in a workspace of
its own, so that `terraform init` is paid once.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from borrow_fakes.lab import BIN, BORROW
from borrow_fakes.tools import lacking

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess
    from borrow_fakes.lab import Home

PROVIDER = "registry.terraform.io/hashicorp/aws"
INSTALL = (
    "terraform from https://developer.hashicorp.com/terraform/install, then "
    "`terraform providers mirror DIR` in a folder that requires hashicorp/aws, and "
    "TF_PLUGIN_MIRROR=DIR (no Debian package has it)"
)
_MIRRORS = (
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "/var/lib/terraform/plugins",
    "/opt/terraform/plugins",
)

STATE, WORK = "tf-state", "tf-work"

GATES = 3

_HEAD = """
terraform {
  backend "s3" {
    bucket         = "tf-state"
    key            = "lab.tfstate"
    region         = "us-east-1"
    use_path_style = true
    use_lockfile   = true
  }
  required_providers { aws = { source = "hashicorp/aws" } }
}
provider "aws" {
  region            = "us-east-1"
  s3_use_path_style = true
}
variable "gates" {
  type    = string
  default = ""
}
data "aws_s3_object" "given" {
  bucket = "tf-work"
  key    = "given"
}
resource "aws_s3_object" "part0" {
  bucket  = "tf-work"
  key     = "${terraform.workspace}/part0"
  content = data.aws_s3_object.given.body
}
"""
# An apply is as long as a test wants: at a gate it waits for a file. What comes after a gate are
# two objects, made at once: calls that need credentials, and a question that must be one.
_GATE = """
resource "terraform_data" "gate@" {
  depends_on = [aws_s3_object.part#]
  provisioner "local-exec" {
    command = <<-EOT
      if [ -n "${var.gates}" ]; then
        touch "${var.gates}/at@"; until [ -e "${var.gates}/@" ]; do sleep 0.1; done
      fi
    EOT
  }
}
resource "aws_s3_object" "part@" {
  count      = 2
  bucket     = "tf-work"
  key        = "${terraform.workspace}/part@-${count.index}"
  content    = "made after gate @"
  depends_on = [terraform_data.gate@]
}
"""
MAIN = _HEAD + "".join(
    _GATE.replace("@", str(n)).replace("#", str(n - 1)) for n in range(1, GATES + 1)
)
PARTS = ["part0", *(f"part{n}-{i}" for n in range(1, GATES + 1) for i in range(2))]
RESOURCES = len(PARTS) + GATES


def mirror() -> Path | None:
    """A filesystem mirror that holds the AWS provider for this machine, or None."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    for place in _places():
        if any((place / PROVIDER).glob(f"*/linux_{machine}/terraform-provider-aws*")):
            return place
    return None


def _places() -> Iterator[Path]:
    named = os.environ.get("TF_PLUGIN_MIRROR")
    if named:
        yield Path(named)
        return
    yield from (Path(each).expanduser() for each in _MIRRORS)
    for parent in ("/opt", "/srv"):
        # Whatever it is called there: only a folder with the registry's name in it counts.
        yield from sorted(each.parent for each in Path(parent).glob("*/registry.terraform.io"))


def need_terraform() -> Path:
    """The mirror; skips the test where Terraform cannot run.

    Also in CI: Debian has neither Terraform nor its provider, so what the machine does not bring is
    not obtainable there, and no install line of ours would help.
    """
    found = mirror()
    if missing := lacking("terraform"):
        pytest.skip(f"not obtainable: {missing}; {INSTALL}")
    if found is None:
        pytest.skip(f"not obtainable: no local mirror with Terraform's AWS provider; {INSTALL}")
    return found


def initialised(folder: Path, home: Home, role: str) -> Path:
    """A project in `folder` after `terraform init`; every test takes a copy (`Project.copy`)."""
    folder.mkdir(parents=True)
    (folder / "main.tf").write_text(MAIN)
    (folder / "rc").write_text(
        "disable_checkpoint = true\n"
        f'provider_installation {{\n  filesystem_mirror {{ path = "{need_terraform()}" }}\n}}\n'
    )
    words = ("terraform", f"-chdir={folder}", "init", "-no-color")
    done = home.borrow("run", role, "--", *words, env=settings(folder), timeout=120)
    assert "successfully initialized" in done.stdout, done.stdout + done.stderr
    return folder


def settings(folder: Path) -> dict[str, str]:
    """The variables that Terraform needs beside the borrowed ones."""
    program = Path(shutil.which("terraform") or "terraform").parent
    return {
        "TF_CLI_CONFIG_FILE": str(folder / "rc"),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "PATH": f"{BIN}:/usr/bin:/bin:{program}",
    }


@dataclass(slots=True)
class Project:
    """A copy of the project for one test. `workspace` names its state, lock and objects."""

    home: Home
    folder: Path
    workspace: str

    @classmethod
    def copy(cls, made: Path, home: Home, folder: Path, workspace: str) -> Project:
        shutil.copytree(made, folder, symlinks=True)  # the provider is a link into the mirror
        return cls(home, folder, workspace)

    @property
    def env(self) -> dict[str, str]:
        return settings(self.folder) | {"TF_WORKSPACE": self.workspace}

    def command(self, *words: str) -> tuple[str, ...]:
        plain = ("-no-color", "-compact-warnings")
        return ("terraform", f"-chdir={self.folder}", *words, *plain)

    def run(self, role: tuple[str, ...], *words: str) -> subprocess.Popen[str]:
        """`borrow run ROLE -- terraform WORDS`, in a terminal session of its own."""
        line = (BORROW, "run", *role, "--", *self.command(*words))
        return self.home.spawn(*line, session=True, env=self.env)

    def plan(self, *role: str) -> subprocess.Popen[str]:
        return self.run(role, "plan")

    def apply(self, *role: str, gates: bool = False) -> subprocess.Popen[str]:
        """With `gates` it stops at each of them, its lock held, until `open`."""
        more = (f"-var=gates={self.folder}",) if gates else ()
        return self.run(role, "apply", "-auto-approve", *more)

    def is_at(self, gate: int, child: subprocess.Popen[str]) -> bool:
        if child.poll() is not None:
            raise AssertionError(f"it ended: {child.communicate()}")
        return (self.folder / f"at{gate}").exists()

    def open(self, *gates: int) -> None:
        for gate in gates:
            (self.folder / str(gate)).touch()


class Cloud:
    """What is in the stand-in's buckets, as its administrator sees it."""

    def __init__(self, cloud: StandInProcess, role: str) -> None:
        import boto3

        key = cloud.base_key
        where: dict[str, Any] = {"endpoint_url": cloud.endpoint, "region_name": "us-east-1"}
        base = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"])
        got = base.client("sts", **where).assume_role(
            RoleArn=cloud.roles[role], RoleSessionName="a-test-looks"
        )["Credentials"]
        mine = boto3.Session(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
        self._s3 = mine.client("s3", **where)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        listed = self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", [])]

    def locks(self, workspace: str) -> list[str]:
        return [key for key in self.keys(STATE, f"env:/{workspace}/") if key.endswith(".tflock")]

    def made(self, workspace: str) -> list[str]:
        """The names of the objects that the project of `workspace` made."""
        return [key.rpartition("/")[2] for key in self.keys(WORK, f"{workspace}/")]
