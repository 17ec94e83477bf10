"""The smallest ordinary boto3 program: get one object, print its length or the error."""

import sys

import boto3
from botocore.config import Config

s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
    try:
        body = s3.get_object(Bucket="lab", Key="k")["Body"].read()
    except Exception as error:  # noqa: BLE001  whatever an SDK raises is what its user reads
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"got {len(body)} bytes", flush=True)
