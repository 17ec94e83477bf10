"""What a question says about the machine and the user it comes from."""

from __future__ import annotations

import os
import pwd
import socket

from borrow.daemon.core import user_name
from borrow_fakes.workstation import workstation


async def test_a_question_names_the_systems_user_whatever_the_environment_says() -> None:
    async with workstation(environ={"USER": "somebody-else"}) as machine:
        await machine.ask({"role": "prod-admin", "wait": False})
        context = (await machine.fake.asked_for()).request.context
    assert context["os_user"] == pwd.getpwuid(os.getuid()).pw_name == user_name()
    assert context["host"] == socket.gethostname()[:255]
