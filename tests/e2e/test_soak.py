#!/usr/bin/python3
"""Mixed traffic through `moat proxy`, with ends that break off on both sides: see tests/soak.sh.

Every request has an id of its own, and every answer must be that of its request, once and whole,
or be cut where this script cut it. At the end no descriptor is left, memory is where it was in
the first half, the proxy ends with 0, and its record verifies.
"""

import asyncio
import hashlib
import os
import random
import re
import resource
import ssl
import sys
import time

import harness
from harness import MoatTest
from test_proxy_command import Started

import h2.config
import h2.connection
import h2.events

SECONDS = float(os.environ.get("MOAT_SOAK", "1800"))
WORKERS = 24
WEB, BYTES = "allowed.example.test", "other.example.test"
SANITIZED = "ASAN_OPTIONS" in os.environ
GROWTH = 8 << 20  # of what is resident, which malloc need not give back
BUFFER = 16 << 10  # of the origin's: what is slow there is felt by the proxy


def body_of(identity, length):
    block = hashlib.sha512(identity.encode()).digest()
    return (block * (length // 64 + 1))[:length]


class Cut(Exception):
    """An end that was to be expected."""


# --- the origin -----------------------------------------------------------------------------
class Origin:
    """GET /ID/LENGTH/FATE, POST the same: a body that is ID's. FATE: whole, cut, events, chunked."""

    def __init__(self):
        self.seen = {}

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        writer.close()

    async def one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        _, identity, length, fate = head.split(" ", 2)[1].split("/")
        length = int(length)
        self.seen[identity] = self.seen.get(identity, 0) + 1
        sent = re.search(r"\r\ncontent-length: (\d+)", head, re.I)
        came = await reader.readexactly(int(sent.group(1))) if sent else b""
        if "transfer-encoding: chunked" in head.lower():
            while size := int(await reader.readuntil(b"\r\n"), 16):
                came += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        if came:
            assert came == body_of("up" + identity, len(came)), "another's body came up"
        body = body_of(identity, length)
        if fate == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (length + 1) + body)
            await writer.drain()
            writer.transport.abort()
            return False
        if fate == "socket":
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         b"Connection: Upgrade\r\n\r\n")
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            return False
        if fate in ("events", "chunked"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            step = 1000 if fate == "chunked" else max(1, length // 5)
            for at in range(0, length, step):
                piece = body[at:at + step]
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
                if fate == "events":
                    await asyncio.sleep(0.01)
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body)
        await writer.drain()
        return True


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


# --- the clients ----------------------------------------------------------------------------
class Driver:
    def __init__(self, place, ca, origin):
        self.place = place.rsplit(":", 1)
        self.context = ssl.create_default_context(cafile=str(ca))
        self.context2 = ssl.create_default_context(cafile=str(ca))
        self.context2.set_alpn_protocols(["h2"])
        self.origin = origin
        self.counts = {}
        self.expected = {}  # id: whether it is answered; if not, it may not have come

    def identity(self, answered):
        identity = "r%d" % len(self.expected)
        self.expected[identity] = answered
        return identity

    async def connect(self, host, port, context=None):
        reader, writer = await asyncio.open_connection(*self.place, limit=1 << 18)
        writer.write(b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" %
                     (host.encode(), port, host.encode(), port))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        if context:
            await writer.start_tls(context, server_hostname=host)
        return reader, writer

    async def answer(self, reader, identity, length):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 200 "), head
        sent = re.search(r"\r\nContent-Length: (\d+)", head)
        if sent:
            body = await reader.readexactly(int(sent.group(1)))
        else:
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        assert body == body_of(identity, length), "another's body came down, for " + identity

    async def http1(self):
        reader, writer = await self.connect(WEB, 443, self.context)
        for _ in range(random.randint(1, 8)):
            length = random.choice((0, 10, 1000, 70_000, 300_000))
            fate = random.choice(("whole", "whole", "chunked", "events"))
            identity = self.identity(True)
            up = random.choice((b"", b"", body_of("up" + identity, random.choice((5, 200_000)))))
            writer.write(b"%s /%s/%d/%s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (
                b"POST" if up else b"GET", identity.encode(), length, fate.encode(), WEB.encode(),
                b"Content-Length: %d\r\n" % len(up) if up else b"") + up)
            await writer.drain()
            await self.answer(reader, identity, length)
        return writer

    async def plain(self):
        reader, writer = await asyncio.open_connection(*self.place)
        identity = self.identity(True)
        up = body_of("up" + identity, 3000)
        writer.write(b"POST http://%s/%s/500/whole HTTP/1.1\r\nHost: %s\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
                         WEB.encode(), identity.encode(), WEB.encode(), len(up), up))
        await self.answer(reader, identity, 500)
        return writer

    async def http2(self):
        reader, writer = await self.connect(WEB, 443, self.context2)
        client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        client.initiate_connection()
        bodies, wanted, over = {}, {}, set()
        for i in range(random.randint(1, 12)):
            reset = random.random() < 0.2
            identity = self.identity(not reset)
            length = random.choice((0, 10, 1000, 30_000))
            stream = client.get_next_available_stream_id()
            client.send_headers(stream, [
                (":method", "GET"), (":scheme", "https"), (":authority", WEB),
                (":path", "/%s/%d/%s" % (identity, length, random.choice(("whole", "events"))))],
                end_stream=True)
            if reset:
                client.reset_stream(stream)
            else:
                bodies[stream], wanted[stream] = b"", body_of(identity, length)
        while over != set(wanted):
            writer.write(client.data_to_send())
            await writer.drain()
            data = await reader.read(65536)
            assert data, "the HTTP/2 connection ended"
            for event in client.receive_data(data):
                if isinstance(event, h2.events.DataReceived) and event.stream_id in bodies:
                    bodies[event.stream_id] += event.data
                    client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    over.add(event.stream_id)
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise AssertionError(event)
        assert bodies == wanted, "another's body came down"
        return writer

    async def socket(self):
        reader, writer = await self.connect(WEB, 443, self.context)
        identity = self.identity(True)
        writer.write(b"GET /%s/0/socket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\n\r\n" % (identity.encode(), WEB.encode()))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await self.ping_pong(reader, writer)
        return writer

    async def ping_pong(self, reader, writer):
        for _ in range(random.randint(1, 5)):
            data = b"\0" + random.randbytes(random.choice((1, 2000, 50_000)))  # no TLS
            writer.write(data)
            await writer.drain()
            assert await reader.readexactly(len(data)) == data

    async def bytes(self):
        reader, writer = await self.connect(BYTES, 7000)
        await self.ping_pong(reader, writer)
        return writer

    async def nothing(self):
        """CONNECT alone, then silence or a cut."""
        _, writer = await self.connect(WEB, 443)
        await asyncio.sleep(random.random() * 0.2)
        return writer

    async def garbage(self):
        reader, writer = await asyncio.open_connection(*self.place)
        writer.write(random.randbytes(random.randint(1, 3000)) + b"\r\n\r\n")
        await reader.read()
        return writer

    async def cut_by_origin(self):
        reader, writer = await self.connect(WEB, 443, self.context)
        identity = self.identity(False)
        writer.write(b"GET /%s/5000/cut HTTP/1.1\r\nHost: %s\r\n\r\n" % (identity.encode(),
                                                                      WEB.encode()))
        came = await reader.read()
        status = came[9:12]
        assert status in (b"200", b"502"), came[:100]
        assert status == b"502" or len(came.partition(b"\r\n\r\n")[2]) <= 5000
        return writer

    async def cut_by_us(self):
        reader, writer = await self.connect(WEB, 443, random.choice((self.context, None)))
        identity = self.identity(False)
        request = b"POST /%s/300000/whole HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n" % (
            identity.encode(), WEB.encode()) + body_of("up" + identity, 100_000)
        writer.write(request[:random.randint(0, len(request))])
        await writer.drain()
        if random.random() < 0.5:
            await asyncio.wait({asyncio.ensure_future(reader.read(1000))}, timeout=0.05)
        writer.transport.abort()
        raise Cut

    async def work(self, until):
        kinds = [self.http1] * 4 + [self.http2] * 3 + [self.plain, self.socket, self.bytes,
                 self.nothing, self.garbage, self.cut_by_origin, self.cut_by_us, self.cut_by_us]
        while time.monotonic() < until:
            kind = random.choice(kinds)
            try:
                writer = await asyncio.wait_for(kind(), 60)
                if random.random() < 0.5:
                    writer.transport.abort()
                else:
                    writer.close()
            except Cut:
                pass
            except ConnectionResetError:
                if kind != self.garbage and kind != self.cut_by_origin:
                    raise
            self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1

    def check_answers(self):
        for identity, answered in self.expected.items():
            times = self.origin.seen.get(identity, 0)
            assert times == 1 if answered else times <= 1, "%s came %d times" % (identity, times)
        strangers = set(self.origin.seen) - set(self.expected)
        assert not strangers, strangers


class Soak(MoatTest):
    @classmethod
    def origin_flags(cls):
        return ["--upstream-ca", cls.origin.ca,
                "--connect-to", "%s:443=127.0.0.1:%d" % (WEB, cls.ports[0]),
                "--connect-to", "%s:80=127.0.0.1:%d" % (WEB, cls.ports[1]),
                "--connect-to", "%s:7000=127.0.0.1:%d" % (BYTES, cls.ports[2])]

    def of_proxy(self, what):
        pid = self.proxy.process.pid
        if what == "descriptors":
            return len(os.listdir("/proc/%d/fd" % pid))
        with open("/proc/%d/status" % pid) as status:
            return [int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:")][0]

    async def servers(self):
        pki = self.root / "origin"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "origin.crt", pki / "origin.key")
        origin = Origin()
        made = [await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=BUFFER)
                for serve, tls in ((origin.serve, context), (origin.serve, None), (echo, None))]
        self.made = made
        type(self).ports = [one.sockets[0].getsockname()[1] for one in made]
        return origin

    async def soak(self):
        origin = await self.servers()
        policy = self.workspace / "policy.yaml"
        policy.write_text("network:\n  rules:\n    - tcp: %s:7000\n" % BYTES)
        self.proxy = Started(self, "--policy", policy)
        descriptors = self.of_proxy("descriptors")
        driver = Driver(self.proxy.places[0], self.proxy.ca, origin)

        async def run(seconds):
            until = time.monotonic() + seconds
            await asyncio.gather(*[driver.work(until) for _ in range(WORKERS)])

        # What grows does so to the end; what only warms up has done so by the middle.
        memory = []
        for _ in range(10):
            await run(SECONDS / 10)
            memory.append(self.of_proxy("memory"))
        driver.check_answers()
        print("%s; MiB of memory by tenths of the time: %s ... " % (
            ", ".join("%d %s" % (count, name) for name, count in sorted(driver.counts.items())),
            " ".join("%.1f" % (one / 2**20) for one in memory)), end="", flush=True)
        if not SANITIZED:
            self.assertLess(max(memory[5:]), max(memory[:5]) + GROWTH)
        # Connections that are kept for origins have their time.
        end = time.monotonic() + 60
        while self.of_proxy("descriptors") > descriptors and time.monotonic() < end:
            await asyncio.sleep(0.5)
        self.assertLessEqual(self.of_proxy("descriptors"), descriptors)
        for server in self.made:
            server.close()

    def test_soak(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        random.seed(int(os.environ.get("MOAT_SOAK_SEED", "1")))
        asyncio.run(self.soak())
        self.assertEqual(self.proxy.stop(), 0, self.proxy.text())
        self.assertNotIn("Sanitizer", self.proxy.text())
        self.assertEqual(self.audit()["verdict"], "valid")


if __name__ == "__main__":
    harness.main()
