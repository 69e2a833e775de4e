"""Both ends of a wire, byte by byte: an origin whose answers are functions, and a client that says
what it is told to. Nothing here knows more of HTTP than where a head ends.
"""

import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.events


class Wire:
    """A connection, and what came on it and was not yet read."""

    def __init__(self, raw):
        self.raw = raw
        self.buffer = bytearray()

    def send(self, data):
        self.raw.sendall(data)

    def fill(self):
        data = self.raw.recv(1 << 18)
        self.buffer += data
        return bool(data)

    def take(self, count):
        out = bytes(self.buffer[:count])
        del self.buffer[:count]
        return out

    def until(self, mark):
        """Up to and with the mark; what there is, where the end comes first."""
        while mark not in self.buffer:
            if not self.fill():
                return self.take(len(self.buffer))
        return self.take(self.buffer.index(mark) + len(mark))

    def head(self):
        return self.until(b"\r\n\r\n")

    def exactly(self, count):
        while len(self.buffer) < count and self.fill():
            pass
        return self.take(count)

    def rest(self):
        while self.fill():
            pass
        return self.take(len(self.buffer))

    def chunk(self):
        """The bytes of one chunk; none of the last one."""
        size = int(self.until(b"\r\n").split(b";")[0], 16)
        return self.exactly(size + 2)[:-2]

    def close(self):
        """In good order, which tells an end from a cut."""
        if isinstance(self.raw, ssl.SSLSocket):
            try:
                self.raw.unwrap()
            except (OSError, ValueError):
                pass
        self.raw.close()


class ScriptedOrigin:
    """Answers GET /name/... by scripts["name"](wire, head, words of the path), one request after
    another, as long as a script returns a true value. Keeps every head, byte by byte."""

    def __init__(self, pki, scripts):
        self.scripts = scripts
        self.heads = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pki / "origin.crt", pki / "origin.key")
        self.listeners = [self.listen(True), self.listen(False)]
        self.https, self.http = (one.getsockname()[1] for one in self.listeners)

    def listen(self, secure):
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self.accept, args=(listener, secure), daemon=True).start()
        return listener

    def accept(self, listener, secure):
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            raw.settimeout(60)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(raw, secure), daemon=True).start()

    def serve(self, raw, secure):
        wire = Wire(raw)
        try:
            if secure:
                wire.raw = self.context.wrap_socket(raw, server_side=True)
            while True:
                head = wire.head()
                if not head.endswith(b"\r\n\r\n"):
                    break
                self.heads.append(head)
                path = head.split(b" ", 2)[1].split(b"?")[0].decode()
                words = path[1:].split("/")
                if not self.scripts[words[0]](wire, head, words[1:]):
                    break
            wire.close()
        except OSError:
            wire.raw.close()

    def stop(self):
        for listener in self.listeners:
            listener.close()


def connect_to(name, origin):
    """Flags that lead a name to an origin."""
    return ["--connect-to", "%s:443=127.0.0.1:%d" % (name, origin.https),
            "--connect-to", "%s:80=127.0.0.1:%d" % (name, origin.http)]


def connect(place, host, port, ca=None, alpn=None):
    """Through a proxy by CONNECT; in TLS if there is a CA to trust."""
    raw = socket.create_connection(place.rsplit(":", 1), 60)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" %
                (host.encode(), port, host.encode(), port))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = raw.recv(1)
        if not piece:
            raise AssertionError("the proxy closed the connection: %r" % answer)
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise AssertionError(answer)
    if ca is None:
        return Wire(raw)
    context = ssl.create_default_context(cafile=str(ca))
    if alpn:
        context.set_alpn_protocols([alpn])
    return Wire(context.wrap_socket(raw, server_hostname=host))


class Http2Client:
    """One stream at a time over HTTP/2, by python-h2."""

    def __init__(self, wire):
        self.wire = wire
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.told = []
        self.flush()

    def flush(self):
        self.wire.send(self.h2.data_to_send())

    def ask(self, *headers, end=True):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, list(headers), end_stream=end)
        self.flush()
        return stream

    def events(self):
        """What the next bytes tell; their bodies are acknowledged."""
        if not self.wire.fill():
            raise AssertionError("the HTTP/2 connection ended")
        told = self.h2.receive_data(self.wire.take(len(self.wire.buffer)))
        for event in told:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return told

    def wait(self, kind):
        """The next event of a kind; those before it are passed over."""
        while True:
            while self.told:
                event = self.told.pop(0)
                if isinstance(event, kind):
                    return event
            self.told = self.events()
