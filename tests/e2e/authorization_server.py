"""An MCP server and an authorization server of the tests' own, in one process, over TLS, at names
that lead here. It does what the RFCs say, and on demand what they warn of; a browser is below.

RFC 6749, 7591 (registration), 7636 (PKCE, S256 only), 8414, 8707 (resource), 9207 (iss), 9728.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import secrets
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
MCP, AUTH, EVIL = "mcp.example.test", "auth.example.test", "evil.example.test"
NAMES = (MCP, AUTH, EVIL, "other.example.test")


class AuthorizationServer:
    """Everything that was asked is in `requests`, as (host, method, path, headers, body)."""

    def __init__(self, directory):
        directory.mkdir()
        subprocess.run([str(HERE / "pki.sh"), str(directory), "127.0.0.1", *NAMES], check=True)
        self.ca = directory / "ca.crt"
        self.reset()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                host = (self.headers["Host"] or "").split(":")[0]
                server.requests.append((host, self.command, self.path, dict(self.headers), body))
                status, headers, answer = server.answer(host, self.command, self.path, self.headers, body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "origin.crt", directory / "origin.key")
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True,
                                               do_handshake_on_connect=False)
        self.https = self.http.server_port
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def reset(self):
        self.requests, self.abuses = [], []
        self.clients, self.codes, self.good, self.refresh_tokens = {}, {}, {}, {}
        self.lifetime, self.secret = 3600, ""
        self.resource = {"resource": "https://%s/mcp" % MCP,
                         "authorization_servers": ["https://%s" % AUTH],
                         "scopes_supported": ["notes:read"]}
        self.metadata = {"issuer": "https://%s" % AUTH,
                         "authorization_endpoint": "https://%s/authorize" % AUTH,
                         "token_endpoint": "https://%s/token" % AUTH,
                         "registration_endpoint": "https://%s/register" % AUTH,
                         "code_challenge_methods_supported": ["S256"],
                         "authorization_response_iss_parameter_supported": True}

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def asked(self, path):
        return [one for one in self.requests if one[2].split("?")[0] == path]

    # --- the two servers ------------------------------------------------------------------------
    def answer(self, host, method, path, headers, body):
        bare = path.split("?")[0]
        if host == MCP and bare == "/.well-known/oauth-protected-resource/mcp":
            return 200, {}, self.resource
        if host == MCP and bare == "/mcp":
            return self.mcp(headers, body)
        if host == AUTH:
            if bare == "/.well-known/oauth-authorization-server":
                return 200, {}, self.metadata
            if bare == "/authorize":
                return self.authorize(dict(urllib.parse.parse_qsl(path.partition("?")[2])))
            if bare == "/register" and method == "POST":
                return self.register(json.loads(body))
            if bare == "/token" and method == "POST":
                return self.token(headers, dict(urllib.parse.parse_qsl(body)))
        return 404, {}, {"error": "not_found"}

    def mcp(self, headers, body):
        scheme, _, token = (headers.get("Authorization") or "").partition(" ")
        if scheme != "Bearer" or token not in self.good:
            where = "https://%s/.well-known/oauth-protected-resource/mcp" % MCP
            return 401, {"WWW-Authenticate": 'Bearer resource_metadata="%s"' % where}, {}
        call = json.loads(body or "{}")
        return 200, {"Content-Type": "application/json"}, {
            "jsonrpc": "2.0", "id": call.get("id"), "result": {"tools": ["of " + self.good[token]]}}

    def register(self, wanted):
        client = "client-%d" % len(self.clients)
        self.clients[client] = wanted["redirect_uris"]
        answer = {"client_id": client, "redirect_uris": wanted["redirect_uris"]}
        if self.secret:
            answer.update(client_secret=self.secret, token_endpoint_auth_method="client_secret_basic")
        return 201, {}, answer

    def authorize(self, query):
        """The person says yes at once."""
        if query.get("redirect_uri") not in self.clients.get(query.get("client_id"), ()):
            return 400, {}, {"error": "invalid_request"}
        if query.get("code_challenge_method") != "S256" or query.get("response_type") != "code":
            return 400, {}, {"error": "invalid_request"}
        code = secrets.token_urlsafe(24)
        self.codes[code] = query
        back = {"code": code, "state": query["state"]}
        if self.metadata.get("authorization_response_iss_parameter_supported"):
            back["iss"] = self.metadata["issuer"]
        return 302, {"Location": query["redirect_uri"] + "?" + urllib.parse.urlencode(back)}, {}

    def proves_itself(self, headers, form):
        if not self.secret:
            return form.get("client_id") in self.clients
        given = (headers.get("Authorization") or "").removeprefix("Basic ")
        name, _, secret = base64.b64decode(given or "").decode().partition(":")
        return name in self.clients and urllib.parse.unquote(secret) == self.secret

    def token(self, headers, form):
        refused = (400, {}, {"error": "invalid_grant"})
        if not self.proves_itself(headers, form):
            return 401, {}, {"error": "invalid_client"}
        if form.get("resource") != self.resource["resource"]:
            return 400, {}, {"error": "invalid_target"}
        if form["grant_type"] == "refresh_token":
            if self.refresh_tokens.pop(form["refresh_token"], None) is None:
                self.abuses.append("a refresh token that is spent")
                return refused
            return self.give("renewed")
        asked = self.codes.pop(form.get("code"), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (asked is None or asked["redirect_uri"] != form["redirect_uri"] or
                asked["client_id"] != form["client_id"] or
                base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]):
            self.abuses.append("a code that was not bought here")
            return refused
        return self.give("first")

    def give(self, what):
        token, renewal = "at-" + secrets.token_hex(16), "rt-" + secrets.token_hex(16)
        self.good = {token: what}  # the one before is no good any more
        self.refresh_tokens[renewal] = True
        return 200, {}, {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime,
                         "refresh_token": renewal, "scope": "notes:read"}


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


class Browser:
    """Goes to the address that moat has printed, and where that leads."""

    def __init__(self, server):
        self.server = server
        self.opener = urllib.request.build_opener(
            NoRedirects, urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(server.ca))))

    def status(self, url, method="GET"):
        """The status, and where it would go on to."""
        parts = urllib.parse.urlsplit(url)
        headers = {}
        if parts.hostname in NAMES:  # the name leads here
            headers["Host"] = parts.hostname
            url = parts._replace(netloc="127.0.0.1:%d" % self.server.https).geturl()
        try:
            with self.opener.open(urllib.request.Request(url, headers=headers, method=method),
                                  timeout=10) as answer:
                return answer.status, answer.headers.get("Location"), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Location"), error.read().decode()
        except urllib.error.URLError:
            return 0, None, ""

    def redirect_of(self, address):
        """Where the service sends the browser back to, once the person has said yes."""
        status, location, text = self.status(address)
        assert status == 302, (status, text)
        return location
