"""The lab that end-to-end tests share: one cloud stand-in a session, one workstation a test."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING, cast

import pytest

from borrow.cli.demo.standin_seed import Role, Seed, Trust
from borrow_fakes import matrix
from borrow_fakes.lab import Home, home
from borrow_fakes.matrix import Bench, Cell
from borrow_fakes.moto_cloud import stand_in
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from borrow.cli.demo.standin_process import StandInProcess
    from borrow_fakes.sdks import Sdk

TRUST = Trust(("user/borrow-base",))
SEED = Seed(
    roles={
        "Reader": Role(("s3:GetObject", "s3:ListBucket"), trust=TRUST),
        "Admin": Role(("s3:*", "sts:AssumeRole"), trust=TRUST),
        # What a profile with `credential_source` assumes by itself, with what it was lent.
        "Next": Role(("s3:GetObject",), trust=Trust(("role/Admin",))),
    },
    buckets={"lab": {"k": "hello", "stuck": "job"}},
)

# One role per way of being asked. `click` is the quick one: a yes needs no second device.
POLICY = """
version = 1
[admins]
people = ["{me}"]
[defaults]
pending = "15m"
[roles.reader]
aws = "arn:aws:iam::123456789012:role/Reader"
tier = "low"
[roles.machine]
aws = "arn:aws:iam::123456789012:role/Reader"
tier = "normal"
imds = true
[roles.click]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "normal"
share = "session"
[roles.short]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "normal"
[roles.admin]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "sensitive"
[roles.ticketed]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "normal"
[roles.forbidden]
aws = "arn:aws:iam::123456789012:role/Admin"
[[deny]]
id = "never"
roles = ["forbidden"]
[[rule]]
id = "reads"
who = ["{me}"]
roles = ["reader"]
max = "1h"
approve = {{ mode = "auto" }}
[[rule]]
id = "clicks"
who = ["{me}"]
roles = ["click", "machine"]
max = "1h"
extensions = 1
approve = {{ mode = "self", factor = ["consent"] }}
[[rule]]
id = "shorts"
who = ["{me}"]
roles = ["short"]
max = "1h"
approve = {{ mode = "self", factor = ["consent"] }}
[[rule]]
id = "admins"
who = ["{me}"]
roles = ["admin"]
max = "1h"
approve = {{ mode = "self", factor = ["totp"], match = true }}
[[rule]]
id = "tickets"
who = ["{me}"]
roles = ["ticketed"]
max = "1h"
require = {{ reason = 10, ticket = "^INC-[0-9]+$" }}
approve = {{ mode = "self", factor = ["consent"] }}
"""


@pytest.fixture(scope="session")
def cloud() -> Iterator[StandInProcess]:
    with stand_in(SEED) as running:
        yield running


@pytest.fixture(scope="module")
def own_cloud() -> Iterator[StandInProcess]:
    """One that no other module's workstation calls: what its trail shows is this module's."""
    with stand_in(SEED) as running:
        yield running


@pytest.fixture(scope="session")
def ready(cloud: StandInProcess) -> Iterator[Path]:
    """The state of a person alone, made by the real commands, whose daemon has not started yet."""
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        set_up(one, cloud)
        yield one.state


@pytest.fixture
def solo(cloud: StandInProcess, ready: Path) -> Iterator[Home]:
    """A person alone, with base keys in a sealed file: a copy of `ready` for each test."""
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        shutil.copytree(ready, one.state)
        yield one.start()


@pytest.fixture(scope="module")
def lasting_solo(cloud: StandInProcess) -> Iterator[Home]:
    """One for a whole module, whose tests give back what they took."""
    with alone(cloud) as one:
        yield one


@pytest.fixture(scope="session")
def bench(cloud: StandInProcess) -> Iterator[Bench]:
    """One for all cells of the SDK matrix that this worker runs."""
    with alone(cloud, matrix.policy()) as one:
        yield Bench(one, cloud)


@pytest.fixture
def table(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[..., Cell]:
    """Open a cell of the matrix: `table(sdk, column, …)`."""

    def opened(sdk: Sdk, *columns: str) -> Cell:
        cell = Cell(record_property, sdk, *columns)
        cell.say("skipped")
        need(sdk.missing(), sdk.install)
        cell.begin(cast("Bench", request.getfixturevalue("bench")))
        return cell

    return opened


@contextlib.contextmanager
def alone(cloud: StandInProcess, more: str = "") -> Iterator[Home]:
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        set_up(one, cloud, more)
        yield one.start()


def set_up(one: Home, cloud: StandInProcess, more: str = "") -> None:
    import getpass

    one.borrow("setup", "--yes", "--no-totp")
    rules = (POLICY + more).format(me=f"local:{getpass.getuser()}")
    (one.state / "policy.toml").write_text(rules)
    (one.state / "cloud.toml").write_text(
        f'driver = "assume-role"\nendpoint_url = "{cloud.endpoint}"\nregion = "us-east-1"\n'
    )
    (one.state / "cloud.toml").chmod(0o600)
    one.borrow("daemon", "stop", ok=False)
    one.borrow("keys", "add", "--sealed", text=json.dumps(cloud.base_key))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The SDK matrix as a table: client by scenario, as the tests recorded it; and smaller ones."""
    from borrow_fakes import tables
    from borrow_fakes.sdks import drawn

    cells: dict[tuple[str, str], str] = {}
    entries: list[tables.Entry] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") != "call":
                continue
            mine: dict[tuple[str, str], str] = {}
            for name, value in getattr(report, "user_properties", ()):
                if name == "matrix":
                    client, column, text = value
                    mine[client, column] = text
                if name == "table":
                    entries.append(tuple(value))
            for place, text in mine.items():  # several tests may fill one cell: a failure stays
                if cells.get(place) != matrix.FAILED:
                    cells[place] = text
    if cells:
        terminalreporter.section("SDK matrix")
        for line in drawn(cells):
            terminalreporter.write_line(line)
    for title, lines in tables.drawn(entries).items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
