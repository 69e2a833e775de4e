"""The secret is in the vault, sealed, and in the supervisor's memory: nowhere else."""

import base64
import json
import os
import pathlib
import subprocess
import unittest

import harness
from harness import ENGINE, MoatTest, wait_for


def forms(token):
    raw = token.encode()
    yield raw
    yield raw.hex().encode()
    for lead in (b"", b"x", b"xx", b"x-access-token:"):
        text = base64.b64encode(lead + raw)
        # Without the first and last groups, which depend on what surrounds the secret.
        yield text[4 * ((len(lead) + 2) // 3):-4]


class Secrets(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.grant_github(cls())

    def assert_absent(self, data, where):
        for form in forms(self.token):
            self.assertNotIn(form, data, where)

    def search_tree(self, top, skip=()):
        searched = 0
        for directory, names, files in os.walk(top):
            names[:] = [name for name in names if os.path.join(directory, name) not in skip]
            for name in files:
                path = os.path.join(directory, name)
                try:
                    if os.path.islink(path) or not os.path.isfile(path):
                        continue
                    if os.path.getsize(path) > 64 << 20:
                        continue
                    with open(path, "rb") as f:
                        self.assert_absent(f.read(), path)
                    searched += 1
                except OSError:
                    continue
        return searched

    def test_not_in_the_sandbox_while_it_runs(self):
        if os.getuid() != 0:
            self.skipTest("only root can look into a sandbox from outside")
        process = self.start(*self.run_arguments(
            "sh", "-c", "curl -s https://api.github.com/user > answer; "
            "curl -s https://api.github.com/echo > echo; touch done; sleep 60",
            flags=["--grant", "github"]))
        try:
            wait_for(lambda: (self.workspace / "done").exists())
            inside = self.processes_inside()
            searched = 0
            for pid in inside:
                try:
                    for name in ("environ", "cmdline", "status", "mountinfo"):
                        data = pathlib.Path("/proc/%d/%s" % (pid, name)).read_bytes()
                        self.assert_absent(data, "/proc/%d/%s" % (pid, name))
                    self.search_memory(pid)
                    searched += 1
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has ended since it was listed
            self.assertGreaterEqual(searched, 2)  # moat-init and the shell at least
            top = "/proc/%d/root" % inside[0]
            skip = tuple(top + "/" + name for name in ("proc", "sys", "dev", "usr"))
            self.assertGreater(self.search_tree(top, skip), 3)
            for name in ("answer", "echo"):
                self.assert_absent((self.workspace / name).read_bytes(), name)
            self.assertIn(b"your-username", (self.workspace / "answer").read_bytes())
            self.assertIn(b"****", (self.workspace / "echo").read_bytes())
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def processes_inside(self):
        """Every process in the network namespace that holds this test's workspace, from outside."""
        by_namespace = {}
        ours = set()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                namespace = os.readlink(entry / "ns/net")
                by_namespace.setdefault(namespace, []).append(int(entry.name))
                if os.path.samefile(entry / "root/workspace", self.workspace):
                    ours.add(namespace)
            except OSError:
                continue
        self.assertEqual(len(ours), 1)
        return sorted(by_namespace[ours.pop()])

    def search_memory(self, pid):
        with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
            for line in maps:
                span, permissions = line.split()[:2]
                if "r" not in permissions or "[v" in line:
                    continue
                low, high = (int(part, 16) for part in span.split("-"))
                try:
                    memory.seek(low)
                    data = memory.read(high - low)
                except (OSError, ValueError, OverflowError):
                    continue
                self.assert_absent(data, "memory of %d" % pid)

    def test_not_in_what_is_kept(self):
        self.run_moat("sh", "-c", "curl -s https://api.github.com/user; "
                      "curl -si https://api.github.com/echo; env; cat /proc/*/environ; true",
                      flags=["--grant", "github"])
        self.assertGreater(self.search_tree(self.moat_home), 3)
        for words in (["logs"], ["trace", "--network", "-v"], ["trace", "--network", "--json"],
                      ["audit", "--json"], ["list", "--json"]):
            done = self.moat(*words)
            self.assert_absent((done.stdout + done.stderr).encode(), words)
        sealed = self.moat_home / "credentials" / "github.enc"
        self.assertEqual(sealed.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.moat_home.stat().st_mode & 0o777, 0o700)

    def test_no_secret_of_the_vault_is_kept_wherever_an_agent_has_it_from(self):
        # Not granted to this run: it came by the token in some other way.
        there = "https://allowed.example.test"
        self.run_moat(
            "sh", "-c",
            "t=%s; echo out: $t; echo err: $t >&2; printf '%%s' \"${t%%??????}\"; sleep 0.3; "
            "printf '%%s\\n' \"${t#??????????????????????????????????}\"; "
            "printf %%s \"see: $t\" | base64 -w 0; printf %%s $t | od -An -tx1 | tr -d ' \\n'; "
            "curl -s %s/open/$t?q=$t -H \"X-Mine: $t\" -d \"mine=$t\"; "
            "curl -s %s/echo -H \"Authorization: Bearer $t\" -d \"{\\\"mine\\\": \\\"$t\\\"}\" "
            "-H 'Content-Type: application/json'; "
            "curl -s -m 5 http://$t.example.test/; true" % (self.token, there, there))
        self.assertGreater(self.search_tree(self.moat_home), 3)
        record = pathlib.Path(self.moat_home, "runs", self.last_run()["id"], "record.mdb")
        kept = record.read_bytes()
        stars = b"*" * len(self.token)
        for planted in (b"out: " + stars, b"err: " + stars, b"t=" + stars, b"/open/" + stars,
                        b"?q=" + stars, b'"x-mine","' + stars, b"mine=" + stars,
                        b'\\"mine\\": \\"' + stars, stars.lower() + b".example.test"):
            self.assertTrue(planted in kept, planted)

    def test_never_printed_by_grant(self):
        done = self.grant_github()
        self.assert_absent((done.stdout + done.stderr).encode(), "moat grant")

    def test_a_token_typed_by_the_agent_is_not_kept_either(self):
        self.run_moat("curl", "-s", "https://allowed.example.test/open/x", "-H",
                      "Authorization: Bearer typed-by-the-agent", "-H", "Cookie: id=typed-too",
                      "https://allowed.example.test/open/y?access_token=typed-as-well", "-d",
                      "client_secret=typed-like-that&q=other", "-H", "X-Api-Key: typed-so")
        for words in (["trace", "--network", "-v"], ["trace", "--network", "--json"]):
            shown = self.moat(*words).stdout
            self.assertNotIn("typed-", shown)
        record = pathlib.Path(self.moat_home, "runs", self.last_run()["id"], "record.mdb")
        # In the command it is what the user typed, in front of everybody: that is on record.
        kept = record.read_bytes()
        for text in (b"client_secret=[redacted]&q=other", b"access_token=[redacted]"):
            self.assertTrue(text in kept, text)
        self.assertFalse(b'Bearer typed-by-the-agent"]' in kept)


if __name__ == "__main__":
    harness.main()
