"""A server that is as strict about AWS's signatures as AWS is: its own code, by the documentation.

What is not signed with a key that it knows, over exactly what it got, is answered 403. Behind that
are an S3 of one's own, a DynamoDB with one table, and the calls of STS and IAM that tests make.
"""

import base64
import calendar
import hashlib
import hmac
import http.server
import json
import re
import secrets
import ssl
import subprocess
import threading
import time
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ("*.amazonaws.com", "*.us-east-1.amazonaws.com", "*.s3.us-east-1.amazonaws.com",
         "*.s3.amazonaws.com", "*.execute-api.us-east-1.amazonaws.com", "minio.example.test",
         "*.minio.example.test")


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def asymmetric_key(access_key, secret):
    """Signature Version 4A's: NIST SP 800-108 in counter mode."""
    order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
    for counter in range(1, 255):
        fixed = (b"\0\0\0\1AWS4-ECDSA-P256-SHA256\0" + access_key.encode() + bytes([counter]) +
                 b"\0\0\1\0")
        number = int.from_bytes(hmac.new(b"AWS4A" + secret.encode(), fixed, hashlib.sha256).digest(),
                                "big")
        if number <= order - 2:
            return ec.derive_private_key(number + 1, ec.SECP256R1())
    raise Refused("no key")


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Refused(Exception):
    pass


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")
        self.parameters = urllib.parse.parse_qsl(self.query, keep_blank_values=True)

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name]
        return values[0] if values else None


class Verifier:
    """keys: {access key: (secret key, session token or None)}"""

    def __init__(self):
        self.keys = {}

    def canonical(self, request, service, signed, payload):
        if service == "s3":
            path = urllib.parse.quote(urllib.parse.unquote_to_bytes(request.path), safe="/~")
        else:
            path = urllib.parse.quote(re.sub("//+", "/", request.path), safe="/~")
        quoted = sorted((urllib.parse.quote(name, safe="~"), urllib.parse.quote(value, safe="~"))
                        for name, value in request.parameters if name != "X-Amz-Signature")
        lines = [request.method, path or "/", "&".join("=".join(pair) for pair in quoted)]
        for name in signed:
            values = [" ".join(value.split()) for key, value in request.headers
                      if key.lower() == name]
            if not values:
                raise Refused("a signed header is missing: " + name)
            lines.append(name + ":" + ",".join(values))
        return "\n".join(lines + ["", ";".join(signed), payload])

    def check(self, request):
        parameters = dict(request.parameters)
        authorization = request.header("authorization")
        if "X-Amz-Signature" in parameters:
            credential = parameters["X-Amz-Credential"]
            signed = parameters["X-Amz-SignedHeaders"].split(";")
            signature = parameters["X-Amz-Signature"]
            date = parameters["X-Amz-Date"]
            token = parameters.get("X-Amz-Security-Token")
            algorithm = parameters["X-Amz-Algorithm"]
        elif authorization and authorization.startswith("AWS4-"):
            algorithm, _, rest = authorization.partition(" ")
            parts = dict(part.strip().split("=", 1) for part in rest.split(","))
            credential, signature = parts["Credential"], parts["Signature"]
            signed = parts["SignedHeaders"].split(";")
            date = request.header("x-amz-date")
            token = request.header("x-amz-security-token")
        else:
            raise Refused("not signed")
        several = algorithm == "AWS4-ECDSA-P256-SHA256"
        if not several and algorithm != "AWS4-HMAC-SHA256":
            raise Refused("unknown algorithm")
        access_key, day, *region, service, end = credential.split("/")
        if len(region) != (0 if several else 1):
            raise Refused("malformed")
        region = "".join(region)
        if access_key not in self.keys:
            raise Refused("unknown key " + access_key)
        secret, wanted_token = self.keys[access_key]
        if token != wanted_token:
            raise Refused("not the token of this key")
        if end != "aws4_request" or not date.startswith(day) or signed != sorted(signed):
            raise Refused("malformed")
        if abs(calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")) - time.time()) > 900:
            raise Refused("too old")
        unsigned = [key.lower() for key, value in request.headers
                    if key.lower().startswith("x-amz-") and key.lower() not in signed]
        if authorization and (unsigned or "host" not in signed):
            raise Refused("headers are not signed: %s" % unsigned)
        stated = request.header("x-amz-content-sha256")
        payload = stated or ("UNSIGNED-PAYLOAD" if "X-Amz-Signature" in parameters and
                             service == "s3" else sha(request.body))
        if re.fullmatch("[0-9a-f]{64}", payload) and payload != sha(request.body):
            raise Refused("the body does not fit its hash")
        key = mac(mac(mac(mac(b"AWS4" + secret.encode(), day), region), service), "aws4_request")
        scope = credential.split("/", 1)[1]
        text = "\n".join((algorithm, date, scope,
                          sha(self.canonical(request, service, signed, payload).encode())))
        if several:
            try:
                asymmetric_key(access_key, secret).public_key().verify(
                    bytes.fromhex(signature), text.encode(), ec.ECDSA(hashes.SHA256()))
            except InvalidSignature:
                raise Refused("SignatureDoesNotMatch")
        elif not hmac.compare_digest(mac(key, text).hex(), signature):
            raise Refused("SignatureDoesNotMatch")
        data = request.body
        if payload.startswith("STREAMING-"):
            data = self.unchunk(request, payload, key, date, scope, signature)
        return {"key": access_key, "algorithm": algorithm, "service": service, "region": region, "payload": payload,
                "presigned": "X-Amz-Signature" in parameters, "data": data}

    def unchunk(self, request, payload, key, date, scope, last):
        data, rest = b"", request.body
        signed = "HMAC" in payload
        while True:
            line, _, rest = rest.partition(b"\r\n")
            size, _, signature = line.decode().partition(";chunk-signature=")
            count = int(size, 16)
            chunk = rest[:count]
            if signed:
                text = "\n".join(("AWS4-HMAC-SHA256-PAYLOAD", date, scope, last, sha(b""), sha(chunk)))
                last = mac(key, text).hex()
                if last != signature:
                    raise Refused("a chunk is not signed as it should be")
            data += chunk
            if count == 0:
                break
            if rest[count:count + 2] != b"\r\n":
                raise Refused("no chunk")
            rest = rest[count + 2:]
        if payload.endswith("-TRAILER"):
            lines = rest.decode().split("\r\n")
            trailers = [line for line in lines if line and "trailer-signature" not in line]
            if not trailers:
                raise Refused("no trailer")
            if signed:
                canonical = "".join(line + "\n" for line in sorted(trailers))
                text = "\n".join(("AWS4-HMAC-SHA256-TRAILER", date, scope, last,
                                  sha(canonical.encode())))
                if "x-amz-trailer-signature:" + mac(key, text).hex() not in lines:
                    raise Refused("the trailer is not signed as it should be")
        if len(data) != int(request.header("x-amz-decoded-content-length")):
            raise Refused("the decoded length is another")
        return data


class AwsOrigin:
    def __init__(self, directory, pki):
        directory.mkdir()
        subprocess.run([str(pki), str(directory), *NAMES], check=True)
        self.ca = directory / "ca.crt"
        self.verifier = Verifier()
        self.seen = []  # what was asked, and how that was judged
        self.objects = {}
        self.uploads = {}
        self.items = {}
        self.role_seconds = 3600
        self.role_denied = False
        self.roles = []  # form of each AssumeRole
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = self.headers.get("Content-Length")
                if length is not None:
                    body = self.rfile.read(int(length))
                else:
                    body = b""
                    while "chunked" in self.headers.get("Transfer-Encoding", ""):
                        count = int(self.rfile.readline().strip(), 16)
                        body += self.rfile.read(count)
                        self.rfile.readline()
                        if count == 0:
                            break
                request = Request(self.command, self.path, list(self.headers.items()), body)
                status, kind, answer = origin.answer(request)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("ETag", '"%s"' % hashlib.md5(answer).hexdigest())
                self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                self.end_headers()
                try:
                    if self.command != "HEAD":
                        self.wfile.write(answer)
                except OSError:  # who asked has gone
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

            def log_message(self, *words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # clients come and go

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "origin.crt", directory / "origin.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        host = request.header("host").split(":")[0]
        entry = {"host": host, "method": request.method, "target": request.target,
                 "headers": request.headers, "good": False, "why": ""}
        self.seen.append(entry)
        if request.path == "/open":  # asks for nothing, and says what it got
            return 200, "text/plain", repr(request.headers).encode()
        try:
            found = self.verifier.check(request)
        except (Refused, ValueError, KeyError) as why:
            entry["why"] = str(why)
            # As AWS does, with all that it got.
            return 403, "application/xml", ("<Error><Code>SignatureDoesNotMatch</Code><Message>%s"
                                            "</Message><Got>%s</Got></Error>" %
                                            (why, request.headers)).encode()
        entry.update(found, good=True)
        if found["service"] == "s3":
            return self.s3(request, host, found["data"])
        if found["service"] == "dynamodb":
            return self.dynamodb(request)
        if found["service"] in ("sts", "iam"):
            return self.query(request, found)
        if found["service"] == "execute-api":
            return 200, "text/plain", repr(request.headers).encode()
        return 400, "text/plain", b"no such service"

    def s3(self, request, host, data):
        names = dict(request.parameters)
        bucket = host.split(".s3.")[0] if ".s3." in host else ""
        name = bucket + urllib.parse.unquote(request.path)
        xml = "application/xml"
        if request.method == "POST" and "uploads" in names:
            return 200, xml, (b"<InitiateMultipartUploadResult><UploadId>u1</UploadId>"
                              b"</InitiateMultipartUploadResult>")
        if request.method == "PUT" and "partNumber" in names:
            self.uploads.setdefault(name, {})[int(names["partNumber"])] = data
            return 200, xml, b""
        if request.method == "POST" and "uploadId" in names:
            parts = self.uploads.pop(name)
            self.objects[name] = b"".join(parts[number] for number in sorted(parts))
            return 200, xml, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"
        if request.method == "PUT":
            self.objects[name] = data
            return 200, xml, b""
        if name in self.objects:
            return 200, "application/octet-stream", self.objects[name]
        return 404, xml, b"<Error><Code>NoSuchKey</Code></Error>"

    def dynamodb(self, request):
        target = request.header("x-amz-target").split(".")[1]
        body = json.loads(request.body)
        answer = {}
        if target == "PutItem":
            self.items[body["Item"]["id"]["S"]] = body["Item"]
        elif target == "GetItem":
            answer = {"Item": self.items[body["Key"]["id"]["S"]]}
        elif target == "ListTables":
            answer = {"TableNames": ["things"]}
        return 200, "application/x-amz-json-1.0", json.dumps(answer).encode()

    def query(self, request, found):
        form = dict(urllib.parse.parse_qsl(request.body.decode() or request.query))
        action = form.get("Action")
        if action == "GetCallerIdentity":
            inner = ("<Arn>arn:aws:iam::123456789012:user/%s</Arn><UserId>AIDA</UserId>"
                     "<Account>123456789012</Account>" % found["key"])
        elif action == "ListUsers":
            inner = "<Users><member><UserName>somebody</UserName><Path>/</Path></member></Users>"
        elif action == "AssumeRole" and not self.role_denied:
            self.roles.append(form)
            key = "ASIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOP") for _ in range(16))
            secret = base64.b64encode(secrets.token_bytes(30)).decode()
            token = base64.b64encode(secrets.token_bytes(120)).decode()
            self.verifier.keys[key] = (secret, token)
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.role_seconds))
            inner = ("<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s"
                     "</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration>"
                     "</Credentials><AssumedRoleUser><Arn>%s/%s</Arn></AssumedRoleUser>" %
                     (key, secret, token, until, form["RoleArn"], form["RoleSessionName"]))
        else:
            return 403, "text/xml", ("<ErrorResponse><Error><Code>AccessDenied</Code><Message>User "
                                     "is not authorized to perform: sts:%s</Message></Error>"
                                     "</ErrorResponse>" % action).encode()
        return 200, "text/xml", ("<%sResponse><%sResult>%s</%sResult></%sResponse>" %
                                 (action, action, inner, action, action)).encode()
