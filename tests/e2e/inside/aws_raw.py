"""What no SDK would send, signed with the keys that the sandbox has: aws_raw.py WHAT"""

import hashlib
import hmac
import http.client
import os
import ssl
import sys

from botocore.auth import S3SigV4QueryAuth, SigV4Auth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HOST = "s3.us-east-1.amazonaws.com"


def own():
    return Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"],
                       os.environ.get("AWS_SESSION_TOKEN"))


def signed(method, path, keys=None, headers=None, data=b"", how=S3SigV4Auth, service="s3",
           host=HOST):
    request = AWSRequest(method, "https://" + host + path, dict(headers or {}), data)
    how(keys or own(), service, "us-east-1").add_auth(request)
    return request


def send(method, path, headers, data=b"", host=HOST):
    connection = http.client.HTTPSConnection(host, context=ssl.create_default_context())
    connection.request(method, path, data, dict(headers))
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    print(response.status, response.headers.get("X-Moat-Reason") or text)


def target(request):
    return request.url.split(HOST, 1)[1]


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def chunks(trailer, damage=False):
    data = [b"a" * 65536, b"b" * 65536, b"c" * 1000, b""]
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {"X-Amz-Content-SHA256": kind, "Content-Encoding": "aws-chunked",
               "x-amz-decoded-content-length": str(sum(map(len, data)))}
    if trailer:
        headers["x-amz-trailer"] = "x-amz-checksum-crc32c"

    class Auth(S3SigV4Auth):
        def payload(self, request):
            return kind

        def _modify_request_before_signing(self, request):
            super()._modify_request_before_signing(request)
            del request.headers["X-Amz-Content-SHA256"]
            request.headers["X-Amz-Content-SHA256"] = kind

    request = signed("PUT", "/bucket/chunks-" + str(trailer), headers=headers, how=Auth)
    last = request.headers["Authorization"].rsplit("=", 1)[1]
    date = request.headers["X-Amz-Date"]
    scope = "/".join((date[:8], "us-east-1", "s3", "aws4_request"))
    key = mac(mac(mac(mac(b"AWS4" + own().secret_key.encode(), date[:8]), "us-east-1"), "s3"),
              "aws4_request")
    body = b""
    for chunk in data:
        text = "\n".join(("AWS4-HMAC-SHA256-PAYLOAD", date, scope, last,
                          hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()))
        last = mac(key, text).hex()
        body += b"%x;chunk-signature=%s\r\n" % (len(chunk), last.encode())
        body += chunk + (b"\r\n" if chunk or not trailer else b"")
    if trailer:
        line = "x-amz-checksum-crc32c:sOO8/Q=="
        text = "\n".join(("AWS4-HMAC-SHA256-TRAILER", date, scope, last,
                          hashlib.sha256((line + "\n").encode()).hexdigest()))
        body += (line + "\r\nx-amz-trailer-signature:" + mac(key, text).hex() + "\r\n\r\n").encode()
    if damage:
        body = body.replace(b"bbb", b"bxb", 1)
    send("PUT", target(request), request.headers.items(), body)


def several_regions():
    from awscrt.auth import (AwsCredentialsProvider, AwsSignatureType, AwsSignedBodyHeaderType,
                             AwsSigningAlgorithm, AwsSigningConfig, aws_sign_request)
    from awscrt.http import HttpHeaders, HttpRequest
    for kind in (AwsSignatureType.HTTP_REQUEST_HEADERS, AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS):
        presigned = kind == AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS
        request = HttpRequest("GET", "/bucket/chunks%20and%2Bmore?versionId=1",
                              HttpHeaders([("Host", HOST)]))
        config = AwsSigningConfig(
            algorithm=AwsSigningAlgorithm.V4_ASYMMETRIC, signature_type=kind, region="*",
            service="s3", use_double_uri_encode=False, should_normalize_uri_path=False,
            signed_body_value="UNSIGNED-PAYLOAD",
            signed_body_header_type=AwsSignedBodyHeaderType.NONE if presigned else
            AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256, expiration_in_seconds=60 if presigned else None,
            credentials_provider=AwsCredentialsProvider.new_static(own().access_key,
                                                                   own().secret_key))
        signed = aws_sign_request(request, config).result()
        send("GET", signed.path, {name: value for name, value in signed.headers if name != "Host"})


def main(what):
    foreign = Credentials("AKIAFOREIGNFOREIGN00", "of-somebody-else", None)
    if what == "changed":
        request = signed("PUT", "/bucket/one", data=b"x")
        send("PUT", "/bucket/two", request.headers.items(), b"x")
    elif what == "foreign":
        request = signed("PUT", "/bucket/stolen", keys=foreign, data=b"x")
        send("PUT", "/bucket/stolen", request.headers.items(), b"x")
    elif what == "foreign-presigned":
        request = AWSRequest("PUT", "https://%s/bucket/stolen" % HOST)
        S3SigV4QueryAuth(foreign, "s3", "us-east-1", 60).add_auth(request)
        send("PUT", target(request), {})
    elif what == "forged":  # by the name of our key, but not with it
        keys = Credentials(own().access_key, "of-somebody-else", None)
        request = signed("GET", "/bucket/key", keys=keys)
        send("GET", "/bucket/key", request.headers.items())
    elif what == "body":  # another than was signed, where only the body itself says so
        host = "dynamodb.us-east-1.amazonaws.com"
        request = signed("POST", "/", data=b"{}", how=SigV4Auth, service="dynamodb", host=host,
                         headers={"X-Amz-Target": "DynamoDB_20120810.ListTables"})
        send("POST", "/", request.headers.items(), b"{ }", host)
    elif what == "bearer":
        send("GET", "/open", {"Authorization": "Bearer foreign", "X-Amz-Security-Token": "foreign"})
    elif what == "huge":
        host = "dynamodb.us-east-1.amazonaws.com"
        data = b"x" * (17 << 20)
        request = signed("POST", "/", data=data, how=SigV4Auth, service="dynamodb", host=host)
        try:
            send("POST", "/", request.headers.items(), data, host)
        except OSError:  # the answer came while we were still sending
            print("413")
    elif what == "customer":
        host = "abc.execute-api.us-east-1.amazonaws.com"
        request = signed("GET", "/", how=SigV4Auth, service="iam", host=host)
        send("GET", "/", request.headers.items(), b"", host)
    elif what == "echo":
        host = "abc.execute-api.us-east-1.amazonaws.com"
        request = signed("GET", "/", how=SigV4Auth, service="execute-api", host=host)
        send("GET", "/", request.headers.items(), b"", host)
    elif what == "old":
        send("GET", "/bucket/key?AWSAccessKeyId=AKIA&Signature=x&Expires=9999999999", {})
    elif what == "several-regions":
        several_regions()
    elif what == "chunks":
        chunks(False)
        chunks(True)
    elif what == "damaged-chunks":
        chunks(False, damage=True)


main(sys.argv[1])
