"""An ordinary worker: removes the jobs of a queue, and tries again a second after a failure."""

import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import borrow.boto

session = boto3.Session()
borrow.boto.install(session)
s3 = session.client("s3", config=Config(s3={"addressing_style": "path"}))
for job in s3.list_objects_v2(Bucket="work", Prefix="queue/")["Contents"]:
    while True:
        try:
            s3.delete_object(Bucket="work", Key=job["Key"])
            break
        except ClientError as error:
            print(f"not yet: {error}", flush=True)
            time.sleep(1)
print("the queue is empty", flush=True)
