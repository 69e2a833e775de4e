"""moat grant github: by standard input, by the environment, by gh, and by the device flow."""

import json
import os
import unittest

import harness
from harness import MoatTest


class Grant(MoatTest):
    origin_options = {"device_answers": "authorization_pending,slow_down,token"}

    def flags(self):
        to = "127.0.0.1:%d" % self.origin.https
        return ["--upstream-ca", self.origin.ca, "--connect-to", "api.github.com:443=" + to,
                "--connect-to", "github.com:443=" + to]

    def tearDown(self):
        self.moat("revoke", "github")

    def stored(self):
        return (self.moat_home / "credentials" / "github.enc").exists()

    def test_device_flow_as_in_the_mission(self):
        done = self.moat("grant", "github", "--client-id", "Iv1.test", *self.flags())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines(), [
            "To authorize, visit: https://github.com/login/device",
            "Enter code: ABCD-1234",
            "Waiting for authorization...",
            "GitHub credential saved successfully"])
        self.assertTrue(self.stored())

    def test_from_the_environment(self):
        for name in ("GITHUB_TOKEN", "GH_TOKEN"):
            done = self.moat("grant", "github", *self.flags(), env={name: self.token})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("GitHub credential saved successfully", done.stdout)
            self.assertNotIn(self.token, done.stdout + done.stderr)

    def test_a_token_that_does_not_work_is_not_stored(self):
        done = self.moat("grant", "github", "--token-stdin", *self.flags(), input="ghp_wrong\n")
        self.assertEqual(done.returncode, 1)
        self.assertFalse(self.stored())
        done = self.moat("grant", "github", "--token-stdin", "--no-check", input="ghp_unchecked\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(self.stored())

    def test_revoke(self):
        self.moat("grant", "github", "--token-stdin", "--no-check", input="ghp_unchecked\n")
        self.assertEqual(self.moat("revoke", "github").returncode, 0)
        self.assertFalse(self.stored())
        self.assertEqual(self.moat("revoke", "github").returncode, 1)

    def test_a_changed_or_moved_credential_is_refused(self):
        self.grant_github()
        sealed = self.moat_home / "credentials" / "github.enc"
        data = bytearray(sealed.read_bytes())
        data[-1] ^= 1
        sealed.write_bytes(bytes(data))
        self.write_config()
        done = self.run_moat("true", flags=["--grant", "github"], expect=125)
        self.assertIn("github", done.stderr)


class Denied(MoatTest):
    origin_options = {"device_answers": "authorization_pending,access_denied"}

    def test_denial(self):
        to = "127.0.0.1:%d" % self.origin.https
        done = self.moat("grant", "github", "--client-id", "x", "--upstream-ca", self.origin.ca,
                         "--connect-to", "github.com:443=" + to)
        self.assertEqual(done.returncode, 1)
        self.assertIn("denied", done.stderr)
        self.assertFalse((self.moat_home / "credentials" / "github.enc").exists())


if __name__ == "__main__":
    harness.main()
