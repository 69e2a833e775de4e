"""The agents' own programs, logged in by placeholders: against services of the test's own that take
nothing but the exact credential, under a policy that lets nothing else pass."""

import base64
import json
import os
import pathlib
import secrets
import subprocess
import threading
import unittest
import urllib.parse

import harness
from agents_origin import ACCOUNT, ANSWER, WRITTEN, AgentsOrigin
from harness import HERE, UID, MoatTest, wait_for

HOSTS = (*AgentsOrigin.hosts, "platform.claude.com", "auth.openai.com")
harness.NAMES = harness.NAMES + HOSTS
PROGRAMS = pathlib.Path(os.environ.get("MOAT_AGENTS", "/tmp/moat-agents"))
INSIDE = "/opt/agents"


def jwt(**claims):
    words = [json.dumps(word).encode() for word in ({"alg": "RS256"}, claims)]
    return ".".join(base64.urlsafe_b64encode(word).decode().rstrip("=")
                    for word in (*words, secrets.token_bytes(64)))


class Beside(threading.Thread):
    """Does something while the block runs, whose failure is the block's."""

    def __init__(self, what):
        super().__init__()
        self.what, self.failure = what, None

    def run(self):
        try:
            self.what()
        except BaseException as failure:
            self.failure = failure

    def __enter__(self):
        self.start()

    def __exit__(self, *error):
        self.join()
        if self.failure:
            raise self.failure


class Agents(MoatTest):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run([str(HERE.parent / "agents" / "install.sh"), str(PROGRAMS)],
                              capture_output=True, text=True)
        if done.returncode == 77:
            raise unittest.SkipTest(done.stderr.strip())
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        super().setUpClass()
        cls.services = AgentsOrigin(cls.root / "origin")

    @classmethod
    def tearDownClass(cls):
        cls.services.stop()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.services.seen.clear()
        self.services.wanted.clear()
        self.secrets = []  # what must be nowhere
        self.write_config("network:\n  policy: strict\n")

    def tearDown(self):
        for name in ("claude", "anthropic", "codex", "openai", "gemini"):
            self.moat("revoke", name)

    @classmethod
    def origin_flags(cls):
        flags = ["--upstream-ca", cls.origin.ca]
        for name in HOSTS:
            flags += ["--connect-to", "%s:443=127.0.0.1:%d" % (name, cls.services.port)]
        return flags

    def secret(self, prefix):
        """A credential that has never been anywhere before."""
        self.secrets.append(prefix + secrets.token_hex(24))
        return self.secrets[-1]

    def login(self, path, content):
        """A file of the host's, as the program there keeps it."""
        file = self.home / path
        if not file.parent.exists():
            self.make_dir(file.parent)
        file.write_text(json.dumps(content))
        os.chown(file, UID, UID)
        self.addCleanup(lambda: file.unlink(missing_ok=True))

    def claude_login(self, token, expires=4000000000000):
        self.login(".claude/.credentials.json", {"claudeAiOauth": {
            "accessToken": token, "refreshToken": self.secret("sk-ant-ort01-"), "expiresAt": expires,
            "scopes": ["user:inference"], "subscriptionType": "max"}})

    def grant(self, name, key=None):
        words = ["grant", name, *self.origin_flags(), *(["--token-stdin"] if key else [])]
        done = self.moat(*words, input=key)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def agent(self, grant, command, expect=0):
        """Runs it, and looks for the secrets in all that the sandbox has and that is left behind."""
        script = """%s
status=$?
echo; echo ---
env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null
find ~ /tmp /run /workspace /etc -type f -size -4000k 2>/dev/null | xargs cat 2>/dev/null
exit $status
""" % command
        path = "%s/bin:%s" % (INSIDE, self.environment()["PATH"])
        done = self.run_moat("sh", "-c", script, expect=expect, flags=[
            "--grant", grant, "--env", "PATH=" + path, "--mount", "%s:%s:ro" % (PROGRAMS, INSIDE)])
        record = max(self.moat_home.glob("runs/*/record.mdb"), key=lambda file: file.stat().st_mtime)
        places = done.stdout.encode() + done.stderr.encode() + record.read_bytes()
        for secret in self.secrets:
            for form in (secret.encode(), base64.b64encode(secret.encode())[:-4]):
                self.assertNotIn(form, places)
        done.answer = done.stdout.partition("\n---\n")[0]
        return done

    def good(self, done, host, path):
        """It answered; each request that went out had the credential; nothing else went out."""
        self.assertIn(ANSWER, done.answer)
        self.assertTrue(self.services.asked(host, path))
        for entry in self.services.seen:
            refusal = self.services.judge(self.services.wanted.get(entry["host"], {"x": "none"}),
                                          entry["headers"], urllib.parse.urlsplit(entry["path"]))
            self.assertIsNone(refusal, entry)
        # Its reports to others were refused, most of them when it asked for their names.
        for exchange in self.trace():
            if exchange["host"] not in self.services.wanted:
                self.assertTrue(exchange["refused"] or exchange["error"], exchange)
        names = {record["data"]["name"] for record in self.records()
                 if record["type"] == "dns" and not record["data"]["reason"]}
        self.assertLessEqual(names, set(HOSTS))

    def records(self):
        return [json.loads(line) for line in
                self.moat("audit", "show", "--json").stdout.splitlines()]

    def edited(self, name):
        self.assertEqual((self.workspace / name).read_text(), WRITTEN)

    # --- Claude Code ----------------------------------------------------------------------------
    def test_claude_by_its_login(self):
        token = self.secret("sk-ant-oat01-")
        self.claude_login(token)
        self.services.wanted["api.anthropic.com"] = {"authorization": "Bearer " + token}
        self.assertIn("credentials.json again", self.grant("claude").stdout)
        done = self.agent("claude", "claude -p 'EDIT /workspace/it.txt' --allowedTools Write "
                                    "</dev/null; cp ~/.claude/.credentials.json /workspace/")
        self.good(done, "api.anthropic.com", "/v1/messages")
        self.edited("it.txt")
        login = json.loads((self.workspace / ".credentials.json").read_text())["claudeAiOauth"]
        self.assertRegex(login["accessToken"], r"^sk-ant-oat01-\w{95}$")
        self.assertEqual(login["subscriptionType"], "max")
        self.assertNotIn("ANTHROPIC_API_KEY", done.stdout)

    def test_claude_goes_on_when_its_login_is_renewed(self):
        old, new = self.secret("sk-ant-oat01-"), self.secret("sk-ant-oat01-")
        self.renewed_in_mid_run("claude", self.claude_login, old, new, "claude -p hi",
                                "api.anthropic.com", "/v1/messages")
        kinds = [record["type"] for record in self.records()]
        self.assertEqual(kinds.count("secret.refreshed"), 1)
        # What the one inside tried for a token of its own went nowhere.
        self.assertFalse(self.services.asked("platform.claude.com"))
        for exchange in self.trace():
            if exchange["host"] == "platform.claude.com":
                self.assertEqual(exchange["status"], 403)

    def renewed_in_mid_run(self, grant, login, old, new, command, host, path, **more):
        """The program on the host renews its login while the run lives, which ends the old token."""
        login(old)
        self.services.wanted[host] = {"authorization": "Bearer " + old, **more}
        self.grant(grant)
        self.services.seen.clear()
        command = ("touch /workspace/started; until [ -e /workspace/go ]; do sleep 0.05; done; "
                   "%s </dev/null" % command)
        started = self.workspace / "started"

        def renew():
            wait_for(started.exists)
            login(new)
            self.services.wanted[host] = {"authorization": "Bearer " + new, **more}
            (self.workspace / "go").touch()

        with Beside(renew):
            done = self.agent(grant, command)
        self.assertIn(ANSWER, done.answer)
        sent = [entry["headers"].get("authorization") for entry in self.services.asked(host)]
        self.assertEqual(sent[0], "Bearer " + old)
        self.assertEqual(self.services.asked(host, path)[-1]["headers"]["authorization"],
                         "Bearer " + new)
        shown = json.loads(self.moat("grant", "show", grant, "--json").stdout)
        self.assertEqual(shown["last_four"], new[-4:])

    def test_tokens_are_not_given_out(self):
        token = self.secret("sk-ant-oat01-")
        self.claude_login(token)
        self.services.wanted["api.anthropic.com"] = {"authorization": "Bearer " + token}
        self.grant("claude")
        self.write_config("network:\n  policy: permissive\n")
        done = self.agent("claude", """
        t=$(sed 's/.*refreshToken": "//; s/".*//' ~/.claude/.credentials.json)
        for url in https://platform.claude.com/v1/oauth/token \
            https://api.anthropic.com/api/oauth/claude_cli/create_api_key; do
          curl -s -w ' %{http_code}\\n' $url -d "{\\"refresh_token\\": \\"$t\\"}"
        done""")
        self.assertEqual(done.answer.count(" 403\n"), 2)
        self.assertIn("on platform.claude.com is denied by the rule", done.answer)
        self.assertIn("/create_api_key, which gives out credentials", done.answer)
        self.assertNotIn("--allow-host", done.answer)  # nothing would change it
        self.assertEqual([entry["path"] for entry in self.services.seen], ["/v1/models?limit=1"])

    def test_claude_by_api_key(self):
        key = self.secret("sk-ant-api03-")
        self.services.wanted["api.anthropic.com"] = {"x-api-key": key}
        self.grant("anthropic", key)
        done = self.agent("anthropic", "claude -p hi </dev/null")
        self.good(done, "api.anthropic.com", "/v1/messages")

    def test_not_by_both(self):
        for name in ("claude", "anthropic"):
            self.moat("grant", name, "--token-stdin", "--no-check", input=self.secret("sk-ant-oat01-"))
        done = self.run_moat("true", flags=["--grant", "claude", "--grant", "anthropic"], expect=125)
        self.assertIn("are both for api.anthropic.com: drop one", done.stderr)

    # --- Codex ----------------------------------------------------------------------------------
    codex = "codex exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -m gpt-5 "

    def codex_token(self):
        token = jwt(exp=4000000000, **{"https://api.openai.com/auth": {
            "chatgpt_plan_type": "pro", "chatgpt_account_id": ACCOUNT}})
        self.secrets += [token, token.rpartition(".")[2]]  # its signature is what makes it one
        return token

    def codex_login(self, token):
        self.login(".codex/auth.json", {"tokens": {
            "id_token": token, "access_token": token, "refresh_token": self.secret("rt_"),
            "account_id": ACCOUNT}})

    def test_codex_goes_on_when_its_login_is_renewed(self):
        self.renewed_in_mid_run("codex", self.codex_login, self.codex_token(), self.codex_token(),
                                self.codex + "hi", "chatgpt.com", "/backend-api/codex/responses",
                                **{"chatgpt-account-id": ACCOUNT})
        self.assertFalse(self.services.asked("auth.openai.com"))

    def test_codex_by_its_login(self):
        token = self.codex_token()
        self.codex_login(token)
        self.services.wanted["chatgpt.com"] = {"authorization": "Bearer " + token,
                                               "chatgpt-account-id": ACCOUNT}
        self.grant("codex")
        done = self.agent("codex", self.codex + "--disable enable_request_compression "
                                                "'EDIT /workspace/it.txt' </dev/null")
        self.good(done, "chatgpt.com", "/backend-api/codex/responses")
        self.edited("it.txt")
        shown = json.loads(self.moat("grant", "show", "codex", "--json").stdout)
        self.assertEqual(shown["about"], {"account": ACCOUNT, "plan": "pro"})
        self.assertEqual(shown["expires_at"], "2096-10-02T07:06:40.000000Z")

    def test_codex_by_api_key(self):
        key = self.secret("sk-proj-")
        self.services.wanted["api.openai.com"] = {"authorization": "Bearer " + key}
        self.grant("openai", key)
        done = self.agent("openai", self.codex + "hi </dev/null")
        self.good(done, "api.openai.com", "/v1/responses")

    # --- Gemini CLI -----------------------------------------------------------------------------
    gemini = "gemini --skip-trust --yolo -m gemini-2.5-flash -p "

    def test_gemini_by_its_login_which_moat_renews(self):
        old, new, again = self.secret("ya29."), self.secret("ya29."), self.secret("1//")
        self.login(".gemini/oauth_creds.json", {"access_token": old, "refresh_token": again,
                                                "expiry_date": 1700000000000})
        self.services.renewals[again] = new
        for host in ("cloudcode-pa.googleapis.com", "oauth2.googleapis.com"):
            self.services.wanted[host] = {"authorization": "Bearer " + new}
        self.grant("gemini")
        wait = ("until curl -fs -d '' https://oauth2.googleapis.com/tokeninfo >/dev/null; "
                "do sleep 0.1; done; ")
        done = self.agent("gemini", wait + self.gemini + "'EDIT /workspace/it.txt' </dev/null")
        self.assertIn(ANSWER, done.answer)
        self.assertTrue(self.services.asked("cloudcode-pa.googleapis.com",
                                            "/v1internal:streamGenerateContent"))
        self.edited("it.txt")
        for entry in self.services.asked("cloudcode-pa.googleapis.com"):
            self.assertEqual(entry["headers"]["authorization"], "Bearer " + new)
        asked = [entry for entry in self.services.seen if entry["path"] == "/token"]
        self.assertEqual(len(asked), 1)

    def test_gemini_by_api_key(self):
        key = self.secret("AIzaSy")
        self.services.wanted["generativelanguage.googleapis.com"] = {"x-goog-api-key": key}
        self.grant("gemini", key)
        done = self.agent("gemini", self.gemini + "hi </dev/null")
        self.good(done, "generativelanguage.googleapis.com", "/v1beta/models/")


if __name__ == "__main__":
    harness.main()
