"""moat proxy: the wall without a sandbox, with curl and with sockets of our own."""

import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import unittest

import harness
from harness import MoatTest, wait_for


def other_address():
    """An address of this machine that is not loopback; where it has none, one is not made up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


class Started:
    """A running `moat proxy`, once it has said that it serves."""

    def __init__(self, test, *flags, listen=("127.0.0.1:0",), env=None, origin=True):
        self.ca = test.workspace / "ca.pem"
        words = ["proxy", "--ca-out", self.ca]
        for place in listen:
            words += ["--listen", place]
        if origin:
            words += test.origin_flags()
        self.error = open(test.workspace / "stderr", "w+b")
        test.addCleanup(self.close)
        self.process = test.start(*words, *flags, env=env, stderr=self.error)
        self.text = lambda: (test.workspace / "stderr").read_text()
        wait_for(lambda: self.text().count("\n") >= len(listen) or self.process.poll() is not None)
        self.places = re.findall(r"^listening on (.*), CA in ", self.text(), re.M)
        test.assertEqual(len(self.places), len(listen), self.text())

    def close(self):
        self.error.close()
        if self.process.stdout:
            self.process.stdout.close()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=20)
        self.close()
        self.out = out.decode()
        return self.process.returncode


class ProxyCommand(MoatTest):
    def curl(self, proxy, *words, place=0, user=None):
        command = ["curl", "-sS", "-m", "20", "--noproxy", "", "-x", "http://" + proxy.places[place],
                   "--cacert", str(proxy.ca)]
        if user:
            command += ["-U", user]
        return subprocess.run(command + list(words), capture_output=True, text=True)

    def test_curl_gets_through_with_a_credential(self):
        self.grant_github()
        proxy = Started(self, "--grant", "github")
        self.assertEqual(stat.S_IMODE(os.stat(proxy.ca).st_mode), 0o644)
        done = self.curl(proxy, "https://api.github.com/user", "-H", "Authorization: Bearer mine")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["login"], "your-username")
        self.assertNotIn(self.token, done.stdout)
        self.assertEqual(self.last_run()["state"], "running")
        self.assertEqual(proxy.stop(), 0)

        seen = [entry for entry in self.origin.requests() if entry.get("path") == "/user"][-1]
        headers = dict(seen["headers"])
        self.assertEqual(headers["Authorization"], "Bearer " + self.token)
        run = self.last_run()
        self.assertEqual((run["state"], run["exit_status"], run["engine"]), ("ended", 0, "none"))
        self.assertEqual([line["path"] for line in self.trace()], ["/user"])
        self.assertEqual(self.trace()[0]["injected"], ["github"])
        self.assertEqual(self.audit()["verdict"], "valid")
        self.assertTrue(proxy.ca.exists())
        for path in (self.moat_home / "runs").rglob("*"):
            if path.is_file():
                self.assertNotIn(self.token.encode(), path.read_bytes(), path)
        self.assertEqual(self.moat("logs").stdout, "")

    def test_header_from_a_variable_and_a_file(self):
        key = self.workspace / "key"
        key.write_text("key-from-a-file-0123456789\n")
        proxy = Started(self, "--header", "allowed.example.test=X-Api-Key: env://PROXY_KEY",
                        "--header", "other.example.test=Authorization: Bearer file://%s" % key,
                        env={"PROXY_KEY": "key-from-the-environment"})
        for name in ("allowed", "other"):
            done = self.curl(proxy, "https://%s.example.test/echo/%s" % (name, name))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("key-from", done.stdout)
        self.assertEqual(proxy.stop(), 0)
        seen = {entry["path"]: dict(entry["headers"]) for entry in self.origin.requests()}
        self.assertEqual(seen["/echo/allowed"]["X-Api-Key"], "key-from-the-environment")
        self.assertNotIn("Authorization", seen["/echo/allowed"])
        self.assertEqual(seen["/echo/other"]["Authorization"],
                         "Bearer key-from-a-file-0123456789")
        audit = self.moat("trace", "--network", "--json").stdout
        self.assertNotIn("key-from", audit)

    def test_a_policy_file_is_obeyed(self):
        policy = self.workspace / "policy.yaml"
        policy.write_text("network:\n  policy: strict\n  rules:\n"
                          "    - allowed.example.test: [allow GET /echo/yes]\n"
                          "    - localhost:%d local\n" % self.origin.http)
        proxy = Started(self, "--policy", policy)
        self.assertEqual(self.curl(proxy, "-f", "https://allowed.example.test/echo/yes").returncode, 0)
        refused = self.curl(proxy, "https://allowed.example.test/echo/no")
        self.assertIn("policy.yaml", refused.stdout)
        self.assertEqual(self.curl(proxy, "-w", "%{http_connect}", "https://other.example.test/")
                         .stdout, "403")
        # What names no private host does not reach one; what does, does.
        here = "http://localhost:%d/echo/local" % self.origin.http
        self.assertEqual(self.curl(proxy, "-f", here).returncode, 0)
        self.assertEqual(proxy.stop(), 0)
        policy.write_text("network: {policy: permissive}\n")
        proxy = Started(self, "--policy", policy)
        self.assertIn("out of bounds", self.curl(proxy, here).stdout)
        self.assertEqual(proxy.stop(), 0)

    def test_a_policy_file_with_other_keys_is_an_error(self):
        policy = self.workspace / "policy.yaml"
        policy.write_text("network: {policy: strict}\ncommand: [x]\n")
        done = self.moat("proxy", "--listen", "127.0.0.1:0", "--ca-out", self.workspace / "ca.pem",
                         "--policy", policy)
        self.assertEqual(done.returncode, 1)
        self.assertIn("policy.yaml:2:1: 'command' has no meaning", done.stderr)

    def test_other_machines_show_a_password(self):
        address = other_address()
        if not address:
            self.skipTest("this machine has loopback addresses only")
        proxy = Started(self, listen=("127.0.0.1:0", address + ":0"))
        url = "https://allowed.example.test/echo/auth"
        self.assertEqual(self.curl(proxy, "-f", url).returncode, 0)  # loopback: none is wanted
        for user in (None, "moat:wrong-password", "other:" + "0" * 32):
            done = self.curl(proxy, "-w", "%{http_connect}", url, place=1, user=user)
            self.assertEqual(done.stdout, "407", done.stderr)
        password = proxy.process.stdout.readline().decode().strip()
        self.assertRegex(password, "^moat:[0-9a-f]{32}$")
        done = self.curl(proxy, "-f", url + "-shown", place=1, user=password)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(proxy.stop(), 0)
        self.assertEqual(proxy.out, "")
        headers = self.seen_at_origin("/echo/auth-shown")[-1]["headers"]
        self.assertNotIn("proxy-authorization", [name.lower() for name, _ in headers])
        self.assertEqual([line["status"] for line in self.trace()], [200, 407, 407, 407, 200])
        record = (self.moat_home / "runs" / self.last_run()["id"] / "record.mdb").read_bytes()
        self.assertNotIn(password.split(":")[1].encode(), record)

    def test_passwords_from_a_file_are_wanted_on_loopback_too(self):
        users = self.workspace / "users"
        users.write_text("# who may\nalice:long-enough\n\nbob:also-long:enough\n")
        proxy = Started(self, "--auth-file", users)
        url = "https://allowed.example.test/echo/users"
        for user, status in ((None, "407"), ("alice:long-enoug", "407"), ("alice:long-enough", "200"),
                             ("bob:also-long:enough", "200")):
            done = self.curl(proxy, "-o", "/dev/null", "-w", "%{http_connect}", url, user=user)
            self.assertEqual(done.stdout, status, done.stderr)
        self.assertEqual(proxy.stop(), 0)
        self.assertEqual(proxy.out, "")
        users.write_text("alice:short\n")
        done = self.moat("proxy", "--listen", "127.0.0.1:0", "--ca-out", self.workspace / "ca.pem",
                         "--auth-file", users)
        self.assertEqual(done.returncode, 1)
        self.assertIn("users:1:", done.stderr)
        self.assertNotIn("alice:short", done.stderr)

    def test_a_unix_socket(self):
        path = self.workspace / "p.sock"
        proxy = Started(self, listen=("unix:%s" % path,))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        raw = socket.socket(socket.AF_UNIX)
        self.addCleanup(raw.close)
        raw.settimeout(20)
        raw.connect(str(path))
        raw.sendall(b"CONNECT allowed.example.test:443 HTTP/1.1\r\n"
                    b"Host: allowed.example.test:443\r\n\r\n")
        self.assertIn(b"200", raw.recv(4096))
        tls = ssl.create_default_context(cafile=str(proxy.ca)).wrap_socket(
            raw, server_hostname="allowed.example.test")
        tls.sendall(b"GET /echo/unix HTTP/1.1\r\nHost: allowed.example.test\r\nConnection: close\r\n\r\n")
        self.assertTrue(tls.recv(4096).startswith(b"HTTP/1.1 200"))
        tls.close()
        self.assertEqual(proxy.stop(signal.SIGINT), 0)
        self.assertFalse(path.exists())
        self.assertEqual(self.trace()[0]["wanted"], "unix:%s" % path)

    def test_a_taken_port_is_told_and_nothing_is_left(self):
        before = len(self.runs())
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            place = "127.0.0.1:%d" % taken.getsockname()[1]
            done = self.moat("proxy", "--listen", place, "--ca-out", self.workspace / "ca.pem")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn(place, done.stderr)
        self.assertEqual(len(self.runs()), before)
        done = self.moat("proxy", "--listen", "127.0.0.1:0", "--ca-out", "/no/such/ca.pem")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--ca-out", done.stderr)
        self.assertEqual(len(self.runs()), before)
        self.assertEqual(self.moat("proxy", "--listen", "127.0.0.1:0").returncode, 2)
        self.assertEqual(self.moat("proxy", "--ca-out", "x").returncode, 2)

    def test_moat_stop_ends_it(self):
        proxy = Started(self, "--name", "stopped-wall")
        done = self.moat("stop", "stopped-wall")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(proxy.process.wait(20), 0)
        proxy.close()
        self.assertEqual(self.audit("stopped-wall")["verdict"], "valid")

    def test_an_exchange_that_is_cut_is_recorded(self):
        proxy = Started(self)
        raw = socket.create_connection(proxy.places[0].rsplit(":", 1), 20)
        raw.sendall(b"POST http://allowed.example.test/never HTTP/1.1\r\n"
                    b"Host: allowed.example.test\r\nContent-Length: 1000\r\n"
                    b"Expect: 100-continue\r\n\r\n")
        self.assertIn(b"100 Continue", raw.recv(4096))  # the origin's word: it is on its way
        raw.sendall(b"some")
        self.assertEqual(proxy.stop(), 0)
        raw.close()
        last = self.trace()[-1]
        self.assertEqual((last["path"], last["complete"]), ("/never", False))
        self.assertEqual(self.audit()["verdict"], "valid")

    def test_a_killed_one_is_found_and_its_socket_reused(self):
        path = self.workspace / "k.sock"
        proxy = Started(self, "--name", "killed-wall", listen=("unix:%s" % path,))
        proxy.process.kill()
        proxy.process.wait(20)
        proxy.close()
        self.assertTrue(path.exists())
        done = self.moat("list", "--json")
        self.assertIn("lost its supervisor", done.stderr)
        run = [line for line in map(json.loads, done.stdout.splitlines())
               if line["name"] == "killed-wall"][0]
        self.assertEqual(run["state"], "lost")
        self.assertNotIn("lost", self.moat("list").stderr)  # told once
        self.audit("killed-wall", expect=3)
        self.assertEqual(Started(self, listen=("unix:%s" % path,)).stop(), 0)


if __name__ == "__main__":
    harness.main()
