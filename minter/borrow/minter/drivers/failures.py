"""What the cloud or the way to it said, as one of our errors: which to retry, which to show.

No text reaches a person unescaped, and none with a secret in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.exceptions import BotoCoreError

THROTTLED = 5.0  # seconds to wait after a throttle that names no time
LATER = 2.0  # seconds to wait after any other failure of the other side
LONGEST_WAIT = 60.0  # seconds; what a Retry-After may ask of us

_THROTTLES = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "TooManyRequestsException",
        "SlowDown",
        "BandwidthLimitExceeded",
    }
)
_FAILURES = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "IDPCommunicationError",  # STS could not fetch the issuer's documents in time
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
_BASE_KEYS = "check the base keys: borrow keys list"
_ISSUER = "check the issuer's documents and the identity provider in the account"
_HINTS = {
    "AccessDenied": (
        "let the role's trust policy name the minter's identity and allow sts:TagSession and"
        ' sts:SetSourceIdentity, or set chain = "none" for the role'
    ),
    "MalformedPolicyDocument": "check the session policy of the request",
    "PackedPolicyTooLarge": "shorten the session policy of the request",
    "ValidationError": "compare `mint` in the policy with the role's MaxSessionDuration",
    "InvalidClientTokenId": _BASE_KEYS,
    "InvalidAccessKeyId": _BASE_KEYS,
    "SignatureDoesNotMatch": _BASE_KEYS,
    "UnrecognizedClientException": _BASE_KEYS,
    "ExpiredToken": "the base session is over: borrow keys mfa",
    "ExpiredTokenException": "compare the clock of the minter with the cloud's",
    "RequestExpired": "compare the clock of the minter with the cloud's",
    "InvalidIdentityToken": _ISSUER,
    "IDPRejectedClaim": _ISSUER,
    "RegionDisabledException": "enable STS for that region, or set another one for the driver",
}
# AWS answers these with the canonical request, session token included.
_ECHOES = frozenset({"SignatureDoesNotMatch", "IncompleteSignature", "InvalidSignatureException"})


def told(said: Mapping[str, Any], secrets: tuple[str, ...]) -> BorrowError:
    """What an error answer means. `secrets` are cut out of the text that people get to see."""
    error, meta = said.get("Error") or {}, said.get("ResponseMetadata") or {}
    status = meta.get("HTTPStatusCode")
    status = status if isinstance(status, int) else 0
    code = str(error.get("Code") or f"HTTP {status}")  # Ceph names no code
    name = shown(code, 64)
    if code in _THROTTLES or status == 429:
        return Unavailable(
            f"the cloud asks to be called less often ({name})",
            retry_after=_wait(meta, THROTTLED),
        )
    if code in _FAILURES or status >= 500:
        return Unavailable(f"the cloud has a failure ({name})", retry_after=_wait(meta, LATER))
    text = "" if code in _ECHOES else str(error.get("Message") or "")
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    return Refused(
        f"the cloud refused ({name})" + (f": {shown(text)}" if text else ""),
        hint=_HINTS.get(code) or _HINTS.get(code.removesuffix("Exception"), ""),
        state="cloud_refused",
    )


def _wait(meta: Mapping[str, Any], usual: float) -> float:
    asked = str((meta.get("HTTPHeaders") or {}).get("retry-after", ""))
    if not asked.isascii() or not asked.isdecimal():
        return usual
    return min(max(float(asked[:6]), 1.0), LONGEST_WAIT)


def failed(exc: BotoCoreError) -> BorrowError:
    """The text of these names hosts, and parameters with their values: only the class is told."""
    from botocore import exceptions as theirs

    name = type(exc).__name__
    if isinstance(exc, theirs.SSLError):
        return Unavailable(
            "the cloud's certificate was not accepted",
            hint="behind a proxy that opens TLS, set AWS_CA_BUNDLE for the minter",
            retry_after=LATER,
        )
    if isinstance(exc, theirs.ConnectionError | theirs.HTTPClientError):
        return Unavailable(f"the cloud did not answer ({name})", retry_after=LATER)
    return Misconfigured(
        f"the cloud was not called ({name})",
        hint="check the role's ARN, and region and endpoint_url of the cloud driver",
    )
