"""The smallest ordinary boto3 program: who am I, COUNT times with PAUSE seconds between."""

import sys
import time

import boto3

count = int(sys.argv[1]) if len(sys.argv) > 1 else 1
pause = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
try:
    sts = boto3.client("sts")  # looks for credentials already
    for call in range(count):
        time.sleep(pause if call else 0)
        print("arn", sts.get_caller_identity()["Arn"], flush=True)
except Exception as error:  # noqa: BLE001  whatever an SDK raises is what its user reads
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
