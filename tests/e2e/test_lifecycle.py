"""How runs begin, end, and end badly."""

import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

import harness
from harness import ENGINE, MoatTest, PYTHON, wait_for


class LifeCycle(MoatTest):
    def containers(self):
        if ENGINE != "docker":
            return []
        done = subprocess.run(["docker", "ps", "-aq", "--filter", "label=moat.run"],
                              capture_output=True, text=True, check=True)
        return done.stdout.split()

    def tearDown(self):
        self.assertEqual(self.containers(), [])
        for run in (self.moat_home / "runs").glob("*"):
            self.assertFalse((run / "control.sock").exists())
            self.assertFalse((run / "init.sock").exists())

    def test_exit_status_is_the_commands(self):
        for status in (0, 1, 7, 125, 255):
            self.run_moat("sh", "-c", "exit %d" % status, expect=status)
        self.run_moat("sh", "-c", "kill -TERM $$", expect=143)
        self.run_moat("sh", "-c", "kill -KILL $$", expect=137)
        self.run_moat("no-such-command", expect=127)
        (self.workspace / "plain").write_text("not a program\n")
        self.run_moat("/workspace/plain", expect=126)

    def test_output_is_exact_and_apart(self):
        done = self.start(*self.run_arguments(
            PYTHON, "-c", "import os\n"
            "data = bytes(range(256)) * 4096\n"
            "os.write(2, b'errors\\n'); n = 0\n"
            "while n < len(data): n += os.write(1, data[n:])"))
        out, err = done.communicate(timeout=60)
        self.assertEqual(out, bytes(range(256)) * 4096)
        # moat's own last line comes after all of it.
        self.assertRegex(err, rb"\Aerrors\nmoat: record of run [^\n]*\n\Z")
        logged = subprocess.run(self.as_user([harness.MOAT, "logs"]), env=self.environment(),
                                stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual(logged.stdout, out)
        self.assertEqual(logged.stderr, b"errors\n")

    def test_a_short_life_loses_no_output(self):
        for _ in range(10):
            self.assertEqual(self.run_moat("echo", "gone").stdout, "gone\n")

    def test_stdin_is_a_pipe_with_i(self):
        data = os.urandom(2_000_000)
        process = self.start(*self.run_arguments("sha256sum", flags=["-i"]), stdin=subprocess.PIPE)
        out, err = process.communicate(data, timeout=60)
        import hashlib
        self.assertIn(hashlib.sha256(data).hexdigest().encode(), out, err)
        process = self.start(*self.run_arguments("wc", "-c"), stdin=subprocess.PIPE)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(out.strip(), b"0")

    def test_a_reader_that_leaves_ends_the_writer(self):
        process = self.start(*self.run_arguments("yes"))
        self.assertEqual(process.stdout.read(4), b"y\ny\n")
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(process.wait(30), 141)

    def test_environment_is_only_what_was_asked_for(self):
        done = self.run_moat("env", flags=["--env", "GREETING=hello world"],
                             env={"HOST_SECRET": "must not be inside"})
        names = {line.split("=")[0] for line in done.stdout.splitlines()}
        self.assertIn("GREETING=hello world", done.stdout)
        self.assertNotIn("HOST_SECRET", names)
        self.assertNotIn("HTTPS_PROXY", names)
        for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
                     "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "PIP_CERT", "AWS_CA_BUNDLE",
                     "DENO_CERT", "PATH", "HOME"):
            self.assertIn(name, names)

    def test_mounts(self):
        shared = self.make_dir(self.root / "shared")
        (shared / "file").write_text("from the host\n")
        done = self.run_moat("sh", "-c", "cat /mnt/shared/file; touch /mnt/shared/x 2>/dev/null; "
                             "echo $?", flags=["--mount", "%s:/mnt/shared:ro" % shared])
        self.assertEqual(done.stdout, "from the host\n1\n")
        done = self.run_moat("sh", "-c", "pwd; ls", flags=["--workdir", "/tmp"])
        self.assertEqual(done.stdout.splitlines()[0], "/tmp")

    def test_mounting_moats_own_directory_is_refused(self):
        self.run_moat("true")
        for source in (self.moat_home, self.home, self.moat_home / "credentials"):
            done = self.run_moat("true", flags=["--mount", "%s:/x" % source], expect=None)
            self.assertNotEqual(done.returncode, 0, source)
            self.assertIn("moat", done.stderr)

    def test_detached_run_logs_stop(self):
        done = self.moat(*self.run_arguments("sh", "-c", "echo up; exec sleep 300", flags=["-d"]))
        self.assertEqual(done.returncode, 0, done.stderr)
        run = done.stdout.strip()
        self.assertRegex(run, "^[0-9a-f]{12}$")
        wait_for(lambda: self.moat("logs", run).stdout == "up\n")
        self.assertEqual(self.moat("stop", run[:6]).stdout.strip(), run)
        listed = next(r for r in self.runs() if r["id"] == run)
        self.assertEqual((listed["state"], listed["exit_status"]), ("ended", 143))
        self.audit(run)
        self.assertEqual(self.moat("stop", run).returncode, 1)

    def test_logs_follow_a_live_run(self):
        done = self.moat(*self.run_arguments(
            "sh", "-c", "for i in 1 2 3 4; do echo line $i; sleep 0.3; done", flags=["-d"]))
        followed = self.moat("logs", "-f", done.stdout.strip())
        self.assertEqual(followed.stdout, "line 1\nline 2\nline 3\nline 4\n")

    def test_ctrl_c_reaches_the_program_first(self):
        process = self.start(*self.run_arguments(
            "sh", "-c", "trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.1; done"))
        self.assertEqual(process.stdout.readline(), b"up\n")
        os.kill(self.pid_of(process), signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        self.assertEqual((out, process.returncode), (b"caught\n", 9))

    def test_a_program_that_ignores_everything_is_killed(self):
        process = self.start(*self.run_arguments(
            "sh", "-c", "trap '' INT TERM; echo up; while :; do sleep 0.1; done"))
        self.assertEqual(process.stdout.readline(), b"up\n")
        for _ in range(3):
            os.kill(self.pid_of(process), signal.SIGINT)
            time.sleep(0.3)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 137)

    def pid_of(self, process):
        return process.pid  # setpriv(1) replaces itself by moat

    def test_a_time_limit_ends_it(self):
        flag = self.run_moat("sh", "-c", "echo begun; sleep 100", flags=["--timeout", "1s"],
                             expect=124)
        self.assertEqual(flag.stdout, "begun\n")
        self.assertIn("its time limit of 1.0 s is over", flag.stderr)
        self.assertEqual(self.last_run()["exit_status"], 124)
        shown = self.moat("audit", "show", "--json").stdout
        records = {record["type"]: record["data"] for record in map(json.loads, shown.splitlines())}
        self.assertEqual(records["run.created"]["time_limit_ms"], 1000)
        self.assertIn("time limit", records["run.ended"]["reason"])
        self.assertEqual(records["stop"]["by"], "the time limit is over")
        self.write_config("limits: {time: 1s}\n")
        self.run_moat("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done", expect=124)
        self.run_moat("true", flags=["--timeout", "1h"])
        for bad in ("0", "soon", "-1", "1.5h"):
            done = self.moat(*self.run_arguments("true", flags=["--timeout=" + bad]))
            self.assertEqual(done.returncode, 125, bad)
            self.assertIn("--timeout", done.stderr)

    def test_killed_supervisor(self):
        script = (
            "import socket, time\n"
            "print('up', flush=True)\n"
            "log = open('/workspace/attempts', 'w')\n"
            "while True:\n"
            "  try:\n"
            "    s = socket.create_connection(('93.184.216.34', 80), timeout=5)\n"
            "    s.settimeout(5)\n"
            "    s.sendall(b'GET / HTTP/1.1\\r\\nHost: allowed.example.test\\r\\nConnection: close\\r\\n\\r\\n')\n"
            "    outcome = 'answer' if s.recv(100) else 'closed'\n"
            "  except OSError as e: outcome = type(e).__name__\n"
            "  print(time.time(), outcome, file=log, flush=True)\n"
            "  time.sleep(0.02)\n")
        process = self.start(*self.run_arguments(PYTHON, "-c", script))
        self.assertEqual(process.stdout.readline(), b"up\n")
        attempts = self.workspace / "attempts"
        wait_for(lambda: attempts.exists() and attempts.read_text().count("answer") > 3)
        run = self.last_run()["id"]
        wait_for(lambda: self.last_run()["state"] == "running")  # so that something is committed
        os.kill(self.pid_of(process), signal.SIGKILL)
        killed_at = time.time()
        process.communicate(timeout=30)
        time.sleep(1.5)
        late = [line for line in attempts.read_text().splitlines()
                if float(line.split()[0]) > killed_at + 0.1 and line.endswith("answer")]
        self.assertEqual(late, [])
        size = len(attempts.read_text())
        time.sleep(0.5)
        self.assertEqual(len(attempts.read_text()), size, "the sandbox outlived its supervisor")
        found = self.moat("list", "--json")
        self.assertIn(run, found.stderr)
        listed = next(r for r in self.runs() if r["id"] == run)
        self.assertEqual(listed["state"], "lost")
        self.assertEqual(self.containers(), [])
        verdict = self.audit(run, expect=3)
        self.assertGreaterEqual(verdict["records"], 4)
        # Told once.
        self.assertNotIn(run, self.moat("list").stderr)

    def test_runs_do_not_see_each_other(self):
        first = self.moat(*self.run_arguments(
            PYTHON, "-m", "http.server", "8099", flags=["-d"])).stdout.strip()
        try:
            done = self.run_moat("curl", "-s", "-m", "5", "http://127.0.0.1:8099/", expect=7)
            self.assertEqual(done.stdout, "")
        finally:
            self.moat("stop", "-t", "0", first)

    def test_an_empty_record_of_requests_is_valid_and_a_changed_one_is_not(self):
        self.run_moat("echo", "evidence")
        run = self.last_run()["id"]
        self.audit(run)
        record = self.moat_home / "runs" / run / "record.mdb"
        data = record.read_bytes()
        record.write_bytes(data.replace(b"evidence", b"Evidence"))
        verdict = self.moat("audit", run)
        self.assertEqual(verdict.returncode, 1, verdict.stdout)


if __name__ == "__main__":
    harness.main()
