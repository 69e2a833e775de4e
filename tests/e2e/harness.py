"""What the end-to-end suites share: a moat of their own, an origin, and a workspace.

Settings come by the environment (see run.sh): MOAT_BIN (a directory with moat and moat-init),
MOAT_ENGINE (docker or bubblewrap), MOAT_UID (whom moat runs as), MOAT_TEST_TMP.
"""

import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ENGINE = os.environ.get("MOAT_ENGINE", "bubblewrap")
UID = int(os.environ.get("MOAT_UID", os.getuid()))
BIN = pathlib.Path(os.environ["MOAT_BIN"])
MOAT = str(BIN / "moat")
PYTHON = "/usr/bin/python3"
NAMES = ("api.github.com", "github.com", "raw.githubusercontent.com", "allowed.example.test",
         "other.example.test", "evil.example.test")
IMAGE = "moat-test:host"  # made of this machine's own /usr by tests/dockerd.sh


def wait_for(what, limit=20.0, step=0.02):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(step)
    raise AssertionError("waited %g s in vain" % limit)


class Origin:
    def __init__(self, directory, token, device_answers=None):
        directory.mkdir()
        subprocess.run([str(HERE / "pki.sh"), str(directory), "127.0.0.1", *NAMES], check=True)
        self.ca = directory / "ca.crt"
        self.log = directory / "log"
        self.git_root = directory / "git"
        self.git_root.mkdir()
        token_file = directory / "token"
        token_file.write_text(token)
        command = [PYTHON, str(HERE / "origin.py"), "--dir", str(directory), "--log", str(self.log),
                   "--ready", str(directory / "ready"), "--token-file", str(token_file),
                   "--git", str(self.git_root)]
        if device_answers:
            command += ["--device-answers", device_answers]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        ready = wait_for(lambda: (directory / "ready").exists() and (directory / "ready").read_text())
        self.https, self.http, self.raw = (int(word) for word in ready.split())

    def requests(self):
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


class MoatTest(unittest.TestCase):
    """One origin and one $MOAT_HOME a class; one workspace a test."""

    origin_options = {}
    processes = []  # all that were started: a test that fails must not leave a run behind

    @classmethod
    def setUpClass(cls):
        # Short, for unix sockets; open to MOAT_UID.
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="moat.", dir=os.environ.get("MOAT_TEST_TMP")))
        os.chmod(cls.root, 0o755)
        # The shape of a real one, and never the same twice.
        cls.token = "ghp_" + "".join(secrets.choice("abcdefghijkmnpqrstuvwxyzABCDEFGH23456789")
                                     for _ in range(36))
        cls.origin = cls.make_origin()
        cls.home = cls.make_dir(cls.root / "home")
        cls.moat_home = cls.home / ".moat"

    @classmethod
    def make_origin(cls):
        return Origin(cls.root / "origin", cls.token, **cls.origin_options)

    @classmethod
    def tearDownClass(cls):
        for process in cls.processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        cls.processes.clear()
        cls.origin.stop()
        shutil.rmtree(cls.root, ignore_errors=True)

    @classmethod
    def make_dir(cls, path):
        path.mkdir()
        os.chown(path, UID, UID)
        return path

    def setUp(self):
        self.workspace = self.make_dir(pathlib.Path(tempfile.mkdtemp(dir=self.root)) / "work")
        os.chmod(self.workspace.parent, 0o755)

    # --- running moat -------------------------------------------------------------------------
    @classmethod
    def environment(cls, extra=None):
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "HOME": str(cls.home), "MOAT_HOME": str(cls.moat_home), "LANG": "C.UTF-8"}
        for name in ("DOCKER_HOST", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(extra or {})
        return env

    @classmethod
    def as_user(cls, command):
        if UID == os.getuid():
            return command
        groups = ["--clear-groups"]
        if ENGINE == "docker":
            groups = ["--groups", str(os.stat(os.environ["DOCKER_HOST"][len("unix://"):]).st_gid)]
        return ["setpriv", "--reuid", str(UID), "--regid", str(UID), *groups, "--", *command]

    @classmethod
    def start(cls, *arguments, env=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("cwd", str(cls.home))
        process = subprocess.Popen(cls.as_user([MOAT, *map(str, arguments)]),
                                   env=cls.environment(env), **options)
        cls.processes.append(process)
        return process

    @classmethod
    def moat(cls, *arguments, env=None, input=None, timeout=90, **options):
        if input is not None:
            options["stdin"] = subprocess.PIPE
            input = input if isinstance(input, bytes) else input.encode()
        process = cls.start(*arguments, env=env, **options)
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError("moat %s hung\n%s\n%s" % (arguments, out, err))
        return subprocess.CompletedProcess(arguments, process.returncode,
                                           (out or b"").decode(errors="replace"),
                                           (err or b"").decode(errors="replace"))

    @classmethod
    def origin_flags(cls):
        """Names lead to the test's origin, whose CA is trusted; nothing else is changed."""
        flags = ["--upstream-ca", cls.origin.ca]
        for name in NAMES:
            flags += ["--connect-to", "%s:443=127.0.0.1:%d" % (name, cls.origin.https),
                      "--connect-to", "%s:80=127.0.0.1:%d" % (name, cls.origin.http)]
        return flags

    def engine_flags(self):
        # In the workspace, the image is chosen as a user would: by agent.yaml.
        return ["--runtime", ENGINE]

    def write_config(self, text=""):
        if ENGINE == "docker" and "image:" not in text and "dependencies:" not in text:
            text = "image: %s\n" % IMAGE + text
        path = self.workspace / "agent.yaml"
        path.write_text(text)
        os.chown(path, UID, UID)

    def run_arguments(self, *command, flags=()):
        if not (self.workspace / "agent.yaml").exists():
            self.write_config()
        return ["run", *self.engine_flags(), *self.origin_flags(), *flags, self.workspace, "--",
                *command]

    def run_moat(self, *command, flags=(), expect=0, **options):
        done = self.moat(*self.run_arguments(*command, flags=flags), **options)
        if expect is not None:
            self.assertEqual(done.returncode, expect,
                             "\nstdout: %s\nstderr: %s" % (done.stdout[-4000:], done.stderr[-4000:]))
        return done

    def grant_github(self):
        done = self.moat("grant", "github", "--token-stdin", "--upstream-ca", self.origin.ca,
                         "--connect-to", "api.github.com:443=127.0.0.1:%d" % self.origin.https,
                         input=self.token + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def script(self, name):
        """Puts a script of tests/e2e/inside into the workspace; its path in the sandbox."""
        shutil.copy(HERE / "inside" / name, self.workspace / name)
        os.chmod(self.workspace / name, 0o755)
        return "/workspace/" + name

    # --- the record -----------------------------------------------------------------------------
    @classmethod
    def runs(cls):
        return [json.loads(line) for line in cls.moat("list", "--json").stdout.splitlines()]

    def last_run(self):
        return self.runs()[0]

    def trace(self, run=""):
        words = ["trace", "--network", "--json"] + ([run] if run else [])
        done = self.moat(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def audit(self, run="", expect=0):
        done = self.moat("audit", "--json", *([run] if run else []))
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def seen_at_origin(self, path):
        return [entry for entry in self.origin.requests() if entry.get("path") == path]


def main():
    unittest.main(verbosity=2)
