"""WebSockets by python's websockets: ws.py URL-OF-THE-ORIGIN; prints what came of them."""
import asyncio
import hashlib
import json
import os
import sys

import websockets

AT = sys.argv[1]
LARGE = 8 << 20


async def main():
    out = {}
    async with websockets.connect(AT + "/echo", subprotocols=["v1.moat", "v2.moat"]) as ws:
        out["subprotocol"] = ws.subprotocol
        await ws.send("small")
        out["text"] = await ws.recv()
        await ws.send(b"\0\xff\x80binary")
        out["binary"] = (await ws.recv()).hex()
        await ws.send("")
        out["empty"] = await ws.recv()
        await (await ws.ping(b"are you there?"))
        out["pong"] = True

        async def pieces():
            for piece in ("in ", "three ", "frames"):
                yield piece

        await ws.send(pieces())
        out["fragments"] = await ws.recv()
        await ws.close(4002, "enough")
        out["own close"] = [ws.close_code, ws.close_reason]
    async with websockets.connect(AT + "/both", compression=None, max_size=None) as ws:
        mine = os.urandom(LARGE)
        _, theirs = await asyncio.gather(ws.send(mine), ws.recv())
        out["both"] = [await ws.recv() == hashlib.sha256(mine).hexdigest(),
                       await ws.recv() == hashlib.sha256(theirs).hexdigest(), len(theirs)]
    async with websockets.connect(AT + "/close") as ws:
        try:
            await ws.recv()
        except websockets.ConnectionClosed:
            out["their close"] = [ws.close_code, ws.close_reason]
    print(json.dumps(out))


asyncio.run(main())
