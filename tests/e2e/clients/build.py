"""Builds the client programs of the SDK matrix into .cache/clients; does again only what changed.

Run by .ci/run with a plain `python3`, before any test: afterwards no test needs the network. A tool
that is missing is told and skipped here; the matrix decides what that means. Each client has a lock
file beside its source, and a built one carries the hash of what it was built from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[2] / ".cache" / "clients"
MAVEN = ("-q", "-B", "-ntp")


def main() -> int:
    wanted = sys.argv[1:] or ["js", "go", "java", "rust"]
    failed = [name for name in wanted if not build(name)]
    return 1 if failed else 0


def build(name: str) -> bool:
    source, target = HERE / name, CACHE / name
    stamp, now = target / "built-from", digest(HERE / name)
    if stamp.exists() and stamp.read_text() == now:
        return True
    tool = {"js": "npm", "go": "go", "java": "mvn", "rust": "cargo"}[name]
    if shutil.which(tool) is None:
        print(f"client {name}: {tool} is not installed", file=sys.stderr)
        return False
    stamp.unlink(missing_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    print(f"client {name}: building", flush=True)
    try:
        {"js": javascript, "go": go, "java": java, "rust": rust}[name](source, target)
    except subprocess.CalledProcessError as exc:
        print(f"client {name}: {tool} ended with {exc.returncode}", file=sys.stderr)
        return False
    stamp.write_text(now)
    return True


def digest(source: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(each for each in source.rglob("*") if each.is_file()):
        found.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def run(*command: str, cwd: Path, **more: str) -> None:
    subprocess.run(command, cwd=cwd, env=os.environ | more, check=True, stdin=subprocess.DEVNULL)


def javascript(source: Path, target: Path) -> None:
    for path in source.iterdir():
        shutil.copy2(path, target)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=target)


def go(source: Path, target: Path) -> None:
    run("go", "build", "-mod=readonly", "-o", str(target / "client"), ".", cwd=source)


def java(source: Path, target: Path) -> None:
    # A copy, so that Maven's `target` folder does not appear beside the source.
    work = target / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)
    copied = ("-DincludeScope=runtime", f"-DoutputDirectory={target / 'lib'}")
    run("mvn", *MAVEN, "compile", "dependency:copy-dependencies", *copied, cwd=work)


def rust(source: Path, target: Path) -> None:
    flags = ("--release", "--locked", "--quiet")
    run("cargo", "build", *flags, cwd=source, CARGO_TARGET_DIR=str(target))


if __name__ == "__main__":
    sys.exit(main())
