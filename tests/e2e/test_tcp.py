"""What is no HTTP: databases, mail, and TLS that is passed through."""

import hashlib
import os
import shutil
import socket
import subprocess
import threading

import harness
from harness import MoatTest, PYTHON, wait_for
from origin import pattern

# redis-tools has the server under another name: it looks at the name that it is called by.
REDIS = shutil.which("redis-server") or shutil.which("redis-check-rdb")


class Server:
    """One connection at a time to a function of the test's, on loopback."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve = serve
        self.seen = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(30)
                try:
                    self.serve(connection, self.seen)
                except OSError as error:
                    self.seen.append(error)

    def stop(self):
        # Closing alone does not wake the thread that waits in accept().
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def serve_smtp(connection, seen):
    """As much of RFC 5321 as a client needs: the server speaks first."""
    lines = connection.makefile("rwb")

    def say(text):
        lines.write(text.encode() + b"\r\n")
        lines.flush()

    say("220 mail.example.test ready")
    message = None
    for line in lines:
        if message is not None:
            if line == b".\r\n":
                seen.append(b"".join(message))
                message = None
                say("250 taken")
            else:
                message.append(line)
            continue
        verb = line.split()[0].upper() if line.split() else b""
        if verb == b"DATA":
            message = []
            say("354 go on")
        elif verb == b"QUIT":
            say("221 bye")
            return
        elif verb in (b"HELO", b"EHLO", b"MAIL", b"RCPT"):
            say("250 fine")
        else:
            say("502 what?")


def serve_digest(connection, seen):
    """Reads to the end of the client's direction, and then answers."""
    digest, total = hashlib.sha256(), 0
    while piece := connection.recv(1 << 16):
        digest.update(piece)
        total += len(piece)
    seen.append(total)
    connection.sendall(b"%d %s\n" % (total, digest.hexdigest().encode()))


def serve_bytes(connection, seen):
    connection.sendall(pattern(int(connection.makefile("rb").readline())))


def serve_anything(connection, seen):
    seen.append(connection.recv(1000))


class Tcp(MoatTest):
    def serve(self, function):
        server = Server(function)
        self.addCleanup(server.stop)
        return server

    def to(self, name, port, server):
        return ["--connect-to", "%s:%d=127.0.0.1:%d" % (name, port, server.port)]

    def tcp_rules(self, *rules, more=""):
        self.write_config("network:\n  policy: strict\n  rules:\n" +
                          "".join("    - %s\n" % rule for rule in rules) + more)

    def told(self, scheme):
        told = [entry for entry in self.trace() if entry["scheme"] == scheme]
        self.assertEqual(len(told), 1, told)
        return told[0]

    def test_a_mail_is_sent(self):
        server = self.serve(serve_smtp)
        self.tcp_rules("tcp: mail.example.test:25")
        self.run_moat(PYTHON, "-c", "import smtplib\n"
                      "s = smtplib.SMTP('mail.example.test', 25, timeout=20)\n"
                      "s.sendmail('a@example.test', ['b@example.test'], 'Subject: x\\r\\n\\r\\nhello')\n"
                      "s.quit()", flags=self.to("mail.example.test", 25, server))
        self.assertEqual(server.seen, [b"Subject: x\r\n\r\nhello\r\n"])
        told = self.told("tcp")
        self.assertEqual((told["host"], told["port"], told["rule"], told["rule_where"],
                          told["refused"], told["complete"]),
                         ("mail.example.test", 25, "tcp: mail.example.test:25",
                          "agent.yaml:%d" % self.line_of("tcp:"), False, True))
        self.assertGreater(told["request_bytes"], 60)
        self.assertGreater(told["response_bytes"], 60)
        shown = self.moat("trace", "--network").stdout
        self.assertRegex(shown, r"tcp://mail\.example\.test:25  \d+ B out, \d+ B in")
        self.assertEqual(self.moat("audit").returncode, 0)

    def line_of(self, text):
        lines = (self.workspace / "agent.yaml").read_text().splitlines()
        return next(i for i, line in enumerate(lines, 1) if text in line)

    def test_the_last_words_of_a_program_arrive(self):
        def listen(connection, seen):
            seen.append(connection.makefile("rb").read())

        server = self.serve(listen)
        self.tcp_rules("tcp: log.example.test:514")
        for word in range(5):
            self.run_moat("bash", "-c", "echo %d >/dev/tcp/log.example.test/514" % word,
                          flags=self.to("log.example.test", 514, server))
            told = self.trace()[0]
            self.assertEqual((told["scheme"], told["complete"]), ("tcp", True), told)
        self.assertEqual(server.seen, [b"%d\n" % word for word in range(5)])

    def test_half_a_close_leaves_the_other_half(self):
        server = self.serve(serve_digest)
        self.tcp_rules("tcp: db.example.test:9000")
        data = pattern(100_000)
        (self.workspace / "data").write_bytes(data)
        done = self.run_moat(
            PYTHON, "-c", "import socket\n"
            "s = socket.create_connection(('db.example.test', 9000), 20)\n"
            "s.sendall(open('/workspace/data', 'rb').read())\n"
            "s.shutdown(socket.SHUT_WR)\n"
            "print(s.makefile().read(), end='')", flags=self.to("db.example.test", 9000, server))
        self.assertEqual(done.stdout, "100000 %s\n" % hashlib.sha256(data).hexdigest())
        self.assertTrue(self.told("tcp")["complete"])

    def test_much_is_carried_whole(self):
        up = self.serve(serve_digest)
        down = self.serve(serve_bytes)
        self.tcp_rules('tcp: "*.example.test:9001"', "tcp: down.example.test:9002")
        size = 64 * 1024 * 1024
        done = self.run_moat(
            PYTHON, "-c", "import hashlib, socket\n"
            "block = bytes(range(256)) * 4096\n"
            "d = hashlib.sha256()\n"
            "s = socket.create_connection(('up.example.test', 9001), 60)\n"
            "for i in range(64): s.sendall(block); d.update(block)\n"
            "s.shutdown(socket.SHUT_WR)\n"
            "print(s.makefile().read().split()[1] == d.hexdigest())\n"
            "s = socket.create_connection(('down.example.test', 9002), 60)\n"
            "s.sendall(b'%d\\n')\n"
            "print(hashlib.sha256(s.makefile('rb').read()).hexdigest())" % size,
            flags=self.to("up.example.test", 9001, up) + self.to("down.example.test", 9002, down))
        self.assertEqual(done.stdout.split(), ["True", hashlib.sha256(pattern(size)).hexdigest()])
        told = {entry["host"]: entry for entry in self.trace()}
        self.assertEqual(told["up.example.test"]["request_bytes"], size)
        self.assertEqual(told["down.example.test"]["response_bytes"], size)

    def test_without_a_rule_it_is_refused_and_the_reason_says_how(self):
        server = self.serve(serve_anything)
        self.tcp_rules("db.example.test")  # for requests, and not for this
        done = self.run_moat(
            PYTHON, "-c", "import socket\n"
            "s = socket.create_connection(('db.example.test', 9000), 20)\n"
            "s.sendall(b'\\0\\0\\0\\x08\\x04\\xd2\\x16\\x2f')\n"
            "s.recv(1)", flags=self.to("db.example.test", 9000, server), expect=1)
        self.assertIn("ConnectionResetError", done.stderr)
        self.assertEqual(server.seen, [])
        told = self.told("tcp")
        self.assertTrue(told["refused"])
        self.assertIn('"tcp: db.example.test:9000"', told["reason"])

    def test_a_rule_opens_its_port_only(self):
        server = self.serve(serve_anything)
        self.tcp_rules("tcp: db.example.test:9000")
        done = self.run_moat(
            PYTHON, "-c", "import socket\n"
            "s = socket.create_connection(('db.example.test', 9001), 20)\n"
            "s.sendall(b'*1\\r\\n')\n"
            "s.recv(1)", flags=self.to("db.example.test", 9001, server), expect=1)
        self.assertIn("ConnectionResetError", done.stderr)
        self.assertEqual(server.seen, [])

    def test_a_private_address_wants_trust(self):
        for rule in ("tcp: 192.168.77.1:5432", "{tcp: db.lan:5432, local: true}"):
            self.tcp_rules(rule)
            done = self.run_moat("true", expect=125)
            self.assertIn("--trust-config", done.stderr)
            self.run_moat("true", flags=["--trust-config"])

    # --- Redis: a real server and a real client ------------------------------------------------
    def start_redis(self, *options):
        if not REDIS:
            self.skipTest("there is no redis here; see contrib/setup/debian.sh test")
        directory = self.workspace.parent / "redis"
        directory.mkdir()
        path = directory / "redis.sock"
        process = subprocess.Popen(
            ["redis-server", "--unixsocket", str(path), "--dir", str(directory), "--save", "",
             *options], executable=REDIS, stdout=subprocess.DEVNULL)

        def stop():
            process.terminate()
            process.wait(10)
        self.addCleanup(stop)
        wait_for(path.exists)

    def free_port(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return listener.getsockname()[1]

    def test_redis(self):
        port = self.free_port()
        self.start_redis("--port", str(port), "--bind", "127.0.0.1")
        self.tcp_rules("tcp: redis.example.test:6379")
        flags = ["--connect-to", "redis.example.test:6379=127.0.0.1:%d" % port]
        done = self.run_moat(
            "sh", "-c", "redis-cli -h redis.example.test set greeting hello && "
            "redis-cli -h redis.example.test get greeting", flags=flags)
        self.assertEqual(done.stdout, "OK\nhello\n")
        self.assertEqual({(e["scheme"], e["complete"]) for e in self.trace()}, {("tcp", True)})

    def test_redis_over_tls_is_verified_and_carried(self):
        port = self.free_port()
        pki = self.origin.ca.parent
        self.start_redis("--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1",
                         "--tls-cert-file", str(pki / "origin.crt"), "--tls-key-file",
                         str(pki / "origin.key"), "--tls-auth-clients", "no",
                         "--tls-ca-cert-file", str(self.origin.ca))
        self.tcp_rules("tcp: allowed.example.test:6380", "tcp: unknown.example.test:6380")
        client = ("redis-cli --tls --cacert $SSL_CERT_FILE --sni %s -h %s -p 6380 ping")
        done = self.run_moat("sh", "-c", client % (("allowed.example.test",) * 2), flags=[
            "--connect-to", "allowed.example.test:6380=127.0.0.1:%d" % port])
        self.assertEqual(done.stdout, "PONG\n")
        told = self.told("tls")
        self.assertEqual((told["host"], told["rule"]),
                         ("allowed.example.test", "tcp: allowed.example.test:6380"))
        # Seen inside of TLS: the bytes are those of Redis's protocol, not of TLS.
        self.assertLess(told["request_bytes"], 400)
        # A server whose certificate is for another name gets nothing.
        done = self.run_moat("sh", "-c", client % (("unknown.example.test",) * 2), flags=[
            "--connect-to", "unknown.example.test:6380=127.0.0.1:%d" % port], expect=None)
        self.assertNotIn("PONG", done.stdout)
        self.assertIn("certificate", self.told("tls")["reason"])

    # --- passing through -----------------------------------------------------------------------
    def pinning(self, rules="allowed.example.test", passthrough="allowed.example.test"):
        self.tcp_rules(rules, more="  passthrough: [%s]\n" % passthrough)
        shutil.copy(self.origin.ca, self.workspace / "origin-ca.pem")
        os.chmod(self.workspace / "origin-ca.pem", 0o644)

    pinned = ("curl", "-s", "--cacert", "/workspace/origin-ca.pem",
              "https://allowed.example.test/open/pinned")

    def test_a_program_that_pins_is_passed_through(self):
        self.pinning()
        done = self.run_moat(*self.pinned, flags=["--trust-config"])
        self.assertIn('"ok": true', done.stdout)
        told = self.told("tls")
        self.assertEqual((told["rule"], told["path"], told["complete"]),
                         ("passthrough: allowed.example.test", "", True))
        self.assertGreater(told["response_bytes"], 500)
        # Without it, the run's own authority is what programs see.
        self.tcp_rules("allowed.example.test")
        self.run_moat(*self.pinned, expect=60)

    def test_passing_through_wants_trust(self):
        self.pinning()
        done = self.run_moat(*self.pinned, expect=125)
        self.assertIn("network.passthrough", done.stderr)
        self.assertIn("--trust-config", done.stderr)

    def test_another_name_is_not_passed_through(self):
        self.pinning()
        self.run_moat("curl", "-s", "--cacert", "/workspace/origin-ca.pem", "--connect-to",
                      "other.example.test:443:allowed.example.test:443",
                      "https://other.example.test/open/fronted", flags=["--trust-config"], expect=35)
        self.assertEqual(self.seen_at_origin("/open/fronted"), [])
        told = self.told("tls")
        self.assertTrue(told["refused"])
        self.assertIn("other.example.test", told["reason"])

    def test_a_host_of_a_grant_is_not_passed_through(self):
        self.grant_github()
        self.pinning(passthrough='"*.github.com"')
        done = self.run_moat("true", flags=["--trust-config", "--grant", "github"], expect=125)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for word in ("*.github.com", "github", "agent.yaml:%d" % self.line_of("passthrough")):
            self.assertIn(word, done.stderr)

    def test_a_host_of_a_grant_has_no_tcp_where_requests_go(self):
        self.grant_github()
        self.tcp_rules("tcp: api.github.com:443")
        done = self.run_moat("true", flags=["--grant", "github"], expect=125)
        self.assertIn("tcp: api.github.com:443", done.stderr)
        # Elsewhere it is fine, and what is TLS there is looked into all the same.
        self.tcp_rules("tcp: api.github.com:8443")
        done = self.run_moat("curl", "-s", "https://api.github.com:8443/user", flags=[
            "--grant", "github", "--connect-to",
            "api.github.com:8443=127.0.0.1:%d" % self.origin.https])
        self.assertIn("your-username", done.stdout)
        self.assertEqual(self.told("https")["injected"], ["github"])


if __name__ == "__main__":
    harness.main()
