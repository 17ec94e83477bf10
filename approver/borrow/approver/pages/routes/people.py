"""Everybody's devices and passkeys, for administrators: invite, freeze, unfreeze."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.approver.bodies import form, need
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.ids import kind_of

if TYPE_CHECKING:
    from aiohttp import web

    from borrow.approver.pages.door import Visit


async def show(visit: Visit) -> web.Response:
    """`GET /people`"""
    _for_admins(visit)
    minter = visit.desk.minter
    owned: dict[str, list[object]] = {}
    for device in await visit.desk.devices.all():
        owned.setdefault(device.owner, []).append(device)
    for admin in visit.desk.settings.admins():
        owned.setdefault(admin, [])
    listed = [
        (person, devices, len(await minter.passkeys(person)))
        for person, devices in sorted(owned.items())
    ]
    return visit.page("people.html", people=listed)


async def freeze(visit: Visit) -> web.Response:
    """`POST /people/freeze`"""
    client_id = await _device(visit)
    await visit.desk.notices.publish(await visit.desk.minter.freeze(client_id, visit.person))
    visit.desk.devices.forget()
    return visit.go("/people")


async def unfreeze(visit: Visit) -> web.Response:
    """`POST /people/unfreeze`: the minter refuses it for one's own device."""
    client_id = await _device(visit)
    await visit.desk.notices.publish(await visit.desk.minter.unfreeze(client_id, visit.person))
    visit.desk.devices.forget()
    return visit.go("/people")


async def _device(visit: Visit) -> str:
    _for_admins(visit)
    text = need(await form(visit.request, ("device",)), "device")
    try:
        if kind_of(text) == "d":
            return text
    except Untrusted:
        pass
    raise Refused("there is nothing of that name", state="not_found")


def _for_admins(visit: Visit) -> None:
    if not visit.is_admin:
        raise Refused("there is nothing here", state="not_found")
