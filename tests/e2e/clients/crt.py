"""Who am I, by the AWS Common Runtime's own chain. With `each`: for every line of stdin.

For the system's Python, which has Debian's python3-awscrt: the AWS CLI v2 brings it, and makes the
call itself with what the chain found.
"""

import os
import sys

from awscli.botocore.session import Session  # type: ignore[import-untyped]  # Debian's
from awscrt import auth, io  # type: ignore[import-not-found]  # Debian's

WAIT = 120  # seconds
group = io.EventLoopGroup(1)
chain = auth.AwsCredentialsProvider.new_default_chain(
    io.ClientBootstrap(group, io.DefaultHostResolver(group))
)


def who() -> str:
    found = chain.get_credentials().result(WAIT)
    session = Session()
    session.set_credentials(found.access_key_id, found.secret_access_key, found.session_token)
    sts = session.create_client("sts", "us-east-1", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    return str(sts.get_caller_identity()["Arn"])


try:
    for _ in sys.stdin if sys.argv[1:] == ["each"] else [""]:
        print("arn", who(), flush=True)
except Exception as error:  # noqa: BLE001  whatever it raises is what its user reads
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
