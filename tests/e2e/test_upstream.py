"""The way to an origin: through a proxy, and what is said where it ends before its end."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import unittest

import harness
import origin
from harness import HERE, MoatTest, wait_for

USER, PASSWORD = "moat-user", "pr0xy-pass-9d2f7c"
BASIC = base64.b64encode(("%s:%s" % (USER, PASSWORD)).encode()).decode()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Tinyproxy:
    """A real proxy that wants a password, and keeps a log."""

    def __init__(self, directory, ports):
        directory.mkdir()
        self.begin = 0
        self.port = free_port()
        self.log = directory / "log"
        config = directory / "conf"
        config.write_text("Port %d\nListen 127.0.0.1\nTimeout 600\nLogFile \"%s\"\nLogLevel Connect\n"
                          "MaxClients 50\nBasicAuth %s %s\n%s\n"
                          % (self.port, self.log, USER, PASSWORD,
                             "\n".join("ConnectPort %d" % port for port in ports)))
        self.process = subprocess.Popen(["tinyproxy", "-d", "-c", str(config)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers)

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def url(self, user=USER, password=PASSWORD):
        return "http://%s:%s@127.0.0.1:%d" % (user, password, self.port)

    def asked(self):
        """What was written since the last reset()."""
        return self.whole_log()[self.begin:]

    def whole_log(self):
        return self.log.read_text() if self.log.exists() else ""

    def reset(self):
        self.begin = len(self.whole_log())

    def stop(self):
        self.process.kill()
        self.process.wait(10)


class OddServer:
    """Answers whoever connects with the same bytes, and hangs up (or stays, for "")."""

    def __init__(self, answer):
        self.heard = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.settimeout(20)
                try:
                    outer.heard.append(self.request.recv(65536))
                    if answer:
                        self.request.sendall(answer)
                    else:
                        self.request.recv(1)
                except OSError:
                    pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Upstream(MoatTest):
    def curl(self, url, *flags, env=None):
        """What moat answered: status, X-Moat-Reason, body."""
        done = self.run_moat(
            "sh", "-c", "curl -s -m 60 -D - -o body %s; echo; cat body" % url,
            flags=flags, env=env)
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        reason = [line.split(": ", 1)[1] for line in head.splitlines()
                  if line.lower().startswith("x-moat-reason: ")]
        return int(head.split()[1]), reason[0] if reason else "", body

    def failed(self, status, url, *flags, env=None):
        got, reason, body = self.curl(url, *flags, env=env)
        self.assertEqual(got, status, reason + body)
        told = json.loads(body)
        self.assertEqual(told["error"], "failed upstream of moat")
        self.assertEqual(told["reason"][:400], reason[:400])
        self.assertEqual([e["reason"] for e in self.trace() if e.get("status") == status],
                         [told["reason"]])
        return reason


@unittest.skipUnless(shutil.which("tinyproxy"), "there is no tinyproxy")
class Chained(Upstream):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxy = Tinyproxy(cls.root / "tinyproxy", [cls.origin.https, cls.origin.http])

    @classmethod
    def tearDownClass(cls):
        cls.proxy.stop()
        super().tearDownClass()

    def went_through(self, port=None):
        self.assertIn("CONNECT 127.0.0.1:%d" % (port or self.origin.https), self.proxy.asked())

    def setUp(self):
        super().setUp()
        self.proxy.reset()

    def no_password_anywhere(self, *texts):
        for text in texts:
            self.assertNotIn(PASSWORD, text)
            self.assertNotIn(BASIC, text)
        for path in self.moat_home.rglob("*"):
            if path.is_file() and path.name != "config.yaml":
                data = path.read_bytes()
                self.assertNotIn(PASSWORD.encode(), data, path)
                self.assertNotIn(BASIC.encode(), data, path)

    def test_the_environment_names_the_proxy_and_the_password_stays_outside(self):
        done = self.run_moat("sh", "-c", "curl -sf https://allowed.example.test/open/a; env; "
                             "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'",
                             env={"HTTPS_PROXY": self.proxy.url()})
        self.went_through()
        self.assertIn("PATH=", done.stdout)
        self.no_password_anywhere(done.stdout, self.moat("trace", "--network", "--json").stdout,
                                  self.moat("audit", "--json").stdout)
        self.assertEqual([e["status"] for e in self.trace()], [200])
        self.assertEqual([e["address"] for e in self.trace()], ["127.0.0.1:%d" % self.proxy.port])

    def test_a_granted_credential_goes_through_it(self):
        self.grant_github()
        try:
            done = self.run_moat("curl", "-s", "https://api.github.com/user",
                                 flags=["--grant", "github", "--upstream-proxy", self.proxy.url()])
            self.assertIn("your-username", done.stdout)
            self.went_through()
        finally:
            self.moat("revoke", "github")

    def test_port_80_goes_through_it_as_well(self):
        status, _, _ = self.curl("http://allowed.example.test/open/a", "--upstream-proxy",
                                 self.proxy.url())
        self.assertEqual(status, 200)
        self.went_through(port=self.origin.http)

    def test_config_yaml_names_it(self):
        self.moat("list")
        config = self.moat_home / "config.yaml"
        config.write_text("network:\n  upstream_proxy: %s\n" % self.proxy.url())
        try:
            self.assertEqual(self.curl("https://allowed.example.test/open/a")[0], 200)
            self.went_through()
        finally:
            config.unlink()

    def test_agent_yaml_names_it_where_it_is_trusted(self):
        self.write_config("network:\n  upstream_proxy: %s\n" % self.proxy.url())
        done = self.moat(*self.run_arguments("true"))
        self.assertEqual(done.returncode, 125)
        self.assertIn("agent.yaml:", done.stderr)
        self.no_password_anywhere(done.stderr)
        self.assertEqual(self.curl("https://allowed.example.test/open/a", "--trust-config")[0], 200)
        self.went_through()

    def test_no_proxy_and_off_go_directly(self):
        env = {"HTTPS_PROXY": self.proxy.url(), "NO_PROXY": "127.0.0.0/8"}
        self.assertEqual(self.curl("https://allowed.example.test/open/a", env=env)[0], 200)
        del env["NO_PROXY"]
        self.assertEqual(
            self.curl("https://allowed.example.test/open/a", "--upstream-proxy", "off", env=env)[0],
            200)
        self.assertNotIn("CONNECT", self.proxy.asked())

    def test_a_wrong_password_is_a_502_that_names_the_proxy(self):
        for url, words in ((self.proxy.url(password="wrong-pass-1234"), "does not accept the user"),
                           ("http://127.0.0.1:%d" % self.proxy.port, "wants a user and a password")):
            reason = self.failed(502, "https://allowed.example.test/open/a",
                                 env={"https_proxy": url})
            self.assertIn("the proxy 127.0.0.1:%d (https_proxy) " % self.proxy.port, reason)
            self.assertIn(words, reason)
            self.assertNotIn("wrong-pass-1234", reason)

    def test_what_the_proxy_refuses_is_said(self):
        reason = self.failed(502, "https://allowed.example.test:8443/", "--connect-to",
                             "allowed.example.test:8443=127.0.0.1:9", "--upstream-proxy",
                             self.proxy.url())
        self.assertIn("does not connect to 127.0.0.1:9: 403 Forbidden", reason)

    def test_the_proxy_is_not_asked_for_this_machine_or_its_network(self):
        for host in ("10.0.0.1", "169.254.169.254"):
            status, reason, body = self.curl("http://%s/" % host, "--upstream-proxy",
                                             self.proxy.url())
            self.assertEqual(status, 403, reason + body)
            self.assertIn("out of bounds", reason)
        self.assertNotIn("CONNECT", self.proxy.asked())

    def test_a_long_download_is_whole(self):
        done = self.run_moat("sh", "-c", "curl -s https://allowed.example.test/bytes/20000000 | "
                             "sha256sum", flags=["--upstream-proxy", self.proxy.url()])
        self.assertIn(hashlib.sha256(origin.pattern(20000000)).hexdigest(), done.stdout)


class OddAnswers(Upstream):
    def through(self, answer, status, *words):
        server = OddServer(answer)
        try:
            reason = self.failed(status, "https://allowed.example.test/open/a", "--upstream-proxy",
                                 "http://%s:%s@127.0.0.1:%d" % (USER, PASSWORD, server.port))
        finally:
            server.stop()
        self.assertIn(BASIC.encode(), server.heard[0])
        for word in words + ("the proxy 127.0.0.1:%d (--upstream-proxy)" % server.port,):
            self.assertIn(word, reason)
        self.assertNotIn(BASIC, reason)
        self.assertNotIn(PASSWORD, reason)

    def test_answers_that_are_no_way(self):
        self.through(b"HTTP/1.1 503 " + BASIC.encode() + b"\r\n\r\n" + PASSWORD.encode(), 502,
                     "503 Service Unavailable")
        self.through(b"HTTP/1.1 504 Slow\r\n\r\n", 504, "504 Gateway Timeout")
        self.through(b"HTTP/1.1 200 OK\nX: y\n\n", 502, "did not answer in proper HTTP/1.1")
        self.through(b"HTTP/1.1 200 OK\r\n\r\n<html>Log in</html>", 502, "nobody has asked for")
        self.through(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000, 502, "proper HTTP/1.1")
        self.through(b"HTTP/1.1 2", 502, "closed the connection before it had answered")

    def test_a_proxy_that_is_not_there(self):
        port = free_port()
        reason = self.failed(502, "https://allowed.example.test/open/a",
                             env={"ALL_PROXY": "127.0.0.1:%d" % port})
        self.assertIn("the proxy 127.0.0.1:%d (ALL_PROXY): cannot connect to 127.0.0.1:%d: "
                      "Connection refused" % (port, port), reason)

    def test_a_proxy_that_cannot_be_used_is_told_before_anything_runs(self):
        for variable in ("HTTPS_PROXY", "all_proxy"):
            done = self.moat(*self.run_arguments("true"),
                             env={variable: "socks5h://%s:%s@127.0.0.1:1080" % (USER, PASSWORD)})
            self.assertEqual(done.returncode, 125)
            self.assertIn("%s: socks5h:// proxies are not supported" % variable, done.stderr)
            self.assertNotIn(PASSWORD, done.stderr)


class Failures(Upstream):
    """Each way in which an origin can fail has its words."""

    def lead(self, port):
        return ["--connect-to", "lost.example.test:443=127.0.0.1:%d" % port]

    def with_tls(self, certificate_names, *openssl_flags, expired=False):
        """An openssl server with a certificate of its own; its port and CA."""
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        os.chmod(directory, 0o755)
        subprocess.run([str(HERE / "pki.sh"), str(directory), *certificate_names], check=True)
        if expired:
            extension = directory / "ext"
            extension.write_text("subjectAltName=%s\n"
                                 % ",".join("DNS:" + name for name in certificate_names))

            def run(*words):
                subprocess.run(words, check=True, cwd=directory, capture_output=True)

            run("openssl", "req", "-new", "-key", "origin.key", "-subj", "/CN=old", "-out", "csr")
            (directory / "index").write_text("")
            (directory / "serial").write_text("01\n")
            (directory / "ca.conf").write_text(
                "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n"
                "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
            run("openssl", "ca", "-batch", "-config", "ca.conf", "-cert", "ca.crt", "-keyfile",
                "ca.key", "-in", "csr", "-out", "origin.crt", "-extfile", "ext", "-notext",
                "-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
        port = free_port()
        process = subprocess.Popen(
            ["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", "origin.crt", "-key",
             "origin.key", "-www", "-quiet", *openssl_flags], cwd=directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)

        def listens():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_for(listens)
        return port, directory / "ca.crt"

    def test_connection_refused(self):
        port = free_port()
        reason = self.failed(502, "https://lost.example.test/", *self.lead(port))
        self.assertIn("cannot connect to 127.0.0.1:%d: Connection refused" % port, reason)

    def test_hung_up_in_the_handshake(self):
        server = OddServer(b"\n")
        server_port = server.port
        reason = self.failed(502, "https://lost.example.test/", *self.lead(server_port))
        server.stop()
        self.assertIn("lost.example.test", reason)
        self.assertIn("TLS", reason)

    def test_a_server_that_never_shakes_hands(self):
        server = OddServer(b"")
        reason = self.failed(504, "https://lost.example.test/", *self.lead(server.port))
        server.stop()
        self.assertEqual(reason, "it took longer than 15 s to shake hands with lost.example.test "
                         "(127.0.0.1:%d)" % server.port)

    def test_a_certificate_for_another_name(self):
        port, ca = self.with_tls(["one.example.test", "two.example.test"])
        reason = self.failed(502, "https://lost.example.test/", *self.lead(port), "--upstream-ca",
                             str(ca))
        self.assertEqual(reason, "the certificate of lost.example.test is for other names: "
                         "one.example.test, two.example.test")

    def test_a_certificate_of_an_unknown_issuer(self):
        port, _ = self.with_tls(["lost.example.test"])
        reason = self.failed(502, "https://lost.example.test/", *self.lead(port))
        self.assertIn("no root for issuer 'CN=moat test origin CA'", reason)

    def test_a_certificate_that_has_expired(self):
        port, ca = self.with_tls(["lost.example.test"], expired=True)
        reason = self.failed(502, "https://lost.example.test/", *self.lead(port), "--upstream-ca",
                             str(ca))
        self.assertIn("has expired on 2020-02-01", reason)

    def test_an_alert(self):
        port, ca = self.with_tls(["lost.example.test"], "-tls1_2", "-cipher",
                                 "AES128-SHA256:@SECLEVEL=0")
        reason = self.failed(502, "https://lost.example.test/", *self.lead(port), "--upstream-ca",
                             str(ca))
        self.assertIn("alert: handshake failure", reason)

    def test_a_name_that_does_not_exist(self):
        # Where there is no name server at all, that is what is said.
        status, reason, _ = self.curl("https://nowhere.invalid-name.test/", "--upstream-proxy", "off")
        self.assertIn(status, (502, 504), reason)
        self.assertIn("cannot resolve nowhere.invalid-name.test: ", reason)


if __name__ == "__main__":
    harness.main()
