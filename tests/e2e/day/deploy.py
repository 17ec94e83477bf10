"""Stands in for Terraform: `plan` reads; `apply` takes a lock, makes parts at gates, unlocks.

As there, whatever goes wrong in the middle leaves the lock behind.
"""

import os
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config

GATES = 3
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))


def plan() -> None:
    s3.get_object(Bucket="tf-work", Key="given")["Body"].read()
    print(f"Plan: {GATES + 1} to add, 0 to change, 0 to destroy.")


def apply(gates: Path) -> None:
    s3.put_object(Bucket="tf-state", Key="env:/day/lab.tflock", Body=b"held")
    for number in range(GATES + 1):
        if number:
            (gates / f"at{number}").touch()
            while not (gates / str(number)).exists():
                time.sleep(0.05)
        s3.put_object(Bucket="tf-work", Key=f"day/part{number}", Body=b"made")
    s3.delete_object(Bucket="tf-state", Key="env:/day/lab.tflock")
    print(f"Apply complete! Resources: {GATES + 1} added, 0 changed, 0 destroyed.")


if sys.argv[1] == "plan":
    plan()
else:
    apply(Path(os.environ["DEPLOY_GATES"]))
