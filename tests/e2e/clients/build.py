"""Builds the client programs of the SDK matrix into .cache/clients; does again only what changed.

Run by .ci/run with a plain `python3`, before any test: afterwards no test needs the network. Each
client has a lock file beside its source; a built one carries the hash of what it was built from.

Exit 0 if every client is built or *not obtainable* here: its tool is not on this machine or too
old, or its packages cannot be fetched. The reason is kept for the matrix, whose table shows it. A
client whose packages are there and that does not compile is an error.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[2] / ".cache" / "clients"
STAMP, REASON = "built-from", "not-obtainable"
FETCHES = 2  # times; a registry may be away for a moment

Line = tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """`fetch` may find no registry; `compile` needs none. Both run in `work`."""

    needs: tuple[tuple[Line, str], ...]  # a line that prints a version, and the least that will do
    fetch: Line
    compile: Line | None
    settings: dict[str, str]


def recipes(target: Path) -> dict[str, Recipe]:
    """How each is built, in `target`/NAME/work, a copy of its source."""
    maven = ("mvn", "-q", "-B", "-ntp")
    copied = ("-DincludeScope=runtime", f"-DoutputDirectory={target / 'java/lib'}")
    cargo = ("--release", "--locked", "--offline", "--quiet")
    npm = Recipe(
        needs=((("node", "--version"), "20"), (("npm", "--version"), "7")),
        fetch=(*("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"), "--loglevel=error"),
        compile=None,
        settings={},
    )
    return {
        "js": npm,
        "axe": npm,  # no client: what tests/pages puts into each page to judge it
        "go": Recipe(
            needs=((("go", "version"), "1.24"),),
            fetch=("go", "mod", "download"),
            compile=("go", "build", "-mod=readonly", "-o", str(target / "go/client"), "."),
            settings={"GOTOOLCHAIN": "local", "GOFLAGS": ""},
        ),
        "java": Recipe(
            needs=((("mvn", "--version"), "3.6"), (("javac", "--version"), "17")),
            # To ask a plug-in for help fetches it and all that it needs.
            fetch=(
                *maven,
                "resources:help",
                "compiler:help",
                "dependency:copy-dependencies",
                *copied,
            ),
            compile=(*maven, "--offline", "compile"),
            settings={},
        ),
        "rust": Recipe(
            needs=((("cargo", "--version"), "1.94"),),
            fetch=("cargo", "fetch", "--locked", "--quiet"),
            compile=("cargo", "build", *cargo),
            settings={"CARGO_TARGET_DIR": str(target / "rust")},
        ),
    }


class NotObtainable(Exception):
    """Nothing is wrong with the client: this machine cannot have it."""


def main() -> int:
    wanted = sys.argv[1:] or list(recipes(CACHE))
    with ThreadPoolExecutor(len(wanted)) as pool:
        built = list(pool.map(build, wanted))
    return 0 if all(built) else 1


def build(name: str) -> bool:
    """Whether nothing is wrong: built, or known to be not obtainable."""
    source, target, recipe = HERE / name, CACHE / name, recipes(CACHE)[name]
    stamp, reason, now = target / STAMP, target / REASON, digest(HERE / name)
    if stamp.exists() and stamp.read_text() == now:
        return True
    for left in (stamp, reason):
        left.unlink(missing_ok=True)
    print(f"client {name}: building", flush=True)
    work = target / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)  # so that nothing of a build appears beside the source
    try:
        _obtain(recipe, work)
        if recipe.compile is not None:
            _run(recipe.compile, work, recipe.settings)
    except NotObtainable as no:
        reason.write_text(f"{no}\n")
        print(f"client {name}: not obtainable: {no}", flush=True)
        return True
    except subprocess.CalledProcessError as exc:
        print(f"client {name}: {exc.cmd[0]} failed\n{exc.output}", file=sys.stderr, flush=True)
        return False
    stamp.write_text(now)
    print(f"client {name}: built", flush=True)
    return True


def digest(source: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(each for each in source.rglob("*") if each.is_file()):
        found.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def _obtain(recipe: Recipe, work: Path) -> None:
    for line, least in recipe.needs:
        if shutil.which(line[0]) is None:
            raise NotObtainable(f"{line[0]} is not on this machine")
        version = _first_number(_run(line, work, recipe.settings))
        if _key(version) < _key(least):
            raise NotObtainable(f"{line[0]} is {version}, its SDK needs {least}")
    for left in reversed(range(FETCHES)):
        try:
            _run(recipe.fetch, work, recipe.settings)
            return
        except subprocess.CalledProcessError as exc:
            if not left:
                print(exc.output, file=sys.stderr, flush=True)
                raise NotObtainable(f"{recipe.fetch[0]} cannot fetch its packages") from exc


def _run(command: Line, work: Path, settings: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=work, env=os.environ | settings, check=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def _first_number(text: str) -> str:
    found = re.search(r"[0-9]+(?:\.[0-9]+)+", text)
    return found[0] if found else "0"


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


if __name__ == "__main__":
    sys.exit(main())
