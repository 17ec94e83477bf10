"""The one place that talks to STS through boto3: clients, deadlines, and foreign errors into ours.

Owns three promises. Nothing of the machine's AWS configuration (profiles, environment) decides
where a call goes or with which keys. Nothing botocore raises leaves as itself. Nothing botocore
would log at DEBUG, which is whole requests and answers, reaches a log. boto3 is imported late.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from borrow.minter.drivers import failures
from borrow.minter.drivers.failures import LATER
from borrow.minter.drivers.lifetime import credential_end
from borrow.protocol.credentials import AwsCredentials
from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from boto3.session import Session
    from types_boto3_sts import STSClient

    from borrow.minter.basekeys import BaseKeys
    from borrow.minter.drivers.lifetime import Span

logger = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_WITHIN = 5.0  # seconds; somebody waits, so a dead path must show soon
ANSWER_WITHIN = 10.0  # seconds; STS answers in well under one
ATTEMPTS = 2  # in all: the authority and the daemon retry too


class Cloud:
    """STS at one place. Thread-safe; a client is cheap (1 ms) once the first was made."""

    def __init__(
        self, endpoint_url: str | None, region: str, *, answer_within: float = ANSWER_WITHIN
    ) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._answer_within = answer_within
        self._lock = threading.Lock()
        self._session: Session | None = None

    def signed(self, keys: BaseKeys) -> STSClient:
        """A client for one call: it is dropped with the keys it holds."""
        return self._client(
            {}, (keys.access_key_id, keys.secret_access_key, keys.session_token or None)
        )

    def unsigned(self) -> STSClient:
        """For AssumeRoleWithWebIdentity, which carries its own proof."""
        from botocore import UNSIGNED

        return self._client({"signature_version": UNSIGNED}, (None, None, None))

    def _client(
        self, config: dict[str, Any], keys: tuple[str | None, str | None, str | None]
    ) -> STSClient:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config |= {
            "connect_timeout": CONNECT_WITHIN,
            "read_timeout": self._answer_within,
            "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
            "ignore_configured_endpoint_urls": True,
        }
        try:
            with self._lock:  # a boto3 session is not thread-safe, its clients are
                self._session = self._session or _session()
                return self._session.client(
                    "sts",
                    region_name=self._region,
                    endpoint_url=self._endpoint_url,
                    config=Config(**config),
                    aws_access_key_id=keys[0],
                    aws_secret_access_key=keys[1],
                    aws_session_token=keys[2],
                )
        except (BotoCoreError, ValueError):
            place = shown(self._endpoint_url or self._region, 100)
            raise Misconfigured(
                f"no cloud can be reached at '{place}'",
                hint="check region and endpoint_url of the cloud driver",
            ) from None


def ask(call: Callable[[], T], *secrets: str) -> T:
    """Do one `call`; raises Refused (`cloud_refused`), Unavailable or Misconfigured.

    `secrets` are cut out of whatever the other side says. Our error is raised outside the handler:
    chained to botocore's, a traceback would print the answer it holds.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    hush()
    error: BorrowError
    try:
        return call()
    except ClientError as exc:
        error = failures.told(exc.response, secrets)
    except BotoCoreError as exc:
        error = failures.failed(exc)
    except Exception:  # noqa: BLE001  its parsers raise whatever odd bytes make them raise
        error = Unavailable("the cloud's answer could not be read", retry_after=LATER)
    logger.warning(
        "the cloud did not hand out a session",
        extra={"state": error.state, "why": error.message},
    )
    raise error


def credentials(answer: Mapping[str, Any]) -> tuple[AwsCredentials, float]:
    """The session in an AssumeRole* or GetSessionToken answer, and the Expiration it states.

    `expires_at` is still the stated one; raises Unavailable if a part is missing.
    """
    raw = answer.get("Credentials")
    raw = raw if isinstance(raw, dict) else {}
    texts = [raw.get(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    try:
        stated = float(raw["Expiration"].timestamp())
    except (KeyError, AttributeError, ValueError, OverflowError):
        stated = 0.0
    if not all(isinstance(text, str) and text for text in texts) or stated <= 0:
        raise Unavailable("the cloud's answer holds no whole session", retry_after=LATER)
    access_key_id, secret, token = (str(text) for text in texts)
    return AwsCredentials(access_key_id, secret, token, int(stated)), stated


def session_of(answer: Mapping[str, Any], span: Span, now: float) -> AwsCredentials:
    """The credential that `answer` makes for a grant: it ends where `span` says at the latest."""
    found, stated = credentials(answer)
    return AwsCredentials(
        found.access_key_id,
        found.secret_access_key,
        found.session_token,
        credential_end(span, stated, now),
    )


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def hush() -> None:
    """Drop what the HTTP stack says at DEBUG, whatever level somebody set.

    botocore logs parameters, signed headers and raw answers there. A filter on each logger holds
    where a level does not: `boto3.set_stream_logger` and friends set levels.
    """
    known = logging.getLogger().manager.loggerDict
    for name in tuple(known):
        if name.partition(".")[0] in ("botocore", "boto3", "urllib3"):
            logging.getLogger(name).addFilter(_above_debug)  # adding it again adds nothing


def _session() -> Session:
    """A session that knows no profile, file or environment: only what the minter was given."""
    import boto3.session
    import botocore.session

    def fixed(value: str | None) -> tuple[None, None, str | None, None]:
        return (None, None, value, None)  # no configuration name, no environment variable

    own = botocore.session.Session(
        session_vars={
            "profile": fixed(None),
            "config_file": fixed(os.devnull),
            "credentials_file": fixed(os.devnull),
        }
    )
    return boto3.session.Session(botocore_session=own)
