"""Registries and hubs on loopback, each as strict about its credential as the real one is.

One server for all names. What does not bring exactly the header that the service wants is answered
401, and `seen` is the witness of what came.
"""

import base64
import gzip
import hashlib
import http.server
import io
import json
import re
import secrets
import ssl
import subprocess
import tarfile
import threading
import urllib.parse
import zipfile

HUB = ("auth.docker.io", "registry-1.docker.io", "production.cloudflare.docker.com")
NAMES = HUB + ("registry.own.test", "registry.npmjs.org", "npm.own.test", "upload.pypi.org",
               "pypi.own.test", "api.github.com", "api.githubcopilot.com", "crates.io", "index.crates.io", "static.crates.io",
               "huggingface.co", "cas.hf.co", "search.own.test", "evil.own.test",
               "api.ecr.us-east-1.amazonaws.com", "1234.dkr.ecr.us-east-1.amazonaws.com",
               "codeartifact.us-east-1.amazonaws.com",
               "own-1234.d.codeartifact.us-east-1.amazonaws.com")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def basic(pair):
    return "Basic " + base64.b64encode(pair.encode()).decode()


def wheel():
    """hello 1.0 as pip takes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = "hello-1.0.dist-info/"
        archive.writestr("hello.py", "print('hello from the index')\n")
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
        archive.writestr(info + "WHEEL",
                         "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "hello.py,,\n%sMETADATA,,\n%sWHEEL,,\n%sRECORD,,\n"
                         % (info, info, info))
    return out.getvalue()


def archive_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)  # the same at every call


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner = None

    def log_message(self, *args):
        pass

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        out = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            out += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return out

    def answer(self, status, body=b"", kind="application/json", **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self):
        self.sent = self.body()
        self.url = urllib.parse.urlsplit(self.path)
        self.host = self.headers["Host"].split(":")[0]
        self.auth = self.headers.get("Authorization")
        self.owner.seen.append({"host": self.host, "method": self.command, "path": self.path,
                                "headers": self.headers.items(), "body": self.sent})
        for pattern, serve in self.services:
            if re.fullmatch(pattern, self.host):
                return serve(self)
        return self.answer(404)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = serve

    def wants(self, value, **headers):
        if self.auth == value:
            return True
        self.owner.refused.append((self.host, self.path, self.auth))
        self.answer(401, {"message": "unauthorized", "errors": [{"code": "UNAUTHORIZED"}]}, **headers)
        return False

    # --- Docker -----------------------------------------------------------------------------
    def token_server(self):
        if not self.wants(basic(self.owner.pair), WWW_Authenticate='Basic realm="hub"'):
            return
        token = self.owner.new_token()
        self.answer(200, {"token": token, "access_token": token, "expires_in": 300})

    def own_registry(self):
        if self.url.path == "/service/token":
            return self.token_server()
        return self.registry("https://registry.own.test/service/token")

    def hub(self):
        return self.registry("https://auth.docker.io/token")

    def registry(self, realm):
        if self.auth not in self.owner.bearers:
            self.wants(None if self.auth else "some", WWW_Authenticate=(
                'Bearer realm="%s",service="registry",scope="repository:you/it:pull,push"' % realm))
            return None
        return self.blobs()

    def ecr_registry(self):
        if self.wants(basic("AWS:" + self.owner.ecr), WWW_Authenticate='Basic realm="ecr"'):
            self.blobs()

    def blobs(self):
        store = self.owner.store
        path = self.url.path
        if path == "/v2/":
            return self.answer(200, {})
        if "/blobs/uploads/" in path:
            if self.command == "POST":
                return self.answer(202, Location=path + "1", Range="0-0", Docker_Upload_UUID="1")
            if self.command == "PATCH":
                self.owner.upload = self.sent
                return self.answer(202, Location=path, Range="0-%d" % (len(self.sent) - 1))
            data = self.owner.upload + self.sent
            self.owner.upload = b""
            name = urllib.parse.parse_qs(self.url.query)["digest"][0]
            if digest(data) != name:
                return self.answer(400)
            store[name] = data
            return self.answer(201, Location="/v2/you/it/blobs/" + name)
        name = path.rsplit("/", 1)[1]
        if self.command == "PUT":
            store[name] = store[digest(self.sent)] = self.sent
            return self.answer(201, Docker_Content_Digest=digest(self.sent))
        if name not in store:
            return self.answer(404, {"errors": [{"code": "BLOB_UNKNOWN"}]})
        if "/blobs/" in path and self.command == "GET" and self.host == "registry-1.docker.io":
            return self.answer(307, Location="https://production.cloudflare.docker.com/" + name)
        kind = MANIFEST if "/manifests/" in path else "application/octet-stream"
        return self.answer(200, store[name], kind, Docker_Content_Digest=digest(store[name]))

    def storage(self):
        self.answer(200, self.owner.store[self.url.path[1:]], "application/octet-stream")

    # --- AWS --------------------------------------------------------------------------------
    def ecr(self):
        token = base64.b64encode(("AWS:" + self.owner.ecr).encode()).decode()
        self.answer(200, {"authorizationData": [{
            "authorizationToken": token, "expiresAt": 4102444800.5,
            "proxyEndpoint": "https://1234.dkr.ecr.us-east-1.amazonaws.com"}]},
            "application/x-amz-json-1.1")

    def codeartifact(self):
        self.answer(200, {"authorizationToken": self.owner.artifact, "expiration": 4102444800})

    def artifacts(self):
        if self.auth == "Bearer " + self.owner.artifact or self.wants(basic("aws:" + self.owner.artifact)):
            self.index()

    # --- Python -----------------------------------------------------------------------------
    def pypi(self):
        if self.wants(basic("__token__:" + self.owner.token)):
            self.index()

    def index(self):
        if self.command == "POST":
            return self.answer(200, b"", "text/plain")
        if self.url.path.endswith(".whl"):
            return self.answer(200, wheel(), "application/octet-stream")
        return self.answer(200, b'<a href="/files/hello-1.0-py3-none-any.whl">hello</a>', "text/html")

    # --- npm --------------------------------------------------------------------------------
    def npm(self):
        if not self.wants("Bearer " + self.owner.token):
            return None
        if self.url.path == "/-/whoami":
            return self.answer(200, {"username": "your-username"})
        if self.command == "PUT":
            return self.answer(201, {"ok": True})
        package = archive_of({
            "package/package.json": b'{"name":"@own/hello","version":"1.0.0"}',
            "package/index.js": b"module.exports = 'hello from npm';\n"})
        if self.url.path.endswith(".tgz"):
            return self.answer(200, package, "application/octet-stream")
        name = urllib.parse.unquote(self.url.path[1:])
        return self.answer(200, {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
            "name": name, "version": "1.0.0", "dist": {
                "tarball": "https://%s/%s/-/hello-1.0.0.tgz" % (self.host, name),
                "integrity": "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()}}}})

    # --- others -----------------------------------------------------------------------------
    def github(self):
        if self.auth != "Bearer " + self.owner.token:
            return self.wants("Bearer " + self.owner.token)
        scopes = {"X_OAuth_Scopes": "repo, read:org"}
        if self.url.path == "/graphql":
            return self.answer(200, {"data": {"viewer": {"login": "your-username"}}}, **scopes)
        if self.url.path == "/copilot_internal/v2/token":
            return self.answer(200, {"token": self.owner.new_token(), "expires_at": 4102444800,
                                     "endpoints": {"api": "https://api.githubcopilot.com"}})
        if self.url.path == "/away":
            return self.answer(302, Location="https://evil.own.test/caught")
        return self.answer(200, {"login": "your-username"}, **scopes)

    def copilot(self):
        if self.auth in self.owner.bearers or self.wants("Bearer " + self.owner.token):
            self.answer(200, {"data": [{"id": "model"}]})

    def crates_index(self):
        if self.url.path == "/config.json":
            return self.answer(200, {"dl": "https://static.crates.io/crates", "api": "https://crates.io"})
        if self.url.path != "/he/ll/hello" or not self.owner.published:
            return self.answer(404)
        return self.answer(200, {"name": "hello", "vers": "1.0.0", "deps": [], "cksum": "0" * 64,
                                 "features": {}, "yanked": False}, "text/plain")

    def crates(self):
        if self.wants(self.owner.token):
            self.owner.published = True
            self.answer(200, {"warnings": {"invalid_categories": [], "invalid_badges": [], "other": []}})

    def huggingface(self):
        if not self.wants("Bearer " + self.owner.token):
            return None
        if self.url.path == "/api/whoami-v2":
            return self.answer(200, {"name": "your-username", "type": "user", "orgs": []})
        return self.answer(302, Location="https://cas.hf.co/file", X_Repo_Commit="c" * 40,
                           ETag='"1"', X_Linked_Size="5")

    def files(self):
        self.answer(200, b"hello", "application/octet-stream")

    def search(self):
        sent = json.loads(self.sent)
        good = sent.get("auth", {}).get("api_key") == self.owner.token
        self.answer(200 if good else 401, {"you said": sent})

    def anything(self):
        self.answer(200, {"authorization": self.auth})

    services = (
        ("auth.docker.io", token_server), ("registry-1.docker.io", hub),
        ("production.cloudflare.docker.com", storage), ("registry.own.test", own_registry),
        ("registry.npmjs.org|npm.own.test", npm), ("upload.pypi.org|pypi.own.test", pypi),
        ("api.github.com", github), ("api.githubcopilot.com", copilot), ("index.crates.io", crates_index), ("crates.io", crates),
        ("huggingface.co", huggingface), ("cas.hf.co", files), ("api.ecr.*", ecr), (".*dkr.ecr.*", ecr_registry),
        ("codeartifact.*", codeartifact), (".*d.codeartifact.*", artifacts),
        ("search.own.test", search), (".*", anything))


class RegistryOrigin:
    def __init__(self, directory, pki, token):
        directory.mkdir()
        subprocess.run([str(pki), str(directory), "127.0.0.1", *NAMES], check=True)
        self.ca = directory / "ca.crt"
        self.token = token
        self.pair = "your-username:" + token
        self.ecr = secrets.token_urlsafe(300)
        self.artifact = secrets.token_urlsafe(300)
        self.bearers = set()  # that are good
        self.tokens = []
        self.seen = []
        self.refused = []
        self.store = {}
        self.upload = b""
        self.published = False  # the crate
        handler = type("RegistryHandler", (Handler,), {"owner": self})

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):
                pass  # who goes away in the middle

        self.server = Server(("127.0.0.1", 0), handler)
        self.port = self.server.server_port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "origin.crt", directory / "origin.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def new_token(self):
        token = "eyJhbGciOiJFUzI1NiJ9." + secrets.token_urlsafe(600) + "." + secrets.token_urlsafe(64)
        self.tokens.append(token)
        self.bearers.add("Bearer " + token)
        return token

    def secrets(self):
        """All that must never be seen inside."""
        return [self.token, self.ecr, self.artifact, *self.tokens]

    def fill(self):
        """An image, as a registry has it."""
        layer = archive_of({"hello": b"hello from the registry\n"})
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
            "type": "layers", "diff_ids": [digest(b"")]}}).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                       "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": len(layer), "digest": digest(layer)}]}).encode()
        for data in (layer, config, manifest):
            self.store[digest(data)] = data
        self.store["latest"] = manifest

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
