"""An ordinary script: it knows boto3 and a bucket, and has never heard of Borrow.

`python report.py BUCKET` reads the month's figures, then clears the queue behind them.
"""

from __future__ import annotations

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def main(bucket: str) -> int:
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    try:
        figures = s3.get_object(Bucket=bucket, Key="figures.csv")["Body"].read()
        print(f"read    s3://{bucket}/figures.csv: {len(figures.splitlines())} lines", flush=True)
        s3.delete_object(Bucket=bucket, Key="queue/stuck-job")
        print(f"deleted s3://{bucket}/queue/stuck-job", flush=True)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        print(f"{code}: {error.operation_name} was refused by the cloud", flush=True)
        return 1
    except BotoCoreError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
