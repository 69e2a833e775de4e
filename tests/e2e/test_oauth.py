"""moat grant oauth:NAME, mcp:NAME and `code:` of a provider: an authorization server of the test's
own, a browser of its own, and what hostile servers and pages would do."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import threading
import urllib.parse

import authorization_server
import harness
from authorization_server import AUTH, EVIL, MCP, AuthorizationServer, Browser
from harness import MoatTest

URL = "https://%s/mcp" % MCP


class OAuthTest(MoatTest):
    @classmethod
    def make_origin(cls):
        return AuthorizationServer(cls.root / "origin")

    @classmethod
    def origin_flags(cls):
        flags = ["--upstream-ca", cls.origin.ca]
        for name in authorization_server.NAMES:
            flags += ["--connect-to", "%s:443=127.0.0.1:%d" % (name, cls.origin.https)]
        return flags

    def setUp(self):
        super().setUp()
        self.origin.reset()
        self.browser = Browser(self.origin)

    def tearDown(self):
        for sealed in self.moat_home.glob("credentials/*.enc"):
            sealed.unlink()

    def begin(self, *words, env=None):
        """moat grant, up to where it waits for the browser; and the address that it prints."""
        process = self.start("grant", *words, *self.origin_flags(), env=env)
        late = threading.Timer(30, process.kill)
        late.start()
        try:
            for line in process.stdout:
                found = re.match(rb"To authorize, visit: (\S+)", line)
                if found:
                    return process, found[1].decode()
        finally:
            late.cancel()
        raise AssertionError("no address: %s" % process.stderr.read().decode())

    def end(self, process, expect=0):
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, expect, out.decode() + err.decode())
        return out.decode() + err.decode()

    def log_in(self, *words):
        process, address = self.begin(*words)
        status, _, page = self.browser.status(self.browser.redirect_of(address))
        self.assertEqual((status, "The answer has reached moat" in page), (200, True))
        return self.end(process), address

    def grant(self, *more):
        return self.log_in("oauth:notes", "--url", URL, *more)

    def shown(self, name="oauth:notes"):
        done = self.moat("grant", "show", name, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refused(self, *words, expect=1):
        done = self.moat("grant", "oauth:notes", "--url", URL, *self.origin_flags(), *words)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.assertEqual(self.moat("grant", "show", "oauth:notes").returncode, 1)
        return done.stderr


class Login(OAuthTest):
    def test_from_the_url_to_a_request(self):
        said, address = self.grant()
        self.assertIn("oauth:notes credential saved, for " + MCP, said)
        query = dict(urllib.parse.parse_qsl(address.partition("?")[2]))
        self.assertEqual((query["resource"], query["scope"], query["code_challenge_method"]),
                         (URL, "notes:read", "S256"))
        shown = self.shown()
        self.assertEqual((shown["type"], shown["scopes"], shown["issuer"]),
                         ("oauth", "notes:read", "https://" + AUTH))
        self.assertEqual(self.origin.abuses, [])
        # A client of MCP's in the sandbox, by agent.yaml; it sends a credential of its own.
        self.write_config("grants: [oauth:notes]\nnetwork: {policy: strict}\n")
        call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        script = ("curl -fsS %s -H 'Authorization: Bearer foreign' -d '%s'; "
                  "curl -s https://other.example.test/ || echo unreachable; env" % (URL, call))
        done = self.run_moat("sh", "-c", script)
        self.assertIn("of first", done.stdout)
        self.assertIn("unreachable", done.stdout)  # strict: another host is not allowed
        token = next(iter(self.origin.good))
        self.assertNotIn(token, done.stdout + done.stderr)
        record = max(self.moat_home.glob("runs/*/record.mdb"), key=lambda path: path.stat().st_mtime)
        for secret in (token, next(iter(self.origin.refresh_tokens))):
            self.assertNotIn(secret.encode(), record.read_bytes())
        self.assertNotIn("foreign", json.dumps(self.origin.requests))

    def test_other_hosts_do_not_get_it(self):
        self.grant()
        self.run_moat("sh", "-c", "for host in %s %s; do curl -s https://$host/mcp; done; true" % (EVIL, AUTH),
                      flags=["--grant", "oauth:notes"])
        sent = [one for one in self.origin.requests if one[0] in (EVIL, AUTH) and one[2] == "/mcp"]
        self.assertEqual([("Authorization" in one[3]) for one in sent], [False, False])

    def test_it_is_renewed_while_a_run_lives(self):
        self.origin.lifetime = 2
        self.grant()
        self.origin.lifetime = 3600
        self.origin.good = {}  # revoked over there, as it were
        script = ("i=0; until curl -fsS %s; do i=$((i+1)); [ $i -lt 100 ] || exit 9; sleep 0.1; done" % URL)
        done = self.run_moat("sh", "-c", script, flags=["--grant", "oauth:notes"])
        self.assertIn("of renewed", done.stdout)
        self.assertEqual(self.origin.abuses, [])
        self.assertEqual(len(self.origin.asked("/token")), 2)
        self.assertEqual(self.shown()["last_four"], next(iter(self.origin.good))[-4:])

    def test_a_client_with_a_secret(self):
        self.origin.secret = "s3/cret+of:the=client"
        self.grant()
        self.assertNotIn("s3/cret", json.dumps(self.shown()))
        self.origin.good = {}
        script = ("i=0; until curl -fsS %s; do i=$((i+1)); [ $i -lt 100 ] || exit 9; sleep 0.1; done" % URL)
        self.assertIn("of renewed", self.run_moat("sh", "-c", script, flags=["--grant", "oauth:notes"]).stdout)

    def test_granting_again_takes_the_name_alone(self):
        self.grant("--scopes", "notes:write")
        self.log_in("oauth:notes")
        self.assertEqual(len(self.origin.clients), 2)

    def test_a_client_that_is_known_is_not_registered(self):
        del self.origin.metadata["registration_endpoint"]
        said = self.refused("--redirect-port", "27113")
        self.assertIn("register one there for http://127.0.0.1:27113/callback", said)
        self.origin.clients["by-hand"] = ["http://127.0.0.1:27113/callback"]
        self.grant("--client-id", "by-hand", "--redirect-port", "27113")
        self.assertEqual(self.shown()["client_id"], "by-hand")

    def test_the_browser_is_opened_where_there_is_one(self):
        opener = self.make_dir(self.workspace / "bin") / "xdg-open"
        opener.write_text("#!/bin/sh\necho \"$1\" >'%s/opened'\n" % self.workspace)
        os.chmod(opener, 0o755)
        opened = self.workspace / "opened"
        path = "%s:/usr/bin:/bin" % opener.parent
        for more, env in ((["--no-browser"], {}), ([], {"MOAT_NO_BROWSER": "1"}), ([], {})):
            process, address = self.begin("oauth:notes", "--url", URL, *more,
                                          env={"PATH": path, "DISPLAY": ":0", **env})
            if more or env:
                self.assertFalse(opened.exists())
            else:
                harness.wait_for(lambda: opened.exists() and opened.read_text().strip() == address)
            process.terminate()
            self.end(process, 143)

    def test_over_ssh_the_address_is_pasted(self):
        leader, terminal = pty.openpty()
        process = self.start("grant", "oauth:notes", "--url", URL, *self.origin_flags(),
                             stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        seen = b""

        def until(words, times=1):
            nonlocal seen
            while seen.count(words) < times and select.select([leader], [], [], 20)[0]:
                try:
                    seen += os.read(leader, 4096)
                except OSError:  # EIO: the other end is gone
                    return

        until(b"(not shown): ")
        os.write(leader, b"nonsense\n")
        until(b"(not shown): ", 2)
        address = re.search(rb"visit: (\S+)", seen)[1].decode()
        back = self.browser.redirect_of(address)
        code = urllib.parse.parse_qs(back.partition("?")[2])["code"][0]
        os.write(leader, back.encode() + b"\n")
        until(b"saved, for")
        process.wait(20)
        os.close(leader)
        self.assertEqual(process.returncode, 0, seen)
        self.assertIn(b"the whole address is needed", seen)
        self.assertNotIn(code.encode(), seen)


class Attacks(OAuthTest):
    def test_forged_answers_change_nothing(self):
        process, address = self.begin("oauth:notes", "--url", URL)
        back = self.browser.redirect_of(address)
        where, _, query = back.partition("?")
        state = urllib.parse.parse_qs(query)["state"][0]
        for forged in ("?code=evil&state=" + "A" * len(state), "?code=evil", "?error=access_denied",
                       "?state=%s&iss=https://%s" % (state, AUTH), "?%s&code=evil" % query,
                       "?%s&state=%s" % (query, state)):
            self.assertEqual(self.browser.status(where + forged)[0], 400, forged)
        self.assertEqual(self.browser.status(back, "POST")[0], 405)
        self.assertEqual(self.browser.status(back.replace("/callback", "/"))[0], 404)
        self.assertIsNone(process.poll())
        self.assertEqual(self.origin.asked("/token"), [])
        self.assertEqual(self.browser.status(back)[0], 200)
        self.end(process)
        # And once more: nobody listens, and the code is spent.
        self.assertEqual(self.browser.status(back)[0], 0)
        self.assertEqual(self.origin.abuses, [])

    def test_a_code_of_another_login_buys_nothing(self):
        """Code injection: the attacker has a code of their own, and knows the state."""
        mine, my_address = self.begin("oauth:mine", "--url", URL)
        theirs, their_address = self.begin("oauth:theirs", "--url", URL)
        stolen = urllib.parse.parse_qs(self.browser.redirect_of(my_address).partition("?")[2])["code"][0]
        back = self.browser.redirect_of(their_address)
        code = urllib.parse.parse_qs(back.partition("?")[2])["code"][0]
        self.assertEqual(self.browser.status(back.replace(code, stolen))[0], 200)
        self.assertIn("invalid_grant", self.end(theirs, 1))
        self.assertEqual(self.origin.abuses, ["a code that was not bought here"])
        mine.terminate()
        self.end(mine, 143)
        self.assertEqual(self.moat("grant", "show", "oauth:theirs").returncode, 1)

    def test_a_mix_up_is_noticed(self):
        for change in (lambda back: back.replace(AUTH, EVIL),
                       lambda back: re.sub("&iss=[^&]*", "", back)):
            process, address = self.begin("oauth:notes", "--url", URL)
            back = self.browser.redirect_of(address)
            self.assertNotEqual(change(back), back)
            status, _, page = self.browser.status(change(back))
            self.assertIn("Access was not granted", page)
            self.assertIn("https://" + AUTH, self.end(process, 1))
        self.assertEqual(self.origin.asked("/token"), [])

    def test_a_person_who_says_no(self):
        process, address = self.begin("oauth:notes", "--url", URL)
        back = self.browser.redirect_of(address)
        query = urllib.parse.parse_qs(back.partition("?")[2])
        self.browser.status("%s?error=access_denied&state=%s&iss=https://%s" %
                            (back.partition("?")[0], query["state"][0], AUTH))
        self.assertIn("access was denied", self.end(process, 1))

    def test_metadata_in_anothers_name(self):
        self.origin.resource["resource"] = "https://%s/mcp" % EVIL
        self.assertIn("it is about 'https://%s/mcp', and not about" % EVIL, self.refused())
        self.origin.reset()
        self.origin.metadata["issuer"] = "https://" + EVIL
        self.assertIn("it is of 'https://%s', and not of" % EVIL, self.refused())
        self.origin.reset()
        self.origin.metadata["code_challenge_methods_supported"] = ["plain"]
        self.assertIn("PKCE", self.refused())
        self.assertEqual(self.origin.asked("/register"), [])

    def test_metadata_that_leads_astray(self):
        for key in ("authorization_endpoint", "token_endpoint", "registration_endpoint"):
            for bad in ("http://169.254.169.254/x", "http://127.0.0.1:1/x", "http://%s/x" % AUTH,
                        "file:///etc/passwd", "javascript:alert(1)"):
                self.origin.reset()
                self.origin.metadata[key] = bad
                self.assertIn(key, self.refused())
        self.origin.reset()
        # https, at an address of this machine's that nobody has routed here by hand
        self.origin.resource["authorization_servers"] = ["https://127.0.0.1:%d" % self.origin.https]
        self.assertIn("127.0.0.1 is loopback", self.refused())
        self.origin.resource["authorization_servers"] = ["http://%s" % AUTH]
        self.refused()

    def test_documents_without_end(self):
        self.origin.resource["padding"] = "x" * (300 * 1024)
        self.assertIn("larger than 262144 bytes", self.refused())
        self.origin.reset()
        self.origin.metadata["nested"] = json.loads("[" * 100 + "]" * 100)
        self.refused()

    def test_an_http_server_gets_nothing(self):
        done = self.moat("grant", "oauth:notes", "--url", "http://127.0.0.1:1/mcp")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--url", done.stderr)


class FixedToken(OAuthTest):
    secret = "ctx7sk-0123456789abcdef"

    def fixed(self, *words, expect=0):
        done = self.moat("grant", "mcp:context7", *words, input=self.secret + "\n")
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def test_a_header_of_its_own(self):
        self.fixed("--url", URL, "--header", "CONTEXT7_API_KEY", "--token-stdin")
        self.write_config("grants: [mcp:context7]\n")
        self.run_moat("sh", "-c", "curl -s -H 'Context7_Api_Key: foreign' %s; curl -s https://%s/mcp" % (URL, EVIL))
        sent = {one[0]: one[3] for one in self.origin.requests}
        self.assertEqual(sent[MCP]["CONTEXT7_API_KEY"], self.secret)
        self.assertNotIn("foreign", json.dumps(sent[MCP]))
        self.assertNotIn(self.secret, json.dumps(sent[EVIL]))

    def test_bearer_is_usual_and_may_be_another(self):
        self.fixed("--url", URL, "--token-stdin")
        self.run_moat("curl", "-s", URL, flags=["--grant", "mcp:context7"])
        self.assertEqual(self.origin.requests[-1][3]["Authorization"], "Bearer " + self.secret)
        self.fixed("--prefix", "Token ", "--token-stdin")  # of the URL that is known
        self.run_moat("curl", "-s", URL, flags=["--grant", "mcp:context7"])
        self.assertEqual(self.origin.requests[-1][3]["Authorization"], "Token " + self.secret)

    def test_what_cannot_be_is_refused(self):
        for words in (["--token-stdin"], ["--url", "http://%s" % MCP, "--token-stdin"],
                      ["--url", URL, "--token-stdin", "--client-id", "x"],
                      ["--url", URL, "--token-stdin", "--scopes", "x"]):
            self.fixed(*words, expect=2)
        for words in (["--header", "Host"], ["--header", "A: b"], ["--prefix", "a\r\nB: c"]):
            self.fixed("--url", URL, "--token-stdin", *words, expect=1)
        self.fixed("--url", URL, expect=1)  # nobody to ask
        for name in ("oauth:x", "github"):
            done = self.moat("grant", name, "--url", URL, "--header", "X")
            self.assertEqual(done.returncode, 2, done.stderr)

    def test_missing_ones_are_told_with_their_command(self):
        self.write_config("grants: [oauth:notes, mcp:context7]\n")
        done = self.run_moat("true", expect=125)
        for name in ("oauth:notes", "mcp:context7"):
            self.assertIn("run 'moat grant %s --url URL'" % name, done.stderr)
        self.write_config("grants: [githb]\n")
        self.assertIn("ssh:HOST, oauth:NAME, mcp:NAME", self.run_moat("true", expect=125).stderr)


class OfficialSdk(OAuthTest):
    """Server and client of MCP's own SDK, where there is an npm to get it with."""

    sdk = "@modelcontextprotocol/sdk@1"

    def install(self):
        self.modules = self.make_dir(self.root / "npm")
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", self.sdk],
                              cwd=self.modules, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout.decode())

    def test_it_logs_in_and_calls_a_tool(self):
        if shutil.which("npm") is None:
            print("there is no npm: not tried")
            return
        self.install()
        for script in ("mcp_server.mjs", "inside/mcp_client.mjs"):
            shutil.copy(harness.HERE / script, self.modules)
        server = subprocess.Popen(["node", "mcp_server.mjs", self.origin.ca.parent], cwd=self.modules,
                                  stdout=subprocess.PIPE)
        self.processes.append(server)
        self.addCleanup(server.stdout.close)
        port = int(server.stdout.readline())
        self.origin.https, before = port, self.origin.https
        self.addCleanup(setattr, self.origin, "https", before)
        self.grant()
        self.assertEqual(self.shown()["scopes"], "notes:read")
        self.workspace = self.modules
        client = ("node", "mcp_client.mjs", URL)
        self.assertIn("of notes:read", self.run_moat(*client, flags=["--grant", "oauth:notes"]).stdout)
        self.assertIn("invalid_token", self.run_moat(*client, expect=1).stderr)


class Provider(OAuthTest):
    def test_a_provider_with_a_browser_login(self):
        providers = self.moat_home / "providers"
        self.moat("grant", "list")  # makes the home
        providers.mkdir(exist_ok=True)
        (providers / "notes.yaml").write_text("""
name: notes
title: Notes
host: mcp.example.test
hosts: [{host: mcp.example.test, header: Authorization, prefix: "Bearer "}]
sources: [{env: NOTES_TOKEN}]
code:
  url: https://auth.example.test/authorize
  token_url: https://auth.example.test/token
  client_id: notes-cli
  redirect_path: /auth/callback
  redirect_port: 27114
  scopes: notes:read
  parameters: {resource_hint: all}
""")
        os.chown(providers, harness.UID, harness.UID)
        self.origin.clients["notes-cli"] = ["http://127.0.0.1:27114/auth/callback"]
        # What it says of the token's audience is not RFC 8707's.
        self.origin.resource["resource"] = None
        said, address = self.log_in("notes")
        self.assertIn("Notes credential saved successfully", said)
        self.assertIn("&resource_hint=all", address)
        shown = self.shown("notes")
        self.assertEqual((shown["source"], shown["client_id"], shown["type"]),
                         ("authorization code", "notes-cli", "oauth"))
        self.origin.good = {}  # and it is renewed
        script = ("i=0; until curl -fsS %s; do i=$((i+1)); [ $i -lt 100 ] || exit 9; sleep 0.1; done" % URL)
        self.assertIn("of renewed", self.run_moat("sh", "-c", script, flags=["--grant", "notes"]).stdout)


if __name__ == "__main__":
    harness.main()
