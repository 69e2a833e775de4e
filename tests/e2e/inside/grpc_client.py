#!/usr/bin/python3
"""A gRPC client inside the sandbox: tries every kind of call, and prints what came as JSON.

usage: grpc_client.py HOST
"""

import json
import sys
import threading
import time

import grpc

channel = grpc.secure_channel(sys.argv[1] + ":443", grpc.ssl_channel_credentials(),
                              options=[("grpc.max_receive_message_length", -1)])
out = {}


def method(kind, name):
    return getattr(channel, kind)("/moat.Test/" + name)


def failure(call):
    try:
        call()
        return "no failure"
    except grpc.RpcError as error:
        return [error.code().name, error.details()]


answer, call = method("unary_unary", "Unary").with_call(
    b"hello", metadata=(("x-asked", "this"),), timeout=20)
out["unary"] = [answer.decode(), dict(call.initial_metadata()).get("x-initial"),
                dict(call.trailing_metadata())["x-trailing"],
                dict(call.trailing_metadata())["x-data-bin"].hex()]
out["client_stream"] = method("stream_unary", "ClientStream")(
    (b"%d" % n for n in range(100)), timeout=20).decode()
out["server_stream"] = [m.decode() for m in method("unary_stream", "ServerStream")(
    b"100", timeout=20)]

# Each message is sent only after the answer to the one before: nothing may wait for more.
turn = threading.Semaphore(1)


def talk():
    for word in (b"a", b"b", b"c"):
        turn.acquire()
        yield word


out["both_streams"] = []
for message in method("stream_stream", "BothStreams")(talk(), timeout=20):
    out["both_streams"].append(message.decode())
    turn.release()

out["fails"] = failure(lambda: method("unary_unary", "Fails")(b"", timeout=20))
late = method("unary_stream", "FailsLate")(b"", timeout=20)
out["late_first"] = next(late).decode()
out["fails_late"] = failure(lambda: next(late))
out["unknown"] = failure(lambda: method("unary_unary", "NoSuch")(b"", timeout=20))
out["deadline"] = failure(lambda: method("unary_unary", "Hangs")(b"", timeout=0.5))
was_cancelled = method("unary_unary", "WasCancelled")
out["was_cancelled"] = was_cancelled(b"", timeout=20).decode()
future = method("unary_unary", "Hangs").future(b"", timeout=20)
time.sleep(0.2)
future.cancel()
out["cancelled"] = [future.cancelled(), was_cancelled(b"", timeout=20).decode()]
out["after"] = method("unary_unary", "Unary")(b"still", timeout=20).decode()
out["big"] = len(method("unary_unary", "Big")(b"x" * 3_000_000, timeout=20))
calls = [method("unary_unary", "Unary").future(b"%d" % n, timeout=20) for n in range(50)]
out["at_once"] = sum(call.result() == b"<%d>" % n for n, call in enumerate(calls))
print(json.dumps(out))
