"""The record outlives the supervisor, a full disk, and readers that do not let go."""

import shutil
import subprocess
import unittest

import harness
from harness import MOAT, MoatTest, wait_for
from test_proxy_command import Started


class Durability(MoatTest):
    def curl(self, proxy, path="/open/a"):
        done = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--proxy", "http://" + proxy.places[0],
             "http://allowed.example.test" + path], capture_output=True, text=True, timeout=30)
        return done.stdout

    def start_proxy(self, *flags, **options):
        proxy = Started(self, *flags, **options)
        return proxy, self.last_run()["id"]

    def kill(self, proxy):
        proxy.process.kill()
        proxy.process.wait(20)
        proxy.close()

    def killed_run(self):
        proxy, run = self.start_proxy()
        self.assertEqual(self.curl(proxy), "200")
        wait_for(lambda: self.trace(run))
        self.kill(proxy)
        return run


class Lost(Durability):
    def test_a_killed_run_is_signed_as_lost_by_the_next_command(self):
        run = self.killed_run()
        verdict = self.audit(run, expect=3)
        self.assertIn("the supervisor was lost", verdict["problem"])
        self.assertEqual(verdict["signed_size"], verdict["records"])
        self.assertGreaterEqual(verdict["records"], 3)  # run.created, the exchange, run.lost
        again = self.audit(run, expect=3)
        self.assertEqual((again["records"], again["root"]), (verdict["records"], verdict["root"]))
        self.assertEqual(len(self.trace(run)), 1)

    def test_of_many_commands_at_once_one_says_so(self):
        run = self.killed_run()
        commands = [self.start("list") for _ in range(8)]
        told = [process.communicate(timeout=60)[1].decode() for process in commands]
        self.assertEqual(sum(run in text for text in told), 1, told)
        verdict = self.audit(run, expect=3)
        self.assertEqual(verdict["signed_size"], verdict["records"])

    def test_without_the_key_nothing_is_added(self):
        run = self.killed_run()
        key = self.moat_home / "audit" / "key.pem"
        kept = key.with_name("kept.pem")
        key.rename(kept)
        try:
            done = self.moat("list")
        finally:
            kept.rename(key)
        self.assertEqual(done.returncode, 0)
        self.assertIn("run %s was lost cannot be signed" % run, done.stderr)
        self.assertIn("key.pem", done.stderr)
        self.unsigned(run)

    def test_another_key_signs_nothing(self):
        proxy, run = self.start_proxy()
        self.assertEqual(self.curl(proxy), "200")
        wait_for(lambda: (self.moat_home / "runs" / run / "checkpoint").exists())
        self.kill(proxy)
        keys, kept = self.moat_home / "audit", self.moat_home / "kept"
        keys.rename(kept)
        try:
            subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                            str(self.make_dir(keys) / "key.pem")], check=True)
            subprocess.run(["openssl", "ec", "-in", str(keys / "key.pem"), "-pubout", "-out",
                            str(keys / "key.pub")], check=True, capture_output=True)
            subprocess.run(["chown", "-R", str(harness.UID), str(keys)], check=True)
            subprocess.run(["chmod", "-R", "go=", str(keys)], check=True)
            done = self.moat("list")
        finally:
            shutil.rmtree(keys)
            kept.rename(keys)
        self.assertIn("another key", done.stderr)
        self.unsigned(run)

    def test_a_tail_that_was_changed_is_not_signed(self):
        run = self.killed_run()
        record = self.moat_home / "runs" / run / "record.mdb"
        bytes_ = record.read_bytes()
        self.assertIn(b'"path":"/open/a"', bytes_)
        record.write_bytes(bytes_.replace(b'"path":"/open/a"', b'"path":"/open/b"'))
        done = self.moat("list")
        self.assertIn("run %s was lost cannot be signed" % run, done.stderr)
        self.assertEqual(self.audit(run, expect=1)["verdict"], "tampered")
        self.assertEqual(self.moat("list").stderr, "")  # told once

    def unsigned(self, run):
        verdict = self.audit(run, expect=3)
        self.assertEqual(verdict["problem"], "there is no record of the run's end")
        self.assertEqual(next(r for r in self.runs() if r["id"] == run)["state"], "lost")
        self.assertEqual(self.moat("list").stderr, "")  # told once


if __name__ == "__main__":
    harness.main()
