"""A real, one-node Ceph object gateway with STS on loopback: an AWS that is not ours to shape.

`with Radosgw() as ceph:` starts a monitor, an in-memory OSD and radosgw in about a second, and ends
all three. Everything lives in one short temporary directory; ports are free ones. Start it in a
thread that lives as long as the cluster: the processes end with the thread that started them.

What radosgw 16 enforces, and how, is written down in tests/e2e/test_radosgw.py.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from borrow_fakes.tools import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

INSTALL = "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd"  # pulls in the rest
REGION = "us-east-1"

_PROGRAMS = (
    *("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool"),
    *("radosgw", "radosgw-admin", "setpriv"),
)
_START_WITHIN = 30.0  # seconds; 1.5 on an idle machine
_STEP_WITHIN = 20.0  # seconds for one ceph command
_ATTEMPTS = 3  # a free port may be taken before ceph binds it

_CONF = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
keyring = {dir}/keyring
run dir = {dir}/run
log file = {dir}/$name.log
admin socket = {dir}/run/$name.$pid.asok
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
paxos propose interval = 0.05
paxos min wait = 0.01
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 536870912
osd data = {dir}/osd
mon data = {dir}/mon
mon allow pool size one = true
mon max pg per osd = 1000
mon osd min down reporters = 1
mon data avail crit = 1
mon data avail warn = 1
[client.rgw]
rgw data = {dir}/rgw
rgw frontends = beast endpoint=127.0.0.1:{rgw}
rgw s3 auth use sts = true
rgw sts key = {sts_key}
rgw enable usage log = false
rgw thread pool size = 64
debug rgw = {debug}
"""


def missing() -> str | None:
    """What keeps radosgw from starting here, for `need(missing(), INSTALL)`."""
    return lacking(*_PROGRAMS)


@dataclass(frozen=True)
class Keys:
    """Access keys as AWS names them; `session_token` only for sessions."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, credentials: Mapping[str, Any]) -> Keys:
        """From the `Credentials` of an STS answer."""
        return cls(
            credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
        )


class Radosgw:
    """One gateway. `admin` owns everything; roles trust `admin_arn` or an OIDC provider."""

    admin_arn = "arn:aws:iam:::user/admin"

    def __init__(self, *, debug: int = 1) -> None:
        self._debug = debug
        self._dir: Path | None = None
        self._running: list[subprocess.Popen[bytes]] = []
        self._admin: Keys | None = None
        self._port = 0

    def start(self) -> Self:
        """Return when it answers and the admin user is there; RuntimeError with the log if not."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start()
            except BaseException as exc:
                log = self._logs()
                self.stop()
                if not isinstance(exc, RuntimeError) or attempt == _ATTEMPTS:
                    exc.add_note(log)
                    raise
            else:
                break
        return self

    def stop(self) -> None:
        """End the processes and remove the directory. Calling it twice is fine."""
        running, self._running = self._running, []
        for process in running:  # all of it was in memory: there is nothing to shut down in order
            process.kill()
        for process in running:
            process.wait()
        directory, self._dir = self._dir, None
        if directory is not None:
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
    def endpoint(self) -> str:
        """For `endpoint_url` of s3, sts and iam clients."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def admin(self) -> Keys:
        if self._admin is None:
            raise RuntimeError("radosgw is not running")
        return self._admin

    def client(self, service: str, keys: Keys | None) -> Any:
        """A boto3 client that tries once; without keys its requests are unsigned."""
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        make: Callable[..., Any] = boto3.client  # typed for the services with stubs only
        if keys is None:
            unsigned = config.merge(Config(signature_version=UNSIGNED))
            return make(service, endpoint_url=self.endpoint, region_name=REGION, config=unsigned)
        return make(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.session_token,
            config=config,
        )

    def create_role(
        self, name: str, actions: Sequence[str], trust: Mapping[str, Any] | None = None
    ) -> str:
        """A role that may do `actions` on everything; returns its ARN.

        `trust` is a policy document; without it the admin user may assume the role.
        """
        iam = self.client("iam", self.admin)
        document = trust or statement(
            Principal={"AWS": [self.admin_arn]}, Action=["sts:AssumeRole", "sts:TagSession"]
        )
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=compact(document))
        rights = statement(Action=list(actions), Resource=["arn:aws:s3:::*"])
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=compact(rights))
        return str(role["Role"]["Arn"])

    def register_oidc(
        self, issuer_url: str, client_ids: Sequence[str], thumbprints: Sequence[str]
    ) -> str:
        """Trust an issuer's tokens for `client_ids`; returns the provider's ARN."""
        iam = self.client("iam", self.admin)
        made = iam.create_open_id_connect_provider(
            Url=issuer_url, ClientIDList=list(client_ids), ThumbprintList=list(thumbprints)
        )
        return str(made["OpenIDConnectProviderArn"])

    def web_trust(self, issuer_url: str, audience: str) -> dict[str, Any]:
        """The trust document for tokens of a registered issuer."""
        place = issuer_url.partition("://")[2]
        return statement(
            Principal={"Federated": [f"arn:aws:iam:::oidc-provider/{place}"]},
            Action=["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
            Condition={"StringEquals": {f"{place}:aud": audience}},
        )

    def log(self, lines: int = 40) -> str:
        """The end of the gateway's log, for a failing test."""
        if self._dir is None:
            return ""
        path = self._dir / "client.rgw.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _start(self) -> None:
        directory = self._dir = Path(tempfile.mkdtemp(prefix="b-"))
        for name in ("mon", "osd", "rgw", "run"):
            (directory / name).mkdir()
        mon_v2, mon_v1, self._port = _free_ports(3)
        fsid = str(uuid.uuid4())
        (directory / "ceph.conf").write_text(
            _CONF.format(
                dir=directory,
                fsid=fsid,
                mon_v2=mon_v2,
                mon_v1=mon_v1,
                rgw=self._port,
                sts_key=secrets.token_hex(8),  # 16 characters: an AES-128 key, as ceph wants it
                debug=self._debug,
            )
        )
        keyring, monmap = str(directory / "keyring"), str(directory / "monmap")
        for number, name in enumerate(("mon.", "client.admin", "osd.0", "client.rgw")):
            made = ["--create-keyring"] if number == 0 else []
            caps = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
            self._do("ceph-authtool", keyring, *made, "--gen-key", "-n", name, *caps)
        address = f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]"
        self._do("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap)
        self._do("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self._spawn("ceph-mon", "-i", "a")
        osd = str(uuid.uuid4())
        self._do("ceph", "osd", "new", osd, "0")
        self._do("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._spawn("ceph-osd", "-i", "0")
        self._spawn("radosgw", "-n", "client.rgw")
        self._await_gateway()
        made_user = json.loads(
            self._do(
                *("radosgw-admin", "-n", "client.rgw", "user", "create"),
                *("--uid=admin", "--display-name=admin"),
                *("--caps=roles=*;oidc-provider=*;user-policy=*",),
            )
        )
        key = made_user["keys"][0]
        self._admin = Keys(key["access_key"], key["secret_key"])

    def _do(self, program: str, *arguments: str) -> str:
        conf = str(self._directory / "ceph.conf")
        try:
            done = subprocess.run(
                [program, "-c", conf, *arguments],
                capture_output=True,
                text=True,
                timeout=_STEP_WITHIN,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise RuntimeError(f"{program} did not end in {_STEP_WITHIN:g} s") from exc
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()[-500:]}")
        return done.stdout

    def _spawn(self, program: str, *arguments: str) -> None:
        conf = str(self._directory / "ceph.conf")
        with (self._directory / f"{program}.out").open("ab") as out:
            self._running.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", program, "-c", conf, *arguments, "-f"],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            )

    def _await_gateway(self) -> None:
        deadline = time.monotonic() + _START_WITHIN
        while time.monotonic() < deadline:
            for process in self._running:
                if process.poll() is not None:
                    raise RuntimeError(f"a ceph process ended with {process.returncode}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                return
            time.sleep(0.05)
        raise RuntimeError(f"radosgw did not answer in {_START_WITHIN:g} s")

    def _logs(self) -> str:
        if self._dir is None:
            return ""
        outs = sorted(self._dir.glob("*.out"))
        return "\n".join(
            f"{each.name}: {each.read_text(errors='replace')[-1500:]}" for each in outs
        )

    @property
    def _directory(self) -> Path:
        if self._dir is None:
            raise RuntimeError("radosgw is not running")
        return self._dir


def statement(**parts: Any) -> dict[str, Any]:
    """A policy document of one Allow statement."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **parts}]}


def compact(document: Mapping[str, Any]) -> str:
    """JSON without spaces: radosgw 16 reads the `+` of a form as a plus, and no policy parses."""
    return json.dumps(document, separators=(",", ":"))


def _free_ports(count: int) -> list[int]:
    """Free ones now; all are held until the last is found, so they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
