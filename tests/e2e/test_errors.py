"""Bad input: one sentence that names the thing and the remedy, the right status, nothing left."""

import os
import pathlib
import signal
import subprocess
import time
import unittest

import harness
from harness import ENGINE, MoatTest, UID, wait_for


class Errors(MoatTest):
    def complains(self, done, status, *words):
        self.assertEqual(done.returncode, status, done.stderr)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("moat: "), done.stderr)
        for word in words:
            self.assertIn(word, lines[0])
        self.assertEqual(done.stdout, "")
        self.nothing_left()

    def nothing_left(self):
        runs = self.moat_home / "runs"
        self.assertEqual(list(runs.glob("*")) if runs.exists() else [], [])
        if ENGINE == "docker":
            done = subprocess.run(["docker", "ps", "-aq", "--filter", "label=moat.run"],
                                  capture_output=True, text=True)
            self.assertEqual(done.stdout, "")

    def attempt(self, *flags, workspace=None, command=("true",), **options):
        return self.moat("run", "--runtime", ENGINE, *flags, workspace or self.workspace, "--",
                         *command, **options)

    def test_workspace_missing(self):
        self.complains(self.attempt(workspace="/no/such/place"), 125, "/no/such/place")

    def test_yaml_that_cannot_be_read(self):
        self.write_config("name: [unclosed\n")
        self.complains(self.attempt(), 125, "agent.yaml:")

    def test_unknown_key_with_a_suggestion(self):
        self.write_config("grant: [github]\n")
        self.complains(self.attempt(), 125, "agent.yaml:", "grant", "grants")

    def test_unknown_grant(self):
        self.write_config("")
        self.complains(self.attempt("--grant", "githb"), 125, "githb", "github")

    def test_no_credential_stored(self):
        self.write_config("")
        self.complains(self.attempt("--grant", "github"), 125, "moat grant github")

    def test_unknown_flag(self):
        done = self.moat("run", "--gant", "github")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--grant", done.stderr)

    def test_unknown_command(self):
        done = self.moat("rum")
        self.assertEqual(done.returncode, 2)
        self.assertIn("run", done.stderr)

    def test_image_missing(self):
        self.write_config("image: no-such-image:1\n")
        if ENGINE == "docker":
            self.complains(self.attempt(), 125, "no-such-image:1", "docker")
        else:
            self.complains(self.attempt(), 125, "no-such-image:1")

    def test_no_engine(self):
        self.write_config("")
        if ENGINE == "docker":
            self.complains(self.attempt(env={"DOCKER_HOST": "unix:///no/such.sock"}), 125,
                           "/no/such.sock")
        else:
            empty = self.root / "empty"
            empty.mkdir(exist_ok=True)
            process = subprocess.run(
                self.as_user([harness.MOAT, "run", "--runtime", "bubblewrap", str(self.workspace),
                              "--", "true"]) if UID == os.getuid() else
                self.as_user(["env", "PATH=/no/such", harness.MOAT, "run", "--runtime",
                              "bubblewrap", str(self.workspace), "--", "true"]),
                env=self.environment({"PATH": str(empty)} if UID == os.getuid() else {}),
                capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.complains(process, 125, "bubblewrap", "install")

    def test_wrong_permission_of_the_key_file(self):
        self.grant_github()
        key = self.moat_home / "credentials.key"
        self.write_config("")
        os.chmod(key, 0o644)
        try:
            self.complains(self.attempt("--grant", "github"), 125, str(key), "chmod")
        finally:
            os.chmod(key, 0o600)
            self.moat("revoke", "github")

    def test_home_open_to_others(self):
        self.moat("list")
        os.chmod(self.moat_home, 0o755)
        try:
            self.complains(self.attempt(), 125, str(self.moat_home), "chmod")
        finally:
            os.chmod(self.moat_home, 0o700)

    def test_home_that_cannot_be_written(self):
        self.write_config("")
        if UID == 0:
            place = "/proc/moat-home"  # root may write anywhere but there
        else:
            place = "/moat-home"
        self.complains(self.attempt(env={"MOAT_HOME": place}), 125, place)

    def test_full_disk(self):
        if os.getuid() != 0:
            self.skipTest("only root can mount a small file system")
        disk = self.root / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700,uid=%d" % UID, "none",
                        str(disk)], check=True)
        try:
            self.write_config("")
            done = self.attempt(env={"MOAT_HOME": str(disk)})
            self.assertEqual(done.returncode, 125, done.stderr)
            self.assertIn("space", done.stderr)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)

    def test_a_disk_that_fills_while_a_run_lives_stops_requests(self):
        if os.getuid() != 0:
            self.skipTest("only root can mount a small file system")
        disk = self.root / "disk2"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700,uid=%d" % UID, "none",
                        str(disk)], check=True)
        try:
            process = self.start(*self.run_arguments(
                "sh", "-c", "curl -s -o /dev/null -w '%{http_code}\\n' http://allowed.example.test/open/a; "
                "read x; for i in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%{http_code}\\n' "
                "http://allowed.example.test/open/a; sleep 0.5; done", flags=["-i"]),
                env={"MOAT_HOME": str(disk)}, stdin=subprocess.PIPE)
            self.assertEqual(process.stdout.readline(), b"200\n")
            time.sleep(0.3)
            filler = disk / "filler"
            try:
                with open(filler, "wb") as f:
                    while True:
                        f.write(b"x" * 4096)
                        f.flush()
            except OSError:
                pass
            out, err = process.communicate(b"go\n", timeout=60)
            self.assertIn(b"503", out, err)
            self.assertNotEqual(process.returncode, 0)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)

    def test_missing_mount(self):
        self.write_config("")
        self.complains(self.attempt("--mount", "/no/such:/x"), 125, "/no/such")

    def test_origin_that_is_down_is_a_502_that_says_so(self):
        done = self.run_moat("curl", "-s", "-i", "https://down.example.test/",
                             flags=["--connect-to", "down.example.test:443=127.0.0.1:1"])
        self.assertIn(" 502 ", done.stdout)
        self.assertIn("\nx-moat-reason: ", done.stdout.lower())  # as HTTP/2 writes it

    def test_origin_with_an_untrusted_certificate_is_a_502_that_says_so(self):
        done = self.moat(*[word for word in self.run_arguments(
            "curl", "-s", "-i", "https://api.github.com/user")
            if word not in ("--upstream-ca", self.origin.ca)])
        self.assertIn(" 502 ", done.stdout, done.stderr)
        self.assertIn("certificate", done.stdout)
        self.assertEqual(self.seen_at_origin("/user"), [])

    def tearDown(self):
        # Runs that did start are kept; what these tests count is what failed runs leave.
        subprocess.run(["rm", "-rf", str(self.moat_home / "runs")], check=True)


if ENGINE == "docker":
    class EngineDies(MoatTest):
        def test_engine_gone_mid_run(self):
            """A Docker engine of this test's own, killed under a run."""
            directory = self.root / "engine"
            script = str(harness.HERE.parent / "dockerd.sh")
            subprocess.run([script, "start", str(directory)], check=True)
            host = "unix://%s/docker.sock" % directory
            env = {"DOCKER_HOST": host}
            try:
                subprocess.run([script, "image", str(directory), "bb:1", "busybox"], check=True)
                self.write_config("image: bb:1\n")
                process = self.start("run", "--runtime", "docker", self.workspace, "--", "/bin/sh", "-c",
                                     "echo up; sleep 100", env=env)
                self.assertEqual(process.stdout.readline(), b"up\n")
                pid = int((directory / "dockerd.pid").read_text())
                os.kill(pid, signal.SIGKILL)
                out, err = process.communicate(timeout=40)
                self.assertEqual(process.returncode, 125)
                self.assertIn(b"container engine", err)
            finally:
                subprocess.run([script, "stop", str(directory)])


if __name__ == "__main__":
    harness.main()
