"""What SDKs and tools probe on an instance besides credentials: where they run, and as what.

Only what follows from the offered role: its region and account. The instance id says plainly that
there is no instance; whatever has no honest answer is absent, as on an instance without it. Pure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from borrow.daemon.catalogue import RoleFacts

INSTANCE_ID: Final = "i-00000000000000000"  # EC2 never issues it
_ROOT: Final = ("dynamic/", "meta-data/")
_META: Final = ("iam/", "instance-id", "placement/")
_ZONE: Final = "a"  # a region's first zone; SDKs cut the letter off to learn the region


def stub(path: str, facts: RoleFacts) -> str | None:
    """The text at `/latest/<path>`, or None. A trailing slash makes no difference."""
    return _texts(facts).get(path.strip("/"))


def _texts(facts: RoleFacts) -> dict[str, str]:
    texts = {
        "": "\n".join(_ROOT),
        "meta-data": "\n".join(_META if facts.region else _META[:2]),
        "meta-data/iam": "security-credentials/",
        "meta-data/instance-id": INSTANCE_ID,
        "dynamic": "instance-identity/",
        "dynamic/instance-identity": "document",
        "dynamic/instance-identity/document": _document(facts),
    }
    if facts.region:
        texts |= {
            "meta-data/placement": "availability-zone\nregion",
            "meta-data/placement/region": facts.region,
            "meta-data/placement/availability-zone": facts.region + _ZONE,
        }
    return texts


def _document(facts: RoleFacts) -> str:
    parts = facts.arn.split(":")
    document: dict[str, str] = {
        "accountId": parts[4] if len(parts) > 4 else "",
        "instanceId": INSTANCE_ID,
        "version": "2017-09-30",
    }
    if facts.region:
        document |= {"region": facts.region, "availabilityZone": facts.region + _ZONE}
    return json.dumps(document, indent=2)
