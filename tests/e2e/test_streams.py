"""What goes on for long, or is large, or comes in pieces: WebSockets, events, bodies of gigabytes,
and the corners of HTTP/1.1 that clients and origins lean on."""

import hashlib
import os
import socket
import statistics
import subprocess
import threading
import time
import zlib

import h2.events

import harness
from harness import MoatTest
from socket_origin import SocketOrigin
from test_proxy_command import Started
from wire import Http2Client, ScriptedOrigin, connect, connect_to

SCRIPTED, SOCKETS = "allowed.example.test", "other.example.test"
SANITIZED = "ASAN_OPTIONS" in os.environ
# Both are far beyond any buffer.
LARGE, LARGEST = ((256 << 20), (512 << 20)) if SANITIZED else ((512 << 20), (2 << 30))
MOST_MEMORY = 32 << 20
EVENTS = 50
BLOCK = hashlib.sha512(b"moat").digest() * 16384  # 1 MiB
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
HELLO = LENGTH % 5 + b"hello"
# Of bytes that no decoder of ours knows: whatever they are, they pass.
BROTLI = bytes(range(256))


# --- the scripted origin --------------------------------------------------------------------
def say_hello(wire, head, words):
    wire.send(HELLO)
    return True


def say_words(wire, head, words):
    """Whatever the path says, as a body."""
    body = "/".join(words).encode()
    wire.send(LENGTH % len(body) + body)
    return True


def send_events(wire, head, words):
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
              b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(EVENTS):
        event = b"data: %r\n\n" % time.monotonic()
        wire.send(b"%x\r\n%s\r\n" % (len(event), event))
        time.sleep(0.01)
    wire.send(b"0\r\n\r\n")
    return True


def poll_long(wire, head, words):
    time.sleep(2)
    wire.send(HELLO)
    return True


def send_large(wire, head, words):
    wire.send(LENGTH % int(words[0]))
    for _ in range(int(words[0]) // len(BLOCK)):
        wire.send(BLOCK)
    return True


def take_large(wire, head, words):
    length = crc = 0
    while piece := wire.chunk():
        length += len(piece)
        crc = zlib.crc32(piece, crc)
    body = b"%d %d" % (length, crc)
    wire.send(LENGTH % len(body) + body)
    return True


def take_late(wire, head, words):
    """Lets the body come when it wants it."""
    time.sleep(0.2)
    assert not wire.buffer, "the body did not wait"
    wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.exactly(5)
    wire.send(HELLO)
    return True


def take_nothing(wire, head, words):
    """Says no before the body has come, and hangs up."""
    wire.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\n"
              b"too much")
    wire.exactly(4 << 20)  # a reset would take the answer along
    return False


def hint(wire, head, words):
    wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
    time.sleep(0.2)
    wire.send(HELLO)
    return True


def send_range(wire, head, words):
    assert b"\r\nRange: bytes=5-9\r\n" in head
    wire.send(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/100\r\n"
              b"Content-Length: 5\r\n\r\n56789")
    return True


def send_until_close(wire, head, words):
    wire.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BLOCK)
    return False


def send_no_body(wire, head, words):
    status = {"head": b"200 OK", "204": b"204 No Content", "304": b"304 Not Modified"}[words[0]]
    length = b"" if words[0] == "204" else b"Content-Length: 1000\r\n"
    wire.send(b"HTTP/1.1 " + status + b"\r\nETag: \"x\"\r\n" + length + b"\r\n")
    return True


STRANGE_ANSWER = (b"HTTP/1.1 200 Fine by me\r\nX-lower-UPPER: 1\r\nset-cookie: a=1\r\n"
                  b"Set-Cookie: b=2\r\nzz-First: z\r\nAA-second: a\r\nX-lower-upper: 2\r\n"
                  b"X-Empty: \r\ncontent-encoding: br\r\nCONTENT-LENGTH: 256\r\n\r\n")


def answer_strangely(wire, head, words):
    wire.send(STRANGE_ANSWER + BROTLI)
    return True


def switch_protocols(wire, head, words):
    """After the program's end, ours still comes: bytes in both directions end by themselves."""
    wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
              b"Connection: Upgrade\r\n\r\n")
    came = wire.rest()
    wire.send(b"after its end came %d bytes" % len(came))
    return False


SCRIPTS = {
    "hello": say_hello, "words": say_words, "events": send_events, "poll": poll_long,
    "large": send_large, "take": take_large, "late": take_late, "nothing": take_nothing,
    "hint": hint, "range": send_range, "close": send_until_close, "none": send_no_body,
    "strange": answer_strangely, "switch": switch_protocols,
}


class Streams(MoatTest):
    """Through `moat proxy`, which is the same wall, with every byte in our own hands."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.scripted = ScriptedOrigin(cls.root / "origin", SCRIPTS)
        cls.sockets = SocketOrigin(cls.root / "origin")

    @classmethod
    def tearDownClass(cls):
        cls.scripted.stop()
        cls.sockets.stop()
        super().tearDownClass()

    @classmethod
    def origin_flags(cls):
        return ["--upstream-ca", cls.origin.ca, *connect_to(SCRIPTED, cls.scripted),
                *connect_to(SOCKETS, cls.sockets)]

    def setUp(self):
        super().setUp()
        self.proxy = Started(self)

    def tearDown(self):
        if self.proxy.process.poll() is None:
            self.assertEqual(self.proxy.stop(), 0)

    def wire(self, tls=True, alpn=None):
        wire = connect(self.proxy.places[0], SCRIPTED, 443 if tls else 80,
                       self.proxy.ca if tls else None, alpn)
        self.addCleanup(wire.raw.close)
        return wire

    def ask(self, wire, path, method="GET", headers=""):
        wire.send(("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (method, path, SCRIPTED,
                                                             headers)).encode())

    def fields(self, path, method="GET", *more):
        return ((":method", method), (":scheme", "https"), (":authority", SCRIPTED),
                (":path", path), *more)

    def status(self, wire):
        return int(wire.head().split(b" ", 2)[1])

    def peak_memory(self):
        with open("/proc/%d/status" % self.proxy.process.pid) as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) << 10

    # --- events and long polls
    def check_delays(self, delays):
        self.assertEqual(len(delays), EVENTS)
        # What takes part in a turn of a busy machine's processor is in it; a timer would be, too.
        self.assertLess(statistics.median(delays), 0.03 if not SANITIZED else 0.1)

    def test_events_leave_as_they_come(self):
        wire = self.wire()
        self.ask(wire, "/events")
        self.assertEqual(self.status(wire), 200)
        delays = []
        while event := wire.chunk():
            delays.append(time.monotonic() - float(event[6:]))
        self.check_delays(delays)

    def test_events_leave_as_they_come_over_http2(self):
        client = Http2Client(self.wire(alpn="h2"))
        client.ask(*self.fields("/events"))
        delays = []
        ended = False
        while not ended:
            for event in client.events():
                if isinstance(event, h2.events.DataReceived):
                    now = time.monotonic()
                    delays += [now - float(line[6:]) for line in event.data.split(b"\n") if line]
                ended = ended or isinstance(event, h2.events.StreamEnded)
        self.check_delays(delays)

    def test_a_long_poll(self):
        client, wire = Http2Client(self.wire(alpn="h2")), self.wire()
        client.ask(*self.fields("/poll"))
        self.ask(wire, "/poll")
        self.assertEqual(self.status(wire), 200)
        self.assertIn((":status", "200"), client.wait(h2.events.ResponseReceived).headers)

    # --- WebSocket's ways
    def test_a_websocket_in_a_stream_of_http2(self):
        wire = connect(self.proxy.places[0], SOCKETS, 443, self.proxy.ca, "h2")
        self.addCleanup(wire.raw.close)
        client = Http2Client(wire)
        settings = client.wait(h2.events.RemoteSettingsChanged)
        self.assertEqual(settings.changed_settings[8].new_value, 1)  # ENABLE_CONNECT_PROTOCOL
        stream = client.ask((":method", "CONNECT"), (":protocol", "websocket"),
                            (":scheme", "https"), (":authority", SOCKETS), (":path", "/echo"),
                            ("sec-websocket-version", "13"),
                            ("sec-websocket-protocol", "v2.moat"), end=False)
        answer = dict(client.wait(h2.events.ResponseReceived).headers)
        self.assertEqual((answer[":status"], answer["sec-websocket-protocol"]), ("200", "v2.moat"))
        # Masked with zeros: a text, a ping with two bytes, a close with 4003.
        came = b""
        for frame, wanted in ((b"\x81\x85\0\0\0\0hello", b"\x81\x05hello"),
                              (b"\x89\x82\0\0\0\0hi", b"\x8a\x02hi"),
                              (b"\x88\x82\0\0\0\0\x0f\xa3", b"\x88\x02\x0f\xa3")):
            client.h2.send_data(stream, frame)
            client.flush()
            came = b""
            while len(came) < len(wanted):
                came += client.wait(h2.events.DataReceived).data
            self.assertEqual(came, wanted)
        client.wait(h2.events.StreamEnded)

    def upgrade(self, wire):
        self.ask(wire, "/switch", headers="Upgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n")
        self.assertEqual(self.status(wire), 101)
        wire.send(b"x" * 1000)

    def test_half_a_close_leaves_the_other_half(self):
        wire = self.wire(tls=False)
        self.upgrade(wire)
        wire.raw.shutdown(socket.SHUT_WR)
        self.assertEqual(wire.rest(), b"after its end came 1000 bytes")

    # --- large bodies, little memory
    def curl(self, *words, **options):
        return subprocess.Popen(["curl", "-sS", "-m", "300", "--noproxy", "", "-x",
                                 "http://" + self.proxy.places[0], "--cacert", self.proxy.ca, *words],
                                stdout=subprocess.PIPE, **options)

    def download(self, version, size):
        process = self.curl(version, "https://%s/large/%d" % (SCRIPTED, size))
        length = crc = 0
        while piece := process.stdout.read(1 << 20):
            length += len(piece)
            crc = zlib.crc32(piece, crc)
        process.stdout.close()
        self.assertEqual((process.wait(20), length, crc), (0, size, self.checksum(size)))
        self.check_memory("down, " + version, size)

    def upload(self, version, size):
        process = self.curl(version, "-T", "-", "https://%s/take" % SCRIPTED, "-H", "Expect:",
                            stdin=subprocess.PIPE)

        def feed():
            with process.stdin as pipe:
                for _ in range(size // len(BLOCK)):
                    pipe.write(BLOCK)

        feeder = threading.Thread(target=feed)
        feeder.start()
        answer = process.stdout.read()
        feeder.join()
        process.stdout.close()
        self.assertEqual((process.wait(20), answer), (0, b"%d %d" % (size, self.checksum(size))))
        self.check_memory("up, " + version, size)

    @classmethod
    def checksum(cls, size):
        crc = 0
        for _ in range(size // len(BLOCK)):
            crc = zlib.crc32(BLOCK, crc)
        return crc

    def check_memory(self, what, size):
        peak = self.peak_memory()
        print("%d MiB %s: %.1f MiB of memory at most ... " % (size >> 20, what, peak / 2**20), end="",
              flush=True)
        if not SANITIZED:
            self.assertLess(peak, MOST_MEMORY)

    def test_a_large_download(self):
        self.download("--http1.1", LARGEST)

    def test_a_large_download_over_http2(self):
        self.download("--http2", LARGE)

    def test_a_large_upload(self):
        self.upload("--http1.1", LARGE)

    def test_a_large_upload_over_http2(self):
        self.upload("--http2", LARGEST)

    def test_slow_readers_hold_no_memory(self):
        wires = [self.wire() for _ in range(10)]
        for wire in wires:
            self.ask(wire, "/large/%d" % LARGE)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for wire in wires:
                wire.raw.recv(1 << 14)
            time.sleep(0.02)
        self.check_memory("to each of ten slow readers", LARGE)

    # --- the corners of HTTP/1.1
    def test_a_body_that_waits_to_be_asked_for(self):
        wire = self.wire()
        self.ask(wire, "/late", "POST", "Content-Length: 5\r\nExpect: 100-continue\r\n")
        self.assertEqual(self.status(wire), 100)
        wire.send(b"hello")
        self.assertEqual(wire.head() + wire.exactly(5), HELLO)

    def test_an_answer_that_comes_before_the_body(self):
        for headers in ("", "Expect: 100-continue\r\n"):
            wire = self.wire()
            self.ask(wire, "/nothing", "POST", "Content-Length: %d\r\n%s" % (4 << 20, headers))
            if not headers:
                wire.send(BLOCK)
            self.assertEqual(self.status(wire), 413)
            self.assertEqual(wire.exactly(8), b"too much")

    def test_early_hints(self):
        wire = self.wire()
        self.ask(wire, "/hint")
        self.assertEqual(wire.head(), b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        self.assertEqual(wire.head() + wire.exactly(5), HELLO)
        client = Http2Client(self.wire(alpn="h2"))
        client.ask(*self.fields("/hint"))
        hints = dict(client.wait(h2.events.InformationalResponseReceived).headers)
        self.assertEqual((hints[":status"], hints["link"]), ("103", "</a.css>; rel=preload"))
        self.assertIn((":status", "200"), client.wait(h2.events.ResponseReceived).headers)

    def test_a_range(self):
        wire = self.wire()
        self.ask(wire, "/range", headers="Range: bytes=5-9\r\n")
        head = wire.head()
        self.assertTrue(head.startswith(b"HTTP/1.1 206 "), head)
        self.assertIn(b"\r\nContent-Range: bytes 5-9/100\r\n", head)
        self.assertEqual(wire.exactly(5), b"56789")

    def test_a_body_that_ends_with_the_connection(self):
        wire = self.wire()
        self.ask(wire, "/close", headers="Connection: close\r\n")
        self.assertEqual(self.status(wire), 200)
        self.assertEqual(wire.rest(), BLOCK)
        client = Http2Client(self.wire(alpn="h2"))
        client.ask(*self.fields("/close"))
        client.wait(h2.events.StreamEnded)

    def test_answers_without_a_body(self):
        wire = self.wire()
        for what, method in (("head", "HEAD"), ("204", "GET"), ("304", "GET")):
            self.ask(wire, "/none/" + what, method)
            self.assertEqual(self.status(wire), int(what) if what.isdigit() else 200)
            self.ask(wire, "/hello")  # nothing of a body stands before this
            self.assertEqual(wire.head() + wire.exactly(5), HELLO)

    def test_requests_that_do_not_wait_for_answers(self):
        wire = self.wire()
        paths = ["/words/%d/%s" % (i, "x" * i) for i in range(5)]
        wire.send("".join("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, SCRIPTED)
                          for path in paths).encode())
        for path in paths:
            head = wire.head()
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            self.assertEqual(wire.exactly(length).decode(), path[len("/words/"):])

    def test_heads_pass_as_they_are(self):
        wire = self.wire()
        request = ("GET /strange?a=%%2F&b=//../x HTTP/1.1\r\nX-zebra: 1\r\nHOST: %s\r\naccept: b\r\n"
                   "Accept: a\r\nX-Zebra: 2\r\ncookie: a=1\r\nCookie: b=2\r\nX-Empty: \r\n"
                   "ACCEPT-encoding: br, zstd;q=0.5\r\n\r\n" % SCRIPTED).encode()
        wire.send(request)
        self.assertEqual(wire.head(), STRANGE_ANSWER)
        self.assertEqual(wire.exactly(len(BROTLI)), BROTLI)
        self.assertEqual(self.scripted.heads[-1], request)


if __name__ == "__main__":
    harness.main()
