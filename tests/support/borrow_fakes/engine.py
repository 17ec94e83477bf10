"""A real Docker engine of the tests' own: Debian's dockerd in namespaces of its own.

`with Engine() as engine:` has it in about two seconds, with one image under two names. Its network,
its mounts and its processes live in namespaces that end with one process, so that nothing is left
of them and nothing of this machine's network is touched; its files are in one temporary folder.

No registry is asked. The image is the Python of this machine and the libraries that it needs, no
shell; it goes by the name of the sidecar's image (`borrow.cli.compose.SIDECAR`) and by `APP`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from borrow.cli.compose import SIDECAR
from borrow_fakes.tools import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

INSTALL: Final = "apt-get install --no-install-recommends docker.io docker-compose"
APP: Final = "shop/app:1"

_START_WITHIN: Final = 30.0  # seconds; 0.6 on an idle machine
_STEP_WITHIN: Final = 60.0
_PYTHON: Final = Path("/usr/bin/python3")  # Debian's: docker-compose brings it
_LEFT_OUT: Final = re.compile(
    r"/(test|idlelib|tkinter|turtledemo|lib2to3|ensurepip|pydoc_data|config-[^/]*|dist-packages)"
    r"(/|$)|_tkinter|_test|\.a$"
)
# /run/containerd holds the shims' sockets, wherever the engine's own folders are.
_IN_NAMESPACES: Final = """
mount -t tmpfs none /run && ip link set lo up || exit 1
exec dockerd --data-root "$1/data" --exec-root "$1/exec" -p "$1/pid" -H "unix://$1/sock" \\
  --iptables=false --ip6tables=false --ip-forward=false \\
  --cgroup-parent="/$2" --shutdown-timeout=1
"""


def missing() -> str | None:
    """What keeps an engine from starting here, for `need(missing(), INSTALL)`."""
    if os.geteuid() != 0:
        return "an engine of one's own needs root"
    programs = ("dockerd", "containerd", "runc", "docker", "docker-compose")
    return lacking(*programs, "unshare", "setpriv", "ip", "ldd")


class Engine:
    """One engine. Start it in a thread that lives as long: it ends with the one that started it."""

    def __init__(self) -> None:
        self._dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Return when it answers and has the image; RuntimeError with its log if not."""
        self._dir = Path(tempfile.mkdtemp(prefix="b-"))
        try:
            with ThreadPoolExecutor(1) as pool:
                image = pool.submit(_image, self._folder)
                self._spawn()
                self._await()
            self.docker("import", str(image.result()), SIDECAR)
            self.docker("tag", SIDECAR, APP)
        except BaseException as exc:
            exc.add_note(self.log())
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it and all containers; remove what it wrote. Calling it twice is fine."""
        process, self._process = self._process, None
        if process is not None:
            _kill_first_of(process)
        directory, self._dir = self._dir, None
        if directory is not None:
            _remove_cgroups(directory.name)
            shutil.rmtree(directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def env(self) -> dict[str, str]:
        """What leads docker and docker-compose here."""
        return {"DOCKER_HOST": f"unix://{self._folder}/sock"}

    def docker(self, *words: str, ok: bool = True) -> str:
        """Run the client to its end; its output."""
        done = subprocess.run(
            ["docker", *words],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self._folder), **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_STEP_WITHIN,
            check=False,
        )
        if ok and done.returncode:
            raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.strip()[-500:]}")
        return done.stdout + done.stderr

    def inspect(self, name: str) -> dict[str, Any]:
        import json

        found: list[dict[str, Any]] = json.loads(self.docker("inspect", name))
        return found[0]

    def log(self, lines: int = 20) -> str:
        """The end of the engine's log, for a failing test."""
        path = self._folder / "log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _spawn(self) -> None:
        spaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        inner = ["sh", "-c", _IN_NAMESPACES, "sh", str(self._folder), self._folder.name]
        with (self._folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *spaces, *inner],
                env={"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _await(self) -> None:
        deadline = time.monotonic() + _START_WITHIN
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError("dockerd ended")
            if (self._folder / "sock").exists():
                with contextlib.suppress(RuntimeError):
                    self.docker("version")
                    return
            time.sleep(0.05)
        raise RuntimeError(f"dockerd did not answer in {_START_WITHIN:g} s")

    @property
    def _folder(self) -> Path:
        if self._dir is None:
            raise RuntimeError("the engine is not running")
        return self._dir


def _kill_first_of(process: subprocess.Popen[bytes]) -> None:
    """Kill the namespaces' first process: it is gone only when all the others are."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        for first in listed.read_text().split():
            os.kill(int(first), signal.SIGKILL)
            process.wait(_STEP_WITHIN)
    process.kill()
    process.wait()


def _image(folder: Path) -> Path:
    """A root file system of a Python, its library and what both are linked with."""
    path = folder / "image.tar"
    ask = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    python = _PYTHON.resolve()
    library = Path(_said(str(python), "-I", "-S", "-c", ask).strip())
    modules = [str(one) for one in library.glob("lib-dynload/*.so") if not _left_out(one)]
    linked = set(re.findall(r"(/\S+) \(0x", _said("ldd", str(python), *modules)))
    with tarfile.open(path, "w", dereference=True) as tar:
        files = {"/usr/bin/python3": str(python)} | {each: each for each in sorted(linked)}
        parents = {str(one) for name in (*files, str(library)) for one in Path(name).parents}
        for name in sorted({*parents, "/tmp", "/run", "/etc", "/proc", "/sys", "/dev"} - {"/"}):
            entry = tarfile.TarInfo(name.lstrip("/"))  # the engine would make them for root alone
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, source in files.items():
            tar.add(source, name)
        tar.add(library, filter=lambda entry: None if _left_out(entry.name) else entry)
    return path


def _left_out(path: Path | str) -> bool:
    return _LEFT_OUT.search(str(path)) is not None


def _said(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=_STEP_WITHIN, check=True
    ).stdout


def _remove_cgroups(name: str) -> None:
    """The kernel's folders outlive their processes; children go first."""
    for top in _cgroups(name):
        for folder, _, _ in sorted(os.walk(top), reverse=True):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _cgroups(name: str) -> Iterator[Path]:
    root = Path("/sys/fs/cgroup")
    yield from (each for each in (root / name, *root.glob(f"*/{name}")) if each.is_dir())
