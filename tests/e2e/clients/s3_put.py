"""The smallest ordinary boto3 program that writes: puts one object, or prints the error."""

import sys

import boto3
from botocore.config import Config

s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
try:
    s3.put_object(Bucket="lab", Key="x", Body=b"x")
except Exception as error:  # noqa: BLE001  whatever an SDK raises is what its user reads
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
