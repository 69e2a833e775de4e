"""The sandbox seen by somebody who wants out."""

import json
import os
import shutil
import socket
import subprocess
import unittest

import harness
from harness import ENGINE, MoatTest, PYTHON, UID, wait_for

OUTSIDE = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946",
           "2001:4860:4860::8888", "169.254.169.254")


def own_address():
    """An address of this machine's that is not loopback, or a made-up one where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return "192.0.2.2"


class Capture:
    """tcpdump on every interface of the host, for the addresses that the attempts name."""

    def __init__(self, path):
        self.path = path
        self.process = None
        if os.getuid() != 0 or not shutil.which("tcpdump"):
            return
        self.process = subprocess.Popen(
            ["tcpdump", "-n", "-i", "any", "-U", "-w", str(path),
             " or ".join("host " + address for address in OUTSIDE)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(lambda: path.exists() and path.stat().st_size >= 24)

    def packets(self):
        self.process.terminate()
        self.process.communicate()
        return subprocess.run(["tcpdump", "-n", "-r", str(self.path)], capture_output=True,
                              text=True).stdout


class Escape(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        test = cls("test_every_attempt_ends_inside")
        test.setUp()
        cls.abstract = "moat-escape-%d" % os.getpid()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("\0" + cls.abstract)
        listener.listen()
        cls.listener = listener
        capture = Capture(cls.root / "capture")
        script = test.script("escape.py")
        done = test.run_moat(PYTHON, script, own_address(), str(cls.origin.raw), cls.abstract,
                             timeout=180)
        cls.results = json.loads(done.stdout)
        cls.packets = capture.packets() if capture.process else None
        cls.exchanges = test.trace()
        cls.run_id = test.last_run()["id"]

    @classmethod
    def tearDownClass(cls):
        cls.listener.close()
        super().tearDownClass()

    def outcome(self, name):
        return self.results[name]["outcome"]

    def test_every_attempt_ends_inside(self):
        for name in ("tcp to the host's own service", "tcp to an outside address, odd port",
                     "tcp to an outside address, ssh", "tcp over IPv6"):
            self.assertIn(self.outcome(name), ("ECONNRESET", "closed", "EPIPE"), name)
        self.assertEqual(self.outcome("tcp to the host's loopback service"), "ECONNREFUSED")
        for name in ("udp", "udp to the host", "udp over IPv6"):
            self.assertIn(self.outcome(name), ("ECONNREFUSED", "silence"), name)
        self.assertEqual(self.outcome("udp"), "ECONNREFUSED")  # at once, so that clients fall back
        self.assertEqual(self.outcome("icmp raw"), "EPERM")
        self.assertIn(self.outcome("packet socket"), ("EPERM", "EAFNOSUPPORT"))
        # Namespaces do not hold vsock, and io_uring makes sockets past any filter of calls.
        self.assertEqual(self.outcome("vsock to the hypervisor's host"), "EAFNOSUPPORT")
        self.assertIn(self.outcome("io_uring"), ("ENOSYS", "EPERM"))

    def test_private_addresses_are_refused_with_a_reason(self):
        for name in ("metadata service", "metadata service, IPv4-mapped",
                     "host's private address by http", "loopback of the host by name in Host",
                     "http over IPv6"):
            self.assertIn(" 403 ", self.outcome(name), name)
            self.assertIn("X-Moat-Reason", self.outcome(name), name)

    def test_dns_carries_nothing_out(self):
        self.assertEqual(self.outcome("dns exfiltration, TXT to 8.8.8.8"), "rcode 0, 0 answers")
        self.assertEqual(self.outcome("dns over tcp to 8.8.8.8"), "rcode 3, 0 answers")
        self.assertEqual(self.outcome("dns over IPv6 to 2001:4860:4860::8888"),
                         "rcode 3, 0 answers")

    def test_sockets_of_the_host_are_out_of_reach(self):
        self.assertEqual(self.outcome("abstract unix socket of the host"), "ECONNREFUSED")
        self.assertEqual(self.outcome("moat-init's socket again"), "none answers")
        self.assertEqual(self.outcome("docker socket"), [])

    def test_the_network_cannot_be_changed(self):
        self.assertEqual(self.outcome("add a route"), "EPERM")
        self.assertEqual(self.outcome("take lo down"), "EPERM")
        regained = self.outcome("add a route from a new user namespace")
        self.assertTrue(regained == "EPERM" or regained.startswith("unshare: "), regained)
        self.assertEqual(self.outcome("interfaces"), ["lo"])

    def test_no_privilege_is_left(self):
        for name, value in self.outcome("capabilities").items():
            self.assertEqual(int(value, 16), 0, name)
        self.assertEqual(self.outcome("become root by a setuid program"), "1")
        self.assertEqual(self.outcome("mount"), "EPERM")

    def test_pid_1_keeps_to_itself(self):
        self.assertEqual(self.outcome("ptrace of PID 1"), "EPERM")
        for name in ("environ", "mem", "maps", "fd/0", "root/etc/passwd", "exe"):
            self.assertIn(self.outcome("/proc/1/" + name), ("EACCES", "EPERM"), name)
        self.assertIn(self.outcome("kill PID 1"), ("still here", "EPERM"))
        self.assertEqual(self.outcome("inherited descriptors"), [])

    def test_every_attempt_ends_at_once(self):
        for name, result in self.results.items():
            if result["outcome"] != "silence":
                self.assertLess(result["seconds"], 12, name)

    def test_the_agents_own_servers_work(self):
        self.assertEqual(self.outcome("own server on any port"), "mine")

    def test_nothing_arrived_at_the_hosts_service(self):
        self.assertEqual([entry for entry in self.origin.requests() if "raw" in entry], [])

    def test_no_packet_left(self):
        if self.packets is None:
            if os.environ.get("CI"):
                self.fail("no packet capture: root and tcpdump are needed")
            print("skipped: no packet capture without root and tcpdump", flush=True)
            self.skipTest("no packet capture without root and tcpdump")
        self.assertEqual(self.packets, "")

    def test_what_reached_the_supervisor_is_on_record(self):
        told = json.dumps(self.exchanges)
        for trace in ("169.254.169.254", "93.184.216.34:4444", "93.184.216.34:22",
                      "2606:2800:220:1:248:1893:25c8:1946"):
            self.assertIn(trace, told)
        self.assertTrue(all(exchange["refused"] or exchange["reason"]
                            for exchange in self.exchanges))
        self.audit(self.run_id)


class Fronting(MoatTest):
    """One name: CONNECT target, SNI and Host must agree, on each request."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.grant_github(cls())

    def inside(self, source):
        done = self.run_moat(PYTHON, "-c", source, flags=["--grant", "github"])
        return done.stdout

    def test_host_other_than_sni(self):
        done = self.run_moat("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                             "Host: evil.example.test", "https://api.github.com/open/fronted",
                             flags=["--grant", "github"])
        self.assertEqual(done.stdout, "421")
        self.assertEqual(self.seen_at_origin("/open/fronted"), [])

    def test_second_request_of_a_connection_names_another_host(self):
        out = self.inside(
            "import http.client\n"
            "c = http.client.HTTPSConnection('api.github.com')\n"
            "c.request('GET', '/open/first'); print(c.getresponse().read() and 'ok')\n"
            "c.request('GET', '/open/second', headers={'Host': 'evil.example.test'})\n"
            "print(c.getresponse().status)\n")
        self.assertEqual(out.split(), ["ok", "421"])
        self.assertEqual(self.seen_at_origin("/open/second"), [])

    def test_sni_other_than_connect_target(self):
        out = self.inside(
            "import socket, ssl\n"
            "s = socket.create_connection(('proxy.moat.internal', 3128))\n"
            "s.sendall(b'CONNECT evil.example.test:443 HTTP/1.1\\r\\nHost: evil.example.test:443\\r\\n\\r\\n')\n"
            "print(s.recv(1000).split()[1].decode())\n"
            "t = ssl.create_default_context().wrap_socket(s, server_hostname='api.github.com')\n"
            "t.sendall(b'GET /open/third HTTP/1.1\\r\\nHost: api.github.com\\r\\n\\r\\n')\n"
            "print(t.recv(1000).split()[1].decode())\n")
        self.assertEqual(out.split(), ["200", "421"])
        self.assertEqual(self.seen_at_origin("/open/third"), [])

    def test_sni_other_than_the_name_asked_of_dns(self):
        out = self.inside(
            "import socket, ssl\n"
            "s = socket.create_connection(('evil.example.test', 443))\n"
            "t = ssl.create_default_context().wrap_socket(s, server_hostname='api.github.com')\n"
            "t.sendall(b'GET /open/fourth HTTP/1.1\\r\\nHost: api.github.com\\r\\n\\r\\n')\n"
            "print(t.recv(1000).split()[1].decode())\n")
        self.assertEqual(out.split(), ["421"])
        self.assertEqual(self.seen_at_origin("/open/fourth"), [])

    def test_smuggling_is_refused(self):
        for head in ("Content-Length: 5\\r\\nTransfer-Encoding: chunked", "Content-Length: 5\\r\\nContent-Length: 6",
                     "Transfer-Encoding : chunked", "Transfer-Encoding: xchunked",
                     "X: a\\r\\n folded", "Host: evil.example.test"):
            out = self.inside(
                "import socket, ssl\n"
                "s = socket.create_connection(('api.github.com', 443))\n"
                "t = ssl.create_default_context().wrap_socket(s, server_hostname='api.github.com')\n"
                "t.sendall(b'POST /open/smuggled HTTP/1.1\\r\\nHost: api.github.com\\r\\n%s\\r\\n\\r\\n0\\r\\n\\r\\n')\n"
                "print(t.recv(1000).split()[1].decode())\n" % head)
            self.assertEqual(out.split(), ["400"], head)
        self.assertEqual(self.seen_at_origin("/open/smuggled"), [])


class Strict(MoatTest):
    """policy: strict lets through what rules and grants name, and nothing else."""

    def test_strict_policy(self):
        self.grant_github()
        self.write_config(
            "grants: [github]\n"
            "network:\n"
            "  policy: strict\n"
            "  rules:\n"
            "    - allowed.example.test:\n"
            "        - allow GET /open/**\n"
            "        - deny POST /open/secret\n"
            "        - allow POST /**\n")
        done = self.run_moat(
            "sh", "-c", "code() { curl -s -o /dev/null -w '%{http_code} ' \"$@\"; };"
            "code https://allowed.example.test/open/a;"
            "code https://allowed.example.test/user;"
            "code -d x https://allowed.example.test/open/secret;"
            "code -d x https://allowed.example.test/open/b;"
            "code -d x --path-as-is https://allowed.example.test/x/../open/secret;"
            "code https://api.github.com/user;"
            "curl -sS https://evil.example.test/open/no; echo $?")
        self.assertEqual(done.stdout.split(), ["200", "403", "403", "200", "403", "200", "6"])
        self.assertEqual(self.seen_at_origin("/open/no"), [])
        done = self.run_moat("curl", "-s", "https://allowed.example.test/user")
        refusal = json.loads(done.stdout)
        self.assertIn("agent.yaml:", json.dumps(refusal))

    def test_allow_host_adds_to_it(self):
        self.write_config("network: {policy: strict}\n")
        done = self.run_moat("curl", "-s", "https://other.example.test/open/x",
                             flags=["--allow-host", "other.example.test"])
        self.assertIn('"ok": true', done.stdout)


if __name__ == "__main__":
    harness.main()
