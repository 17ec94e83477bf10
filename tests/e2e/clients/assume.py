"""An ordinary boto3 program: for every line of stdin become the role ARN, and go on if denied.

`assume.py ARN plug-in` has the two lines of `borrow.boto` in it.
"""

import sys

import boto3
from botocore.exceptions import ClientError

session = boto3.Session()
if sys.argv[2:] == ["plug-in"]:
    import borrow.boto

    borrow.boto.install(session)
sts = session.client("sts")
for _ in sys.stdin:
    try:
        sts.assume_role(RoleArn=sys.argv[1], RoleSessionName="next")
        print("done", flush=True)
    except ClientError as error:
        print(f"no {error}", flush=True)
