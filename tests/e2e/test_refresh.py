"""Credentials that expire: renewed while runs live, by one of them for all."""

import ctypes
import http.server
import json
import os
import secrets
import threading
import time
import unittest
import urllib.parse

import harness
import test_record
from harness import MoatTest


def seal(key, plain, aad):
    """AES-256-GCM by OpenSSL: nonce || ciphertext || tag."""
    library = ctypes.CDLL("libcrypto.so.3")
    pointer = ctypes.c_void_p
    library.EVP_CIPHER_CTX_new.restype = library.EVP_aes_256_gcm.restype = pointer
    context = pointer(library.EVP_CIPHER_CTX_new())
    nonce, room, count = os.urandom(12), ctypes.create_string_buffer(len(plain) + 16), ctypes.c_int()
    tag = ctypes.create_string_buffer(16)
    cipher = pointer(library.EVP_aes_256_gcm())
    good = [library.EVP_EncryptInit_ex(context, cipher, None, key, nonce),
            library.EVP_EncryptUpdate(context, None, ctypes.byref(count), aad, len(aad)),
            library.EVP_EncryptUpdate(context, room, ctypes.byref(count), plain, len(plain)),
            library.EVP_EncryptFinal_ex(context, tag, ctypes.byref(count)),
            library.EVP_CIPHER_CTX_ctrl(context, 0x10, 16, tag)]
    library.EVP_CIPHER_CTX_free(context)
    assert good == [1] * 5, good
    return nonce + room.raw[:len(plain)] + tag.raw


class TokenServer:
    """Takes each refresh token once, as RFC 9700 wants it."""

    first = ""  # what the device flow gives

    def __init__(self, access_token):
        self.access_token, self.good, self.requests, self.abused = access_token, "refresh-0", 0, False
        self.slow = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                form = urllib.parse.parse_qs(
                    self.rfile.read(int(self.headers["Content-Length"])).decode())
                time.sleep(server.slow)
                status, answer = server.answer(form)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/token" % self.http.server_port
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def answer(self, form):
        if "device_code" in form:
            return 200, {"access_token": self.first, "token_type": "bearer", "expires_in": 1,
                         "refresh_token": self.good}
        if "refresh_token" not in form:
            return 200, {"device_code": "d", "user_code": "AB-12", "expires_in": 900, "interval": 1,
                         "verification_uri": "https://github.com/login/device"}
        self.requests += 1
        if form.get("refresh_token") != [self.good] or form.get("client_id") != ["ours"]:
            self.abused = True
            return 400, {"error": "invalid_grant"}
        self.good = "refresh-%d" % self.requests
        return 200, {"access_token": self.access_token, "token_type": "Bearer", "expires_in": 3600,
                     "refresh_token": self.good}

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


class Refresh(MoatTest):
    def setUp(self):
        super().setUp()
        self.service = TokenServer(self.token)
        self.old = "gho_" + secrets.token_hex(18)
        self.grant_github()  # for the key

    def tearDown(self):
        self.service.stop()
        self.moat("revoke", "github")

    def seal(self, expires):
        """A credential as another provider's grant would keep it."""
        facts = json.dumps({
            "provider": "github", "host": "github.com", "source": "test", "client_id": "ours",
            "token_url": self.service.url,
            "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + expires)),
        }).encode()
        plain = b"".join(len(part).to_bytes(4, "big") + part
                         for part in (facts, self.old.encode(), b"refresh-0"))
        key = (self.moat_home / "credentials.key").read_bytes()
        path = self.moat_home / "credentials" / "github.enc"
        path.write_bytes(b"moat-sealed\x02" +
                         seal(key, plain, b"moat credential v2\0" + b"\0" + b"github"))

    def until_good(self):
        """A shell line: asks until the service says who it is."""
        return ("i=0; until curl -fsS https://api.github.com/user; do i=$((i+1)); "
                "[ $i -lt 100 ] || exit 9; sleep 0.1; done")

    def on_record(self, kind):
        """What the newest run tells of the first such event; with what its page describes."""
        records = [json.loads(line) for line in self.moat("audit", "show", "--json").stdout.splitlines()]
        data = next(record["data"] for record in records if record["type"] == kind)
        self.assertEqual(sorted(data), sorted(test_record.described()[kind]))
        return data

    def shown(self):
        done = self.moat("grant", "show", "github", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_one_that_is_refused_is_renewed(self):
        self.seal(3600)
        self.assertEqual(self.shown()["type"], "oauth")
        done = self.run_moat("sh", "-c", self.until_good(), flags=["--grant", "github"])
        self.assertIn("your-username", done.stdout)
        self.assertIn("401", done.stderr)  # the first
        self.assertEqual(self.service.requests, 1)
        self.assertEqual(self.shown()["last_four"], self.token[-4:])
        sent = [dict(request["headers"])["Authorization"] for request in self.origin.requests()
                if request["path"] == "/user" and request["method"] == "GET"]
        self.assertIn("Bearer " + self.old, sent)
        self.assertEqual(sent[-1], "Bearer " + self.token)
        # The next run begins with the new one.
        self.run_moat("curl", "-fsS", "https://api.github.com/user", flags=["--grant", "github"])
        self.assertEqual(self.service.requests, 1)
        self.assertFalse(self.service.abused)

    def test_what_the_device_flow_gave_is_renewed(self):
        self.service.first = self.old
        done = self.moat("grant", "github", "--no-check", "--client-id", "ours", "--device-url",
                         self.service.url, "--token-url", self.service.url)
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = self.shown()
        self.assertEqual((shown["type"], shown["last_four"]), ("oauth", self.old[-4:]))
        self.assertNotIn("refresh-0", json.dumps(shown))
        time.sleep(1.1)  # it has expired, and the run begins all the same
        done = self.run_moat("sh", "-c", self.until_good(), flags=["--grant", "github"])
        self.assertIn("your-username", done.stdout)
        self.assertEqual(self.service.requests, 1)
        self.assertFalse(self.service.abused)
        self.assertEqual(self.shown()["last_four"], self.token[-4:])

    def test_it_is_on_record_without_the_tokens(self):
        self.seal(-5)
        script = (self.until_good() + "; curl -sS https://api.github.com/echo -d '%s'" % self.old +
                  "; cat /proc/*/environ | tr '\\0' '\\n'")
        done = self.run_moat("sh", "-c", script, flags=["--grant", "github"])
        # Old and new, in what an origin sends back.
        for secret in (self.old, self.token):
            self.assertNotIn(secret, done.stdout)
        self.assertIn("*" * len(self.old), done.stdout)
        self.assertEqual(self.on_record("secret.refreshed")["grant"], "github")
        record = max(self.moat_home.glob("runs/*/record.mdb"), key=lambda path: path.stat().st_mtime)
        data = record.read_bytes()
        for secret in (self.token, "refresh-1"):
            self.assertNotIn(secret.encode(), data)
        self.assertEqual(self.moat("audit").returncode, 0)

    def test_runs_at_once_make_one_request(self):
        self.seal(-5)
        self.service.slow = 0.5
        runs = [self.start(*self.run_arguments("sh", "-c", self.until_good(),
                                               flags=["--grant", "github"])) for _ in range(4)]
        for run in runs:
            out, err = run.communicate(timeout=60)
            self.assertEqual(run.returncode, 0, err.decode())
            self.assertIn("your-username", out.decode())
        self.assertEqual(self.service.requests, 1)
        self.assertFalse(self.service.abused)

    def test_a_new_key_of_the_vault_is_used_by_runs_that_live(self):
        self.seal(3600)
        script = "touch ready$0; until [ -e go ]; do sleep 0.05; done; " + self.until_good()
        runs = [self.start(*self.run_arguments("sh", "-c", script, str(i), flags=["--grant", "github"]))
                for i in range(2)]
        for i in range(2):
            harness.wait_for((self.workspace / ("ready%d" % i)).exists)
        before = (self.moat_home / "credentials.key").read_bytes()
        self.assertEqual(self.moat("grant", "rekey").returncode, 0)
        self.assertNotEqual((self.moat_home / "credentials.key").read_bytes(), before)
        (self.workspace / "go").touch()
        for run in runs:
            out, err = run.communicate(timeout=60)
            self.assertEqual(run.returncode, 0, err.decode())
            self.assertIn("your-username", out.decode())
            self.assertNotIn("renewed or kept", err.decode())
        # One of them has written it with the new key, and the other has read it.
        self.assertEqual((self.service.requests, self.service.abused), (1, False))
        self.assertEqual(self.shown()["last_four"], self.token[-4:])

    def test_a_run_that_ends_waits_for_the_answer(self):
        self.seal(-5)
        self.service.slow = 1.0
        self.run_moat("true", flags=["--grant", "github"])
        if self.service.requests:  # it may have been over before it asked
            self.assertEqual(self.shown()["last_four"], self.token[-4:])

    def test_one_that_cannot_be_renewed_is_told(self):
        self.seal(-5)
        self.service.good = "spent elsewhere"
        done = self.run_moat("sh", "-c", "sleep 1; curl -s https://api.github.com/user",
                             flags=["--grant", "github"])
        self.assertIn("invalid_grant; run 'moat grant github' again", done.stderr)
        self.assertIn("invalid_grant", self.on_record("secret.stale")["reason"])
        self.assertEqual(self.service.requests, 1)

    def test_the_proxy_alone_renews_as_well(self):
        self.seal(-5)
        ca = self.home / "ca.pem"
        proxy = self.start("proxy", "--listen", "unix:%s/p" % self.home, "--ca-out", ca,
                           "--grant", "github", *self.origin_flags())
        harness.wait_for(lambda: self.service.requests == 1)
        harness.wait_for(lambda: self.shown().get("last_four") == self.token[-4:])
        proxy.terminate()
        proxy.communicate(timeout=20)
        self.assertEqual(proxy.returncode, 0)


if __name__ == "__main__":
    harness.main()
