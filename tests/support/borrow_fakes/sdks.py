"""The clients of the SDK matrix: how each is started, and what it is known to do.

The facts are those of docs/sdks.md, as data: the matrix fails when a client does otherwise. None of
the programs knows Borrow; they ask STS who they are and print the answer or their own error.
"""

from __future__ import annotations

import runpy
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from borrow_fakes.lab import AWS_CLI_V1, ROOT

SOURCES: Final = ROOT / "tests/e2e/clients"
BUILT: Final = ROOT / ".cache/clients"
BUILD: Final = "python3 tests/e2e/clients/build.py"
WHO: Final = ("sts", "get-caller-identity")


@dataclass(frozen=True, slots=True)
class Sdk:
    """One client. A text in `no_…` says why it cannot do that; "" means it can."""

    name: str
    command: tuple[str, ...]
    built: str = ""  # the client of tests/e2e/clients that it is
    needs: Path | None = None  # a file that its package brings
    install: str = BUILD
    herd: int = 2  # programs started at once; more where a start costs little
    each: bool = True  # knows `each`: a call for every line of stdin, in one process
    no_container: str = ""
    shows_reason: bool = True  # of a denial, at the container endpoint
    gives_up: float = 0.0  # seconds a held fetch may take; 0: as long as the request is open
    no_imds: str = ""
    process_shows: bool = True  # of a denial, by credential_process
    lag: int = 0  # calls that still use the old credentials after a change
    keeps: float = 0.0  # seconds it may keep them instead, whatever it calls

    def missing(self) -> str:
        """What is not there to run it; "" if all is."""
        if self.built and not _is_built(self.built):
            return f"{self.name} is not built"
        if self.needs is not None and not self.needs.exists():
            return f"{self.name} is not installed"
        if shutil.which(self.command[0]) is None:
            return f"{self.command[0]} is not installed"
        return ""

    def not_obtainable(self) -> str:
        """Why this machine cannot have it, as its build found; "" if it can, or nobody tried."""
        told = BUILT / self.built / "not-obtainable"
        return told.read_text().strip() if self.built and told.exists() else ""


def _is_built(name: str) -> bool:
    """From the source that is there now: what an older one did proves nothing."""
    stamp = BUILT / name / "built-from"
    if not stamp.exists():
        return False
    digest = runpy.run_path(str(SOURCES / "build.py"))["digest"]
    return bool(stamp.read_text() == digest(SOURCES / name))


# As docs/sdks.md has them; a column that is not named here comes last.
COLUMNS: Final = (
    "at once",
    "held 3 s",
    "held 60 s",
    "held 300 s",
    "several at once",
    "killed, re-run joins",
    "gave up, re-run joins",
    "no at once",
    "no after 3 s",
    "base, higher, base",
    "base, higher, later",
    "given back",
    "process, held 3 s",
    "process, no",
    "EcsContainer profile",
    "denied call, offer",
    "IMDS, at once",
    "IMDS, held 3 s",
    "taken for Rust, no",
    "unsigned calls",
)
_PER_BLOCK: Final = 5

BOTO3: Final = Sdk("boto3", (sys.executable, str(SOURCES / "who.py")), herd=5)
CLI_V1: Final = Sdk("AWS CLI v1", (AWS_CLI_V1, *WHO), each=False)
CLI_V2: Final = Sdk(
    "AWS CLI v2",
    # Debian's reads no AWS_ENDPOINT_URL; the shell puts it where this version looks.
    ("/bin/sh", "-c", 'exec /usr/bin/aws "$@" --endpoint-url "$AWS_ENDPOINT_URL"', "aws", *WHO),
    needs=Path("/usr/bin/aws"),
    install="apt-get install awscli",
    each=False,
)
JS_V3: Final = Sdk(
    "JS v3",
    ("node", str(BUILT / "js/work/client.mjs")),
    built="js",
    herd=3,
    shows_reason=False,
    process_shows=False,
    lag=1,
)
GO_V2: Final = Sdk("Go v2", (str(BUILT / "go/client"),), built="go", herd=5)
JAVA_V2: Final = Sdk(
    "Java v2",
    (
        "java",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        f"{BUILT}/java/work/target/classes:{BUILT}/java/lib/*",
        "Client",
    ),
    built="java",
    shows_reason=False,
    process_shows=False,
)
RUST: Final = Sdk(
    "Rust",
    (str(BUILT / "rust/release/borrow-client-rust"),),
    built="rust",
    herd=5,
    gives_up=12,  # three tries of 4.5 s; the next run joins
    keeps=80,  # the visible 90 s less the 10 s before their end
)
RUBY: Final = Sdk(
    "Ruby",
    ("/usr/bin/ruby", str(SOURCES / "ruby/client.rb")),
    needs=Path("/usr/share/doc/ruby-aws-sdk-s3"),
    install="apt-get install ruby ruby-aws-sdk-s3",
    no_container="Debian's 3.168 knows only the RELATIVE_URI",
    no_imds="Debian's 3.168 asks port 80 whatever the endpoint says",
)

# In the scenarios where they differ from what comes before; the others cost CI too much.
JS_METADATA: Final = Sdk(
    "JS v3 metadata",
    ("node", str(BUILT / "js/work/metadata.mjs")),
    built="js",
    shows_reason=False,
)
CRT: Final = Sdk(
    "aws-c-auth",
    ("/usr/bin/python3", str(SOURCES / "crt.py")),
    needs=Path("/usr/lib/python3/dist-packages/awscrt"),
    install="apt-get install awscli python3-awscrt",
    shows_reason=False,
    keeps=90,  # Debian's keeps them to their end; newer ones ask again at each call
)
# Debian's 1.60 is built on Go v1. It cannot ask who it is, and reads an object.
RCLONE: Final = Sdk(
    "rclone",
    (
        "/bin/sh",
        "-c",
        "exec rclone --config /dev/null cat "
        "\":s3,provider=Other,env_auth=true,region=us-east-1,endpoint='$AWS_ENDPOINT_URL':lab/k\"",
    ),
    needs=Path("/usr/bin/rclone"),
    install="apt-get install rclone",
    each=False,
    shows_reason=False,
)

TIER_1: Final = (BOTO3, CLI_V1)
TIER_2: Final = (CLI_V2, JS_V3, GO_V2, JAVA_V2, RUST, RUBY)
SOME: Final = (JS_METADATA, CRT)
ALL: Final = TIER_1 + TIER_2 + SOME + (RCLONE,)

# Listed, so that nobody takes silence for support.
_NEVER: Final = {
    "PHP": "its SDK is in no registry that the tests use",
    ".NET": "Debian has no runtime",
    "C++": "Debian has no package of its SDK (seen by hand in pyarrow: docs/sdks.md)",
    "Kotlin": "its compiler is not among the tools here",
}


def not_obtainable() -> dict[str, str]:
    """Each client that this machine cannot have, and why. That is no skip."""
    return _NEVER | {one.name: why for one in ALL if (why := one.not_obtainable())}


def here() -> tuple[Sdk, ...]:
    """The clients that a test runs, or misses."""
    return tuple(one for one in TIER_1 + TIER_2 if not one.not_obtainable())


def here_too() -> tuple[Sdk, ...]:
    """Those of `here`, and those that are run in some scenarios only."""
    return here() + tuple(one for one in SOME if not one.not_obtainable())


def drawn(cells: dict[tuple[str, str], str]) -> list[str]:
    """The table: a line a client, a column a scenario; long texts are notes below.

    `cells` whose column is "" tell of a client that is not there at all.
    """
    found = dict.fromkeys(column for _, column in cells if column)
    columns = sorted(found, key=lambda one: (*COLUMNS, one).index(one))
    clients = [one.name for one in ALL if any((one.name, column) in cells for column in columns)]
    absent = [f"{name}: {text}" for (name, column), text in cells.items() if not column]
    notes: list[str] = []

    def cell(client: str, column: str) -> str:
        text = cells.get((client, column), "-")
        kind, colon, _ = text.partition(":")
        if not colon:
            return text
        if text not in notes:
            notes.append(text)
        return f"{kind} [{notes.index(text) + 1}]"

    rows = [["client", *columns], *([one, *(cell(one, c) for c in columns)] for one in clients)]
    # One block of columns a screen: nine scenarios do not fit into one line.
    lines: list[str] = []
    for start in range(1, len(rows[0]), _PER_BLOCK):
        block = [[row[0], *row[start : start + _PER_BLOCK]] for row in rows]
        widths = [max(map(len, column)) for column in zip(*block, strict=True)]
        lines += [
            "  ".join(t.ljust(w) for t, w in zip(r, widths, strict=True)).rstrip() for r in block
        ]
        lines.append("")
    return lines + [f"[{number}] {note}" for number, note in enumerate(notes, 1)] + absent
