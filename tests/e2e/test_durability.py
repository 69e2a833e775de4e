"""The record outlives the supervisor, a full disk, and readers that do not let go."""

import json
import os
import random
import resource
import shutil
import socket
import subprocess
import threading
import time

import harness
from harness import MoatTest, wait_for
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


class Killed(Durability):
    """The real thing, under load, killed at random moments; MOAT_SEED repeats a course."""

    ROUNDS = int(os.environ.get("MOAT_KILLS", "20"))

    def test_what_was_signed_outlives_the_supervisor(self):
        seed = int(os.environ.get("MOAT_SEED", os.getpid()))
        random_ = random.Random(seed)
        print("MOAT_SEED=%d" % seed, flush=True)
        heads = 0
        for kill in range(self.ROUNDS):
            with self.subTest(seed=seed, kill=kill):
                heads += self.live_and_die(random_)
        self.assertGreater(heads, 0)

    def live_and_die(self, random_):
        proxy, run = self.start_proxy()
        checkpoint = self.moat_home / "runs" / run / "checkpoint"
        done = threading.Event()
        loads = [threading.Thread(target=self.load, args=(proxy.places[0], done)) for _ in range(2)]
        for thread in loads:
            thread.start()
        end = time.monotonic() + random_.uniform(0.0, 0.9)
        seen = 0
        while time.monotonic() < end:
            if checkpoint.exists():
                seen = int(checkpoint.read_text().splitlines()[1])
            time.sleep(random_.uniform(0, 0.01))
        self.kill(proxy)
        done.set()
        for thread in loads:
            thread.join(20)
        verdict = self.audit(run, expect=3)
        self.assertIn("the supervisor was lost", verdict["problem"])
        self.assertGreater(verdict["records"], seen)
        self.assertEqual(verdict["signed_size"], verdict["records"])
        return seen > 0

    @staticmethod
    def load(place, done):
        """Refused at once, so that the record is what is busy."""
        host, port = place.rsplit(":", 1)
        requests = b"GET http://169.254.169.254/x HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n" * 16
        while not done.is_set():
            try:
                with socket.create_connection((host, int(port)), 5) as wire:
                    while not done.is_set():
                        wire.sendall(requests)
                        for _ in range(4):
                            if not wire.recv(1 << 16):
                                raise ConnectionError
            except OSError:
                time.sleep(0.005)


class Full(Durability):
    """No room for the record: requests are refused and say why; with room, it goes on."""

    def one(self, proxy, path="/open/a"):
        done = subprocess.run(
            ["curl", "-s", "-i", "--proxy", "http://" + proxy.places[0],
             "http://allowed.example.test" + path], capture_output=True, text=True, timeout=30)
        return (done.stdout.split(" ", 2)[1] if done.stdout else ""), done.stdout

    def until(self, proxy, status):
        def found():
            answer = self.one(proxy)
            return answer if answer[0] == status else None
        return wait_for(found)

    def fills_and_empties(self, proxy, run, fill, empty, env=None):
        before = len(self.seen_at_origin("/open/a"))
        self.assertEqual(self.one(proxy)[0], "200")
        fill()
        refusal = self.until(proxy, "503")[1]
        self.assertIn("X-Moat-Reason: what happens cannot be recorded", refusal)
        self.assertIn("no space is left", refusal)
        # A program that does not give up does not end the run: more than the 8 MiB that may wait.
        for _ in range(12):
            self.flood(proxy)
        self.assertEqual(self.one(proxy, "/open/never")[0], "503")
        self.assertEqual(self.seen_at_origin("/open/never"), [])
        empty()
        self.until(proxy, "200")
        self.assertEqual(proxy.stop(), 0)
        verdict = json.loads(self.moat("audit", "--json", run, env=env).stdout)
        self.assertEqual(verdict["verdict"], "valid", verdict)
        done = self.moat("trace", "--network", "--json", run, env=env)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        passed = [line for line in told if line["status"] == 200]
        self.assertEqual(len(passed), len(self.seen_at_origin("/open/a")) - before)
        self.assertGreater(sum(line["status"] == 503 for line in told), 1)

    def flood(self, proxy):
        head = ("GET http://allowed.example.test/open/never HTTP/1.1\r\nHost: allowed.example.test\r\n"
                + "".join("X-%d: %s\r\n" % (n, "p" * 7000) for n in range(4)) + "Connection: close\r\n\r\n")
        for _ in range(32):
            with socket.create_connection(proxy.places[0].rsplit(":", 1), 20) as wire:
                wire.sendall(head.encode())
                self.assertIn(b" 503 ", wire.recv(1 << 16))

    def test_a_limit_on_file_size(self):
        proxy, run = self.start_proxy()
        pid = proxy.process.pid
        used = os.stat(self.moat_home / "runs" / run / "record.mdb").st_blocks * 512
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        self.fills_and_empties(
            proxy, run, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (used + 4096, unlimited[1])),
            lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited))

    def test_a_full_disk(self):
        if os.getuid() != 0:
            self.skipTest("only root can mount a small file system")
        disk = self.root / "little"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700,uid=%d" % harness.UID, "none",
                        str(disk)], check=True)
        env = {"MOAT_HOME": str(disk)}
        filler = disk / "filler"

        def fill():
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass

        try:
            proxy = Started(self, env=env)
            run = json.loads(self.moat("list", "--json", env=env).stdout.splitlines()[0])["id"]
            self.fills_and_empties(proxy, run, fill, filler.unlink, env)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


if __name__ == "__main__":
    harness.main()
