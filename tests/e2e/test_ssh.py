"""ssh and git over ssh, against sshd: one key, for one host, and on record."""

import fcntl
import json
import os
import pwd
import shutil
import socket
import subprocess
import termios
import time

import harness
from harness import MoatTest, PYTHON, UID, wait_for
from test_record import described

HOST, OTHER = "git.example.test", "other.example.test"
USER = pwd.getpwuid(os.getuid()).pw_name  # whom sshd lets log in: itself


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def make_key(path, kind="ed25519", comment="owner@laptop"):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", str(path)],
                   check=True)
    return path


def fingerprint(path):
    words = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], check=True, capture_output=True,
                           text=True).stdout.split()
    return words[1]


class Sshd:
    """One that lets log in with the keys it is given, on loopback."""

    def __init__(self, directory, authorized, kind="ed25519", settings=()):
        directory.mkdir()
        self.directory = directory
        self.port = free_port()
        self.key = make_key(directory / "host_key", kind, "host")
        keys = directory / "authorized_keys"
        keys.write_text("".join(key.with_suffix(".pub").read_text() for key in authorized))
        config = directory / "config"
        config.write_text("\n".join([
            "ListenAddress 127.0.0.1:%d" % self.port, "HostKey %s" % self.key, "PidFile none",
            "AuthorizedKeysFile %s" % keys, "StrictModes no", "UsePAM no", "LogLevel VERBOSE",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes",
            "AllowAgentForwarding yes", "MaxStartups 100", *settings, ""]))
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.log = open(directory / "log", "w+")
        self.process = subprocess.Popen([shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-e",
                                         "-f", str(config)], stderr=self.log)
        wait_for(self.answers)

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as one:
                return one.recv(3) == b"SSH"
        except OSError:
            return False

    def known_as(self, name):
        return "%s %s\n" % (name, " ".join(
            self.key.with_suffix(".pub").read_text().split()[:2]))

    def said(self):
        return (self.directory / "log").read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


class Ssh(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        keys = cls.make_dir(cls.root / "keys")
        cls.key = make_key(keys / "granted")
        cls.private = make_key(keys / "private")
        for path in keys.iterdir():
            os.chown(path, UID, UID)
        cls.sshd = Sshd(cls.root / "sshd", [cls.key, cls.private])
        cls.other = Sshd(cls.root / "other", [cls.key, cls.private])
        ssh = cls.make_dir(cls.home / ".ssh")
        cls.known_hosts = ssh / "known_hosts"
        cls.known_hosts.write_text("# kept by hand\n" + cls.sshd.known_as(HOST) +
                                   cls.other.known_as(OTHER))
        # As Debian's ssh writes it: nobody can read whose keys these are.
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(cls.known_hosts)], check=True,
                       capture_output=True)
        (ssh / "known_hosts.old").unlink()
        os.chown(cls.known_hosts, UID, UID)
        cls.agent = cls.root / "home" / "agent.sock"
        cls.agent_process = subprocess.Popen(
            cls.as_user(["ssh-agent", "-D", "-a", str(cls.agent)]), stdout=subprocess.DEVNULL)
        wait_for(cls.agent.exists)
        subprocess.run(cls.as_user(["ssh-add", "-q", str(cls.key), str(cls.private)]), check=True,
                       env=dict(os.environ, SSH_AUTH_SOCK=str(cls.agent)))

    @classmethod
    def tearDownClass(cls):
        cls.sshd.stop()
        cls.other.stop()
        cls.agent_process.terminate()
        cls.agent_process.wait(10)
        super().tearDownClass()

    def tearDown(self):
        self.moat("revoke", "ssh:" + HOST)

    @classmethod
    def environment(cls, extra=None):
        return super().environment({"SSH_AUTH_SOCK": str(cls.agent), **(extra or {})})

    def grant(self, *flags, name="ssh:" + HOST, expect=0, **options):
        done = self.moat("grant", name, *flags, **options)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def grant_by_agent(self):
        return self.grant("--fingerprint", fingerprint(self.key))

    def to_sshd(self):
        return ["--grant", "ssh:" + HOST,
                "--connect-to", "%s:22=127.0.0.1:%d" % (HOST, self.sshd.port),
                "--connect-to", "%s:22=127.0.0.1:%d" % (OTHER, self.other.port)]

    def run_with_ssh(self, *command, flags=(), **options):
        return self.run_moat(*command, flags=[*self.to_sshd(), *flags], **options)

    def records(self, kind):
        done = self.moat("audit", "show", "--type", kind, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        records = [json.loads(line)["data"] for line in done.stdout.splitlines()]
        for record in records:  # as moat-audit(5) has them
            self.assertEqual(sorted(record), sorted(described()[kind]))
        return records

    # --- what it is for -----------------------------------------------------------------------

    def test_ssh_logs_in_with_the_agents_key(self):
        self.grant_by_agent()
        done = self.run_with_ssh("ssh", "%s@%s" % (USER, HOST), "echo hello from $USER")
        self.assertEqual(done.stdout, "hello from %s\n" % USER)
        signed = self.records("ssh.signed")
        self.assertEqual(signed, [{"bound": True, "certificate": "", "count": 1,
                                   "grant": "ssh:" + HOST, "host": HOST,
                                   "key": fingerprint(self.key), "user": USER}])
        self.assertEqual(self.records("ssh.refused"), [])
        self.assertEqual(self.moat("audit").returncode, 0)
        tcp = [entry for entry in self.trace() if entry["scheme"] == "tcp"]
        self.assertEqual([(entry["host"], entry["port"], entry["rule"]) for entry in tcp],
                         [(HOST, 22, "ssh:" + HOST)])

    def test_git_clones_and_pushes(self):
        bare = self.root / "repo.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
        self.grant_by_agent()
        self.write_config("network:\n  policy: strict\n")
        script = """set -e
            export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
            cd /tmp
            git clone -q {0} work 2>&1
            cd work
            seq 1 200000 >numbers; git add numbers; git commit -qm numbers; git push -q origin HEAD:main
            cd .. && git clone -q {0} again
            [ "$(sha256sum <work/numbers)" = "$(sha256sum <again/numbers)" ] && echo same
            """.format("%s@%s:%s" % (USER, HOST, bare))
        done = self.run_with_ssh("sh", "-c", script)
        self.assertIn("same\n", done.stdout)
        told = subprocess.run(["git", "--git-dir", str(bare), "log", "--format=%s", "main"],
                              capture_output=True, text=True).stdout
        self.assertEqual(told, "numbers\n")
        self.assertEqual([one["count"] for one in self.records("ssh.signed")], [1, 2, 3])

    def test_a_key_file_of_each_kind(self):
        for kind in ("ed25519", "ecdsa", "rsa"):
            key = make_key(self.root / ("key_" + kind), kind)
            os.chown(key, UID, UID)
            sshd = Sshd(self.root / ("sshd_" + kind), [key], kind)
            self.addCleanup(sshd.stop)
            name = kind + ".example.test"
            with open(self.known_hosts, "a") as hosts:
                hosts.write(sshd.known_as("[%s]:2222" % name))
            self.grant("--key", key, name="ssh:%s:2222" % name)
            done = self.run_moat(
                "ssh", "-p", "2222", "%s@%s" % (USER, name), "echo in",
                flags=["--grant", "ssh:%s:2222" % name,
                       "--connect-to", "%s:2222=127.0.0.1:%d" % (name, sshd.port)],
                env={"SSH_AUTH_SOCK": "/nowhere"})
            self.assertEqual(done.stdout, "in\n")
            self.assertEqual([one["key"] for one in self.records("ssh.signed")], [fingerprint(key)])
            left = [path.name for path in (self.moat_home / "runs" / self.last_run()["id"]).iterdir()]
            self.assertNotIn("keys.sock", left)
            os.rename(key, str(key) + ".away")
            done = self.run_moat("true", flags=["--grant", "ssh:%s:2222" % name], expect=125)
            self.assertIn(str(key), done.stderr)

    def test_a_certificate_stands_for_the_key(self):
        """Whose authority a server trusts, whatever the key."""
        authority, stranger = (make_key(self.root / name) for name in ("authority", "stranger"))
        for kind in ("ed25519", "rsa"):
            key, other = (make_key(self.root / (kind + name), kind) for name in ("_key", "_other"))
            sshd = Sshd(self.root / ("ca_sshd_" + kind), [], settings=[
                "TrustedUserCAKeys %s.pub" % authority])
            self.addCleanup(sshd.stop)
            name = kind + ".certified.test"
            with open(self.known_hosts, "a") as hosts:
                hosts.write(sshd.known_as(name))
            login = ["ssh", "%s@%s" % (USER, name), "echo in"]
            flags = ["--grant", "ssh:" + name, "--connect-to", "%s:22=127.0.0.1:%d" % (name, sshd.port)]

            def certify(by, what, validity="+1h"):
                subprocess.run(["ssh-keygen", "-q", "-s", str(by), "-I", "laptop of " + USER, "-n",
                                USER, "-V", validity, str(what) + ".pub"], check=True)
                for path in (what, what.with_name(what.name + "-cert.pub")):
                    os.chown(path, UID, UID)

            os.chown(key, UID, UID)
            self.grant("--key", key, name="ssh:" + name)
            self.run_moat(*login, flags=flags, expect=255)  # without one
            certify(authority, key)
            done = self.run_moat(*login, flags=flags)
            self.assertEqual(done.stdout, "in\n")
            self.assertEqual([(one["certificate"], one["key"]) for one in self.records("ssh.signed")],
                             [("laptop of " + USER, fingerprint(key))])
            self.assertIn("ID \"laptop of %s\"" % USER, sshd.said())
            if kind == "rsa":
                continue
            # One that is over is not even shown; one of somebody else's authority is no use.
            certify(authority, key, "-2h:-1h")
            done = self.run_moat("sh", "-c", "ssh-add -L | wc -l", flags=flags)
            self.assertEqual(done.stdout, "1\n")
            self.assertIn("is not valid now", done.stderr)
            certify(stranger, key)
            self.run_moat(*login, flags=flags, expect=255)
            # The agent of the host has the granted key and another, which is certified: it logs in
            # outside, and neither it nor its certificate is to be had inside.
            certify(authority, other)
            key.with_name(key.name + "-cert.pub").unlink()
            agent = dict(os.environ, SSH_AUTH_SOCK=str(self.agent))
            subprocess.run(self.as_user(["ssh-add", "-q", str(key), str(other)]), check=True, env=agent)
            try:
                outside = subprocess.run(
                    ["ssh", "-F", "none", "-o", "UserKnownHostsFile=/dev/null", "-o",
                     "StrictHostKeyChecking=no", "-p", str(sshd.port), USER + "@127.0.0.1", "echo in"],
                    env=agent, capture_output=True, text=True)
                self.assertEqual(outside.stdout, "in\n", outside.stderr)
                self.grant("--fingerprint", fingerprint(key), name="ssh:" + name)
                shutil.copy(other.with_name(other.name + "-cert.pub"), self.workspace / "other-cert.pub")
                done = self.run_moat("sh", "-c", "ssh-add -L | wc -l; ssh -o IdentitiesOnly=yes -i "
                                     "other-cert.pub %s@%s echo in" % (USER, name), flags=flags,
                                     expect=255)
                self.assertEqual(done.stdout, "1\n")
                self.assertEqual(self.records("ssh.signed"), [])
                # Certified too, and in the agent alone.
                certify(authority, key)
                subprocess.run(self.as_user(["ssh-add", "-q", str(key)]), check=True, env=agent)
                subprocess.run(self.as_user(["ssh-add", "-q", "-d", "-k", str(key)]), check=True,
                               env=agent)
                self.assertEqual(self.run_moat(*login, flags=flags).stdout, "in\n")
            finally:
                subprocess.run(self.as_user(["ssh-add", "-q", "-d", str(key), str(other)]), env=agent,
                               stderr=subprocess.DEVNULL)

    def test_a_passphrase_is_asked_for_on_the_terminal(self):
        key = self.root / "keys" / "with_passphrase"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open sesame", "-f", str(key)],
                       check=True)
        os.chown(key, UID, UID)
        with open(self.sshd.directory / "authorized_keys", "a") as keys:
            keys.write(key.with_suffix(".pub").read_text())
        self.grant("--key", key)  # without one
        arguments = self.run_arguments("ssh", "%s@%s" % (USER, HOST), "echo in",
                                       flags=self.to_sshd())
        status, out = self.on_terminal(arguments, b"passphrase", b"open sesame\n")
        self.assertEqual((status, out.splitlines()[-1]), (0, "in"), out)
        self.assertEqual([one["key"] for one in self.records("ssh.signed")], [fingerprint(key)])
        # Ctrl-C is an answer too.
        status, out = self.on_terminal(arguments, b"passphrase", b"\x03")
        self.assertEqual(status, 125, out)
        self.assertIn("cannot be used", out)
        # Where there is no terminal, nobody is asked.
        done = self.run_with_ssh("true", expect=125, start_new_session=True)
        self.assertIn(str(key), done.stderr)

    def test_the_keys_of_an_unknown_host_are_shown_on_a_terminal(self):
        name = "ssh:127.0.0.1:%d" % self.sshd.port
        arguments = ["grant", name, "--key", self.key]
        for answer, expected in ((b"no\n", 1), (b"SHA256:other\n", 1), (b"\n", 1), (b"yes\n", 0),
                                 (fingerprint(self.sshd.key).encode() + b"\n", 0)):
            status, out = self.on_terminal(arguments, b"Are these the host's", answer)
            self.assertEqual(status, expected, out)
            self.assertIn(fingerprint(self.sshd.key), out)
            self.assertEqual(self.moat("revoke", name).returncode, expected)

    def on_terminal(self, arguments, question, answer):
        """moat, with a terminal of its own, on which a question is answered."""
        ours, theirs = os.openpty()
        process = self.start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs,
                             start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        out = b""
        os.set_blocking(ours, False)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                more = os.read(ours, 4096)
            except BlockingIOError:
                time.sleep(0.02)
                continue
            except OSError:
                break
            if not more:
                break
            out += more
            if answer and question in out:
                os.write(ours, answer)
                answer = b""
        os.close(ours)
        return process.wait(10), out.decode(errors="replace")

    def test_a_run_in_the_background_and_its_end(self):
        self.grant("--key", self.key)
        command = "ssh %s@%s echo in >out; while sleep 0.1; do :; done" % (USER, HOST)
        started = self.run_with_ssh("sh", "-c", command, flags=["-d"])
        wait_for(lambda: (self.workspace / "out").exists() and (self.workspace / "out").read_text())
        run = self.last_run()
        self.assertTrue(started.stdout.strip() == run["id"] and run["pid"])
        agents = subprocess.run(["pgrep", "-P", str(run["pid"]), "-x", "ssh-agent"],
                                capture_output=True, text=True).stdout.split()
        self.assertEqual(len(agents), 1)
        os.kill(run["pid"], 9)  # nothing of it may be left, the key least of all
        wait_for(lambda: subprocess.run(["ps", "-o", "stat=", "-p", agents[0]], capture_output=True,
                                        text=True).stdout.strip() in ("", "Z", "Zs"))
        self.assertEqual(len(self.records("ssh.signed")), 1)

    # --- what it is not for -------------------------------------------------------------------

    def test_only_the_granted_key_is_listed(self):
        self.grant_by_agent()
        done = self.run_with_ssh("sh", "-c", "ssh-add -L; ssh-add -l | wc -l")
        self.assertEqual(done.stdout.splitlines(), [
            " ".join(self.key.with_suffix(".pub").read_text().split()[:2]) + " ssh:" + HOST, "1"])

    def test_the_second_host_is_out_of_reach(self):
        self.grant_by_agent()
        self.write_config("network:\n  policy: strict\n")
        done = self.run_with_ssh("ssh", "-o", "StrictHostKeyChecking=no", "%s@%s" % (USER, OTHER),
                                 "echo in", expect=255)
        self.assertNotIn("in\n", done.stdout)
        self.write_config("network:\n  policy: permissive\n")
        done = self.run_with_ssh("ssh", "-o", "StrictHostKeyChecking=no", "%s@%s" % (USER, OTHER),
                                 "echo in", expect=255)
        self.assertNotIn("in\n", done.stdout)
        refused = [entry for entry in self.trace() if entry["refused"]]
        self.assertEqual([(entry["host"], entry["port"]) for entry in refused], [(OTHER, 22)])

    def test_nothing_is_signed_for_a_second_host(self):
        self.grant_by_agent()
        self.write_config("network:\n  rules:\n    - tcp: %s:22\n" % OTHER)
        done = self.run_with_ssh("ssh", "-v", "-o", "StrictHostKeyChecking=no",
                                 "%s@%s" % (USER, OTHER), "echo in", expect=255)
        self.assertNotIn("in\n", done.stdout)
        self.assertIn("Permission denied (publickey)", done.stderr)
        self.assertNotIn("Accepted", self.other.said())
        self.assertEqual(self.records("ssh.signed"), [])
        refused = self.records("ssh.refused")
        self.assertEqual([one["reason"] for one in refused], [
            "the host key %s is that of no granted host" % fingerprint(self.other.key)])

    def test_the_key_is_not_forwarded(self):
        self.grant_by_agent()
        done = self.run_with_ssh("ssh", "-A", "%s@%s" % (USER, HOST), "ssh-add -L; true")
        self.assertNotIn(self.key.with_suffix(".pub").read_text().split()[1], done.stdout)
        self.assertEqual([one["reason"] for one in self.records("ssh.refused")],
                         ["the agent may not be forwarded to another host"])

    def test_attacks_on_the_agent(self):
        self.grant_by_agent()
        shutil.copy(self.key.with_suffix(".pub"), self.workspace / "granted.pub")
        shutil.copy(self.private.with_suffix(".pub"), self.workspace / "private.pub")
        (self.workspace / "host.pub").write_text(self.sshd.key.with_suffix(".pub").read_text())
        done = self.run_with_ssh(PYTHON, self.script("ssh_attacks.py"))
        self.assertEqual(done.stdout.splitlines()[-1], "all refused", done.stdout)
        self.assertEqual(self.records("ssh.signed"), [])
        reasons = {one["reason"] for one in self.records("ssh.refused")}
        for part in ("has not signed this session", "has not said for which host",
                     "only requests to log in", "nobody in the sandbox may add a key",
                     "nobody in the sandbox may lock", "is not served", "malformed",
                     "the key is not granted", "longer than it may be",
                     "binding to a session was refused"):
            self.assertTrue(any(part in reason for reason in reasons), (part, reasons))
        self.assertEqual(self.moat("audit").returncode, 0)

    def test_an_unbound_client_signs_where_the_user_says_so(self):
        self.grant_by_agent()
        shutil.copy(self.key.with_suffix(".pub"), self.workspace / "granted.pub")
        shutil.copy(self.private.with_suffix(".pub"), self.workspace / "private.pub")
        (self.workspace / "host.pub").write_text(self.sshd.key.with_suffix(".pub").read_text())
        done = self.run_with_ssh(PYTHON, self.script("ssh_attacks.py"), "unbound",
                                 flags=["--ssh-allow-unbound"])
        self.assertEqual(done.stdout.splitlines()[-1], "signed, and nothing else", done.stdout)
        self.assertEqual(self.records("ssh.signed"), [
            {"bound": False, "certificate": "", "count": 1, "grant": "ssh:" + HOST, "host": "",
             "key": fingerprint(self.key), "user": "root"}])

    def test_nothing_of_the_private_key_is_inside(self):
        self.grant("--key", self.key)
        secret = [line for line in self.key.read_text().splitlines() if "-" not in line]
        needles = self.workspace / "needles"
        done = self.run_with_ssh(
            "sh", "-c", "ssh %s@%s true; ls -la ~ /run/moat; env; "
            "cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; "
            "find / -xdev -type f -newer /proc/1 -size -1000k 2>/dev/null | xargs cat 2>/dev/null"
            % (USER, HOST))
        self.assertEqual(len(self.records("ssh.signed")), 1)
        self.assertFalse(needles.exists())
        for line in secret[1:-1]:  # the first begins as every key does
            self.assertNotIn(line, done.stdout)
        self.assertNotIn(str(self.key), done.stdout)
        self.assertNotIn("keys.sock", done.stdout)
        for path in self.moat_home.rglob("*"):
            if path.is_file():
                self.assertNotIn(secret[2].encode(), path.read_bytes(), path)

    # --- granting -----------------------------------------------------------------------------

    def test_the_agents_only_key_needs_no_name_and_others_do(self):
        done = self.grant(expect=1)
        self.assertIn("choose one with --fingerprint", done.stderr)
        self.assertIn(fingerprint(self.key), done.stderr)
        done = self.grant("--fingerprint", "SHA256:nothing", expect=1)
        self.assertIn("does not have the key", done.stderr)
        done = self.grant("--key", self.key, "--fingerprint", fingerprint(self.private), expect=1)
        self.assertIn("holds the key", done.stderr)
        done = self.grant("--key", self.key, "--json", env={"SSH_AUTH_SOCK": ""})
        facts = json.loads(done.stdout)
        self.assertEqual((facts["provider"], facts["host"], facts["port"], facts["fingerprint"],
                          facts["source"]),
                         ("ssh", HOST, 22, fingerprint(self.key), str(self.key)))
        shown = self.moat("grant", "show", "ssh:" + HOST).stdout
        for line in ("Type:       key\n", "Host:       %s\n" % HOST, "Source:     %s\n" % self.key,
                     "fingerprint: %s\n" % fingerprint(self.key)):
            self.assertIn(line, shown)
        self.assertNotIn("PRIVATE", shown)
        self.assertEqual(facts["host_keys"], [self.sshd.known_as(HOST).split(" ", 1)[1].strip()])
        done = self.grant(expect=1, env={"SSH_AUTH_SOCK": ""})
        self.assertIn("SSH_AUTH_SOCK is not set", done.stderr)

    def test_nobody_is_trusted_for_answering_first(self):
        name = "ssh:127.0.0.1:%d" % self.sshd.port
        done = self.grant("--key", self.key, name=name, expect=1)
        self.assertIn(fingerprint(self.sshd.key), done.stderr)
        self.assertIn("--host-key", done.stderr)
        done = self.grant("--key", self.key, "--host-key", fingerprint(self.other.key), name=name,
                          expect=1)
        self.assertIn("does not have the key", done.stderr)
        self.grant("--key", self.key, "--host-key", fingerprint(self.sshd.key), name=name)
        self.moat("revoke", name)

    def test_a_revoked_host_key_is_none(self):
        name = "revoked.example.test"
        with open(self.known_hosts, "a") as hosts:
            hosts.write(self.other.known_as(name) + "@revoked * " +
                        self.other.known_as("").strip() + "\n")
        try:
            done = self.grant("--key", self.key, name="ssh:" + name, expect=1)
            self.assertIn("is not in your known_hosts", done.stderr)
        finally:
            lines = self.known_hosts.read_text().splitlines(keepends=True)
            self.known_hosts.write_text("".join(lines[:-2]))

    def test_what_is_missing_is_said_before_anything_runs(self):
        done = self.run_with_ssh("true", expect=125)
        self.assertIn("run 'moat grant ssh:%s'" % HOST, done.stderr)
        self.grant_by_agent()
        done = self.run_with_ssh("true", expect=125, env={"SSH_AUTH_SOCK": "/nowhere"})
        self.assertIn("there is no SSH agent here", done.stderr)
        subprocess.run(self.as_user(["ssh-add", "-q", "-d", str(self.key)]), check=True,
                       env=dict(os.environ, SSH_AUTH_SOCK=str(self.agent)))
        try:
            done = self.run_with_ssh("true", expect=125)
            self.assertIn("does not have the key", done.stderr)
        finally:
            subprocess.run(self.as_user(["ssh-add", "-q", str(self.key)]), check=True,
                           env=dict(os.environ, SSH_AUTH_SOCK=str(self.agent)))
        done = self.moat("proxy", "--listen", "127.0.0.1:0", "--grant", "ssh:" + HOST,
                         "--ca-out", self.home / "ca.pem")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("use moat run", done.stderr)


if __name__ == "__main__":
    harness.main()
