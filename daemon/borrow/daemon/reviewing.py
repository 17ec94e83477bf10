"""What a person is shown of another person's request: from the bytes its device signed. Pure.

The approver's own labels (account, tier, rule, how it is answered) stay as it says them; what was
asked is read from the signed request, so that an approver which lies about it gets no yes to it.
"""

from __future__ import annotations

from typing import Any, Final

from borrow.protocol.errors import Untrusted

MOST: Final = 256  # requests of which it is remembered that they were shown unread


class Shown:
    """Which requests were last shown as the approver told them, not as they are signed.

    A yes that a person gives to such a sight must not become the signature of another person's
    device, however the approver speaks of the request by then.
    """

    def __init__(self) -> None:
        self._unread: dict[str, None] = {}

    def note(self, subject: str, one: dict[str, Any]) -> None:
        """`one` is what was asked of the approver about `subject`, and is shown now."""
        if one.get("request") != subject:
            raise Untrusted("the approver speaks of another request", state="changed")
        self._unread.pop(subject, None)
        if not was_read(one):
            self._unread[subject] = None
            for oldest in list(self._unread)[:-MOST]:
                del self._unread[oldest]

    def refuse_another(self, subject: str, one: dict[str, Any]) -> None:
        if subject in self._unread and was_read(one):
            raise Untrusted(
                "the approver spoke of this request in another way when it was shown",
                hint="look at it again",
                state="changed",
            )


def was_read(one: dict[str, Any]) -> bool:
    """Whether `from_signed` gave another person's request as its device signed it."""
    return one.get("mode") == "peer" and one.get("mine") is not True


def from_signed(one: dict[str, Any], *, issuer: str) -> dict[str, Any]:
    """The approver's answer, with the signed request in the place of what it says of it.

    In mode `peer` only: in the other ones the number in it is not for those who are asked.
    """
    told = {name: value for name, value in one.items() if name != "signed"}
    if one.get("mode") != "peer":
        return told
    from borrow.protocol.request import open_hashed  # late: it imports cryptography

    signed, request_hash = one.get("signed"), one.get("request_hash")
    if not isinstance(signed, str) or not isinstance(request_hash, str):
        raise Untrusted("the approver did not send the signed request", state="changed")
    asked = open_hashed(signed, request_hash, issuer=issuer)
    role, seconds = asked.role, one.get("seconds")
    if not isinstance(seconds, int) or (role.seconds and seconds > role.seconds):
        raise Untrusted("the approver speaks of more time than was asked for", state="changed")
    return told | {
        "person": asked.owner,
        "role": role.identifier,
        "arn": role.arn,
        "justification": role.justification,
        "ticket": role.ticket,
        "session_policy": role.session_policy,
        "context": asked.context,
        "extends": asked.extends,
        "words": asked.words,
        "number": asked.number,
    }
