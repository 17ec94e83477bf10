"""The smallest ordinary boto3 program: who am I. With `each`: once for every line of stdin."""

import sys

import boto3

try:
    sts = boto3.client("sts")  # looks for credentials already
    for _ in sys.stdin if sys.argv[1:] == ["each"] else [""]:
        print("arn", sts.get_caller_identity()["Arn"], flush=True)
except Exception as error:  # noqa: BLE001  whatever an SDK raises is what its user reads
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
