"""Many tunnels in which nothing moves: MOAT_TUNNELS of them (tests/bench/idle.sh has 10,000).

Half are connections with TLS that was answered and a request behind them, half are bytes by a rule.
"""

import os
import resource
import selectors
import socket
import threading
import time

import harness
from harness import MoatTest, wait_for
from test_proxy_command import Started
from wire import ScriptedOrigin, connect, connect_to

TUNNELS = int(os.environ.get("MOAT_TUNNELS", "2000"))
HTTP, BYTES = "allowed.example.test", "other.example.test"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REQUEST = ("GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n" % HTTP).encode()
SANITIZED = "ASAN_OPTIONS" in os.environ


def say_hello(wire, head, words):
    wire.send(HELLO)
    return True


class Echo:
    """Bytes back, on any number of connections."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.held = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.held += 1
                    self.selector.register(self.listener.accept()[0], selectors.EVENT_READ)
                    continue
                try:
                    data = key.fileobj.recv(4096)
                except OSError:
                    data = b""
                if data:
                    key.fileobj.sendall(data)
                else:
                    self.held -= 1
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()


class Idle(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.scripted = ScriptedOrigin(cls.root / "origin", {"hello": say_hello})
        cls.echo = Echo()

    @classmethod
    def tearDownClass(cls):
        cls.scripted.stop()
        super().tearDownClass()

    @classmethod
    def origin_flags(cls):
        return ["--upstream-ca", cls.origin.ca, *connect_to(HTTP, cls.scripted),
                "--connect-to", "%s:7000=127.0.0.1:%d" % (BYTES, cls.echo.port)]

    def resident(self):
        with open("/proc/%d/status" % self.proxy.process.pid) as status:
            return [int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:")][0]

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.proxy.process.pid))

    def ask(self, wire):
        wire.send(REQUEST)
        self.assertEqual(wire.head() + wire.exactly(5), HELLO)

    def echoes(self, wire, data):
        wire.send(data)
        self.assertEqual(wire.exactly(len(data)), data)

    def open(self, count, open_one, what):
        before = self.resident()
        wires = [open_one() for _ in range(count)]
        held = self.resident() - before
        print("%d %s: %.1f KiB each ... " % (count, what, held / count / 1024), end="", flush=True)
        if not SANITIZED:
            self.assertLess(held / count, 24 * 1024)
        return wires

    def open_http(self):
        wire = connect(self.proxy.places[0], HTTP, 443, self.proxy.ca)
        self.ask(wire)
        return wire

    def open_bytes(self):
        wire = connect(self.proxy.places[0], BYTES, 7000)
        self.echoes(wire, b"x")
        return wire

    def test_many_tunnels(self):
        # Both ends of each tunnel of bytes are in this process, and so they are in moat.
        wanted = TUNNELS * 3 // 2 + 1000
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < wanted:
            self.skipTest("no more than %d descriptors may be opened here" % hard)
        policy = self.workspace / "policy.yaml"
        policy.write_text("network:\n  rules:\n    - tcp: %s:7000\n" % BYTES)
        # As most shells have it: moat sees to having more.
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        self.proxy = Started(self, "--policy", policy)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        first = self.open_http()
        base = self.descriptors()
        begun = time.monotonic()
        tunnels = self.open(TUNNELS // 2, self.open_bytes, "tunnels of bytes")
        wires = self.open(TUNNELS // 2, self.open_http, "connections with TLS")
        print("%.1f s ... " % (time.monotonic() - begun), end="", flush=True)
        self.assertGreaterEqual(self.descriptors(), TUNNELS * 3 // 2)
        # All are alive, and somebody new is served at once.
        for wire in wires[::97] + [first]:
            self.ask(wire)
        for tunnel in tunnels[::97]:
            self.echoes(tunnel, b"still here")
        begun = time.monotonic()
        self.open_http().raw.close()
        self.assertLess(time.monotonic() - begun, 5)
        for wire in tunnels + wires + [first]:
            wire.raw.close()
        # The origin's side of a kept connection may stay for the time of the pool.
        wait_for(lambda: self.descriptors() <= base + 2 and self.echo.held == 0, limit=60)
        self.assertEqual(self.proxy.stop(), 0)


if __name__ == "__main__":
    harness.main()
