"""The aiohttp application behind the door: guard first, then the container and IMDS routes.

Imported at the first connection, not at the daemon's start: it brings aiohttp in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from borrow.daemon.console import no_browser_but_for_links, web_routes
from borrow.daemon.container import Container
from borrow.daemon.guard import RULES, guard_middleware, install_guard, no_browser, origin_form
from borrow.daemon.imds import Imds, Tokens, origin_form_or_latest
from borrow.daemon.pace import pace_middleware

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.agents import Agents
    from borrow.daemon.broker import Broker
    from borrow.daemon.console import Links
    from borrow.daemon.front import Door
    from borrow.daemon.groups import Bearers
    from borrow.daemon.guard import Rule
    from borrow.daemon.ticker import Ticker

MAX_BODY = 1024  # bytes; no request of ours has a body


def build_app(
    broker: Broker,
    bearers: Bearers,
    agents: Agents,
    ticker: Ticker,
    door: Door,
    links: Links,
    *,
    port: int,
    imds_role: Callable[[], str],
    imds_key: bytes,
    on_reject: Callable[[str], None],
) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY)
    ours: dict[Rule, Rule] = {
        origin_form: origin_form_or_latest,
        no_browser: no_browser_but_for_links,
    }
    rules = tuple(ours.get(rule, rule) for rule in RULES)
    install_guard(app, guard_middleware(port, rules=rules, on_reject=on_reject), on_reject)
    app.middlewares.append(
        pace_middleware(lambda: broker.now().boot, on_reject, most=door.limits.per_second)
    )
    app.add_routes(Container(broker, bearers, agents, ticker, door, on_reject).routes())
    imds = Imds(broker, agents, ticker, door, Tokens(imds_key), role=imds_role, on_reject=on_reject)
    app.add_routes(imds.routes())
    app.add_routes(web_routes(links))
    return app
