"""The vault as a person at a terminal meets it: passphrases, and grants that are missing."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import termios
import time
import unittest

import harness
import test_refresh
from harness import MOAT, MoatTest


class Terminal:
    """A moat on a terminal of its own, which it has for controlling terminal."""

    def __init__(self, test, *arguments, env=None):
        self.master, slave = pty.openpty()
        self.slave = slave
        command = test.as_user([MOAT, *map(str, arguments)])
        # setsid --ctty would do; this needs no other program.
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=test.environment(env),
            cwd=str(test.home), start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0))
        test.processes.append(self.process)
        self.shown = ""

    def wait_for(self, text, limit=30):
        end = time.monotonic() + limit
        while text not in self.shown:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError("waited for %r in vain: %r" % (text, self.shown))
            self.shown += os.read(self.master, 4096).decode(errors="replace")
        return self

    def type(self, text):
        os.write(self.master, text.encode())
        return self

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def end(self):
        end = time.monotonic() + 60
        while self.process.poll() is None or select.select([self.master], [], [], 0)[0]:
            if time.monotonic() > end:
                self.process.kill()
                raise AssertionError("it hung: %r" % self.shown)
            if select.select([self.master], [], [], 0.02)[0]:
                self.shown += os.read(self.master, 4096).decode(errors="replace")
        os.close(self.master)
        os.close(self.slave)
        return self.process.returncode


class Vault(MoatTest):
    def tearDown(self):
        # Out of the keyring, and then everything.
        self.set_key("file")
        self.moat("grant", "rekey", env={"MOAT_PASSPHRASE_FILE": str(self.home / "passphrase")})
        shutil.rmtree(self.moat_home)

    def set_key(self, word):
        self.moat("list")  # makes the home
        path = self.moat_home / "config.yaml"
        path.write_text("vault: {key: %s}\n" % word)
        os.chown(path, harness.UID, harness.UID)

    def passphrase_file(self, text):
        path = self.home / "passphrase"
        path.write_text(text + "\n")
        os.chown(path, harness.UID, harness.UID)
        os.chmod(path, 0o600)
        return {"MOAT_PASSPHRASE_FILE": str(path)}

    def store(self, *flags, env=None):
        done = self.moat("grant", "github", "--token-stdin", "--no-check", *flags, env=env,
                         input=self.token)
        self.assertEqual(done.returncode, 0, done.stderr)

    # --- passphrases ----------------------------------------------------------------------------
    def test_a_passphrase_is_chosen_and_asked_for_unseen(self):
        self.set_key("passphrase")
        chosen = Terminal(self, "grant", "github", "--no-check", env={"GITHUB_TOKEN": self.token})
        chosen.wait_for("New passphrase for the vault: ")
        self.assertFalse(chosen.echoes())
        chosen.type("correct horse\n").wait_for("The same again: ").type("correct horse\n")
        self.assertEqual(chosen.end(), 0, chosen.shown)
        self.assertNotIn("horse", chosen.shown)

        shown = Terminal(self, "grant", "show", "github").wait_for("Passphrase of the vault: ")
        shown.type("correct horse\n")
        self.assertEqual(shown.end(), 0, shown.shown)
        self.assertIn(self.token[-4:], shown.shown)
        self.assertNotIn(self.token, shown.shown)
        wrong = Terminal(self, "grant", "show", "github").wait_for("Passphrase of the vault: ")
        wrong.type("incorrect\n")
        self.assertEqual(wrong.end(), 1)
        self.assertIn("not the right one", wrong.shown)
        self.passphrase_file("correct horse")

    def test_two_that_differ_make_nothing(self):
        self.set_key("passphrase")
        chosen = Terminal(self, "grant", "github", "--no-check", env={"GITHUB_TOKEN": self.token})
        chosen.wait_for("New passphrase for the vault: ").type("correct horse\n")
        chosen.wait_for("The same again: ").type("correct house\n")
        self.assertEqual(chosen.end(), 1)
        self.assertIn("not the same", chosen.shown)
        self.assertFalse((self.moat_home / "credentials.key").exists())

    def test_ctrl_c_leaves_a_terminal_that_shows_what_is_typed(self):
        self.set_key("passphrase")
        self.store(env=self.passphrase_file("correct horse"))
        asked = Terminal(self, "grant", "show", "github").wait_for("Passphrase of the vault: ")
        self.assertFalse(asked.echoes())
        asked.type("\x03")
        asked.process.wait(10)
        self.assertTrue(asked.echoes())
        self.assertEqual(asked.end(), -signal.SIGINT)

    def test_a_run_asks_once_and_never_without_a_terminal(self):
        self.set_key("passphrase")
        env = self.passphrase_file("correct horse")
        self.store(env=env)
        arguments = self.run_arguments("curl", "-fsS", "https://api.github.com/user",
                                       flags=["--grant", "github"])
        asked = Terminal(self, *arguments).wait_for("Passphrase of the vault: ")
        asked.type("correct horse\n")
        self.assertEqual(asked.end(), 0, asked.shown)
        self.assertEqual(asked.shown.count("Passphrase"), 1)
        refused = self.moat(*arguments)
        self.assertEqual(refused.returncode, 125)
        self.assertIn("MOAT_PASSPHRASE_FILE", refused.stderr)
        quiet = Terminal(self, *arguments, env={"MOAT_NO_PROMPT": "1"})
        self.assertEqual(quiet.end(), 125)
        self.assertIn("MOAT_PASSPHRASE_FILE", quiet.shown)
        self.assertEqual(self.moat(*arguments, env=env).returncode, 0)
        # One that is granted nothing runs, and is told what that means for its record.
        without = self.run_moat("true")
        self.assertIn("not looked for in what is recorded", without.stderr)

    def test_nothing_of_the_passphrase_is_in_the_sandbox(self):
        self.set_key("passphrase")
        env = self.passphrase_file("correct horse")
        self.store(env=env)
        done = self.run_moat("sh", "-c", "env; cat /proc/*/environ /proc/*/cmdline; cat /proc/keys",
                             flags=["--grant", "github"], env=env, expect=None)
        self.assertNotIn("PASSPHRASE", done.stdout)
        self.assertNotIn("horse", done.stdout)

    # --- the keyring ----------------------------------------------------------------------------
    def test_a_key_in_the_keyring_is_out_of_the_sandboxs_reach(self):
        self.set_key("keyring")
        done = self.moat("grant", "github", "--token-stdin", "--no-check", input=self.token)
        if "keyring cannot be used" in done.stderr:
            self.skipTest("no keyring here")
        self.assertEqual(done.returncode, 0, done.stderr)
        name = json.loads((self.moat_home / "credentials.key").read_text())["name"]
        # By every keyring that the command has, and by number, if /proc/keys tells one.
        script = self.workspace / "keys.py"
        script.write_text("""
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
KEYCTL, SEARCH, READ, LINK, PERSISTENT = 250, 10, 11, 8, 22
name, numbers = sys.argv[1].encode(), [int(word, 16) for word in sys.argv[2:]]
call = libc.syscall
call.restype = ctypes.c_long
def tries(key):
    room = ctypes.create_string_buffer(64)
    call(KEYCTL, LINK, key, -2)
    return call(KEYCTL, READ, key, room, 64) > 0
call(KEYCTL, PERSISTENT, -1, -2)
found = [call(KEYCTL, SEARCH, ring, b"user", name, 0) for ring in (-1, -2, -3, -4, -5)]
print("read" if any(tries(key) for key in found + numbers if key > 0) else "nothing")
""")
        keys = subprocess.run(self.as_user(["cat", "/proc/keys"]), stdout=subprocess.PIPE, check=True)
        numbers = [line.split()[0] for line in keys.stdout.decode().splitlines() if name in line]
        self.assertTrue(numbers)
        arch = os.uname().machine
        if arch == "x86_64":
            outside = subprocess.run(self.as_user([harness.PYTHON, str(script), name, *numbers]),
                                     stdout=subprocess.PIPE, check=True)
            self.assertEqual(outside.stdout, b"read\n")  # the script can, where it may
            done = self.run_moat(harness.PYTHON, "/workspace/keys.py", name, *numbers,
                                 flags=["--grant", "github"])
            self.assertEqual(done.stdout, "nothing\n")
        self.assertEqual(self.moat("grant", "show", "github").returncode, 0)

    # --- grants that are missing ----------------------------------------------------------------
    def missing_run(self, env=None, flags=()):
        self.write_config("grants: [github]\n")
        return Terminal(self, *self.run_arguments("true", flags=flags), env=env)

    def test_a_missing_grant_is_offered(self):
        run = self.missing_run(env={"GITHUB_TOKEN": "not a token"})
        run.wait_for("agent.yaml:1:10: no credential 'github' is stored. Grant github now? [Y/n] ")
        run.type("what\n").wait_for("[Y/n] what\r\n")
        run.type("\n")
        self.assertEqual(run.end(), 1, run.shown)
        self.assertIn("GITHUB_TOKEN", run.shown)

    def test_yes_obtains_it_and_runs(self):
        run = self.missing_run(env={"GITHUB_TOKEN": self.token}).wait_for("[Y/n] ").type("y\n")
        self.assertEqual(run.end(), 0, run.shown)
        self.assertIn("GitHub credential saved successfully", run.shown)
        self.assertEqual(self.moat("grant", "show", "github").returncode, 0)

    def test_no_is_an_answer(self):
        run = self.missing_run().wait_for("[Y/n] ").type("n\n")
        self.assertEqual(run.end(), 125)
        self.assertIn("run 'moat grant github'", run.shown)

    def test_a_profile_has_grants_of_its_own(self):
        self.store()
        run = self.missing_run(flags=["--profile", "work"]).wait_for("[Y/n] ").type("n\n")
        self.assertEqual(run.end(), 125)
        self.assertIn("in profile 'work', run 'moat grant github --profile work'", run.shown)
        self.store("--profile", "work")
        self.run_moat("true", flags=["--grant", "github"], env={"MOAT_PROFILE": "work"})
        self.assertIn("work", self.moat("audit", "show", "--json").stdout)

    def test_nobody_is_asked_who_does_not_want_to_be(self):
        run = self.missing_run(env={"MOAT_NO_PROMPT": "1"})
        self.assertEqual(run.end(), 125)
        self.assertNotIn("[Y/n]", run.shown)
        done = self.run_moat("true", expect=125)
        self.assertIn("agent.yaml:1:10: no GitHub credential is stored, run 'moat grant github'",
                      done.stderr)


class SecretService(MoatTest):
    """GNOME's keyring, on a bus of the test's own, as after logging in to a desktop."""

    password = "correct horse"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.runtime = cls.make_dir(cls.root / "runtime")
        os.chmod(cls.runtime, 0o700)
        # A copy has no file capabilities, which some containers do not let anybody use.
        cls.daemon = shutil.copy("/usr/bin/gnome-keyring-daemon", cls.root)
        script = ('printf %s "$0" | "$1" --unlock --components=secrets >/dev/null 2>&1; '
                  'echo "$DBUS_SESSION_BUS_ADDRESS"; exec cat')
        env = MoatTest.environment.__func__(cls, {"XDG_RUNTIME_DIR": str(cls.runtime)})
        cls.session = subprocess.Popen(
            cls.as_user(["dbus-run-session", "--", "sh", "-c", script, cls.password, cls.daemon]),
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        cls.processes.append(cls.session)
        cls.bus = cls.session.stdout.readline().decode().strip()

    @classmethod
    def tearDownClass(cls):
        cls.session.stdin.close()  # and with the bus, what is on it
        cls.session.wait(10)
        cls.session.stdout.close()
        super().tearDownClass()

    @classmethod
    def environment(cls, extra=None):
        return super().environment({"XDG_RUNTIME_DIR": str(cls.runtime),
                                    "DBUS_SESSION_BUS_ADDRESS": cls.bus, **(extra or {})})

    def setUp(self):
        super().setUp()
        self.moat("list")  # makes the home
        self.set_key("secret-service")

    def tearDown(self):
        self.unlock()
        shutil.rmtree(self.moat_home)

    set_key = Vault.set_key
    store = Vault.store

    def tool(self, *words, **options):
        return subprocess.run(self.as_user(list(words)), env=self.environment(), text=True,
                              capture_output=True, timeout=30, **options)

    def unlock(self):
        done = self.tool(self.daemon, "--replace", "--unlock", "--components=secrets",
                         input=self.password)
        self.assertEqual(done.returncode, 0, done.stderr)

    def lock(self):
        done = self.tool("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.secrets",
                         "/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock",
                         "array:objpath:/org/freedesktop/secrets/collection/login")
        self.assertEqual(done.returncode, 0, done.stderr)

    def key_name(self):
        return json.loads((self.moat_home / "credentials.key").read_text())["name"]

    def item(self, name):
        return self.tool("secret-tool", "lookup", "application", "moat", "key", name).stdout

    def test_the_key_is_there_and_out_of_the_sandboxs_reach(self):
        self.store()
        key = self.item(self.key_name())
        self.assertRegex(key, r"\A[0-9a-f]{64}\Z")
        for path in self.moat_home.rglob("*"):
            if path.is_file():
                self.assertNotIn(bytes.fromhex(key), path.read_bytes(), path)
        self.assertEqual(self.moat("grant", "show", "github").returncode, 0)
        # The sandbox is even told where the bus is.
        done = self.run_moat("env", "DBUS_SESSION_BUS_ADDRESS=" + self.bus, "secret-tool", "lookup",
                             "application", "moat", "key", self.key_name(),
                             flags=["--grant", "github"], expect=1)
        self.assertEqual(done.stdout, "")
        self.assertIn("secret-tool: ", done.stderr)
        self.assertNotIn(key, done.stderr)

    def test_one_that_is_locked_or_away_is_told(self):
        self.store()
        self.lock()
        shown = self.moat("grant", "show", "github")
        self.assertEqual(shown.returncode, 1)
        self.assertIn("the Secret Service is locked: unlock it", shown.stderr)
        done = self.run_moat("true", flags=["--grant", "github"], expect=125)
        self.assertIn("is locked", done.stderr)
        done = self.run_moat("true")  # which is granted nothing
        self.assertIn("not looked for in what is recorded", done.stderr)
        done = self.moat("grant", "rekey")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is locked", done.stderr)
        self.unlock()
        self.assertEqual(self.moat("grant", "show", "github").returncode, 0)
        away = self.moat("grant", "show", "github",
                         env={"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"})
        self.assertEqual(away.returncode, 1)
        self.assertIn("the Secret Service cannot be used here", away.stderr)
        self.assertIn("DBUS_SESSION_BUS_ADDRESS", away.stderr)
        self.tool("secret-tool", "clear", "application", "moat", "key", self.key_name())
        gone = self.moat("grant", "show", "github")
        self.assertEqual(gone.returncode, 1)
        self.assertIn("the Secret Service has no key '%s'" % self.key_name(), gone.stderr)

    def test_the_key_moves_between_all_places(self):
        self.store()
        passphrase = Vault.passphrase_file(self, "correct horse")
        for place in ("file", "secret-service", "keyring", "secret-service", "passphrase",
                      "secret-service", "secret-service", "file"):
            old = self.moat_home / "credentials.key"
            old = self.key_name() if old.read_bytes().startswith(b"{") and \
                "name" in json.loads(old.read_text()) else None
            self.set_key(place)
            refused = self.moat("grant", "show", "github", env=passphrase)
            done = self.moat("grant", "rekey", env=passphrase)
            if "keyring cannot be used" in done.stderr:
                continue
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("kept by '%s'" % place, done.stdout)
            self.assertEqual(self.moat("grant", "show", "github", env=passphrase).returncode, 0)
            if old:
                self.assertEqual(self.item(old), "")
        self.assertIn("run 'moat grant rekey'", refused.stderr)

    def test_a_run_that_lives_is_told_of_a_key_there(self):
        service = self.service = test_refresh.TokenServer(self.token)
        self.addCleanup(service.stop)
        self.set_key("file")
        self.grant_github()
        self.old = "gho_0123456789012345678901234567890123"
        test_refresh.Refresh.seal(self, 3600)
        script = "touch ready; until [ -e go ]; do sleep 0.05; done; " + \
            test_refresh.Refresh.until_good(self)
        run = self.start(*self.run_arguments("sh", "-c", script, flags=["--grant", "github"]))
        harness.wait_for((self.workspace / "ready").exists)
        self.set_key("secret-service")
        self.assertEqual(self.moat("grant", "rekey").returncode, 0)
        (self.workspace / "go").touch()
        out, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 0, err.decode())
        self.assertIn("your-username", out.decode())
        self.assertNotIn("renewed or kept", err.decode())
        self.assertEqual((service.requests, service.abused), (1, False))
        shown = self.moat("grant", "show", "github", "--json")
        self.assertEqual(json.loads(shown.stdout)["last_four"], self.token[-4:])

    def test_a_secret_variable_comes_from_there(self):
        done = self.tool("secret-tool", "store", "--label=x", "service", "jira", "username", "me",
                         input="s3cret")
        self.assertEqual(done.returncode, 0, done.stderr)
        flags = ["--secret", "TOKEN=keyring://jira/me"]
        done = self.run_moat("sh", "-c", 'test "$TOKEN" = s3cret && echo same', flags=flags)
        self.assertEqual(done.stdout, "same\n")
        missing = self.run_moat("true", flags=["--secret", "TOKEN=keyring://jira/you"], expect=125)
        self.assertIn("keyring://jira/you: secret-tool failed with status 1", missing.stderr)


if __name__ == "__main__":
    harness.main()
