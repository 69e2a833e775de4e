"""HTTP/2 on either side and on both, with real clients and origins; gRPC, and WebSocket's tunnel."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import unittest

import harness
from harness import PYTHON, MoatTest, wait_for

TWO, ONE, GRPC, NGINX = ("allowed.example.test", "other.example.test", "evil.example.test",
                         "raw.githubusercontent.com")
CANCEL = 8

NGINX_CONFIG = """
daemon off; master_process off; pid %(dir)s/pid; error_log stderr crit;
events {}
http {
  access_log off; keepalive_requests 20; default_type text/plain;
  client_body_temp_path %(dir)s/a; proxy_temp_path %(dir)s/b; fastcgi_temp_path %(dir)s/c;
  uwsgi_temp_path %(dir)s/d; scgi_temp_path %(dir)s/e;
  server {
    listen 127.0.0.1:%(port)d ssl http2;
    ssl_certificate %(pki)s/origin.crt; ssl_certificate_key %(pki)s/origin.key;
    location /protocol { return 200 "$server_protocol $connection_requests\\n"; }
    location / { root %(dir)s; }
  }
}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class HttpVersions(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers = []
        cls.log2 = cls.root / "http2.log"
        pki = cls.root / "origin"
        cls.ports = {}
        node = cls.serve("node", harness.HERE / "http2_origin.js", pki, cls.log2)
        cls.ports[TWO], cls.ports[ONE] = (int(word) for word in node.split())
        cls.ports[GRPC] = int(cls.serve(PYTHON, harness.HERE / "grpc_origin.py", pki))
        nginx = cls.root / "nginx"
        nginx.mkdir()
        (nginx / "file").write_bytes(b"nginx" * 400_000)
        cls.ports[NGINX] = free_port()
        (nginx / "conf").write_text(NGINX_CONFIG % {"dir": nginx, "pki": pki,
                                                    "port": cls.ports[NGINX]})
        cls.servers.append(subprocess.Popen(["/usr/sbin/nginx", "-c", str(nginx / "conf")]))

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", cls.ports[NGINX])) == 0

        wait_for(listens)

    @classmethod
    def serve(cls, *command):
        """Starts an origin; what it wrote when it was ready."""
        ready = cls.root / ("ready%d" % len(cls.servers))
        cls.servers.append(subprocess.Popen([*map(str, command), str(ready)],
                                            stdin=subprocess.PIPE))
        return wait_for(lambda: ready.exists() and ready.read_text())

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers:
            if server.stdin:
                server.stdin.close()
            else:
                server.terminate()
            server.wait(10)
        super().tearDownClass()

    @classmethod
    def origin_flags(cls):
        flags = ["--upstream-ca", cls.origin.ca]
        for name, port in cls.ports.items():
            flags += ["--connect-to", "%s:443=127.0.0.1:%d" % (name, port)]
        return flags

    def seen(self, path):
        if not self.log2.exists():
            return []
        entries = [json.loads(line) for line in self.log2.read_text().splitlines()]
        return [entry for entry in entries if entry["path"] == path]

    # --- the four mixes -------------------------------------------------------------------------
    def each_mix(self, path, flags="", behind="", complete=True, **options):
        """(agent's version, origin's version, what curl printed) of each."""
        for agent, word in (("1.1", "--http1.1"), ("2", "--http2")):
            for origin, host in (("1.1", ONE), ("2.0", TWO)):
                done = self.run_moat("sh", "-ec", "curl -sS %s %s https://%s%s %s"
                                     % (word, flags, host, path, behind), **options)
                exchange = self.trace()[0]
                self.assertEqual(exchange["client_version"], "HTTP/" + agent)
                self.assertEqual(exchange["origin_version"], "HTTP/" + origin.replace("2.0", "2"))
                if complete is not None:
                    self.assertEqual(exchange["complete"], complete, exchange)
                yield agent, origin, done.stdout

    def test_heads_and_bodies_are_the_same_exchange_in_each_mix(self):
        flags = ("-H 'X-Twice: 1' -H 'X-Twice: 2' -H 'Cookie: a=1; b=2' -H 'X-Mixed-Case: Yes' "
                 "-H 'X-Empty;' -d body")
        for agent, origin, printed in self.each_mix("/echo", flags):
            told = json.loads(printed)
            pairs = list(zip(told["headers"][::2], told["headers"][1::2]))
            self.assertEqual(told["version"], origin)
            self.assertEqual([v for n, v in pairs if n.lower() == "x-twice"], ["1", "2"])
            self.assertEqual([v for n, v in pairs if n.lower() == "cookie"], ["a=1; b=2"])
            self.assertEqual([v for n, v in pairs if n.lower() == "x-empty"], [""])
            self.assertEqual([v for n, v in pairs if n.lower() == "content-length"], ["4"])
            mixed = "X-Mixed-Case" if (agent, origin) == ("1.1", "1.1") else "x-mixed-case"
            self.assertIn((mixed, "Yes"), pairs)
            self.assertEqual(told["sha256"], hashlib.sha256(b"body").hexdigest())

    def test_large_bodies_arrive_whole_in_each_mix(self):
        size = 20_000_000
        piece = hashlib.sha512(b"moat").digest() * 1024
        whole = (piece * (size // len(piece) + 1))[:size]
        expected = hashlib.sha256(whole).hexdigest()
        for _, _, printed in self.each_mix("/bytes/%d" % size, "-o big"):
            self.assertEqual(printed, "")
            got = (self.workspace / "big").read_bytes()
            self.assertEqual(hashlib.sha256(got).hexdigest(), expected)
        for flags in ("-T big", "-H 'Transfer-Encoding: chunked' -T big"):
            for _, _, printed in self.each_mix("/echo", flags):
                told = json.loads(printed)
                self.assertEqual((told["length"], told["sha256"]), (size, expected))

    def test_interim_answers_and_trailers_in_each_mix(self):
        for agent, _, printed in self.each_mix("/hints", "-i"):
            self.assertIn("HTTP/%s 103" % agent, printed)
            self.assertIn("link: </style.css>", printed.lower())
            self.assertIn("HTTP/%s 200" % agent, printed)
            self.assertIn("x-sum: 42", printed.lower())

    def test_answers_without_a_body_in_each_mix(self):
        for code in (200, 204, 304):
            for _, _, printed in self.each_mix("/status/%d" % code, "-m 5 -w %{http_code}"):
                self.assertEqual(printed, str(code))
        for _, _, printed in self.each_mix("/bytes/1000", "-m 5 -I"):
            self.assertIn("content-length: 1000", printed.lower())

    def test_cookies_stay_apart_in_each_mix(self):
        for _, _, printed in self.each_mix("/cookies", "-i -b 'x=1; y=2'"):
            self.assertEqual(printed.lower().count("set-cookie:"), 2)
            self.assertTrue(printed.endswith("x=1; y=2"))

    def test_an_early_answer_is_heard(self):
        (self.workspace / "up").write_bytes(b"u" * 5_000_000)
        for host in (ONE, TWO):
            for version in ("--http1.1", "--http2"):
                done = self.run_moat("curl", "-sS", version, "-H", "Expect:", "-w",
                                     " %{http_code}", "-T", "up", "https://%s/early" % host,
                                     expect=None)
                self.assertIn("too big 413", done.stdout, (host, version, done.stderr))

    def test_events_leave_as_they_come_in_each_mix(self):
        stamp = "| while read word sent; do test -z $sent || echo $(($(date +%s%3N) - sent)); done"
        for _, _, printed in self.each_mix("/events", "-N", behind=stamp):
            late = sorted(map(int, printed.split()))
            self.assertEqual(len(late), 5)
            self.assertLess(late[2], 100)  # kept until the end, it would be 120

    def test_a_cut_is_seen_in_each_mix(self):
        for _, _, printed in self.each_mix("/cut", behind="|| echo \" status $?\"",
                                           complete=False):
            # curl: closed with data left, reset, or the stream was.
            self.assertRegex(printed, "^half status (18|56|92)\n$")

    # --- sharing --------------------------------------------------------------------------------
    def test_agents_of_http1_share_a_connection_to_an_origin_of_http2(self):
        self.run_moat("sh", "-ec", "curl -sS https://%s/echo?warm; for i in $(seq 20); do "
                      "curl -sS --http1.1 'https://%s/echo?shared' >/dev/null & done; wait"
                      % (TWO, TWO))
        seen = self.seen("/echo?shared")
        self.assertEqual(len(seen), 20)
        self.assertEqual(len({entry["session"] for entry in seen}), 1)

    def test_an_origin_that_says_goaway_loses_nothing(self):
        # nginx does after each 20 requests of a connection.
        done = self.run_moat("sh", "-ec", "seq 100 | sed 's|.*|url = https://%s/protocol|' >list; "
                             "curl -sS --parallel --parallel-max 7 -K list" % NGINX)
        self.assertEqual(done.stdout.count("HTTP/2.0"), 100, done.stdout + done.stderr)
        self.assertTrue(all(exchange["complete"] for exchange in self.trace()))

    def test_nginx_sends_a_file(self):
        done = self.run_moat("sh", "-ec", "curl -sS https://%s/file | sha256sum" % NGINX)
        self.assertIn(hashlib.sha256(b"nginx" * 400_000).hexdigest(), done.stdout)
        self.assertEqual(self.trace()[0]["origin_version"], "HTTP/2")

    def test_a_stalled_reader_does_not_fill_memory(self):
        program = ("import subprocess, time; p = subprocess.Popen(['curl', '-sSN', "
                   "'https://%s/bytes/200000000'], stdout=subprocess.PIPE); p.stdout.read(1000); "
                   "print('stalled', flush=True); time.sleep(1.5); p.kill()" % TWO)
        process = self.start(*self.run_arguments(PYTHON, "-c", program))
        try:
            self.assertEqual(process.stdout.readline().strip(), b"stalled")
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                pass
            with open("/proc/%d/status" % process.pid) as status:
                peak = next(line for line in status if line.startswith("VmHWM"))
            if "ASAN_OPTIONS" not in os.environ:
                self.assertLess(int(peak.split()[1]), 64 * 1024, peak)
        finally:
            process.communicate(timeout=30)

    # --- clients that speak HTTP/2 themselves ---------------------------------------------------
    def check_node(self, host, version):
        done = self.run_moat("node", self.script("http2_client.js"), host)
        out = json.loads(done.stdout)
        self.assertNotIn("failed", out)
        echo = out["echo"]
        pairs = list(zip(echo["headers"][::2], echo["headers"][1::2]))
        self.assertEqual(echo["version"], version)
        self.assertEqual([v for n, v in pairs if n.lower() == "x-twice"], ["1", "2"])
        self.assertEqual([v for n, v in pairs if n.lower() == "cookie"], ["a=1; b=2"])
        self.assertEqual([v for n, v in pairs if n.lower() == "te"], ["trailers"])
        self.assertEqual(out["many"], 60)
        self.assertEqual(out["hints"], [[103], "body", "42"])
        self.assertEqual(out["none"], [[200, 0, 0], [204, 0, 0], [304, 0, 0]])
        self.assertEqual(out["head"], [200, "1000", 0])
        self.assertEqual(out["cut"], [200, "half", True])
        self.assertEqual(out["early"], [413, "too big"])
        self.assertEqual(out["goaway"], ["bye"] * 3)
        self.assertEqual(out["beside"], 200)
        self.assertEqual(out["stalled"], [20_000_000] * 6)
        self.assertEqual(out["last"], 500_000)
        self.assertTrue(out["extended"])
        self.assertEqual(out["tunnel"], "200 pingpong")
        return out

    def test_node_with_an_origin_of_http2(self):
        out = self.check_node(TWO, "2.0")
        self.assertEqual(out["refused"], [200, "after 2"])
        resets = [entry for entry in self.seen("/hang") if "reset" in entry]
        self.assertEqual([entry["reset"] for entry in resets], [CANCEL])
        tunnel = self.seen("/tunnel")[-1]
        self.assertEqual((tunnel["method"], tunnel.get("protocol")), ("CONNECT", "websocket"))

    def test_node_with_an_origin_of_http1(self):
        self.check_node(ONE, "1.1")
        tunnel = self.seen("/tunnel")[-1]
        self.assertEqual((tunnel["method"], tunnel.get("upgrade")), ("GET", "websocket"))

    def test_grpc(self):
        done = self.run_moat(PYTHON, self.script("grpc_client.py"), GRPC, timeout=120)
        out = json.loads(done.stdout)
        self.assertEqual(out["unary"], ["<hello>", "this", "end", "00ff"])
        self.assertEqual(out["client_stream"], "+".join(map(str, range(100))))
        self.assertEqual(out["server_stream"], [str(n) for n in range(100)])
        self.assertEqual(out["both_streams"], ["A", "B", "C"])
        self.assertEqual(out["fails"], ["FAILED_PRECONDITION", "not here: 100 % \u00fcber"])
        self.assertEqual(out["late_first"], "one")
        self.assertEqual(out["fails_late"], ["DATA_LOSS", "after one"])
        self.assertEqual(out["unknown"][0], "UNIMPLEMENTED")
        self.assertEqual(out["deadline"][0], "DEADLINE_EXCEEDED")
        self.assertEqual(out["was_cancelled"], "yes")
        self.assertEqual(out["cancelled"], [True, "yes"])
        self.assertEqual(out["after"], "<still>")
        self.assertEqual(out["big"], 9_000_000)
        self.assertEqual(out["at_once"], 50)
        unary = [e for e in self.trace() if e["path"] == "/moat.Test/Unary"]
        self.assertEqual((unary[0]["client_version"], unary[0]["origin_version"]),
                         ("HTTP/2", "HTTP/2"))


if __name__ == "__main__":
    harness.main()
