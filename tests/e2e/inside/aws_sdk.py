"""What boto3 does in a day: objects small and large, presigned URLs, tables, identities."""

import io
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
s3.put_object(Bucket="bucket", Key="a folder/ü+(1).txt", Body=b"small", Metadata={"of": "mine, all"})
assert s3.get_object(Bucket="bucket", Key="a folder/ü+(1).txt")["Body"].read() == b"small"
# aws-chunked, with its checksum in a trailer.
s3.put_object(Bucket="bucket", Key="checked", Body=io.BytesIO(b"c" * 300_000),
              ChecksumAlgorithm="CRC32")
assert s3.get_object(Bucket="bucket", Key="checked")["Body"].read() == b"c" * 300_000
large = bytes(range(256)) * 50_000
s3.upload_fileobj(io.BytesIO(large), "bucket", "large", Config=TransferConfig(
    multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
assert s3.get_object(Bucket="bucket", Key="large")["Body"].read() == large

url = s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a folder/ü+(1).txt"})
assert urllib.request.urlopen(url).read() == b"small"
url = s3.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "by url"})
urllib.request.urlopen(urllib.request.Request(url, b"put", method="PUT",
                                              headers={"Content-Type": ""}))
assert s3.get_object(Bucket="bucket", Key="by url")["Body"].read() == b"put"

dynamodb = boto3.client("dynamodb")
item = {"id": {"S": "1"}, "text": {"S": "x" * 100_000}}
dynamodb.put_item(TableName="things", Item=item)
assert dynamodb.get_item(TableName="things", Key={"id": {"S": "1"}})["Item"] == item
sts = boto3.client("sts")
assert sts.get_caller_identity()["Account"] == "123456789012"
assert b"GetCallerIdentityResult" in urllib.request.urlopen(
    sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")).read()
assert boto3.client("iam").list_users()["Users"][0]["UserName"] == "somebody"
print("all of it")
