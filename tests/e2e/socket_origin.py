"""An origin of WebSockets, by python's websockets: /echo, /both (8 MiB each way at once), /close."""

import asyncio
import hashlib
import os
import ssl
import threading

import websockets


async def serve_socket(ws, path):
    if path == "/echo":
        try:
            async for message in ws:
                await ws.send(message)
        except websockets.ConnectionClosedError:
            pass  # with a code of its own
    elif path == "/both":
        mine = os.urandom(8 << 20)
        _, theirs = await asyncio.gather(ws.send(mine), ws.recv())
        await ws.send(hashlib.sha256(theirs).hexdigest())
        await ws.send(hashlib.sha256(mine).hexdigest())
        await ws.wait_closed()
    elif path == "/close":
        await ws.close(4001, "go away")


class SocketOrigin:
    def __init__(self, pki):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "origin.crt", pki / "origin.key")
        self.loop = asyncio.new_event_loop()
        ports = []
        up = threading.Event()

        async def serve():
            for tls in (context, None):
                server = await websockets.serve(serve_socket, "127.0.0.1", 0, ssl=tls,
                                                max_size=None, subprotocols=["v2.moat"])
                ports.append(server.sockets[0].getsockname()[1])
            up.set()

        def run():
            self.loop.run_until_complete(serve())
            self.loop.run_forever()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        up.wait(20)
        self.https, self.http = ports

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
