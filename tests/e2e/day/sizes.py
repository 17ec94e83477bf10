"""An ordinary report: the size of each object."""

import boto3
from botocore.config import Config

s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
for each in s3.list_objects_v2(Bucket="work")["Contents"]:
    print(each["Size"], each["Key"])
