"""Who am I, by the AWS Common Runtime's own chain (aws-c-auth). With `each`: for every line of stdin.

For the system's Python, which has Debian's python3-awscrt: the AWS CLI v2 brings it.
"""

import os
import re
import sys
from urllib.parse import urlsplit

from awscrt import auth, http, io

WAIT = 120
place = urlsplit(os.environ["AWS_ENDPOINT_URL"])
group = io.EventLoopGroup(1)
bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
chain = auth.AwsCredentialsProvider.new_default_chain(bootstrap)


def who() -> str:
    credentials = chain.get_credentials().result(WAIT)
    headers = http.HttpHeaders([("host", f"{place.hostname}:{place.port}")])
    request = http.HttpRequest("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", headers)
    config = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            credentials.access_key_id,
            credentials.secret_access_key,
            credentials.session_token,
        ),
        region="us-east-1",
        service="sts",
    )
    signed = auth.aws_sign_request(request, config).result(WAIT)
    line = http.HttpClientConnection.new(place.hostname, place.port, bootstrap).result(WAIT)
    parts: list[bytes] = []
    stream = line.request(signed, on_body=lambda http_stream, chunk: parts.append(bytes(chunk)))
    stream.activate()
    stream.completion_future.result(WAIT)
    found = re.search(r"arn:[^<]*", b"".join(parts).decode())
    return found[0] if found else b"".join(parts).decode()


try:
    for _ in sys.stdin if sys.argv[1:] == ["each"] else [""]:
        print("arn", who(), flush=True)
except Exception as error:  # noqa: BLE001  whatever it raises is what its user reads
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
