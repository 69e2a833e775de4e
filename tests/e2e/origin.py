#!/usr/bin/python3
"""An origin on loopback that stands for api.github.com, github.com and others.

Keeps a log of every request exactly as it arrived, one JSON object a line: that log, outside of
the sandbox, is the witness of what went over the wire.

usage: origin.py --dir PKI --log FILE --ready FILE [--token-file FILE] [--git ROOT]

Writes "HTTPS_PORT HTTP_PORT TCP_PORT" to the ready file once it listens, and ends when its
standard input does: a test that dies takes its origin along.
"""

import argparse
import base64
import gzip
import hashlib
import http.server
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse


def pattern(length, start=0):
    """Bytes that differ at every place, so that a cut, a swap or a repeat shows."""
    block = b"".join(hashlib.sha256(i.to_bytes(8, "big")).digest() for i in range(2048))
    out = bytearray()
    while len(out) < length:
        out += block
    return bytes(out[:length])


class Origin:
    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.log = open(options.log, "a", encoding="utf-8")
        self.token = pathlib.Path(options.token_file).read_text().strip() if options.token_file else ""
        # Device-flow answers, taken in turn; the last one stays.
        self.device_answers = ["authorization_pending", "slow_down", "token"]

    def note(self, entry):
        entry["time"] = time.time()
        with self.lock:
            self.log.write(json.dumps(entry) + "\n")
            self.log.flush()

    def authorized(self, value):
        if value is None:
            return False
        basic = base64.b64encode(b"x-access-token:" + self.token.encode()).decode()
        return value in ("Bearer " + self.token, "token " + self.token, "Basic " + basic)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "origin"
    origin = None

    def log_message(self, *args):
        pass

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            out = bytearray()
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                out += self.rfile.read(size)
                line = self.rfile.readline()
                if size == 0:
                    while line.strip():
                        name, _, value = line.decode("latin-1").partition(":")
                        self.trailers[name.strip().lower()] = value.strip()
                        line = self.rfile.readline()
                    return bytes(out)
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def answer(self, status, body=b"", kind="application/json", headers=()):
        if isinstance(body, (dict, list)):
            body = json.dumps(body, indent=1).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self):
        self.trailers = {}
        body = self.body()
        self.origin.note({
            "tls": isinstance(self.connection, ssl.SSLSocket),
            "sni": getattr(self.connection, "sni", None),
            "method": self.command,
            "host": self.headers.get("Host"),
            "path": self.path,
            "headers": self.headers.items(),
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        })
        url = urllib.parse.urlsplit(self.path)
        host = (self.headers.get("Host") or "").split(":")[0]
        parts = url.path.strip("/").split("/")
        route = getattr(self, "do_" + parts[0].replace("-", "_").replace(".", "_"), None)
        if host in ("api.telegram.org", "registry.npmjs.org"):
            return self.service(url, parts, body)
        if host == "github.com" and ".git" in url.path:
            return self.git(url, body)
        if route is None or not parts[0].islower():  # do_GET and its like are no routes
            return self.answer(404, {"message": "Not Found"})
        return route(url, parts, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = serve

    # --- routes -----------------------------------------------------------------------------
    def do_user(self, url, parts, body):
        if not self.origin.authorized(self.headers.get("Authorization")):
            return self.answer(401, {"message": "Bad credentials"})
        self.answer(200, {"login": "your-username", "id": 1234567, "name": "Your Name"},
                    headers=[("X-OAuth-Scopes", "repo, read:org")])

    def do_echo(self, url, parts, body):
        """Everything back, secrets included: header values, in the body and in headers."""
        auth = self.headers.get("Authorization", "")
        raw = auth.split(" ")[-1]
        self.answer(200, {
            "headers": self.headers.items(),
            "again": auth,
            "base64": base64.b64encode(("see: " + auth).encode()).decode(),
            "hex": raw.encode().hex(),
            "body": body.decode("latin-1"),
        }, headers=[("X-Echo", auth or "none")])

    def do_open(self, url, parts, body):
        self.answer(200, {"ok": True, "authorization": self.headers.get("Authorization")})

    def do_bytes(self, url, parts, body):
        self.answer(200, pattern(int(parts[1])), "application/octet-stream")

    def do_chunked(self, url, parts, body):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data = pattern(int(parts[1]))
        step = int(parts[2]) if len(parts) > 2 else 1000
        for at in range(0, len(data), step):
            piece = data[at:at + step]
            self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def do_until_close(self, url, parts, body):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(pattern(int(parts[1])))
        self.wfile.flush()
        if isinstance(self.connection, ssl.SSLSocket):
            # In good order: with close_notify, which tells an end from a cut.
            self.connection.settimeout(20)
            try:
                self.connection.unwrap()
            except OSError:
                pass

    def do_until_cut(self, url, parts, body):
        """The same without close_notify: nobody can tell that this is all."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(pattern(int(parts[1])))
        self.wfile.flush()
        self.connection.close()

    def do_cut(self, url, parts, body):
        """Promises more than it sends: the agent must not take it for whole."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(pattern(5000))
        self.wfile.flush()
        self.connection.close()

    def do_sink(self, url, parts, body):
        self.answer(200, {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()})

    def do_stream(self, url, parts, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(int(parts[1])):
            event = b"data: %d %.6f\n\n" % (i, time.time())
            self.wfile.write(b"%x\r\n" % len(event) + event + b"\r\n")
            self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(b"0\r\n\r\n")

    def do_trailers(self, url, parts, body):
        """The body back, and what came in X-Checksum behind it."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Came")
        self.end_headers()
        self.wfile.write(b"%x\r\n" % len(body) + body + b"\r\n0\r\nX-Came: " +
                         self.trailers.get("x-checksum", "nothing").encode() + b"\r\n\r\n")

    def do_hints(self, url, parts, body):
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        self.wfile.flush()
        self.answer(200, {"hinted": True})

    def do_websocket(self, url, parts, body):
        """Bytes back as they come; no frames are looked at."""
        self.close_connection = True
        key = self.headers.get("Sec-WebSocket-Key", "")
        if self.headers.get("Upgrade") != "websocket" or len(base64.b64decode(key)) != 16:
            return self.answer(400, {"message": "not a WebSocket"})
        accept = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.wfile.flush()
        while True:
            data = self.connection.recv(65536)
            if not data:
                break
            self.connection.sendall(data)
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.unwrap()

    def do_slow(self, url, parts, body):
        time.sleep(float(parts[1]))
        self.answer(200, {"slept": parts[1]})

    def do_redirect(self, url, parts, body):
        to = urllib.parse.parse_qs(url.query)["to"][0]
        self.answer(302, b"", headers=[("Location", to)])

    def do_gzip(self, url, parts, body):
        self.answer(200, gzip.compress(b"compressed " * 100), "text/plain",
                    headers=[("Content-Encoding", "gzip")])

    def do_status(self, url, parts, body):
        self.answer(int(parts[1]), {"status": parts[1]})

    # --- other services -------------------------------------------------------------------------
    def holds_token(self):
        """Anywhere in the request: where exactly is for the tests to see, in the log."""
        basic = base64.b64encode(b"__token__:" + self.origin.token.encode()).decode()
        texts = [self.path, *self.headers.values()]
        return any(self.origin.token in text or basic in text for text in texts)

    def service(self, url, parts, body):
        if not self.holds_token():
            return self.answer(401, {"message": "Bad credentials"})
        self.answer(200, {"username": "your-username", "name": "your-username",
                          "result": {"username": "your-username"},
                          # Said back, as some do in their errors and redirects.
                          "asked": self.path}, headers=[("Location", self.path)])

    do_v1 = do_v1beta = do_api = do_legacy = service

    # --- OAuth 2.0 device flow (RFC 8628) -----------------------------------------------------
    def do_login(self, url, parts, body):
        if parts[1:] == ["device", "code"]:
            return self.answer(200, {
                "device_code": "device-code-0123456789", "user_code": "ABCD-1234",
                "verification_uri": "https://github.com/login/device", "expires_in": 60,
                "interval": 1})
        with self.origin.lock:
            answers = self.origin.device_answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "token":
            return self.answer(200, {"access_token": self.origin.token, "token_type": "bearer",
                                     "scope": "repo"})
        return self.answer(200, {"error": answer, "interval": 1})

    # --- git over HTTPS -------------------------------------------------------------------------
    def git(self, url, body):
        if not self.origin.authorized(self.headers.get("Authorization")):
            return self.answer(401, b"", headers=[("WWW-Authenticate", 'Basic realm="GitHub"')])
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.origin.options.git,
            "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": self.command, "PATH_INFO": url.path,
            "QUERY_STRING": url.query, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "REMOTE_USER": "agent", "REMOTE_ADDR": "127.0.0.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true", "GIT_CONFIG_KEY_1": "safe.directory",
            "GIT_CONFIG_VALUE_1": "*",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            elif name and name != "Content-Type":
                headers.append((name, value))
            elif name:
                kind = value
        self.answer(status, content, kind, headers)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context = None
    request_queue_size = 128

    def finish_request(self, request, address):
        if self.context:
            request.settimeout(30)
            request = self.context.wrap_socket(request, server_side=True)
        request.settimeout(120)
        self.RequestHandlerClass(request, address, self)

    def shutdown_request(self, request):
        super().shutdown_request(request)

    def handle_error(self, request, address):
        pass


def serve_raw_tcp(origin, listener):
    """Says whatever comes, and notes it: nothing of a sandbox should ever arrive here."""
    while True:
        connection, address = listener.accept()
        connection.settimeout(2)
        try:
            data = connection.recv(1000)
        except OSError:
            data = b""
        origin.note({"raw": data.decode("latin-1"), "from": address[0]})
        connection.close()


def main():
    parser = argparse.ArgumentParser()
    for name in ("dir", "log", "ready", "token-file", "git"):
        parser.add_argument("--" + name)
    parser.add_argument("--device-answers")
    options = parser.parse_args()
    origin = Origin(options)
    if options.device_answers:
        origin.device_answers = options.device_answers.split(",")
    Handler.origin = origin

    secure = Server(("127.0.0.1", 0), Handler)
    secure.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.context.load_cert_chain(options.dir + "/origin.crt", options.dir + "/origin.key")

    def remember_sni(connection, name, context):
        connection.sni = name

    secure.context.sni_callback = remember_sni
    plain = Server(("127.0.0.1", 0), Handler)
    # On every address of this machine, as a service of the host's that must not be reachable.
    raw = socket.create_server(("0.0.0.0", 0))
    for target in (secure.serve_forever, plain.serve_forever, lambda: serve_raw_tcp(origin, raw)):
        threading.Thread(target=target, daemon=True).start()
    ports = (secure.server_address[1], plain.server_address[1], raw.getsockname()[1])
    temporary = options.ready + ".new"
    pathlib.Path(temporary).write_text("%d %d %d\n" % ports)
    os.rename(temporary, options.ready)
    sys.stdin.read()


if __name__ == "__main__":
    main()
